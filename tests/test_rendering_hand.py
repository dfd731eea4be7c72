"""The rendered hand: bones, limits, overlaps, projection, silhouette, depth, determinism, the mirror."""


import cv2
import numpy as np
import pytest
from conftest import deepest_between_fingers

from cpm_hand.rendering import arms, bending, contacts, flesh, hands, kinematics, poses, raster, skin, surface

BACK = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])  # fingers up, the back of a right hand seen


def camera(size: int, focal: float = 1.3) -> hands.Camera:
    return hands.Camera(focal * size, ((size - 1) / 2, (size - 1) / 2))


def sampled(count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        shape = kinematics.sample_shape(rng)
        yield shape, poses.sample_pose(rng, shape)


@pytest.mark.slow
def test_a_thousand_poses_keep_bones_limits_and_distance():
    for shape, sample in sampled(1000):
        joints, _ = kinematics.forward(shape, sample.pose)
        lengths = np.linalg.norm(joints[1:] - joints[kinematics.PARENTS[1:]], axis=1)
        np.testing.assert_allclose(lengths, shape.lengths[1:], rtol=1e-9)
        angles = sample.pose.angles
        assert (angles >= kinematics.LIMITS[:, 0] - 1e-12).all() and (angles <= kinematics.LIMITS[:, 1] + 1e-12).all()
        np.testing.assert_allclose(kinematics.clip_pose(angles), angles, atol=1e-12)  # couplings too
        assert contacts.overlap(shape, sample.pose) <= contacts.MAX_OVERLAP_MM
        assert deepest_between_fingers(shape, joints) <= contacts.MAX_OVERLAP_MM + 0.3


def test_every_class_can_be_asked_for_and_others_are_refused():
    rng = np.random.default_rng(1)
    shape = kinematics.sample_shape(rng)
    for name in poses.WEIGHTS:
        assert poses.sample_pose(rng, shape, {name: 1.0}).name in (name, "flat")
    for weights in ({"wave": 1.0}, {"fist": 0.0}, {"fist": -1.0}, {}):
        with pytest.raises(ValueError, match="pose weights"):
            poses.sample_pose(rng, shape, weights)


def test_every_class_is_drawn_alike_twice_and_a_contact_of_no_joint_is_refused():
    for name in poses.WEIGHTS:
        for seed in range(12):
            first, second = (poses.sample_pose(np.random.default_rng(seed), kinematics.mean_shape(), {name: 1.0})
                             for _ in range(2))
            np.testing.assert_array_equal(first.pose.angles, second.pose.angles)
    with pytest.raises(ValueError, match="joints 0 to 20"):
        contacts.settle(kinematics.mean_shape(), kinematics.Pose(np.zeros(23)), [(4, 23)])


def test_a_pinch_brings_the_tips_together():
    rng = np.random.default_rng(3)
    gaps = []
    for _ in range(20):
        shape = kinematics.sample_shape(rng)
        joints, _ = kinematics.forward(shape, poses.sample_pose(rng, shape, {"pinch": 1.0}).pose)
        tips = np.linalg.norm(joints[[8, 12, 16, 20]] - joints[4], axis=1) - shape.half_widths[[8, 12, 16, 20]]
        gaps.append((tips - shape.half_widths[4]).min())
    assert np.median(gaps) < 4  # mm between the skins


def test_women_and_men_have_hands_of_the_published_length():
    rng = np.random.default_rng(4)
    lengths = [shape.lengths[9:13].sum() for shape in (kinematics.sample_shape(rng) for _ in range(400))]
    assert 172 < np.mean(lengths) < 186 and 8 < np.std(lengths) < 15


def test_one_triangle_is_drawn_as_by_hand():
    points = np.float32([[2.2, 1.1], [14.7, 4.3], [5.4, 12.9]])
    near = np.float32([1.0, 0.5, 0.25])
    number, nearest = raster.rasterise(points, near, np.int32([[0, 1, 2]]), (16, 14))
    system = np.vstack([points.T.astype(float), np.ones(3)])
    for row in range(14):
        for column in range(16):
            weights = np.linalg.solve(system, [column, row, 1])
            assert (number[row, column] == 0) == (weights >= 0).all()
            if (weights >= 0).all():
                assert nearest[row, column] == pytest.approx(weights @ near, abs=1e-5)
    assert (raster.rasterise(points, near, np.int32([[0, 2, 1]]), (16, 14))[0] == raster.NOTHING).all()


@pytest.mark.parametrize("cell_mm, least, most", [(surface.FINE_MM, 18_000, 23_000),
                                                  (surface.COARSE_MM, 10_000, 13_000)])
def test_the_skin_is_one_closed_piece_on_the_flesh(cell_mm, least, most):
    template = surface.template(cell_mm)
    edges = template.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    assert sorted(map(tuple, edges)) == sorted(map(tuple, edges[:, ::-1]))  # each edge once in each direction
    assert len(template.rest) - len(edges) // 2 + len(template.triangles) == 2  # Euler: no hole, no finger lost
    assert least < len(template.triangles) < most
    np.testing.assert_allclose(template.weights.sum(1), 1, atol=1e-5)
    shape = kinematics.mean_shape()
    joints, frames = kinematics.forward(shape, kinematics.Pose(surface.REST))
    distance, _ = flesh.value_and_gradient(flesh.primitives(shape, joints, frames), template.rest.astype(float))
    assert np.abs(distance).max() < 0.01  # mm


@pytest.mark.parametrize("cell_mm", [surface.FINE_MM, surface.COARSE_MM])
def test_the_template_bends_into_itself(cell_mm):
    shape, template = kinematics.mean_shape(), surface.template(cell_mm)
    _, frames = kinematics.forward(shape, kinematics.Pose(surface.REST))
    look = skin.sample_look(np.random.default_rng(0), sleeve=0, glove=0)
    vertices = bending.bend_skin(template, shape, look, frames)
    np.testing.assert_allclose(vertices, template.rest, atol=1e-2)


def test_an_arm_keeps_its_length_and_thickness_however_it_turns():
    template, elbow = surface.template(), arms.Elbow(1.5, 0.7)
    middle = np.array([arms.arm_at(beyond, elbow.bend, 1.0)[:2] for beyond in range(0, 600)])
    np.testing.assert_allclose(np.linalg.norm(np.diff(middle, axis=0), axis=1), 1, atol=1e-3)
    bent = template.rest.copy()
    arms.bend(bent, template.rest, np.eye(3, dtype=np.float32), 1.0, *elbow)
    moved = np.abs(bent - template.rest).max(1) > 1e-3
    assert moved.any() and (template.rest[moved, 1] < -arms.ELBOW_MM).all()
    behind = -template.rest[:, 1] - arms.ELBOW_MM
    for number in np.flatnonzero(moved & (behind < 600)):
        aside, back, _ = arms.arm_at(float(behind[number]), elbow.bend, 1.0)
        centre = np.array([np.cos(0.7) * aside, -arms.ELBOW_MM - back, np.sin(0.7) * aside])
        radius = np.hypot(template.rest[number, 0], template.rest[number, 2])
        assert np.linalg.norm(bent[number] - centre) == pytest.approx(radius, abs=1e-2)


def test_half_turns_done_twice_are_the_turns():
    rng = np.random.default_rng(0)
    turns = np.stack([cv2.Rodrigues(axis / np.linalg.norm(axis) * rng.uniform(0, 2.8))[0]
                      for axis in rng.normal(size=(20, 3))])
    halves = surface._half_turns(turns)
    np.testing.assert_allclose(halves @ halves, turns, atol=1e-9)


def test_skin_lies_in_front_of_a_joint_by_about_its_half_width():
    size = 184
    layer = hands.render_hand(np.random.default_rng(5), camera(size, 4.0), (size, size), view=BACK, is_left=False,
                              pose_weights={"flat": 1.0}, box_px=120)
    for joint in range(5, 21):
        x, y = np.round(layer.keypoints[joint]).astype(int)
        front = layer.joints_mm[joint, 2] - layer.depth_mm[y, x]
        assert 0.3 < front / layer.half_widths_mm[joint] < 2.2, joint


def test_same_seed_same_bytes_and_another_seed_another_hand():
    def draw(seed):
        layer = hands.render_hand(np.random.default_rng(seed), camera(64), (64, 64))
        return b"".join(array.tobytes() for array in layer[:5])
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


def test_the_left_hand_is_the_mirror_of_the_right():
    size = 96
    flip = np.array([-1.0, 1, 1])
    light = skin.sample_lighting(np.random.default_rng(0))
    layers = []
    for is_left, view, lighting in ((False, BACK, light),
                                    (True, BACK * flip[:, None] * flip, light._replace(
                                        directions=light.directions * np.float32(flip),
                                        up=light.up * np.float32(flip)))):
        layers.append(hands.render_hand(np.random.default_rng(9), camera(size), (size, size), view=view,
                                        is_left=is_left, lighting=lighting))
    right, left = layers
    assert left.is_left and not right.is_left
    np.testing.assert_allclose(left.joints_mm, right.joints_mm * flip, atol=1e-6)
    assert np.mean(np.abs(left.alpha[:, ::-1] - right.alpha) > 0) < 0.002
    assert np.mean(np.abs(left.rgb[:, ::-1] - right.rgb) > 0.05) < 0.01


def test_the_box_has_the_size_and_place_that_are_asked_for():
    size = 96
    for seed in range(8):
        layer = hands.render_hand(np.random.default_rng(seed), camera(size), (size, size), box_px=50,
                                  box_centre=(40, 52))
        low, high = layer.keypoints.min(0), layer.keypoints.max(0)
        assert (high - low).max() == pytest.approx(50, rel=0.04)
        np.testing.assert_allclose((low + high) / 2, (40, 52), atol=1.5)


def test_shadow_falls_behind_what_is_nearer_to_the_light():
    vertices = np.float32([[-50, -50, 100], [50, -50, 100], [0, 80, 100], [-5, -5, 60], [5, -5, 60], [0, 8, 60]])
    triangles = np.int32([[0, 1, 2], [3, 4, 5]])
    matrix, nearest = raster.shadow_map(vertices, triangles, np.array([0.0, 0.0, -1.0]), 128)
    assert raster.lit(matrix.ravel(), 0, nearest[None], 0, 0.0, 0.0, 100.0, 0.5) < 0.1
    assert raster.lit(matrix.ravel(), 0, nearest[None], 0, 30.0, -30.0, 100.0, 0.5) > 0.9
    assert raster.lit(matrix.ravel(), 0, nearest[None], 0, 0.0, 0.0, 60.0, 0.5) > 0.9


def test_impossible_sizes_are_refused():
    for size, focal, box in (((0, 5), 50.0, None), ((8, 8), 0.0, None), ((8, 8), 50.0, -1.0)):
        with pytest.raises(ValueError, match="positive size"):
            hands.render_hand(np.random.default_rng(0), hands.Camera(focal, (2, 2)), size, box_px=box)


def test_skin_tones_cover_the_whole_scale_with_the_median_between_light_and_medium():
    rng = np.random.default_rng(6)
    angles = [skin.sample_ita(rng) for _ in range(2000)]
    assert {skin.ita_class(angle) for angle in angles} == {1, 2, 3, 4, 5, 6}
    assert 28 < np.median(angles) < 41
    assert skin.ita_class(skin.sample_ita(rng, (0, 0, 0, 0, 0, 1))) == 6


def test_light_comes_from_the_side_from_behind_or_from_nowhere_too():
    rng = np.random.default_rng(7)
    lights = [skin.sample_lighting(rng) for _ in range(1500)]
    contrast = np.array([light.colours[0].mean() / light.sky.mean() for light in lights])
    brightness = np.array([light.colours[0].mean() + light.sky.mean() for light in lights])
    behind = np.array([light.directions[0, 2] > 0.5 for light in lights])
    assert (contrast > 6).mean() > 0.06 and (contrast < 0.4).mean() > 0.04
    assert ((contrast > 3) & behind).mean() > 0.03
    assert (brightness > 2).mean() > 0.02 and (brightness < 0.4).mean() > 0.01
