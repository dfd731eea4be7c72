"""The search of whole pictures: where it looks, what it makes of what it sees, when it stops."""

import itertools
from typing import NamedTuple

import numpy as np
import pytest

from cpm_hand import geometry, search

SIZE = 128


class Look(NamedTuple):
    """What the search is sent: what a net saw in one square."""

    keypoints: np.ndarray
    presence: float
    square: np.ndarray


def hand_at(x, y, side, seed=0):
    """21 joints whose tight box has that middle and longer side, px."""
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, (21, 2)) * (side - 1)
    points[:2] = [(-(side - 1) / 2, 0), ((side - 1) / 2, 0)]
    return points + (x, y)


def fitted_net(hands):
    """A net as good as one that was trained on hands of 35 to 90 % of its input, 45 % as a rule.

    In each square it sees the hand that it likes best: the better, the nearer to the middle and to that size.
    """
    def look(square):
        x, y, side, _ = square
        best = Look(np.array([[x, y, 0.02]] * 21), 0.02, square)
        for points in hands:
            part = np.ptp(points, axis=0).max() / side
            seen = ((points > (x, y)) & (points < (x + side, y + side))).all(1)
            score = float(np.exp(-(np.log(part / 0.45) / 0.7) ** 2))
            scores = np.where(seen, score, 0.02)
            if scores.mean() > best.presence:
                places = np.where(seen[:, None], points, (x, y))
                best = Look(np.column_stack([places, scores]), float(scores.mean()), square)
        return best
    return look


def run(width, height, look, **settings):
    """What the search finds, and the squares of each round."""
    generator, rounds = search.find(width, height, SIZE, **settings), []
    seen = None
    while True:
        try:
            squares = generator.send(seen)
        except StopIteration as done:
            return done.value, rounds
        rounds.append(squares)
        seen = [look(square) for square in squares]


@pytest.mark.parametrize("side", [90, 150, 320, 500, 680])
def test_a_hand_of_any_size_anywhere_is_found_at_the_size_that_nets_are_trained_on(side):
    rng = np.random.default_rng(side)
    for seed in range(10):
        x, y = rng.uniform((side / 2, side / 2), (1280 - side / 2, 720 - side / 2))
        truth = hand_at(x, y, side, seed)
        (found,), rounds = run(1280, 720, fitted_net([truth]))
        np.testing.assert_allclose(found.keypoints[:, :2], truth, atol=1e-9)
        assert found.square[2] == pytest.approx(2.2 * np.ptp(truth, axis=0).max(), rel=0.1)
        assert 2 <= len(rounds) <= 1 + search.ROUNDS


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (720, 1280), (640, 480), (5000, 700), (300, 300)])
def test_the_windows_cover_the_picture_at_each_size(width, height):
    squares = search.windows(width, height, SIZE)
    sizes = sorted(set(squares[:, 2]), reverse=True)
    assert sizes[0] == max(width, height) and sizes[-1] >= SIZE
    np.testing.assert_allclose(np.divide(sizes[:-1], sizes[1:]), 2)
    points = np.random.default_rng(0).uniform(0, (width - 1, height - 1), (500, 2))
    for side in sizes:
        x, y = squares[squares[:, 2] == side][:, :2].T
        # Each point lies in the middle half of a window, or as near to the picture's edge as the window does.
        for point in points:
            across = np.minimum(point[0] - x, x + side - 1 - point[0]) >= np.minimum(
                side / 4 - 2, min(point[0], width - 1 - point[0]))
            down = np.minimum(point[1] - y, y + side - 1 - point[1]) >= np.minimum(
                side / 4 - 2, min(point[1], height - 1 - point[1]))
            assert (across & down).any(), (side, point)


def test_a_picture_of_the_inputs_size_has_one_window_the_whole_of_it():
    assert search.windows(SIZE, SIZE, SIZE).tolist() == [[0, 0, SIZE, SIZE]]
    assert len(search.windows(1280, 720, SIZE)) == 1 + 3 * 2 + 7 * 4


def test_of_a_picture_without_a_hand_the_strongest_find_is_one_that_nobody_believes_in():
    (found,), rounds = run(1280, 720, fitted_net([]))
    assert found.presence < 0.03 and len(rounds) <= 1 + search.ROUNDS


@pytest.mark.parametrize("max_hands", [1, 2, 3, 4])
def test_each_hand_is_found_once_the_strongest_first_and_no_more_than_asked_for(max_hands):
    hands = [hand_at(x, y, side, seed) for seed, (x, y, side) in
             enumerate([(200, 200, 180), (640, 400, 250), (1100, 300, 130)])]
    found, _ = run(1280, 720, fitted_net(hands), max_hands=max_hands)
    found = [look for look in found if look.presence >= 0.5]
    assert len(found) == min(max_hands, 3)
    presences = [look.presence for look in found]
    assert presences == sorted(presences, reverse=True)
    nearest = [min(range(3), key=lambda hand: np.abs(look.keypoints[:, :2] - hands[hand]).mean()) for look in found]
    assert len(set(nearest)) == len(found)


def test_of_what_was_seen_around_a_hand_the_strongest_look_is_returned():
    looks = []

    def net(square):
        look = fitted_net([hand_at(500, 300, 200)])(square)
        looks.append(look)
        return look

    (found,), rounds = run(1280, 720, net)
    assert found.presence == max(look.presence for look in looks[len(rounds[0]):])


def test_a_window_says_where_to_look_and_is_never_an_answer():
    """It may show two hands at once, and is the more believed for it."""
    truth, other = hand_at(300, 300, 200), hand_at(620, 300, 150, seed=1)

    def net(square):
        look = fitted_net([truth])(square)
        if square[2] == 640 and square[0] == 0:
            mixed = np.column_stack([np.where(np.arange(21)[:, None] % 4, truth, other), np.ones(21)])
            return Look(mixed, 1.0, square)
        return look

    (found,), _ = run(1280, 720, net)
    np.testing.assert_allclose(found.keypoints[:, :2], truth)


def test_a_net_whose_finds_run_away_is_not_followed_out_of_the_picture():
    def runaway(square):
        x, y, side, _ = square
        points = hand_at(x - side, y - side, side)
        return Look(np.column_stack([points, np.full(21, 0.5)]), 0.5, square)

    _, rounds = run(640, 480, runaway)
    for squares in rounds:
        for x, y, side, _ in squares:
            assert x < 640 and y < 480 and x + side > 0 and y + side > 0


def chase(truth, sees_fingertip, part=0.12):
    """A net that believes in the hand's first fingertip alone wherever sees_fingertip(square), else in the hand."""
    def look(square):
        if not sees_fingertip(square):
            return fitted_net([truth])(square)
        x, y = truth[0]
        points = hand_at(x, y, part * square[2])
        return Look(np.column_stack([points, np.full(21, 0.3)]), 0.3, square)
    return look


def test_a_net_that_runs_after_a_fingertip_is_not_followed_into_a_crop_of_skin():
    truth = hand_at(640, 360, 300)
    _, rounds = run(1280, 720, chase(truth, lambda square: True))
    first = max(square[2] for square in rounds[1])
    for before, after in zip(rounds[1:], rounds[2:]):
        assert min(square[2] for square in after) >= 0.999 * search.SHRINK * min(square[2] for square in before)
    assert min(square[2] for squares in rounds[1:] for square in squares) >= 0.3 * first * 0.999


def test_after_one_look_at_a_fingertip_the_hand_is_still_in_the_square():
    """The net is wrong once, about the first square around the hand: its next square still holds most of it."""
    truth, wrong = hand_at(640, 360, 300), []

    def once(square):
        if square[2] in (1280, 640, 320) or wrong and not np.array_equal(square, wrong[0]):
            return False
        wrong.append(square)
        return True

    (found,), _ = run(1280, 720, chase(truth, once))
    assert wrong
    np.testing.assert_allclose(found.keypoints[:, :2], truth)


def test_a_window_in_which_only_a_fingertip_was_seen_does_not_lead_into_it():
    truth = hand_at(640, 360, 300)
    (found,), _ = run(1280, 720, chase(truth, lambda square: square[2] in (1280, 640, 320), part=0.02))
    np.testing.assert_allclose(found.keypoints[:, :2], truth)


@pytest.mark.parametrize("too_large", [1.5, 2.5, 3.2])
def test_a_hand_that_looked_larger_in_its_window_is_not_lost(too_large):
    truth = hand_at(640, 360, 100)

    def look(square):
        seen = fitted_net([truth])(square)
        if square[2] in (1280, 640, 320):
            x, y = (truth.max(0) + truth.min(0)) / 2
            return seen._replace(keypoints=np.column_stack([hand_at(x, y, 100 * too_large), np.full(21, 0.6)]),
                                 presence=0.6)
        return seen

    (found,), _ = run(1280, 720, look)
    np.testing.assert_allclose(found.keypoints[:, :2], truth)
    assert found.square[2] < 1.3 * 2.2 * 100


def test_there_is_always_a_find_even_beside_the_picture():
    def beside(square):
        return Look(np.column_stack([hand_at(-900, -900, 50), np.full(21, 0.1)]), 0.1, square)

    assert len(run(640, 480, beside)[0]) == 1


def test_joints_that_nobody_believes_in_do_not_say_where_the_hand_is():
    points = hand_at(100, 100, 60)
    keypoints = np.column_stack([points, np.full(21, 0.8)])
    keypoints[5] = (400, 20, 0.1)
    np.testing.assert_allclose(search.joint_box(keypoints), geometry.tight_box(points, np.arange(21) != 5))


def test_nor_does_a_believed_joint_far_from_the_others():
    points = hand_at(100, 100, 60)
    keypoints = np.column_stack([points, np.full(21, 0.8)])
    keypoints[5, :2] = 400, 20
    np.testing.assert_allclose(search.joint_box(keypoints), geometry.tight_box(points, np.arange(21) != 5))


@pytest.mark.parametrize("keypoints", [np.zeros((21, 3)), np.full((1, 3), 0.5), np.full((21, 3), 1e-9)])
def test_there_is_a_box_of_a_pixel_at_least_whatever_the_joints(keypoints):
    assert (search.joint_box(keypoints)[2:] >= 1).all()


# ---- several looks at one hand

def seen(points, score=0.8, presence=0.8):
    points = np.asarray(points, float)
    return Look(np.column_stack([points, np.broadcast_to(score, len(points))]), presence, None)


HAND = hand_at(300, 200, 101)
SIGMA = search.AGREE * geometry.tight_box(HAND, np.ones(21, bool))[2:].max()


def moved(joint, by):
    points = HAND.copy()
    points[joint] += by
    return points


def test_one_look_says_what_it_saw():
    look = seen(HAND, np.linspace(0, 1, 21), 0.5)
    np.testing.assert_allclose(search.agreed([look]), look.keypoints, atol=1e-4)


@pytest.mark.parametrize("apart", [0.0, 0.2, 0.6, 1.0, 1.5])
def test_two_looks_near_each_other_meet_in_the_middle_and_score_less_the_farther_apart_they_are(apart):
    looks = [seen(HAND), seen(HAND + (apart * SIGMA, 0))]
    for ordered in (looks, looks[::-1]):
        joined = search.agreed(ordered)
        np.testing.assert_allclose(joined[:, :2], HAND + (apart / 2 * SIGMA, 0), atol=0.2)
        np.testing.assert_allclose(joined[:, 2], 0.8 * np.exp(-0.5 * (apart / 2) ** 2), atol=1e-3)


def test_two_looks_far_from_each_other_do_not_meet():
    """Between them nobody saw the joint; the surer look has it, for its share of the score."""
    joined = search.agreed([seen(HAND, 0.5), seen(moved(8, (4 * SIGMA, 0)), 0.6)])
    np.testing.assert_allclose(joined[8, :2], HAND[8] + (4 * SIGMA, 0), atol=0.2)
    assert joined[8, 2] == pytest.approx(0.3, abs=0.01)


def test_a_look_far_from_the_others_hardly_moves_a_joint():
    """Two see a fingertip within 6 px of each other; the mean of all three would be 30 px away."""
    tip = 8
    for looks in itertools.permutations([seen(HAND), seen(moved(tip, (0, 6))), seen(moved(tip, (90, 0)))]):
        joined = search.agreed(looks)
        np.testing.assert_allclose(joined[tip, :2], HAND[tip] + (0, 3), atol=0.1)
        np.testing.assert_allclose(joined[tip, 2], 0.8 * 2 / 3 * np.exp(-0.5 * (3 / SIGMA) ** 2), atol=1e-3)
        np.testing.assert_allclose(joined[:tip], seen(HAND).keypoints[:tip], atol=1e-4)


def test_a_look_at_the_next_finger_moves_it_less_than_a_mean_would():
    """A finger's breadth is near the bell's sigma: there looks still pull at each other."""
    joined = search.agreed([seen(HAND), seen(HAND), seen(moved(8, (1.5 * SIGMA, 0)))])
    assert 0 < joined[8, 0] - HAND[8, 0] < 0.75 * (1.5 * SIGMA / 3)


def test_a_look_counts_as_much_as_it_is_sure_of_the_joint_and_of_the_hand():
    def density(place, looks):
        """The definition in a plain loop, for joint 0."""
        return sum(look.presence * look.keypoints[0, 2] *
                   np.exp(-0.5 * np.sum((look.keypoints[0, :2] - place) ** 2) / SIGMA**2) for look in looks)

    looks = [seen(HAND, 0.9, 0.9), seen(HAND + (15, 0), 0.3, 0.9), seen(HAND + (0, 12), 0.9, 0.2)]
    joined = search.agreed(looks)
    grid = [HAND[0] + (x, y) for x in np.arange(-5, 20, 0.25) for y in np.arange(-5, 20, 0.25)]
    best = max(grid, key=lambda place: density(place, looks))
    np.testing.assert_allclose(joined[0, :2], best, atol=0.3)
    assert joined[0, 2] == pytest.approx(density(best, looks) / (0.9 + 0.9 + 0.2), abs=1e-3)


def test_joints_that_no_look_believes_in_stay_where_one_saw_them_with_score_0():
    joined = search.agreed([seen(HAND, 0.0, 0.0), seen(HAND + 5, 0.0, 0.0)])
    assert np.isfinite(joined).all() and (joined[:, 2] == 0).all()
    assert {tuple(point) for point in (joined[:, :2] - HAND).round(3)} <= {(0.0, 0.0), (5.0, 5.0)}
    barely = search.agreed([seen(HAND, 1e-31, 0.8), seen(HAND, 1e-31, 0.8)])
    np.testing.assert_allclose(barely[:, :2], HAND, atol=1e-3)


@pytest.mark.parametrize(("other", "share"), [
    ((0, 0, 10, 10), 1.0), ((5, 5, 10, 10), 0.25), ((2, 2, 4, 4), 1.0), ((10, 0, 5, 5), 0.0), ((30, 30, 5, 5), 0.0)])
def test_overlap_is_the_share_of_the_smaller_box(other, share):
    assert search.overlap((0, 0, 10, 10), other) == pytest.approx(share)
    assert search.overlap(other, (0, 0, 10, 10)) == pytest.approx(share)
