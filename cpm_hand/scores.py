"""What is said of an evaluation: each number with its count, unit, protocol and definition.

The functions take an `evaluation.Evaluation`, whose docstring says what its columns hold.
"""

from typing import NamedTuple

import numpy as np

from cpm_hand import geometry, metrics
from cpm_hand.labels import Labels

_FOUND = {"G": "", "W": ", of hands that were found"}
_ALL = {"G": "", "W": "; a hand not found is wrong in all joints"}
_WIDTH = {"G": f"the side of protocol G's crop, {geometry.CROP_FACTOR:g} x max(w, h) of the tight joint box",
          "W": "the picture's width"}
_BOX = "max(w, h) of the tight joint box"


class Number(NamedTuple):
    """One number of a report.

    Attributes:
        name: such as "pck@0.2", or "pck@0.2/index" for a part.
        value: NaN where the count is 0.
        unit: of the value; "1" is a share, 0 to 1.
        count: labelled joints that entered, or what the definition says instead.
        protocol: "G" or "W".
        definition: in words, with averaging, strictness and what lengths are divided by.
    """

    name: str
    value: float
    unit: str
    count: int
    protocol: str
    definition: str


def numbers(ev) -> list[Number]:
    """All numbers: of all joints together, then per finger, then per joint.

    Args:
        ev: `evaluation.Evaluation`.
    """
    skeleton = ev.labels.skeleton
    parts = dict(skeleton.groups)
    parts |= {name: (joint,) for joint, name in enumerate(skeleton.names) if name not in parts}  # the wrist is both
    rows = _joint_numbers(ev, slice(None), "", "of labelled joints") + _other_averages(ev) + _hand_numbers(ev)
    for part, joints in parts.items():
        rows += _joint_numbers(ev, list(joints), f"/{part}", f"of labelled joints of '{part}'")
    return rows


def empty_pictures(labels: Labels) -> np.ndarray:
    """int: the first row of each picture without a hand."""
    paths, first = np.unique(labels.paths, return_index=True)
    return first[~np.isin(paths, labels.paths[labels.has_hand])]


def _joint_numbers(ev, joints, part: str, of: str) -> list[Number]:
    """Error and PCK of some joints; means are over those that were placed anywhere at all."""
    distances, mask = ev.distances[:, joints], ev.mask[:, joints]
    placed = mask & np.isfinite(distances)
    percent = np.divide(100 * distances, ev.width[:, None], out=np.zeros_like(distances), where=placed)
    return [
        _number(ev, "error" + part, metrics.end_point_error(distances, placed), "px",
                f"Mean distance {of} in the picture's pixels (mmpose's EPE){_FOUND[ev.protocol]}"),
        _number(ev, "error_percent" + part, metrics.end_point_error(percent, placed), "%",
                f"Mean distance {of}, each in % of {_WIDTH[ev.protocol]}{_FOUND[ev.protocol]}"),
        _number(ev, f"pck@{metrics.PCK_THRESHOLD:g}" + part,
                metrics.pck(distances, mask, ev.norm, metrics.PCK_THRESHOLD), "1",
                f"Share {of} nearer than {metrics.PCK_THRESHOLD:g} x {_BOX} (strictly), mean over joints (mmpose's "
                f"PCK){_ALL[ev.protocol]}")]


def _other_averages(ev) -> list[Number]:
    """The other published definitions, over all joints together."""
    placed = ev.mask & np.isfinite(ev.distances)
    curve = metrics.pck_curve(ev.distances, ev.mask, ev.norm)
    mean = metrics.Measure(float(np.mean([point.value for point in curve])), curve[0].count)
    per_hand = "strictly, share within each hand, mean over hands (the structure papers' PCK)" + _ALL[ev.protocol]
    rows = [
        _share(ev, "placed", placed[ev.mask],
               "Labelled joints that were placed anywhere at all: errors are means over these"),
        _number(ev, "error_by_joint", metrics.end_point_error_by_joint(ev.distances, placed), "px",
                f"Mean over joints of each joint's mean distance (EvalUtil's mean EPE){_FOUND[ev.protocol]}"),
        _number(ev, "error_median", metrics.end_point_error_median(ev.distances, placed), "px",
                f"Median distance of labelled joints{_FOUND[ev.protocol]}"),
        *(_number(ev, f"pck_by_hand@{threshold:.2f}", point, "1",
                  f"Joints nearer than {threshold:.2f} x {_BOX}, {per_hand}")
          for threshold, point in zip(metrics.CURVE_THRESHOLDS, curve)),
        _number(ev, "pck_by_hand", mean, "1", f"Mean of PCK at 0.04, 0.06, … 0.12 x {_BOX}, {per_hand}"),
        _number(ev, "auc_open", metrics.auc_open(ev.distances, ev.mask), "1",
                f"Mean of the PCK at 0, 1.5, … 28.5 px, strictly, mean over joints (mmpose's AUC; at most "
                f"0.95){_ALL[ev.protocol]}"),
        _number(ev, "auc_trapezoid", metrics.auc_trapezoid(ev.distances, ev.mask), "1",
                f"Area under the share at most t px away, t from 0 to 30 px in 20 points, mean over joints (EvalUtil's "
                f"AUC; at most 1){_ALL[ev.protocol]}")]
    if (ev.labels.head_size > 0).any():
        rows.append(_number(ev, f"pckh@{metrics.HEAD_THRESHOLD:g}",
                            metrics.pckh(ev.distances, ev.mask, np.float64(ev.labels.head_size)), "1",
                            f"Share of labelled joints nearer than {metrics.HEAD_THRESHOLD:g} x the head's size, "
                            f"strictly, mean over joints, where that size is known{_ALL[ev.protocol]}"))
    return rows


def _hand_numbers(ev) -> list[Number]:
    """Whether hands were found, which ones they are, and the time."""
    hands, empty, rows = ev.mask.any(1), empty_pictures(ev.labels), []
    if ev.protocol == "W":
        rows.append(_share(ev, "found", ev.found[hands], "Labelled hands for which one was reported; of so many hands"))
        if len(empty):
            rows.append(_share(ev, "false_detections", ev.found[empty],
                               "Pictures without a hand in which one was reported; of so many pictures"))
    sides = hands & ev.found & (ev.is_left >= 0) & (ev.labels.is_left >= 0)
    if sides.any():
        rows.append(_share(ev, "handedness", (ev.is_left == ev.labels.is_left)[sides],
                           "Left and right told rightly; of so many hands where labels and Predictor say which"))
    pictures = len(set(ev.labels.paths[hands].tolist())) + (len(empty) if ev.protocol == "W" else 0)
    rows.append(_number(ev, "seconds_per_picture", metrics.Measure(ev.seconds, pictures), "s",
                        "The Predictor's time, pictures decoded before, median over batches; of so many pictures"))
    return rows


def _share(ev, name: str, right: np.ndarray, definition: str) -> Number:
    return _number(ev, name, metrics.end_point_error(np.float64(right), np.ones(len(right), bool)), "1", definition)


def _number(ev, name: str, measure: metrics.Measure, unit: str, definition: str) -> Number:
    return Number(name, measure.value, unit, measure.count, ev.protocol, definition + ".")
