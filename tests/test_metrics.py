"""Metrics worked by hand, against loops, and where there is nothing to measure."""

import numpy as np
import pytest

from cpm_hand.metrics import Measure, distances, end_point_error, pck, pck_counts


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


@pytest.mark.parametrize("num_hands", [0, 2])
def test_nothing_labelled_has_no_value_and_says_so(num_hands):
    distance, mask = np.zeros((num_hands, 3)), np.zeros((num_hands, 3), bool)
    for measure in (end_point_error(distance, mask), pck(distance, mask, np.ones(num_hands), 0.2)):
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


def test_measuring_changes_no_argument():
    distance, mask, norm = np.array([[1.0, np.inf]]), np.array([[True, False]]), np.array([0.0])
    before = [array.copy() for array in (distance, mask, norm)]
    pck(distance, mask, norm, 0.2), end_point_error(distance, mask)
    for array, copy in zip((distance, mask, norm), before):
        np.testing.assert_array_equal(array, copy)
