"""`Labels`: what every dataset returns, one row per hand, with its checks and its splits.

And what all readers of label files share, from `BadSample` to `gather`.
"""

import hashlib
import json
import os
import reprlib
import unicodedata
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from cpm_hand import geometry
from cpm_hand.hand import HAND, Skeleton, difference

FARTHEST = 1e6  # px; no picture is that large, and float32 still resolves it


class BadSample(ValueError):
    """A label or picture that a reader cannot use; the text says which file, what came, what was expected."""


class Labels(NamedTuple):
    """Columns, one row per hand; coordinates in the pixels of the image file.

    Attributes:
        paths: [N] str, image files.
        keypoints: [N, J, 2] float32, x and y in image px, in the skeleton's order.
        visible: [N, J] bool, annotated; not "un-occluded".
        boxes: [N, 4] float32, x, y, w, h in image px: the square that is cropped before augmentation.
        has_hand: [N] bool; False is a picture without a hand, which trains empty maps.
        is_left: [N] int8, 1 left, 0 right, -1 unknown.
        head_size: [N] float32, px, NaN where unknown.
        groups: [N] str, source photograph or sequence: a split never cuts through one.
        skeleton: names, bones and groups of the J joints.
    """

    paths: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    boxes: np.ndarray
    has_hand: np.ndarray
    is_left: np.ndarray
    head_size: np.ndarray
    groups: np.ndarray
    skeleton: Skeleton = HAND

    @property
    def num_hands(self) -> int:
        """Number of rows N; `len` of a NamedTuple is its number of columns."""
        return len(self.paths)

    def take(self, rows) -> "Labels":
        """The rows of an index, mask or slice, in that order."""
        return Labels(*(column[rows] for column in self[:-1]), skeleton=self.skeleton)


def from_rows(rows: list[dict], skeleton: Skeleton = HAND) -> Labels:
    """Stack one dictionary per hand into checked columns.

    Args:
        rows: dictionaries with the columns' names as keys; `has_hand` (True), `is_left` (-1) and `head_size`
            (NaN) may be left out.
        skeleton: of all rows.

    Returns:
        Labels with N = len(rows); no rows give empty columns of the right shapes.

    Raises:
        ValueError: a row breaks what the columns promise; the text names its path.
    """
    num_joints = skeleton.num_joints
    labels = Labels(
        paths=np.array([str(row["path"]) for row in rows], dtype=str),
        keypoints=np.array([row["keypoints"] for row in rows], np.float32).reshape(-1, num_joints, 2),
        visible=np.array([row["visible"] for row in rows], bool).reshape(-1, num_joints),
        boxes=np.array([row["box"] for row in rows], np.float32).reshape(-1, 4),
        has_hand=np.array([row.get("has_hand", True) for row in rows], bool),
        is_left=np.array([row.get("is_left", -1) for row in rows], np.int8),
        head_size=np.array([row.get("head_size", np.nan) for row in rows], np.float32),
        groups=np.array([str(row["group"]) for row in rows], dtype=str),
        skeleton=skeleton)
    check(labels)
    return labels


def gather(row: Callable[..., dict], samples: Iterable[tuple], skip_bad: bool) -> tuple[Labels, list[str]]:
    """Read one sample after the other.

    Args:
        row: called with a sample's items; gives a row for `from_rows` or raises BadSample.
        samples: one tuple each.
        skip_bad: leave bad samples out and report them, instead of raising at the first.

    Returns:
        Labels of the good samples, one text per bad one.

    Raises:
        BadSample: the first one, where skip_bad is False.
    """
    rows, problems = [], []
    for sample in samples:
        try:
            rows.append(row(*sample))
        except BadSample as error:
            if not skip_bad:
                raise
            problems.append(str(error))
    return from_rows(rows), problems


def load_json(path) -> dict:
    """Read a label file that somebody else wrote.

    Raises:
        BadSample: it cannot be read, is not JSON, or not one object.
    """
    try:
        with open(path, "rb") as file:
            data = json.loads(file.read())
    except OSError as error:
        raise BadSample(f"{path}: cannot be read ({error.strerror}).") from None
    except RecursionError:
        raise BadSample(f"{path}: nested too deeply for a label; unpack it again or remove it.") from None
    except ValueError as error:  # from json, or from decoding its text
        what = f"not JSON ({error})" if os.path.getsize(path) else "the file is empty"
        raise BadSample(f"{path}: {what}; expected a label, unpack it again or remove it.") from None
    if not isinstance(data, dict):
        raise BadSample(f"{path}: expected a JSON object with a label's entries, got {reprlib.repr(data)}.")
    return data


def showable(name: str) -> bool:
    r"""Whether a name from outside can be shown to people: no control character, no new line, no broken text.

    Spaces of all kinds can: Japanese names and macOS's screenshots have others than ours.

    >>> showable("\u30d5\u30a9\u30c8\u30001.jpg"), showable("a\x1b[2J.jpg"), showable("a\ud800.jpg")
    (True, False, False)
    """
    return not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name)


def is_number(value) -> bool:
    """Whether it can be a coordinate or a length: bool is an int to Python, and json reads NaN and Infinity."""
    return type(value) in (int, float) and abs(value) <= FARTHEST


def read_head_size(where: str, value) -> float:
    """A length in px as labels give it, NaN for 0, which says that nobody measured it.

    Raises:
        BadSample: no length.
    """
    if not is_number(value) or value < 0:
        raise BadSample(f"{where}: 'head_size' must be a length in px, got {reprlib.repr(value)}.")
    return value or np.nan


def check_extent(where: str, box: np.ndarray, width: int, height: int) -> None:
    """Refuse a hand so much larger than its picture that a coordinate of it must be mistyped.

    Args:
        where: what to name in the error.
        box: x, y, w, h in image px, around the hand.
        width: of the picture, px.
        height: likewise.

    Raises:
        BadSample: it is more than `geometry.LARGEST` times the picture.
    """
    if max(box[2:]) > geometry.LARGEST * max(width, height):
        raise BadSample(f"{where}: a hand of {box[2]:g} x {box[3]:g} px in a picture of {width} x {height} px; correct "
                        f"the label.")


def check(labels: Labels) -> None:
    """Refuse columns that do not keep their promises.

    Raises:
        ValueError: lengths differ, a visible joint is not finite, or a box is not a square of positive size;
            the text names the image.
    """
    lengths = {name: len(column) for name, column in zip(labels._fields[:-1], labels[:-1])}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"the columns of Labels must have equal lengths, got {lengths}.")
    finite = np.isfinite(labels.keypoints).all(-1) | ~labels.visible
    for row in np.flatnonzero(~finite.all(-1)):
        joint = labels.skeleton.names[np.flatnonzero(~finite[row])[0]]
        raise ValueError(f"{labels.paths[row]}: visible joint '{joint}' has no finite coordinates; "
                         f"mark it as not visible or correct the label.")
    width, height = labels.boxes[:, 2], labels.boxes[:, 3]
    square = np.isfinite(labels.boxes).all(-1) & (width > 0) & (np.abs(width - height) <= 1e-4 * width)
    for row in np.flatnonzero(~square):
        raise ValueError(f"{labels.paths[row]}: the box must be a square of positive size, got "
                         f"{labels.boxes[row].tolist()} (x, y, w, h).")


def concatenate(parts: list[Labels]) -> Labels:
    """Several label sets of the same joints, one after the other, with the bones of the first.

    Raises:
        ValueError: the joints differ.
    """
    skeleton = parts[0].skeleton
    for part in parts:
        if unlike := difference(part.skeleton.names, skeleton.names):
            raise ValueError(f"sets of different joints cannot be mixed: {unlike}; train on sets of the same joints in "
                             f"the same order, under the same names.")
    columns = [np.concatenate(columns) for columns in zip(*(part[:-1] for part in parts))]
    return Labels(*columns, skeleton=skeleton)


def validation_mask(groups: np.ndarray, fraction: float) -> np.ndarray:
    """Which rows are for validation: decided by a hash of the row's group, whatever else is in the set.

    Args:
        groups: [N] str; rows of one group always stay together.
        fraction: expected share of the groups, 0 to 1.

    Returns:
        bool [N]. The same group always falls on the same side, on every machine.
    """
    names, rows = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    # File names may hold bytes that are no text, which Python keeps as surrogates.
    digests = [hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8] for name in names]
    place = np.array([int.from_bytes(digest, "big") / 2**64 for digest in digests], np.float64)
    return (place < fraction)[rows] if len(names) else np.zeros(0, bool)
