"""Looks at a hand: what several of them say together."""

import itertools

import numpy as np
import pytest

from cpm_hand import geometry
from cpm_hand.looks import AGREE, Hand, agreed, joined

HAND = np.random.default_rng(0).uniform(-50, 50, (21, 2)) + (300, 200)
SIGMA = AGREE * geometry.tight_box(HAND, np.ones(21, bool))[2:].max()


def seen(points, score=0.8, presence=0.8):
    points = np.asarray(points, float)
    return Hand(np.column_stack([points, np.broadcast_to(score, len(points))]), presence, np.zeros(4))


def moved(joint, by):
    points = HAND.copy()
    points[joint] += by
    return points


def test_one_look_says_what_it_saw():
    look = seen(HAND, np.linspace(0, 1, 21), 0.5)
    np.testing.assert_allclose(agreed([look]), look.keypoints, atol=1e-4)


@pytest.mark.parametrize("apart", [0.0, 0.2, 0.6, 1.0, 1.5])
def test_two_looks_near_each_other_meet_in_the_middle_and_score_less_the_farther_apart_they_are(apart):
    looks = [seen(HAND), seen(HAND + (apart * SIGMA, 0))]
    for ordered in (looks, looks[::-1]):
        keypoints = agreed(ordered)
        np.testing.assert_allclose(keypoints[:, :2], HAND + (apart / 2 * SIGMA, 0), atol=0.2)
        np.testing.assert_allclose(keypoints[:, 2], 0.8 * np.exp(-0.5 * (apart / 2) ** 2), atol=1e-3)


def test_two_looks_far_from_each_other_do_not_meet():
    """Between them nobody saw the joint; the surer look has it, for its share of the score."""
    keypoints = agreed([seen(HAND, 0.5), seen(moved(8, (4 * SIGMA, 0)), 0.6)])
    np.testing.assert_allclose(keypoints[8, :2], HAND[8] + (4 * SIGMA, 0), atol=0.2)
    assert keypoints[8, 2] == pytest.approx(0.3, abs=0.01)


def test_a_look_far_from_the_others_hardly_moves_a_joint():
    """Two see a fingertip within 6 px of each other; the mean of all three would be 30 px away."""
    tip = 8
    for looks in itertools.permutations([seen(HAND), seen(moved(tip, (0, 6))), seen(moved(tip, (90, 0)))]):
        keypoints = agreed(looks)
        np.testing.assert_allclose(keypoints[tip, :2], HAND[tip] + (0, 3), atol=0.1)
        np.testing.assert_allclose(keypoints[tip, 2], 0.8 * 2 / 3 * np.exp(-0.5 * (3 / SIGMA) ** 2), atol=1e-3)
        np.testing.assert_allclose(keypoints[:tip], seen(HAND).keypoints[:tip], atol=1e-4)


def test_looks_that_see_nothing_do_not_part_those_that_see_the_hand():
    nothing = seen(np.zeros_like(HAND), 0.02, 0.02)
    pair = [seen(HAND), seen(HAND + (1.5, 0))]
    np.testing.assert_allclose(agreed([*pair, nothing, nothing])[:, :2], agreed(pair)[:, :2], atol=0.1)
    assert agreed([*pair, nothing, nothing])[:, 2].min() > 0.9 * agreed(pair)[:, 2].min()


def test_a_look_at_the_next_finger_moves_it_less_than_a_mean_would():
    """A finger's breadth is near the bell's sigma: there looks still pull at each other."""
    keypoints = agreed([seen(HAND), seen(HAND), seen(moved(8, (1.5 * SIGMA, 0)))])
    assert 0 < keypoints[8, 0] - HAND[8, 0] < 0.75 * (1.5 * SIGMA / 3)


def test_a_look_counts_as_much_as_it_is_sure_of_the_joint_and_of_the_hand():
    def density(place, looks):
        """The definition in a plain loop, for joint 0."""
        return sum(look.presence * look.keypoints[0, 2] *
                   np.exp(-0.5 * np.sum((look.keypoints[0, :2] - place) ** 2) / SIGMA**2) for look in looks)

    looks = [seen(HAND, 0.9, 0.9), seen(HAND + (15, 0), 0.3, 0.9), seen(HAND + (0, 12), 0.9, 0.2)]
    keypoints = agreed(looks)
    grid = [HAND[0] + (x, y) for x in np.arange(-5, 20, 0.25) for y in np.arange(-5, 20, 0.25)]
    best = max(grid, key=lambda place: density(place, looks))
    np.testing.assert_allclose(keypoints[0, :2], best, atol=0.3)
    assert keypoints[0, 2] == pytest.approx(density(best, looks) / (0.9 + 0.9 + 0.2), abs=1e-3)


def test_joints_that_no_look_believes_in_stay_where_one_saw_them_with_score_0():
    keypoints = agreed([seen(HAND, 0.0, 0.0), seen(HAND + 5, 0.0, 0.0)])
    assert np.isfinite(keypoints).all() and (keypoints[:, 2] == 0).all()
    assert {tuple(point) for point in (keypoints[:, :2] - HAND).round(3)} <= {(0.0, 0.0), (5.0, 5.0)}
    barely = agreed([seen(HAND, 1e-31, 0.8), seen(HAND, 1e-31, 0.8)])
    np.testing.assert_allclose(barely[:, :2], HAND, atol=1e-3)


def test_of_looks_that_see_a_left_and_a_right_hand_the_side_that_is_surer_together_counts():
    def look(is_left, presence, by):
        return seen(HAND + (by, 0), presence, presence)._replace(is_left=is_left)

    hand = joined([look(1, 0.5, 60), look(0, 0.4, 0), look(0, 0.45, 0)])
    assert hand.is_left == 0
    only_with_outputs = joined([look(1, 0.5, 60)._replace(outputs=()), look(0, 0.4, 0), look(0, 0.45, 0)])
    assert only_with_outputs.is_left == 0 and only_with_outputs.outputs == ()
    np.testing.assert_allclose(hand.keypoints[:, :2], HAND, atol=0.1)
