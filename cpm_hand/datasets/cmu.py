"""CMU's hand data: hand_labels_synth, hand_labels, hand143_panopticdb, and folders in the same layout.

The first two hold NAME.jpg + NAME.json, 'hand_pts' being 21 rows of x, y, visible in the picture's pixels, in
the order of `hand.HAND`. The third is one JSON for all pictures. Beyond CMU's own entries, "has_hand": false
marks a picture without a hand. A joint is visible where its third number is above 0, even off the picture.

Source: http://domedb.perception.cs.cmu.edu/handdb.html (research use; neither shipped nor downloaded here).
"""

import os
import pathlib
import re
import reprlib
from collections.abc import Callable, Iterator

import numpy as np

from cpm_hand import geometry, images
from cpm_hand.hand import HAND
from cpm_hand.labels import (
    FARTHEST,
    BadSample,
    Labels,
    check_extent,
    gather,
    is_number,
    load_json,
    read_head_size,
    showable,
)

ORIGIN = "http://domedb.perception.cs.cmu.edu/handdb.html"
RENDERED = "synth_rendered"  # what cpm_hand.rendering writes, beside CMU's own folders
COUNTS = {
    "cmu_synth": {"synth1": 6546, "synth2": 3243, "synth3": 2348, "synth4": 2124},
    "cmu_manual": {"manual_train": 1912, "manual_test": 846},
    "cmu_panoptic": {"hand143_panopticdb": 14817},
}
TOPS = {"cmu_synth": "hand_labels_synth", "cmu_manual": "hand_labels", "cmu_panoptic": "hand143_panopticdb"}
DEFAULTS = {"cmu_synth": ("synth2", "synth3", RENDERED), "cmu_manual": ("manual_train",)}
PANOPTIC_JSON = "hands_v143_14817.json"
PANOPTIC_BLOCK = 100  # consecutive pictures that are taken for one sequence

_CROPPED = ("synth2", "synth3", RENDERED)  # their pictures already are crops of one hand
_PICTURES = (".jpg", ".jpeg", ".png")
_PERSON = re.compile(r"^(.+)_\d+_[lr]$")  # <photograph>_<person>_<side> and <video>_<frame>_<side>
_WITHOUT_TIPS = tuple(joint for joint in range(HAND.num_joints) if joint == 0 or joint % 4)  # rows of synth1


def read_synth(root, skip_bad: bool = False) -> tuple[Labels, list[str]]:
    """Labels of hand_labels_synth: synth2, synth3 and synth_rendered, as far as they are there.

    A label of synth1 may have 16 rows; the five fingertips that it lacks become not visible.

    Args:
        root: hand_labels_synth, the folder around it, or one folder of pictures (hand_labels_synth/synth1).
        skip_bad: leave bad samples out and report them, instead of raising at the first.

    Returns:
        Labels, and one text per sample left out. The box is the whole picture where it is square in synth2,
        synth3 and synth_rendered, and 2.2 times the tight joint box elsewhere. Each picture is a group.

    Raises:
        BadSample: a picture or label cannot be used, and skip_bad is False.
        ValueError: there is no such folder, or no hands in it.
    """
    return _read_folders("cmu_synth", root, skip_bad, group=lambda folder, name: f"{folder}/{name}")


def read_manual(root, skip_bad: bool = False) -> tuple[Labels, list[str]]:
    """Labels of hand_labels: manual_train, unless root is one folder of pictures (manual_test, one's own).

    Arguments, result and errors as in `read_synth`; boxes are 2.2 times the tight joint box. A group is an
    MPII photograph (stored once per hand) or a video, as the names tell: PHOTO_PERSON_l, VIDEO_FRAME_r.
    """
    def group(folder, name):
        source = _PERSON.match(name)
        return source[1] if source else f"{folder}/{name}"

    return _read_folders("cmu_manual", root, skip_bad, group)


def read_panoptic(root, skip_bad: bool = False) -> tuple[Labels, list[str]]:
    """Labels of hand143_panopticdb: root holds hands_v143_14817.json and imgs/, or is the folder around it.

    Arguments, result and errors as in `read_synth`; boxes are 2.2 times the tight joint box. No sequence is
    named, yet neighbouring pictures show one moment from several cameras, or the next moment: a group is a
    block of 100 consecutive picture numbers, so that a split parts neighbours only where two blocks meet.
    """
    root = _folder(root)
    top = TOPS["cmu_panoptic"]
    base = root / top if (root / top).is_dir() else root
    path = base / PANOPTIC_JSON
    if not path.is_file():
        raise ValueError(_no_hands("cmu_panoptic", root, f"{PANOPTIC_JSON}, here or in {top}/"))
    items = load_json(path).get("root")
    if not isinstance(items, list) or not items:
        raise BadSample(f"{path}: 'root' must list the labels, got {reprlib.repr(items)}; unpack it again.")

    def row(number, item):
        where = f"{path}: root[{number}]"
        if not isinstance(item, dict):
            raise BadSample(f"{where} must be an object, got {reprlib.repr(item)}; unpack the file again.")
        name = item.get("img_paths")
        if not isinstance(name, str) or name[:1] in ("", "/") or ".." in name or not showable(name):
            raise BadSample(f"{where}: 'img_paths' must name a picture in {base}, got {ascii(name):.80}.")
        digits = re.search(r"(\d{1,18})\.\w+$", name)
        block = f"block {int(digits[1]) // PANOPTIC_BLOCK}" if digits else name
        group = f"cmu_panoptic:{block}"
        return _row(f"{where} ({name})", item, os.path.join(base, name), "joint_self", "", group)

    return gather(row, enumerate(items), skip_bad)


def find(root) -> list[tuple[str, pathlib.Path, int | None]]:
    """Which of CMU's folders lie in a folder, or one level below it.

    Returns:
        (name for --data, folder, how many samples CMU's has or None). A folder that CMU's set has and that is
        missing beside its siblings is listed too; its path does not exist. Empty where nothing is recognised.

    Raises:
        ValueError: there is no such folder.
    """
    root = _folder(root)
    return [found for base in (root, *(root / top for top in TOPS.values())) if base.is_dir()
            for found in _find_in(base)]


def _find_in(base) -> Iterator[tuple[str, pathlib.Path, int | None]]:
    if (base / PANOPTIC_JSON).is_file():
        yield "cmu_panoptic", base, COUNTS["cmu_panoptic"]["hand143_panopticdb"]
    below = [folder for folder in sorted(base.iterdir()) if folder.is_dir()
             and folder.name not in TOPS.values() and not folder.name.startswith((".", "output_viz"))]
    known = {folder.name for folder in below}
    for data in DEFAULTS:
        if known & COUNTS[data].keys():
            below += [base / name for name in COUNTS[data] if name not in known]
    for folder in (base, *below):
        data = "cmu_synth" if folder.name in (*COUNTS["cmu_synth"], RENDERED) else "cmu_manual"
        expected = COUNTS[data].get(folder.name)
        if expected is not None or any(picture and label for _, _, picture, label in _pairs(folder)):
            yield data, folder, expected


def _folder(root) -> pathlib.Path:
    root = pathlib.Path(root).expanduser()
    if not root.is_dir():
        found = "a file, not a folder" if root.exists() else "no such folder"
        raise ValueError(f"{root}: {found}; expected the folder of a data set. CMU's hand data: {ORIGIN}")
    return root.resolve() if root.name in ("", "..") else root  # boxes and groups go by the folder's name


def _no_hands(data: str, root, looked_for: str) -> str:
    others = [f"--data={name}={folder}" for name, folder, _ in find(root)
              if folder.is_dir() and (name, folder) != (data, root)]
    more = f" and {len(others) - 4} more" if len(others) > 4 else ""
    advice = f"What is here is read by {', '.join(others[:4])}{more}." if others else f"CMU's data: {ORIGIN}"
    return f"{root}: no hands for --data={data} here; looked for {looked_for}. {advice}"


def _read_folders(data: str, root, skip_bad: bool, group: Callable[[str, str], str]):
    root = _folder(root)
    base = root / TOPS[data] if (root / TOPS[data]).is_dir() else root
    folders = [base / name for name in DEFAULTS[data] if (base / name).is_dir()] or [base]
    for folder in folders:
        if not any(has_label for *_, has_label in _pairs(folder)):
            layout = ", ".join(f"{name}/" for name in DEFAULTS[data])
            raise ValueError(_no_hands(data, folder, f"{layout}, here or in {TOPS[data]}/, and for NAME.jpg "
                                                     f"with NAME.json in the folder itself"))

    def row(folder, name, picture, has_label):
        path = f"{folder}{os.sep}{name}.json"
        if not has_label:
            raise BadSample(f"{folder}{os.sep}{picture}: no label, expected {name}.json beside it; "
                            f"bring the label back or move the picture elsewhere.")
        return _row(path, load_json(path), f"{folder}{os.sep}{picture or name + '.jpg'}", "hand_pts",
                    folder.name, f"{data}:{group(folder.name, name)}")

    return gather(row, (sample for folder in folders for sample in _pairs(folder)), skip_bad)


def _pairs(folder) -> Iterator[tuple[pathlib.Path, str, str | None, bool]]:
    """(folder, name, picture file or None, whether NAME.json is there), sorted; a name may contain dots."""
    pictures, labels = {}, set()
    for file in sorted(os.listdir(folder)):
        name, suffix = os.path.splitext(file)
        if file.startswith(".") or file == PANOPTIC_JSON:
            continue
        if suffix == ".json":
            labels.add(name)
        elif suffix.lower() in _PICTURES:
            pictures[file if name in pictures else name] = file  # a second one counts as having no label
    for name in sorted(labels | pictures.keys()):
        yield folder, name, pictures.get(name), name in labels


def _row(where: str, fields: dict, picture: str, points: str, folder: str, group: str) -> dict:
    """One row for `labels.from_rows`, from the entries of one label."""
    has_hand = fields.get("has_hand", True)
    if not isinstance(has_hand, bool):
        raise BadSample(f"{where}: 'has_hand' must be true or false, got {reprlib.repr(has_hand)}.")
    if has_hand:
        keypoints, visible = _keypoints(where, fields, points, short=folder == "synth1")
    else:
        keypoints, visible = np.zeros((HAND.num_joints, 2)), np.zeros(HAND.num_joints, bool)
    is_left, head_size = fields.get("is_left", -1), read_head_size(where, fields.get("head_size", 0))
    if "is_left" in fields and (type(is_left) not in (bool, int, float) or is_left not in (0, 1)):
        raise BadSample(f"{where}: 'is_left' must be 0 or 1, or left out, got {reprlib.repr(is_left)}.")
    try:
        width, height = images.read_size(picture)
    except images.BadImage as error:
        raise BadSample(str(error)) from None
    whole = not has_hand or folder in _CROPPED and width == height
    if has_hand:
        check_extent(where, geometry.tight_box(keypoints, visible), width, height)
    box = geometry.whole_picture_box(width, height) if whole else _hand_box(where, keypoints, visible)
    return {"path": picture, "keypoints": keypoints, "visible": visible, "box": box, "has_hand": has_hand,
            "is_left": is_left, "head_size": head_size, "group": group}


def _hand_box(where: str, keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    points = keypoints[visible]
    if (points == points[0]).all():
        raise BadSample(f"{where}: all {len(points)} visible joints lie in one point, {points[0].tolist()}, "
                        f"and a box around them has no size; correct or remove the label.")
    return geometry.widen(geometry.tight_box(keypoints, visible))


def _keypoints(where: str, fields: dict, key: str, short: bool) -> tuple[np.ndarray, np.ndarray]:
    """float64 [21, 2] and bool [21] from rows of x, y, visible; `short` allows those without fingertips."""
    expected = "expected 21 rows of x, y, visible" + (" (or 16, without fingertips)" if short else "")
    if key not in fields:
        other = {"joint_self", "root"} & fields.keys()
        hint = " Is this a panoptic label? --data=cmu_panoptic=DIR reads those." if other else ""
        raise BadSample(f"{where}: no '{key}' entry (found {reprlib.repr(sorted(fields))}); {expected}, or "
                        f"\"has_hand\": false for a picture without a hand.{hint}")
    rows = fields[key]
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise BadSample(f"{where}: '{key}' is {reprlib.repr(rows)}; {expected}.")
    joints = _WITHOUT_TIPS if short and len(rows) == len(_WITHOUT_TIPS) else range(HAND.num_joints)
    if len(rows) != len(joints) or any(len(row) != 3 for row in rows):
        lengths = sorted({len(row) for row in rows})
        raise BadSample(f"{where}: '{key}' has {len(rows)} rows of {' or '.join(map(str, lengths))} numbers; "
                        f"{expected}.")
    for joint, row in zip(joints, rows):
        for what, value in zip(("x", "y", "visible"), row):
            if not is_number(value) or (what == "visible" and value < 0):
                raise BadSample(f"{where}: '{key}' has {what} = {reprlib.repr(value)} at joint {joint} "
                                f"('{HAND.names[joint]}'); expected finite x and y in pixels, at most "
                                f"{FARTHEST:g}, and visible 0 or 1.")
    table = np.zeros((HAND.num_joints, 3))
    table[list(joints)] = rows
    if not table[:, 2].any():
        raise BadSample(f"{where}: no joint is visible; correct the label, or write \"has_hand\": false if "
                        f"the picture shows no hand.")
    return table[:, :2], table[:, 2] > 0
