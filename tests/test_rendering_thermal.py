"""The thermal look: the same scenes and labels, in greys of warmth."""

import hashlib
import json

import numpy as np
import pytest

from cpm_hand.hand import HAND
from cpm_hand.rendering import hands, scene, thermal

SMALL = scene.Options(size=(96, 96), mask=True, depth=True)
THERMAL = SMALL._replace(look="thermal")


@pytest.fixture(scope="module")
def layer():
    """A flat right hand, the camera looks at its back; fingers up."""
    camera = hands.Camera(200.0, (59.5, 59.5))
    back = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])  # z out of the back, towards the camera
    return hands.render_hand(np.random.default_rng(4), camera, (120, 120), box_px=80, view=back, is_left=False,
                             pose_weights={"flat": 1.0}), camera


def hand_degrees(layer, room_c=20.0, palm_c=33.0, drop_c=0.0, seed=0):
    made, camera = layer
    return thermal._hand(np.random.default_rng(seed), made, camera, room_c, palm_c, drop_c)


def with_cover(layer, **values):
    """The same hand with another sleeve (mm of the wrist) or glove."""
    made, camera = layer
    look = made.person.look
    cover = look.cover.copy()
    cover[[0, 2]] = values.get("sleeve", -999), values.get("glove", 0)
    return made._replace(person=made.person._replace(look=look._replace(cover=cover))), camera


def test_pictures_are_grey_and_labels_masks_and_depths_those_of_the_colour_look():
    options = THERMAL._replace(empty_share=0.2, second_share=0.5)
    for number in range(1, 13):
        made = scene.render(2, number, options)
        plain = scene.render(2, number, options._replace(look="colour"))
        assert made.image.dtype == np.uint8 and made.image.shape == (96, 96, 3)
        assert (made.image == made.image[..., :1]).all() and made.image.std() > 5
        assert json.dumps(made.label) == json.dumps(plain.label) and made.jpeg_quality == plain.jpeg_quality
        np.testing.assert_array_equal(made.depth_mm, plain.depth_mm)
        np.testing.assert_array_equal(made.mask, plain.mask)
        assert (made.image != plain.image).any()


def test_a_picture_is_a_function_of_seed_and_number():
    first = [hashlib.sha256(scene.render(2, number, THERMAL).image.tobytes()).digest() for number in (1, 2)]
    assert first == [hashlib.sha256(scene.render(2, number, THERMAL).image.tobytes()).digest() for number in (1, 2)]
    assert first[0] != first[1]


@pytest.mark.parametrize("black_hot", [0.0, 1.0])
def test_the_labelled_hand_is_warmer_than_its_surroundings(monkeypatch, black_hot):
    monkeypatch.setattr(thermal, "BLACK_HOT", black_hot)
    differences = []
    for number in range(1, 31):
        made = scene.render(7, number, THERMAL._replace(second_share=0.0))
        grey, hand = made.image[..., 0].astype(float), made.mask == 255
        differences.append(grey[hand].mean() - grey[made.mask == 0].mean())
    warmer = np.array(differences) * (1 - 2 * black_hot)
    assert warmer.mean() > 60 and (warmer > 20).mean() > 0.9


def test_fingertips_are_cooler_than_the_palm_by_about_the_drop(layer):
    made, _ = layer = with_cover(layer)
    warm, cool = (np.mean([hand_degrees(layer, drop_c=drop, seed=seed) for seed in range(20)], 0) for drop in (0, 6))
    columns, rows = np.round(made.keypoints).astype(int).T
    drop = (warm - cool)[rows, columns]
    assert drop[0] < 1 and (drop[[5, 9, 13, 17]] < 2.5).all()
    assert (np.abs(drop[[4, 8, 12, 16, 20]] - 6) < 1.5).all()  # the tips; where they are seen flat


def test_skin_is_between_room_and_palm_and_sleeves_and_gloves_are_cooler(layer):
    shown = np.isfinite(layer[0].depth_mm)
    bare = hand_degrees(with_cover(layer))
    assert (bare[~shown] == 20).all() and (bare[shown] > 20).all() and bare.max() < 36
    sleeve, glove = hand_degrees(with_cover(layer, sleeve=0)), hand_degrees(with_cover(layer, glove=1))
    covered = shown & (sleeve < bare - 3)
    assert 0.02 < covered.sum() / shown.sum() < 0.9
    np.testing.assert_array_equal(sleeve[shown & ~covered], bare[shown & ~covered])
    assert glove[shown].mean() < bare[shown].mean() - 3


def test_edges_between_fingers_are_darker_than_their_middles(layer):
    """Or a fist would be a flat blob: where depth jumps, skin is seen edge-on."""
    made, _ = layer = with_cover(layer)
    degrees, shown = hand_degrees(layer), np.isfinite(made.depth_mm)
    step = np.abs(np.diff(np.where(shown, made.depth_mm, np.nan), axis=1))[1:-1]
    jumps, flat = step > 6, step < 0.5
    left = degrees[1:-1, :-1]
    assert jumps.sum() > 20 and left[jumps].mean() < left[flat].mean() - 2


def test_warmth_follows_the_nearest_bone_computed_point_by_point(layer):
    """The kernel against NumPy, one point after the other."""
    made, camera = layer
    joints_c = np.float32(np.linspace(25, 35, 21))
    patches, out = np.zeros(made.depth_mm.shape, np.float32), np.zeros(made.depth_mm.shape, np.float32)
    bones = np.array(HAND.bones)
    thermal._glow(made.depth_mm, camera.focal_px, *camera.centre_px, np.float32(made.joints_mm), bones, joints_c,
                  np.float32(999), np.float32(0), patches, np.float32(0), out)
    for y, x in np.argwhere(np.isfinite(made.depth_mm))[::97]:
        z = float(made.depth_mm[y, x])
        point = np.array([*(np.array([x, y]) - camera.centre_px) * z / camera.focal_px, z])
        weights, warmths = [], []
        for a, b in bones:
            start, along = made.joints_mm[a], made.joints_mm[b] - made.joints_mm[a]
            t = np.clip((point - start) @ along / (along @ along), 0, 1)
            weights.append((np.sum((point - start - t * along) ** 2) + 4) ** -3.0)
            warmths.append(joints_c[a] * (1 - t) + joints_c[b] * t)
        expected = np.average(warmths, weights=weights)
        cross = np.pad(made.depth_mm, 1, mode="edge")[[y + 1, y + 1, y, y + 2], [x, x + 2, x + 1, x + 1]]
        steps = np.minimum(np.abs(cross - z) * camera.focal_px / z, 4).reshape(2, 2).max(1)
        cosine = 1 / np.sqrt(1 + (steps**2).sum())
        assert abs(out[y, x] - expected * (1 - 0.6 * (1 - cosine) ** 2)) < 0.02


def test_an_even_wall_is_even_but_for_the_cameras_noise(monkeypatch):
    monkeypatch.setattr(thermal, "LAMPS", 0)
    monkeypatch.setattr(thermal, "PEOPLE", 0)
    wall = np.full((90, 120, 3), 90, np.uint8)
    for seed in range(5):
        clean = thermal.expose(np.random.default_rng(seed), wall, [], None, 0.0)
        noisy = thermal.expose(np.random.default_rng(seed), wall, [], None, 1.0)
        assert clean.shape == wall.shape and clean.min() == clean.max() and 1 < noisy.std() < 60


def test_a_bright_hand_leaves_no_halo_on_the_wall(layer):
    made, _ = layer
    shown = np.float32(made.alpha > 0)
    image = np.full((120, 120, 3), 90, np.uint8)
    wall = thermal._room(np.random.default_rng(1), image, np.ones_like(shown), 20.0)
    image[shown > 0] = 255
    got = thermal._room(np.random.default_rng(1), image, 1 - shown, 20.0)
    np.testing.assert_allclose(got[shown == 0], wall[shown == 0], atol=0.05)
