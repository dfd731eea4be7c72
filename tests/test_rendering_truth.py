"""What a rendered set says about its hands is true: counted over many pictures of the default options.

The labels go through JSON, as a reader gets them, and are held against the layers and poses that they were made from.
A few small pictures are looked at always, a thousand of full size in the slow tests.
"""

import json
import math
from typing import NamedTuple

import numpy as np
import pytest
from conftest import deepest_between_fingers

from cpm_hand.rendering import contacts, hands, kinematics, poses, scene, skin

VIEWS = {"back": 0.21, "side": 0.495, "palm": 0.295}  # how the hand's plane is turned: within 60 degrees, or on edge


class Hand(NamedTuple):
    """A label beside what it was made from."""

    label: dict
    shape: kinematics.Shape
    angles: np.ndarray  # [23]
    joints: np.ndarray  # [21, 3] mm, of the label
    inside: np.ndarray  # bool [21]
    depth: np.ndarray   # [21] mm at the joints' pixels, 0 where there is no hand
    mask: np.ndarray    # [21] at the joints' pixels


def watch(monkeypatch, module, name) -> list:
    """Everything that a function of a module returns from now on."""
    results, plain = [], getattr(module, name)

    def call(*arguments, **settings):
        results.append(plain(*arguments, **settings))
        return results[-1]

    monkeypatch.setattr(module, name, call)
    return results


@pytest.fixture(scope="module", params=[pytest.param((40, 96), id="40 of 96 px"),
                                        pytest.param((1000, 368), id="1000 of 368 px", marks=pytest.mark.slow)])
def rendered(request):
    count, size = request.param
    options = scene.Options(size=(size, size), depth=True, mask=True)
    found = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        layers, samples = watch(monkeypatch, hands, "render_hand"), watch(monkeypatch, poses, "sample_pose")
        for number in range(1, count + 1):
            layers.clear(), samples.clear()
            made = scene.render(0, number, options)
            label = json.loads(json.dumps(made.label))
            x, y = np.round(np.array(label["hand_pts"])[:, :2]).astype(int).T
            inside = (0 <= x) & (x < size) & (0 <= y) & (y < size)
            pixel = np.clip(y, 0, size - 1), np.clip(x, 0, size - 1)
            # The labelled hand is drawn first, before another one near it.
            found.append(Hand(label, layers[0].person.shape, samples[0].pose.angles, np.array(label["joints_mm"]),
                              inside, made.depth_mm[pixel].astype(float), made.mask[pixel]))
    return found


def test_the_3d_joints_project_onto_the_keypoints(rendered):
    for hand in rendered:
        projected = hand.joints @ np.array(hand.label["camera"]).T
        off = projected[:, :2] / projected[:, 2:] - np.array(hand.label["hand_pts"])[:, :2]
        assert np.abs(off).max() < 1e-3


def test_joints_in_the_picture_lie_on_the_whole_silhouette(rendered):
    on_hand = np.concatenate([hand.mask[hand.inside] > 0 for hand in rendered])
    assert len(on_hand) > 15 * len(rendered) and on_hand.mean() >= 0.995


def test_occluded_is_what_depth_and_mask_say(rendered):
    """Nearest skin in front by more than the joint's own flesh, or something else before the hand."""
    close = 0
    for hand in rendered:
        gap = hand.joints[:, 2] - hand.depth - (2.2 * hand.shape.half_widths + 4)
        by_depth = (hand.depth > 0) & (gap > 0)
        for joint in np.flatnonzero(hand.inside & (hand.mask > 0)):
            if hand.mask[joint] != 128 and abs(gap[joint]) < 0.6:  # depth is written in whole millimetres
                close += 1
                continue
            assert hand.label["occluded"][joint] == (hand.mask[joint] == 128 or by_depth[joint])
        assert not np.array(hand.label["occluded"])[~hand.inside].any()
    assert close < 0.4 * len(rendered)


def test_a_joint_behind_another_fingers_bone_is_occluded(rendered):
    """An oracle without any picture: rays from the camera to the joints against the middle lines of the bones."""
    hidden = []
    for hand in rendered:
        for joint in np.flatnonzero(hand.inside):
            if joint and _lies_behind_a_bone(hand, joint):
                hidden.append(hand.label["occluded"][joint])
    assert len(hidden) > 0.3 * len(rendered) and np.mean(hidden) > 0.99


def _lies_behind_a_bone(hand, joint):
    """Whether the ray passes well inside a bone of another finger, clearly before the joint."""
    share = np.linspace(0, 1, 11)[:, None]
    clear = 2.2 * hand.shape.half_widths[joint] + 10
    for bone in range(2, 21):
        if bone % 4 == 1 or (bone - 1) // 4 == (joint - 1) // 4:
            continue
        points = hand.joints[bone - 1] * (1 - share) + hand.joints[bone] * share
        ray = hand.joints[joint] / np.linalg.norm(hand.joints[joint])
        across = np.linalg.norm(points - (points @ ray)[:, None] * ray, axis=1)
        if ((across < 0.5 * hand.shape.half_widths[bone]) & (points[:, 2] < hand.joints[joint, 2] - clear)).any():
            return True
    return False


def test_bones_have_the_persons_lengths(rendered):
    for hand in rendered:
        lengths = np.linalg.norm(hand.joints[1:] - hand.joints[kinematics.PARENTS[1:]], axis=1)
        np.testing.assert_allclose(lengths, hand.shape.lengths[1:], atol=1e-5)


def test_joints_stay_within_their_limits(rendered):
    for hand in rendered:
        assert (hand.angles >= kinematics.LIMITS[:, 0] - 1e-12).all()
        assert (hand.angles <= kinematics.LIMITS[:, 1] + 1e-12).all()
        np.testing.assert_allclose(kinematics.clip_pose(hand.angles), hand.angles, atol=1e-12)  # couplings too


def test_different_fingers_lie_at_most_three_millimetres_in_each_other(rendered):
    assert max(contacts.overlap(hand.shape, kinematics.Pose(hand.angles)) for hand in rendered) <= 3.0
    assert max(deepest_between_fingers(hand.shape, hand.joints) for hand in rendered) <= 3.3


def has_share(found, share, allowance=0.0):
    """Whether so many of the found are True as four deviations of a binomial allow."""
    within = 4 * math.sqrt(share * (1 - share) / len(found)) + allowance
    if within >= share:
        pytest.skip(f"of {len(found)} pictures, {share:.0%} cannot be told from none")
    return abs(np.mean(found) - share) <= within


def test_left_and_right_hands_are_alike_frequent(rendered):
    assert has_share([hand.label["is_left"] for hand in rendered], 0.5)


def test_skin_tones_have_their_weights(rendered):
    for tone, share in enumerate(skin.TONE_WEIGHTS, 1):
        assert has_share([hand.label["skin_tone"] == tone for hand in rendered], share), tone


def test_pose_classes_have_their_weights(rendered):
    """A draft that cannot be untangled becomes an open hand, which takes up to one in a hundred."""
    for name, share in poses.WEIGHTS.items():
        assert has_share([hand.label["pose_class"] == name for hand in rendered], share, 0.01), name


def test_hands_are_seen_from_all_sides(rendered):
    seen = [_view(hand) for hand in rendered]
    for name, share in VIEWS.items():
        assert has_share([view == name for view in seen], share, 0.005), name


def _view(hand):
    """From wrist and knuckles alone: which side of their plane the camera sees."""
    wrist, index, little = hand.joints[[0, 5, 17]]
    back = np.cross(little - wrist, index - wrist) * (-1 if hand.label["is_left"] else 1)
    ray = (wrist + index + little) / np.linalg.norm(wrist + index + little)
    facing = -back @ ray / np.linalg.norm(back)
    return "back" if facing > 0.5 else "palm" if facing < -0.5 else "side"


def test_a_second_hand_is_smaller_farther_out_and_hides_what_lies_under_it(monkeypatch):
    monkeypatch.setattr(scene, "IN_FRONT", 1.0)
    layers, others = watch(monkeypatch, hands, "render_hand"), watch(monkeypatch, scene, "_second")
    size, middle, covered = 128, 63.5, 0
    for number in range(1, 25):
        layers.clear()
        made = scene.render(3, number, scene.Options(size=(size, size), mask=True, second_share=1.0))
        one, other = layers[0], others[-1]
        if other is None:
            continue
        low, high = one.keypoints.min(0), one.keypoints.max(0)
        other_low, other_high = other.keypoints.min(0), other.keypoints.max(0)
        assert (other_high - other_low).max() < 0.85 * (high - low).max()
        assert np.linalg.norm((other_low + other_high) / 2 - middle) > np.linalg.norm((low + high) / 2 - middle) - 2
        np.testing.assert_array_equal(made.label["joints_mm"], one.joints_mm.round(6))
        both = (one.alpha > 0.5) & (other.alpha > 0.5)
        if both.sum() >= scene.COVERS * (one.alpha > 0.5).sum():
            continue  # so much that it goes behind
        assert (made.mask[both] == 128).all()
        for joint, (x, y) in enumerate(np.round(one.keypoints).astype(int)):
            if 0 <= x < size and 0 <= y < size and other.alpha[y, x] > 0.5:
                covered += 1
                assert made.label["occluded"][joint]
    assert covered > 10


@pytest.mark.parametrize("size, hand_px", [((96, 96), None), ((320, 180), (30.0, 90.0))])
def test_the_picture_does_not_show_where_an_arm_ends(monkeypatch, size, hand_px):
    ends = []
    draw = hands._draw

    def look(template, vertices, camera, *rest):
        z = vertices[:, 2]
        place = camera.project(vertices[z > 40].astype(float))
        inside = np.zeros(len(z), bool)
        inside[z > 40] = ((place >= 0) & (place <= np.array(size) - 1)).all(1)
        ends.append((inside & (template.rest[:, 1] < -860)).any())
        return draw(template, vertices, camera, *rest)

    monkeypatch.setattr(hands, "_draw", look)
    options = scene.Options(size=size, hand_px=hand_px)
    for number in range(60):
        rng = np.random.default_rng([8, number])
        camera = hands.sample_camera(rng, size)
        hands.render_hand(rng, camera, size, **scene._placed(rng, options))
    assert np.mean(ends) <= 1 / 60
