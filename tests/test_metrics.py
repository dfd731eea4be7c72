"""Metrics worked by hand, against loops, and where there is nothing to measure."""

import math

import numpy as np
import pytest

from cpm_hand.metrics import (
    CURVE_THRESHOLDS,
    Measure,
    auc_open,
    auc_trapezoid,
    distances,
    end_point_error,
    end_point_error_by_joint,
    end_point_error_median,
    pck,
    pck_counts,
    pck_curve,
    pckh,
)

ALL = {  # each as a function of (distance [N, J], mask [N, J]) with a norm of 100 px
    "end_point_error": end_point_error, "by_joint": end_point_error_by_joint, "median": end_point_error_median,
    "pck": lambda distance, mask: pck(distance, mask, np.full(len(distance), 100.0), 0.2),
    "pckh": lambda distance, mask: pckh(distance, mask, np.full(len(distance), 100.0)),
    "curve": lambda distance, mask: pck_curve(distance, mask, np.full(len(distance), 100.0), [0.2])[0],
    "auc_open": auc_open, "auc_trapezoid": auc_trapezoid,
}
SHARES = [name for name in ALL if name[:3] in ("pck", "cur", "auc")]
every = pytest.mark.parametrize("metric", ALL.values(), ids=ALL)


def some_hands(seed=0, hands=30):
    """Distances of 0 to 40 px, two thirds of the joints labelled, the last joint never, the last hand in nothing."""
    rng = np.random.default_rng(seed)
    mask = rng.random((hands, 21)) < 0.7
    mask[:, 20] = mask[-1] = False
    return rng.uniform(0, 40, (hands, 21)), mask, rng.uniform(50, 150, hands)


def test_distance_is_pythagoras_and_a_score_behind_the_point_does_not_count():
    predicted = np.array([[[3.0, 4.0, 0.9], [1.0, 1.0, 0.1]]])
    assert distances(predicted, np.array([[[0.0, 0.0], [1.0, 1.0]]])).tolist() == [[5.0, 0.0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_prediction_that_is_not_finite_is_infinitely_far(bad):
    assert distances(np.array([[[bad, 0.0]]]), np.zeros((1, 1, 2))).tolist() == [[np.inf]]


def test_end_point_error_averages_over_joints_not_over_hands():
    distance = np.array([[1.0, 2.0, 3.0], [10.0, 99.0, 99.0]])
    mask = np.array([[True, True, True], [True, False, False]])
    assert end_point_error(distance, mask) == Measure(value=4.0, count=4)


def test_pck_averages_over_the_joints_shares():
    # Joint 0: near in one of two hands. Joint 1: near in its only hand. (0.5 + 1) / 2, from 3 examples.
    distance = np.array([[1.0, 1.0], [50.0, 50.0]])
    mask = np.array([[True, True], [True, False]])
    assert pck(distance, mask, np.array([100.0, 100.0]), 0.2) == Measure(value=0.75, count=3)


def test_a_joint_exactly_at_the_threshold_is_wrong():
    distance = np.array([[20.0, np.nextafter(20.0, 0)]])
    assert pck_counts(distance, np.ones((1, 2), bool), np.array([100.0]), 0.2)[0].tolist() == [0, 1]


@pytest.mark.parametrize("norm", [0.0, -1.0, np.nan])
def test_a_hand_without_a_size_does_not_enter(norm):
    distance = np.array([[0.0], [0.0]])
    assert pck(distance, np.ones((2, 1), bool), np.array([norm, 10.0]), 0.2) == Measure(1.0, 1)


def test_a_joint_that_is_never_labelled_does_not_pull_the_mean_down():
    distance, mask = np.array([[1.0, 1.0]]), np.array([[True, False]])
    assert pck(distance, mask, np.array([100.0]), 0.2) == Measure(1.0, 1)


@every
@pytest.mark.parametrize("num_hands", [0, 2])
def test_nothing_labelled_has_no_value_and_says_so(metric, num_hands):
    measure = metric(np.zeros((num_hands, 3)), np.zeros((num_hands, 3), bool))
    assert np.isnan(measure.value) and measure.count == 0


def test_a_lost_joint_counts_as_wrong_at_any_threshold():
    assert pck(np.array([[np.inf]]), np.array([[True]]), np.array([1.0]), 1e9) == Measure(0.0, 1)


def test_pck_agrees_with_the_loops_a_reader_would_write():
    rng = np.random.default_rng(0)
    distance, mask, norm = rng.uniform(0, 40, (30, 21)), rng.random((30, 21)) < 0.7, rng.uniform(50, 150, 30)
    shares = []
    for joint in range(21):
        near = [distance[hand, joint] / norm[hand] < 0.2 for hand in range(30) if mask[hand, joint]]
        shares.append(sum(near) / len(near))
    assert pck(distance, mask, norm, 0.2) == (pytest.approx(np.mean(shares)), mask.sum())


@every
def test_measuring_changes_no_argument(metric):
    distance, mask = np.array([[1.0, np.inf]]), np.array([[True, False]])
    before = [array.copy() for array in (distance, mask)]
    metric(distance, mask)
    for array, copy in zip((distance, mask), before):
        np.testing.assert_array_equal(array, copy)


def test_a_norm_of_zero_stays_zero():
    norm = np.array([0.0])
    pck(np.zeros((1, 1)), np.ones((1, 1), bool), norm, 0.2), pck_curve(np.zeros((1, 1)), np.ones((1, 1), bool), norm)
    assert norm.tolist() == [0.0]


# The other averages

def test_the_mean_over_joints_gives_a_rare_joint_the_weight_of_a_frequent_one():
    # Joint 0: (1 + 3) / 2 = 2. Joint 1, once: 9. Joint 2, never. (2 + 9) / 2, where the plain mean is 13 / 3.
    distance = np.array([[1.0, 9.0, 50.0], [3.0, 99.0, 50.0]])
    mask = np.array([[True, True, False], [True, False, False]])
    assert end_point_error_by_joint(distance, mask) == Measure(5.5, 3)
    assert end_point_error(distance, mask).value == pytest.approx(13 / 3)


def test_the_median_of_an_even_number_lies_in_the_middle_and_one_lost_joint_does_not_move_it_far():
    assert end_point_error_median(np.array([[1.0, 2.0, 4.0, np.inf]]), np.ones((1, 4), bool)) == Measure(3.0, 4)


def test_the_curve_averages_over_hands_and_pck_over_joints():
    # Hand 0: both joints near. Hand 1: one labelled joint, far. By hand (1 + 0) / 2, by joint (1/2 + 1) / 2.
    distance, mask = np.array([[1.0, 1.0], [50.0, 0.0]]), np.array([[True, True], [True, False]])
    norm = np.full(2, 100.0)
    assert pck_curve(distance, mask, norm, [0.2]) == [Measure(0.5, 3)]
    assert pck(distance, mask, norm, 0.2) == Measure(0.75, 3)


def test_the_curve_is_strict_at_each_of_the_five_thresholds():
    distance = np.array([[4.0, 6.0, 8.0, 10.0, 12.0]])
    curve = pck_curve(distance, np.ones((1, 5), bool), np.array([100.0]))
    assert [point.value for point in curve] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])


@pytest.mark.parametrize("norm", [0.0, -1.0, np.nan])
def test_a_hand_without_a_size_is_not_in_the_curve(norm):
    assert pck_curve(np.zeros((2, 3)), np.ones((2, 3), bool), np.array([norm, 10.0]), [0.1]) == [Measure(1.0, 3)]


def test_a_hand_of_one_pixel_is_right_within_its_share_of_a_pixel():
    distance, mask, norm = np.array([[0.19, 0.2]]), np.ones((1, 2), bool), np.array([1.0])
    assert pck(distance, mask, norm, 0.2) == pck_curve(distance, mask, norm, [0.2])[0] == Measure(0.5, 2)


def test_pckh_leaves_hands_of_unknown_head_size_out():
    distance = np.array([[69.9], [70.0], [0.0]])
    assert pckh(distance, np.ones((3, 1), bool), np.array([100.0, 100.0, np.nan])) == Measure(0.5, 2)


# Areas under the curve

@pytest.mark.parametrize("distance, opened, trapezoid", [
    # d = 0: at 19 of 20 steps strictly below; at all of the other 20 points.
    (0.0, 0.95, 1.0),
    # d = 1.5: below 3, 4.5, … 28.5, 18 of 20 steps. Points are 30 / 19 apart; d is at most that from the second on:
    # 18 whole intervals and the rising half of one, 18.5 / 19.
    (1.5, 0.90, 18.5 / 19),
    # d = 28.5: below no step. Only the last point, 30, is beyond: half an interval of 19.
    (28.5, 0.0, 0.5 / 19),
    # d = 30: counts at the last point of the closed definition alone.
    (30.0, 0.0, 0.5 / 19), (math.nextafter(30.0, 31.0), 0.0, 0.0), (math.inf, 0.0, 0.0),
])
def test_the_two_areas_of_one_joint_worked_by_hand(distance, opened, trapezoid):
    joint = np.array([[distance]]), np.array([[True]])
    assert auc_open(*joint) == (pytest.approx(opened), 1)
    assert auc_trapezoid(*joint) == (pytest.approx(trapezoid), 1)


# Definitions re-computed without arrays

def test_the_published_definitions_written_as_loops():
    distance, mask, norm = some_hands()
    hands, joints = range(30), range(21)

    def share(joint, is_near):
        near = [is_near(hand, joint) for hand in hands if mask[hand, joint]]
        return sum(near) / len(near) if near else -1

    def mean_over_joints(shares):  # joints without any example are -1 and left out
        return sum(value for value in shares if value >= 0) / sum(value >= 0 for value in shares)

    # mmpose: PCK in units of the norm, AUC over 20 steps of 30 px, both strict; EPE over all points.
    def pck_loop(is_near):
        return mean_over_joints([share(joint, is_near) for joint in joints])

    count = int(mask.sum())
    assert pck(distance, mask, norm, 0.2) == (
        pytest.approx(pck_loop(lambda hand, joint: distance[hand, joint] / norm[hand] < 0.2)), count)
    steps = [pck_loop(lambda hand, joint, step=step: distance[hand, joint] / 30 < step / 20) for step in range(20)]
    assert auc_open(distance, mask) == (pytest.approx(sum(steps) / 20), count)
    points = [distance[hand, joint] for hand in hands for joint in joints if mask[hand, joint]]
    assert end_point_error(distance, mask) == (pytest.approx(sum(points) / len(points)), count)

    # EvalUtil: each joint's own mean and area first; at most t, and t runs over both ends.
    means, areas = [], []
    for joint in joints:
        own = [distance[hand, joint] for hand in hands if mask[hand, joint]]
        if own:
            means.append(sum(own) / len(own))
            curve = [sum(d <= 30 * i / 19 for d in own) / len(own) for i in range(20)]
            areas.append(sum((a + b) / 2 for a, b in zip(curve, curve[1:])) / 19)
    assert end_point_error_by_joint(distance, mask) == (pytest.approx(sum(means) / 20), count)
    assert auc_trapezoid(distance, mask) == (pytest.approx(sum(areas) / 20), count)

    # The structure papers: each hand's own share first.
    for threshold, point in zip(CURVE_THRESHOLDS, pck_curve(distance, mask, norm)):
        shares = []
        for hand in hands:
            own = [distance[hand, joint] < threshold * norm[hand] for joint in joints if mask[hand, joint]]
            if own:
                shares.append(sum(own) / len(own))
        assert len(shares) == 29 and point == (pytest.approx(sum(shares) / 29), count)


@every
def test_the_order_of_hands_does_not_matter(metric):
    distance, mask, _ = some_hands()
    order = np.random.default_rng(1).permutation(30)
    value, count = metric(distance, mask)
    assert metric(distance[order], mask[order]) == (pytest.approx(value), count)


@every
def test_what_is_not_labelled_may_hold_anything(metric):
    distance, mask, _ = some_hands()
    assert metric(np.where(mask, distance, np.inf), mask) == metric(np.where(mask, distance, 0), mask)


@pytest.mark.parametrize("metric", [ALL[name] for name in SHARES], ids=SHARES)
def test_a_lost_joint_is_wrong_in_every_share(metric):
    near = np.array([[0.0, 0.0]])
    lost = distances(np.array([[[np.nan, 0.0], [0.0, 0.0]]]), np.zeros((1, 2, 2)))
    mask = np.ones((1, 2), bool)
    assert metric(lost, mask).value == pytest.approx(metric(near, mask).value / 2)
