"""How far predicted joints are from the truth; every number comes with its count.

Published metrics share names and differ in averaging, strictness and ceiling; each function says which it is. All
take `distances` and a mask of the joints that count, and change neither. An infinite distance is a lost joint: wrong
for every share of correct joints, and infinite for a mean, so a caller masks it there and gives the share lost.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PCK_THRESHOLD = 0.2  # of max(w, h) of the tight joint box; mmpose's for hands
HEAD_THRESHOLD = 0.7  # of the head's size; mmpose's for the Panoptic hands
CURVE_THRESHOLDS = (0.04, 0.06, 0.08, 0.10, 0.12)  # of max(w, h); those of the structure papers
AUC_PX = 30.0
AUC_STEPS = 20


class Measure(NamedTuple):
    """A number and how many joints it rests on; the value is NaN where the count is 0.

    Attributes:
        value: in the unit that the metric's docstring gives.
        count: labelled joints that entered.
    """

    value: float
    count: int


def distances(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Euclidean distance per joint.

    Args:
        predicted: float [N, J, 2 or more], x and y first; a score behind them is ignored.
        truth: float [N, J, 2], in the same pixels.

    Returns:
        float64 [N, J], px; a prediction that is not finite is infinitely far away.
    """
    with np.errstate(invalid="ignore"):
        distance = np.linalg.norm(np.float64(predicted[..., :2]) - np.float64(truth), axis=-1)
    return np.where(np.isfinite(distance), distance, np.inf)


def end_point_error(distance: np.ndarray, mask: np.ndarray) -> Measure:
    """Mean distance over all labelled joints (micro average).

    Args:
        distance: float [N, J], from `distances`.
        mask: bool [N, J], which joints are labelled.

    Returns:
        Measure in the unit of distance.

    >>> end_point_error(np.array([[3.0, 5.0, 99.0]]), np.array([[True, True, False]]))
    Measure(value=4.0, count=2)
    """
    values = distance[mask]
    return Measure(float(values.mean()) if len(values) else float("nan"), len(values))


def end_point_error_by_joint(distance: np.ndarray, mask: np.ndarray) -> Measure:
    """Mean over joints of each joint's mean distance (macro average); a joint never labelled does not enter.

    Arguments and unit as in `end_point_error`.

    Source: EvalUtil of hand3d and FreiHAND.

    >>> end_point_error_by_joint(np.array([[1.0, 9.0], [3.0, 99.0]]), np.array([[True, True], [True, False]]))
    Measure(value=5.5, count=3)
    """
    means = [measure.value for measure in (end_point_error(distance[:, joint], mask[:, joint])
                                           for joint in range(distance.shape[1])) if measure.count]
    return Measure(float(np.mean(means)) if means else float("nan"), int(mask.sum()))


def end_point_error_median(distance: np.ndarray, mask: np.ndarray) -> Measure:
    """Median distance over all labelled joints.

    Arguments and unit as in `end_point_error`.

    >>> end_point_error_median(np.array([[3.0, 5.0, 99.0]]), np.array([[True, True, True]]))
    Measure(value=5.0, count=3)
    """
    values = distance[mask]
    return Measure(float(np.median(values)) if len(values) else float("nan"), len(values))


def pck(distance: np.ndarray, mask: np.ndarray, norm: np.ndarray, threshold: float) -> Measure:
    """Percentage of correct keypoints, as a fraction: mean over joints of the share that is near enough.

    A joint is correct where distance / norm < threshold, strictly. Each joint's share is taken over its own
    labelled examples, then the joints that have any are averaged (macro average).

    Args:
        distance: float [N, J].
        mask: bool [N, J], which joints are labelled.
        norm: float [N], in the unit of distance: max(w, h) of the tight joint box. Hands whose norm is not
            positive do not enter.
        threshold: fraction of norm.

    Returns:
        Measure, 0 to 1.

    Source: mmpose, keypoint_pck_accuracy; that gives 0 and not NaN where nothing is labelled.

    >>> one_near_one_far = np.array([[1.0, 30.0]])
    >>> pck(one_near_one_far, np.array([[True, True]]), np.array([100.0]), 0.2)
    Measure(value=0.5, count=2)
    """
    return pck_of_counts(*pck_counts(distance, mask, norm, threshold))


def pck_of_counts(correct: np.ndarray, counted: np.ndarray) -> Measure:
    """The PCK that added-up counts amount to.

    Args:
        correct: [J], from `pck_counts`.
        counted: [J].
    """
    used = counted > 0
    value = float((correct[used] / counted[used]).mean()) if used.any() else float("nan")
    return Measure(value, int(counted.sum()))


def pck_counts(distance: np.ndarray, mask: np.ndarray, norm: np.ndarray,
               threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Correct and counted examples per joint, which can be added up over parts of a set.

    Args:
        distance: float [N, J].
        mask: bool [N, J].
        norm: float [N].
        threshold: fraction of norm, strict.

    Returns:
        (correct, counted): int64 [J] each.
    """
    counted = mask & (norm > 0)[:, None]
    near = distance < threshold * norm[:, None]
    return (near & counted).sum(0), counted.sum(0)


def pckh(distance: np.ndarray, mask: np.ndarray, head_size: np.ndarray,
         threshold: float = HEAD_THRESHOLD) -> Measure:
    """`pck` with the head's size for norm; hands whose head size is unknown (NaN) do not enter.

    Args:
        distance: float [N, J], px.
        mask: bool [N, J].
        head_size: float [N], px.
        threshold: fraction of the head's size.

    Source: Simon et al. 2017, arXiv:1704.07809, and mmpose.
    """
    return pck(distance, mask, head_size, threshold)


def pck_curve(distance: np.ndarray, mask: np.ndarray, norm: np.ndarray,
              thresholds: Sequence[float] = CURVE_THRESHOLDS) -> list[Measure]:
    """PCK as the structure papers average it: each hand's share of near joints, then the mean over hands.

    A joint is correct where distance < threshold * norm, strictly. The papers label all 21 joints of each hand; here
    a hand's share is taken over those of its joints that are labelled, and a hand without any does not enter.

    Args:
        distance: float [N, J].
        mask: bool [N, J].
        norm: float [N], in the unit of distance: max(w, h) of the tight joint box.
        thresholds: fractions of norm.

    Returns:
        one Measure, 0 to 1, per threshold.

    Source: NSRM hand (Chen et al., WACV 2020), src/utils.py.

    >>> two_of_two_and_none_of_one = np.array([[1.0, 2.0], [50.0, 0.0]])
    >>> pck_curve(two_of_two_and_none_of_one, np.array([[True, True], [True, False]]), np.full(2, 100.0), [0.04])
    [Measure(value=0.5, count=3)]
    """
    counted = mask & (norm > 0)[:, None]
    hands, count = counted.any(1), int(counted.sum())
    labelled = counted[hands].sum(1)
    curve = []
    for threshold in thresholds:
        near = (counted & (distance < threshold * norm[:, None]))[hands].sum(1)
        curve.append(Measure(float((near / labelled).mean()) if count else float("nan"), count))
    return curve


def auc_open(distance: np.ndarray, mask: np.ndarray) -> Measure:
    """Mean of the PCK at 0, 1.5, … 28.5 px: at 0 nothing is strictly nearer, so the best possible value is 0.95.

    Args:
        distance: float [N, J], px.
        mask: bool [N, J].

    Returns:
        Measure, 0 to 0.95; each PCK is strict and averages over joints, as `pck` does.

    Source: mmpose, keypoint_auc, with its norm of 30 px and 20 steps.

    >>> auc_open(np.array([[0.0]]), np.array([[True]]))
    Measure(value=0.95, count=1)
    """
    norm = np.full(len(distance), AUC_PX)
    shares = [pck(distance, mask, norm, step / AUC_STEPS) for step in range(AUC_STEPS)]
    return Measure(float(np.mean([share.value for share in shares])), shares[0].count)


def auc_trapezoid(distance: np.ndarray, mask: np.ndarray) -> Measure:
    """Area under each joint's curve of shares, "at most t px away" over t from 0 to 30 px, mean over joints.

    The curve has 20 points, both ends included, and the trapezoids under it are divided by 30 px: perfect is 1.

    Args:
        distance: float [N, J], px.
        mask: bool [N, J].

    Returns:
        Measure, 0 to 1.

    Source: EvalUtil of hand3d and FreiHAND.

    >>> auc_trapezoid(np.array([[0.0]]), np.array([[True]]))
    Measure(value=1.0, count=1)
    """
    thresholds = np.linspace(0, AUC_PX, AUC_STEPS)
    counted = mask.sum(0)
    used = counted > 0
    if not used.any():
        return Measure(float("nan"), 0)
    near = np.array([(mask & (distance <= threshold)).sum(0)[used] for threshold in thresholds])
    areas = np.trapezoid(near / counted[used], thresholds, axis=0) / AUC_PX
    return Measure(float(areas.mean()), int(counted.sum()))
