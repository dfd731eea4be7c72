import cv2
import numpy as np
import pytest

from cpm_hand import geometry
from cpm_hand.augment import AUGMENTATIONS, occlude, random_matrix, random_pixels

DEFAULT = AUGMENTATIONS["default"]


def picture(seed=0, size=64):
    noise = np.random.default_rng(seed).integers(0, 256, (size // 8, size // 8, 3)).astype(np.uint8)
    return cv2.resize(noise, (size, size))


def test_none_leaves_geometry_and_pixels_alone():
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(random_matrix(rng, 64, AUGMENTATIONS["none"]), [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    np.testing.assert_array_equal(random_pixels(rng, picture(), AUGMENTATIONS["none"]), picture())


@pytest.mark.parametrize("name", ["light", "default", "strong"])
def test_the_random_matrix_stays_within_its_limits(name):
    limits, rng = AUGMENTATIONS[name], np.random.default_rng(0)
    matrices = np.array([random_matrix(rng, 100, limits) for _ in range(500)])
    scale = np.sqrt(np.linalg.det(matrices[:, :, :2]))
    turn = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    centre = geometry.apply(matrices, np.full((500, 1, 2), 49.5))[:, 0] - 49.5
    ends = np.log(limits.scale)
    for drawn, low, high in ((np.log(scale), *ends), (turn, -limits.rotation, limits.rotation),
                             *((along, -100 * limits.shift, 100 * limits.shift) for along in centre.T)):
        assert low - 1e-9 <= drawn.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < drawn.max() <= high + 1e-9


@pytest.mark.parametrize("certain", [{"blur": 1.0, "blur_px": 2.0}, {"occluder": 1.0},
                                     {"noise": 1.0, "noise_levels": 20.0}])
def test_blur_occluder_and_noise_alone_change_pixels(certain):
    limits = AUGMENTATIONS["none"]._replace(**certain)
    assert (random_pixels(np.random.default_rng(0), picture(), limits) != picture()).any()


def test_the_same_generator_gives_the_same_picture_and_another_one_another():
    first, again, other = (random_pixels(np.random.default_rng(seed), picture(), AUGMENTATIONS["strong"])
                           for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_an_occluder_covers_part_of_the_picture_and_never_all_of_it():
    shares = [(occlude(np.random.default_rng(seed), picture(seed)) != picture(seed)).any(-1).mean()
              for seed in range(200)]
    assert np.mean(np.array(shares) > 0) > 0.9 and max(shares) < 0.35**2
    assert np.median(shares) > 0.005


def test_both_blurs_spread_a_square_as_far_as_they_say_and_leave_it_in_its_place():
    """Variances add up, the square's own is known. Motion spreads along one line alone, as far as a bell does."""
    square = np.zeros((61, 61, 3), np.uint8)
    square[26:35, 26:35] = 255
    own = (9**2 - 1) / 12
    limits, kinds = AUGMENTATIONS["none"]._replace(blur=1.0, blur_px=4.0), set()
    for seed in range(20):
        sigma = 4.0 * np.random.default_rng(seed).uniform(0.3, 1.0, 3)[2]  # after the draws for occluder and blur
        blurred = random_pixels(np.random.default_rng(seed), square, limits)[..., 0].astype(float)
        y, x = np.indices(blurred.shape) - 30.0
        assert np.average(x, weights=blurred) == pytest.approx(0, abs=0.05)
        assert np.average(y, weights=blurred) == pytest.approx(0, abs=0.05)
        across, along = np.linalg.eigvalsh(np.cov(np.stack([x.ravel(), y.ravel()]), aweights=blurred.ravel())) - own
        kinds.add("motion" if across < 0.3 else "focus")
        assert along == pytest.approx(sigma**2, rel=0.15, abs=0.3)
        assert across < 0.3 or across == pytest.approx(sigma**2, rel=0.15)
    assert kinds == {"motion", "focus"}


def test_noise_has_no_mean_and_is_at_most_as_strong_as_it_says():
    limits, grey = AUGMENTATIONS["none"]._replace(noise=1.0, noise_levels=20.0), np.full((96, 96, 3), 128, np.uint8)
    deviations, coloured, alike = [], [], []
    for seed in range(60):
        change = random_pixels(np.random.default_rng(seed), grey, limits).astype(float) - 128
        assert abs(change.mean()) < 2.5
        deviations.append(change.std())
        coloured.append((change[..., 0] != change[..., 1]).any())
        alike.append(np.corrcoef(change[:, 1:, 0].ravel(), change[:, :-1, 0].ravel())[0, 1])
    assert 2 < min(deviations) < 8 and 16 < max(deviations) < 20.5
    assert 0.2 < np.mean(coloured) < 0.8 and min(alike) < 0.1 and max(alike) > 0.5  # single pixels, and grains


def test_colour_changes_follow_the_plain_formula():
    limits = AUGMENTATIONS["none"]._replace(contrast=0.5, brightness=20, saturation=0.5, tint=0.1)
    changed = random_pixels(np.random.default_rng(3), picture(), limits)
    rng = np.random.default_rng(3)
    rng.random(), rng.random()                       # occluder and blur draw first
    saturation, tint = 1 + 0.5 * rng.uniform(-1, 1), 1 + 0.1 * rng.uniform(-1, 1, 3)
    contrast, brightness = 1 + 0.5 * rng.uniform(-1, 1), 20 * rng.uniform(-1, 1)
    pixels = picture().astype(float)
    grey = (pixels @ [0.299, 0.587, 0.114])[..., None]
    expected = ((grey + saturation * (pixels - grey)) * tint * contrast - 128 * contrast + 128 + brightness)
    np.testing.assert_allclose(changed, np.clip(expected, 0, 255), atol=0.75)  # OpenCV: fixed point
