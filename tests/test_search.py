"""The search of whole pictures: where it looks, what it makes of what it sees, when it stops."""

from typing import NamedTuple

import numpy as np
import pytest

from cpm_hand import geometry, search
from cpm_hand.rendering import kinematics, poses
from cpm_hand.rendering.hands import sample_view

SIZE = 128


class Look(NamedTuple):
    """What the search is sent: what a net saw in one square."""

    keypoints: np.ndarray
    presence: float
    box: np.ndarray


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
    return drive(search.find(width, height, SIZE, **settings), look)


def drive(generator, look):
    """What a search returns that is sent what `look` sees in its squares, and the squares of each round."""
    seen, rounds = None, []
    while True:
        try:
            squares = generator.send(seen)
        except StopIteration as done:
            return done.value, rounds
        rounds.append(squares)
        seen = [look(square) for square in squares]


def test_squares_are_as_wide_around_the_joints_as_the_net_wants_them():
    truth = hand_at(600, 300, 200)
    for factor in (1.5, 2.2, 3.0):
        (found,), _ = run(1280, 720, fitted_net([truth]), crop_factor=factor)
        assert found.box[2] == pytest.approx(factor * np.ptp(truth, axis=0).max(), rel=0.02)


@pytest.mark.parametrize("side", [90, 150, 320, 500, 680])
def test_a_hand_of_any_size_anywhere_is_found_at_the_size_that_nets_are_trained_on(side):
    rng = np.random.default_rng(side)
    for seed in range(10):
        x, y = rng.uniform((side / 2, side / 2), (1280 - side / 2, 720 - side / 2))
        truth = hand_at(x, y, side, seed)
        (found,), rounds = run(1280, 720, fitted_net([truth]))
        np.testing.assert_allclose(found.keypoints[:, :2], truth, atol=1e-9)
        assert found.box[2] == pytest.approx(2.2 * np.ptp(truth, axis=0).max(), rel=0.1)
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
    assert found.box[2] < 1.3 * 2.2 * 100


def test_there_is_always_a_find_even_beside_the_picture():
    def beside(square):
        return Look(np.column_stack([hand_at(-900, -900, 50), np.full(21, 0.1)]), 0.1, square)

    assert len(run(640, 480, beside)[0]) == 1


def test_a_finger_that_its_square_cuts_off_is_found_in_a_wider_one():
    truth = hand_at(600, 300, 200)
    truth[16:] = [(x, 300) for x in (742, 750, 757, 764, 771)]
    net = fitted_net([truth])
    cut_off = net(geometry.square_box((600, 300), 1.4 * 200))
    assert (cut_off.keypoints[:, 2] < 0.1).nonzero()[0].tolist() == [16, 17, 18, 19, 20]
    again = geometry.widen(search.joint_box(cut_off.keypoints), 1.4)
    assert again[0] + again[2] < 742                                  # the search stands still there
    (hand,), _ = drive(search.settle([cut_off]), net)
    np.testing.assert_allclose(hand.keypoints[:, :2], truth)
    assert hand.box[2] == pytest.approx(1.25 * 1.4 * 200)


def test_a_surer_hand_beside_one_that_was_found_does_not_take_its_place():
    truth, beside = hand_at(400, 300, 100), hand_at(530, 300, 100)

    def look(square):
        if square[2] <= 220:
            return fitted_net([truth])(square)
        return Look(np.column_stack([beside, np.ones(21)]), 1.0, square)

    found = look(geometry.square_box((400, 300), 220))
    settled, _ = drive(search.settle([found, found]), look)
    for hand in settled:
        np.testing.assert_allclose(hand.keypoints[:, :2], truth)


@pytest.mark.parametrize(("presence", "wide"), [(0.59, False), (0.61, True)])
def test_a_wider_square_has_to_be_clearly_surer(presence, wide):
    truth = hand_at(640, 360, 100)

    def look(square):
        sure = 0.5 if square[2] <= 220 else presence
        return Look(np.column_stack([truth, np.full(21, sure)]), sure, square)

    (hand,), _ = drive(search.settle([look(geometry.square_box((640, 360), 220))]), look)
    assert hand.box[2] == pytest.approx(275 if wide else 220)


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


def test_but_wrist_and_fingertips_do_far_as_they_lie_from_the_knuckles_among_which_the_middle_is():
    rng = np.random.default_rng(0)
    for _ in range(200):
        shape = kinematics.sample_shape(rng)
        joints, _ = kinematics.forward(shape, poses.sample_pose(rng, shape).pose)
        points = (joints @ sample_view(rng).T)[:, :2]
        box = search.joint_box(np.column_stack([points, np.full(21, 0.8)]))
        np.testing.assert_allclose(box, geometry.tight_box(points, np.full(21, True)))


@pytest.mark.parametrize("keypoints", [np.zeros((21, 3)), np.full((1, 3), 0.5), np.full((21, 3), 1e-9)])
def test_there_is_a_box_of_a_pixel_at_least_whatever_the_joints(keypoints):
    assert (search.joint_box(keypoints)[2:] >= 1).all()


@pytest.mark.parametrize(("other", "share"), [
    ((0, 0, 10, 10), 1.0), ((5, 5, 10, 10), 0.25), ((2, 2, 4, 4), 1.0), ((10, 0, 5, 5), 0.0), ((30, 30, 5, 5), 0.0)])
def test_overlap_is_the_share_of_the_smaller_box(other, share):
    assert search.overlap((0, 0, 10, 10), other) == pytest.approx(share)
    assert search.overlap(other, (0, 0, 10, 10)) == pytest.approx(share)
