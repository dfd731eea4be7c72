"""How far predicted joints are from the truth; every number comes with its count."""

from typing import NamedTuple

import numpy as np


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

    Source: mmpose, keypoint_pck_accuracy.

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
