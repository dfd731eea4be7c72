"""What a report says of evaluations, as plain values: curves, histogram, and which hands are worth a look.

The functions take `evaluation.Evaluation`s.
"""

import datetime
import hashlib
import os
import pathlib
from typing import NamedTuple

import numpy as np

from cpm_hand import __version__, metrics, scores

BOX = "max(w, h) of the tight joint box"

CURVE = tuple(round(step / 100, 2) for step in range(51))  # thresholds of the PCK curve, of max(w, h)
BIN = 0.04                                                 # width of the histogram's bins, of max(w, h)
BINS = 25                                                  # they end at 1; one more holds what is farther or lost
NUM_HANDS = 12                                             # in each gallery
GALLERIES = {
    "best": "The hands with the smallest error.",
    "worst": "The hands with the largest error, of those that were found.",
    "not_found": "Labelled hands for which none was reported, the largest first.",
    "false_detections": "Pictures without a hand in which one was reported, the surest first.",
}


class Tile(NamedTuple):
    """One hand of a gallery.

    Attributes:
        row: of the evaluation.
        error: mean distance over the hand's labelled joints, of max(w, h) of its tight box; NaN where it was not
            found or there is none. A joint that was placed nowhere counts as 1.
        near: labelled joints nearer than `metrics.PCK_THRESHOLD`.
        labelled: labelled joints inside the picture.
    """

    row: int
    error: float
    near: int
    labelled: int


def galleries(evaluation) -> dict[str, list[Tile]]:
    """At most `NUM_HANDS` hands for each of `GALLERIES`; of few hands the better half is best, none is in two."""
    errors, hands = hand_errors(evaluation), evaluation.mask.any(1)
    found = np.flatnonzero(hands & evaluation.found)
    found = found[np.argsort(errors[found], kind="stable")]
    best = min(NUM_HANDS, (len(found) + 1) // 2)
    missed = np.flatnonzero(hands & ~evaluation.found)
    empty = scores.empty_pictures(evaluation.labels) if evaluation.protocol == "W" else np.zeros(0, int)
    false = empty[evaluation.found[empty]]
    rows = {"best": found[:best], "worst": found[best:][::-1][:NUM_HANDS],
            "not_found": missed[np.argsort(-evaluation.norm[missed], kind="stable")][:NUM_HANDS],
            "false_detections": false[np.argsort(-evaluation.presence[false], kind="stable")][:NUM_HANDS]}
    return {name: [tile(evaluation, errors, int(row)) for row in some] for name, some in rows.items()}


def differences(evaluations: list) -> list[int]:
    """Rows of the at most `NUM_HANDS` hands on which evaluations of the same labels differ most.

    That is the largest error of a hand less its smallest, where one that was not found or is off by more than its own
    size counts as 1: whoever is that wrong is just wrong.
    """
    if len(evaluations) < 2:
        return []
    errors = np.array([np.nan_to_num(np.minimum(hand_errors(each), 1), nan=1.0) for each in evaluations])  # [E, N]
    gap = np.where(np.any([each.mask.any(1) for each in evaluations], axis=0), np.ptp(errors, axis=0), 0)
    order = np.argsort(-gap, kind="stable")[:NUM_HANDS]
    return [int(row) for row in order if gap[row] > 0]


def hand_errors(evaluation) -> np.ndarray:
    """float64 [N]: the error of each hand as in `Tile`."""
    share = _shares(evaluation)
    share = np.where(np.isfinite(share), share, 1.0)
    counted = evaluation.mask.sum(1)
    total = np.where(evaluation.mask, share, 0).sum(1)
    return np.where(evaluation.found & (counted > 0), total / np.maximum(counted, 1), np.nan)


def tile(evaluation, errors: np.ndarray, row: int) -> Tile:
    """What is said of one hand; errors float [N] are those of `hand_errors`."""
    near = _shares(evaluation)[row] < metrics.PCK_THRESHOLD
    mask = evaluation.mask[row]
    return Tile(row, float(errors[row]), int((near & mask).sum()), int(mask.sum()))


def curve(evaluation) -> list[float]:
    """`metrics.pck`, mmpose's, at each threshold of `CURVE`; NaN without a hand."""
    return [metrics.pck(evaluation.distances, evaluation.mask, evaluation.norm, threshold).value for threshold in CURVE]


def histogram(evaluation) -> list[int]:
    """Labelled joints per bin of their distance, in `BIN` of max(w, h); the last bin holds 1 and more, and the lost.

    Returns:
        `BINS` + 1 counts.
    """
    # The share is infinite where a joint is lost.
    index = np.minimum(_shares(evaluation)[evaluation.mask] / BIN, BINS)
    return np.bincount(index.astype(int), minlength=BINS + 1).tolist()


def _shares(evaluation) -> np.ndarray:
    """Distances in max(w, h) of the hand's tight box: float64 [N, J]."""
    return evaluation.distances / np.maximum(evaluation.norm, 1)[:, None]


def to_json(entries: list) -> dict:
    """All of a report: the settings and hash of each artefact, its numbers, curve, histogram and hands.

    Args:
        entries: `html_report.Entry`s, of the same labels.
    """
    rows = differences([entry.evaluation for entry in entries])
    errors = [hand_errors(entry.evaluation) for entry in entries]
    return {"program": f"cpm_hand {__version__}",
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "joints": list(entries[0].evaluation.labels.skeleton.names),
            "error_means": f"of a hand: the mean distance of its labelled joints, in {BOX}",
            "entries": [{"name": entry.name, "artefact": _artefact(entry.artefact),
                         "settings": {name: str(value) for name, value in entry.settings.items()},
                         **_evaluation_json(entry.evaluation)} for entry in entries],
            "differences": [{"row": row, "path": str(entries[0].evaluation.labels.paths[row]),
                             "errors": [number(each[row], 6) for each in errors]} for row in rows]}


def _evaluation_json(evaluation) -> dict:
    """`Evaluation.to_json`, and the curve, the histogram and the galleries with their points."""
    return {**evaluation.to_json(),
            "pck_curve": {"thresholds": list(CURVE), "values": [number(value) for value in curve(evaluation)]},
            "histogram": {"bin": BIN, "counts": histogram(evaluation)},
            "hands": {name: [_tile_json(evaluation, each) for each in tiles]
                      for name, tiles in galleries(evaluation).items()}}


def _tile_json(evaluation, each: Tile) -> dict:
    labels, row = evaluation.labels, each.row
    predicted = [[number(value, 4) for value in joint] for joint in evaluation.predicted[row]]
    return {"path": str(labels.paths[row]), "row": row, "error": number(each.error, 6), "near": each.near,
            "labelled": each.labelled, "presence": number(evaluation.presence[row], 6),
            "truth": [[number(x, 2), number(y, 2)] if seen else None
                      for (x, y), seen in zip(labels.keypoints[row], evaluation.mask[row])],
            "predicted": predicted if evaluation.found[row] else None}


def number(value, digits: int | None = None) -> float | None:
    """A number for JSON, which has neither NaN nor infinity."""
    value = float(value)
    return None if not np.isfinite(value) else value if digits is None else round(value, digits)


def sha256(path) -> str:
    """The hash of a file, or of all that is in a folder, in hexadecimal.

    A folder's is that of its files' list, which in the folder is also
    `find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum`.

    Raises:
        OSError: as the system gives it.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        files = sorted((os.fsencode(file.relative_to(path).as_posix()), file) for file in path.rglob("*")
                       if file.is_file() and not file.is_symlink())
        return hashlib.sha256(b"".join(sha256(file).encode() + b"  ./" + name + b"\n"
                                       for name, file in files)).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _artefact(artefact) -> dict:
    """Where it lies, what it is, and the hash of the file that it was loaded from."""
    path = pathlib.Path(artefact.path)
    if artefact.kind == "run":  # it goes on changing; what was loaded is one of its checkpoints
        from cpm_hand import checkpoints  # with Keras, which has been imported where a run has been loaded

        best = checkpoints.best_path(path)
        path = best if best.exists() else next(iter(checkpoints.steps(path)), path)
    try:
        found = {"sha256": sha256(path)}
    except OSError as error:
        found = {"sha256": None, "sha256_error": f"{path}: cannot be read any more ({error.strerror})."}
    return {"path": str(artefact.path), "kind": artefact.kind, "size": artefact.size, "sha256_of": str(path), **found}
