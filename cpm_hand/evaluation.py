"""How good is it: a Predictor over labelled pictures, and every number with its count, unit, protocol, definition.

Protocol G gives the Predictor each hand's true tight box, so that it measures the net alone. Protocol W gives it whole
pictures and measures the search too: a labelled hand that is not found counts as wrong in all its joints, and a hand
that is reported in a picture without one as a false detection.
"""

import io
import json
import pathlib
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from cpm_hand import geometry, images, metrics, scores
from cpm_hand.hand import difference
from cpm_hand.labels import Labels

PROTOCOLS = {"G": "crop around the true tight box", "W": "whole picture, the hand is to be found"}
LABELLED = "joints that are annotated and lie inside the picture"

_FAR = 1e9  # px; what is not finite is this far, for an assignment needs finite costs


class Evaluation(NamedTuple):
    """What a Predictor found of each labelled hand; rows are those of labels.

    Attributes:
        protocol: "G" or "W".
        labels: the truth.
        predicted: float32 [N, J, 3], x and y in the picture's px, and the score; NaN where no hand was found.
        distances: float64 [N, J], px; infinite where no hand was found, or where a coordinate is not finite.
        mask: bool [N, J], the joints that count: labelled, and inside the picture.
        norm: float64 [N], px: max(w, h) of the tight box of the labelled joints, those outside the picture too, with
            w = max - min + 1; 0 without a hand.
        width: float64 [N], px, what errors in % are relative to: in G the crop's side, in W the picture's width.
        presence: float32 [N], NaN where no hand was found.
        found: bool [N]; in W, without a hand in the picture, a false detection; in G true of every hand looked at.
        is_left: int8 [N], what the Predictor says: 1 left, 0 right, -1 unknown or not found.
        boxes: float32 [N, 4], x, y, w, h in px of the square that the net saw; NaN where no hand was found.
        seconds: per picture, the Predictor alone (files were decoded before): the median over batches.
    """

    protocol: str
    labels: Labels
    predicted: np.ndarray
    distances: np.ndarray
    mask: np.ndarray
    norm: np.ndarray
    width: np.ndarray
    presence: np.ndarray
    found: np.ndarray
    is_left: np.ndarray
    boxes: np.ndarray
    seconds: float

    def numbers(self) -> list[scores.Number]:
        """All numbers: of the whole, then per finger, then per joint."""
        return scores.numbers(self)

    def to_json(self) -> dict:
        """Plain values for a JSON file; a value without a count is null, for JSON has no NaN."""
        rows = [number._asdict() for number in self.numbers()]
        for row in rows:
            row["value"] = row["value"] if np.isfinite(row["value"]) else None
        return {"protocol": self.protocol, "protocol_means": PROTOCOLS[self.protocol],
                "labelled_means": LABELLED,
                "pictures": len(set(self.labels.paths.tolist())), "hands": int(self.mask.any(1).sum()),
                "numbers": rows}

    def write_json(self, path, left_out: Sequence[str] = ()) -> None:
        """Write `to_json` into a file, whole or not at all.

        Args:
            path: the file.
            left_out: one text for each sample of the set that could not be measured, which the file lists too.
        """
        content = {**self.to_json(), "left_out": list(left_out)}
        images.write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())

    def save(self, path) -> None:
        """Write what was found of each hand, whole or not at all, so that any other number can be computed later.

        Args:
            path: a .npz file; `numpy.load` reads it without pickle. It holds this record's arrays under their names,
                those of labels as `label_…` (`label_paths`, `label_keypoints`, …), and `joint_names`.

        Raises:
            ValueError: another suffix.
            OSError: as the system gives it.
        """
        if pathlib.Path(path).suffix != ".npz":
            raise ValueError(f"{path}: expected a name that ends in .npz.")
        columns = {name: value for name, value in self._asdict().items() if name != "labels"}
        truth = {f"label_{name}": column for name, column in self.labels._asdict().items() if name != "skeleton"}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **columns, **truth, joint_names=np.array(self.labels.skeleton.names))
        images.write_bytes(path, buffer.getvalue())


def evaluate(predictor, labels: Labels, protocol: str = "G", batch_size: int = 16,
             progress: bool = False) -> Evaluation:
    """Let a Predictor find the hands of labelled pictures.

    Labels are in the pixels that the files store, so pictures are read as they are stored, without EXIF's turn. In G,
    hands without a labelled joint inside the picture are not looked at. In W the Predictor's strongest hands, as many
    as are labelled, are matched to these so that the mean joint distances add up to the least.

    Args:
        predictor: `predict.Predictor`, with `max_hands` at least `most_hands(labels)` for W.
        labels: of the skeleton that the Predictor finds.
        protocol: row of `PROTOCOLS`.
        batch_size: pictures that are read and given to the Predictor at a time.
        progress: show a bar.

    Raises:
        ValueError: an unknown protocol, other joints or in another order, or a Predictor of too few hands.
        BadImage: a picture cannot be read.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol '{protocol}'; the protocols are {', '.join(PROTOCOLS)}.")
    check_joints(getattr(predictor, "artefact", None), labels)
    most = most_hands(labels)
    if protocol == "W" and predictor.max_hands < most:
        raise ValueError(f"the pictures show up to {most} labelled hands and the Predictor looks for "
                         f"{predictor.max_hands}; make it with max_hands={most}.")
    sizes = {path: images.read_size(path) for path in dict.fromkeys(labels.paths.tolist())}  # and all are there
    size = np.array([sizes[path] for path in labels.paths.tolist()], np.float64).reshape(-1, 2)
    tight = geometry.tight_box(labels.keypoints, labels.visible)
    norm = np.float64(tight[:, 2:].max(1))
    inside = geometry.inside(labels.keypoints, size[:, :1], size[:, 1:])
    count, joints = labels.visible.shape
    evaluation = Evaluation(
        protocol, labels, predicted=np.full((count, joints, 3), np.nan, np.float32), distances=None,
        mask=labels.visible & inside & labels.has_hand[:, None], norm=norm,
        width=geometry.CROP_FACTOR * norm if protocol == "G" else size[:, 0],
        presence=np.full(count, np.nan, np.float32), found=np.zeros(count, bool), is_left=np.full(count, -1, np.int8),
        boxes=np.full((count, 4), np.nan, np.float32), seconds=float("nan"))
    jobs, seconds = _jobs(evaluation), []
    with tqdm(total=len(jobs), unit="picture", disable=not progress) as bar:
        for first in range(0, len(jobs), batch_size):
            batch = jobs[first:first + batch_size]
            pictures = [images.read(path) for path, _ in batch]
            start = time.perf_counter()
            boxes = [tight[rows] for _, rows in batch] if protocol == "G" else None
            try:
                results = predictor.many(pictures, boxes=boxes)
            except ValueError as error:
                raise ValueError(f"{len(batch)} pictures from {batch[0][0]} on: {error}") from error
            seconds.append((time.perf_counter() - start) / len(batch))
            for (_, rows), hands in zip(batch, results, strict=True):
                for row, hand in _matched(evaluation, rows, hands):
                    _keep(evaluation, row, hand)
            bar.update(len(batch))
    return evaluation._replace(distances=metrics.distances(evaluation.predicted, labels.keypoints),
                               seconds=float(np.median(seconds)) if seconds else float("nan"))


def check_joints(artefact, labels: Labels) -> None:
    """Refuse a net whose joints are not those of the labels: by their numbers alone a swap would not be noticed."""
    if not hasattr(artefact, "skeleton"):
        return  # a plain function does not say what its joints are called
    if unlike := difference(artefact.skeleton.names, labels.skeleton.names):
        raise ValueError(f"{artefact.path} has other joints than the labels: {unlike}; evaluate it on a set of its own "
                         f"joints, or give the set's the net's names where they are the same.")


def most_hands(labels: Labels) -> int:
    """The most labelled hands that one picture has, at least 1: what a Predictor has to look for in protocol W."""
    _, counts = np.unique(labels.paths[labels.has_hand], return_counts=True)
    return int(counts.max(initial=1))


def _jobs(evaluation: Evaluation) -> list[tuple[str, np.ndarray]]:
    """(path, rows): each picture to look at, with its hands to look for, or for W the row that says it has none."""
    labels = evaluation.labels
    rows = np.flatnonzero(evaluation.mask.any(1)).tolist()
    if evaluation.protocol == "W":
        rows = sorted(rows + scores.empty_pictures(labels).tolist())
    pictures = {}
    for row in rows:
        pictures.setdefault(str(labels.paths[row]), []).append(row)
    return [(path, np.array(rows)) for path, rows in pictures.items()]


def _matched(evaluation: Evaluation, rows: np.ndarray, hands: list) -> Iterable[tuple[int, object]]:
    """Pairs of a row and the hand that is its."""
    joints = evaluation.labels.skeleton.names
    for hand in hands:
        if np.shape(hand.keypoints) != (len(joints), 3):
            raise ValueError(f"the net finds {len(hand.keypoints)} joints and the labels have {len(joints)} "
                             f"({', '.join(joints[:3])}, …); evaluate it on a set of its own skeleton.")
    if evaluation.protocol == "G":
        return zip(rows, hands, strict=True)
    hands = sorted(hands, key=lambda hand: -hand.presence)[:len(rows)]
    if not hands or not evaluation.labels.has_hand[rows].all():
        return zip(rows, hands)
    costs = [[_mean_distance(evaluation, row, hand) for hand in hands] for row in rows]
    return [(rows[i], hands[j]) for i, j in zip(*linear_sum_assignment(costs))]


def _mean_distance(evaluation: Evaluation, row: int, hand) -> float:
    distance = metrics.distances(hand.keypoints, evaluation.labels.keypoints[row])[evaluation.mask[row]]
    return float(np.minimum(distance, _FAR).mean())


def _keep(evaluation: Evaluation, row: int, hand) -> None:
    evaluation.predicted[row] = hand.keypoints
    evaluation.presence[row], evaluation.boxes[row] = hand.presence, hand.box
    evaluation.is_left[row], evaluation.found[row] = hand.is_left, True
