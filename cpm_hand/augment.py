"""Random changes to a training picture: geometry as a matrix, colour, blur and occluders on the pixels.

Everything is drawn from a NumPy generator that the caller seeds per sample, so a sample looks the same whichever
worker makes it. What moves pixels is only ever a 2x3 matrix, which moves the joints too.
"""

from typing import NamedTuple

import cv2
import numpy as np

from cpm_hand import geometry


class Augmentation(NamedTuple):
    """How far a training picture may be changed.

    Attributes:
        rotation: largest turn to either side, degrees.
        scale: smallest and largest factor on the hand's size; drawn evenly on a logarithmic scale.
        shift: largest shift in x and in y, as a fraction of the input's side.
        contrast: largest relative change of contrast.
        brightness: largest change of brightness, in grey levels of 255.
        saturation: largest relative change of saturation.
        tint: largest relative change of each colour channel.
        blur: probability of a blur: half of them as out of focus, half as by motion along a line.
        blur_px: largest standard deviation of the blur, px; of motion along its line.
        noise: probability of noise, of single pixels or of clumps of two or three.
        noise_levels: largest standard deviation of the noise, grey levels of 255.
        occluder: probability of one shape laid over the picture.
    """

    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    saturation: float = 0.0
    tint: float = 0.0
    blur: float = 0.0
    blur_px: float = 0.0
    noise: float = 0.0
    noise_levels: float = 0.0
    occluder: float = 0.0


AUGMENTATIONS = {
    "none": Augmentation(),
    # For crops around boxes that are as well known as in use: less to guess, so more is learnt of the hand.
    "light": Augmentation(rotation=15, scale=(0.88, 1.12), shift=0.03, contrast=0.25, brightness=25, saturation=0.3,
                          tint=0.08, blur=0.25, blur_px=2.5, noise=0.25, noise_levels=20, occluder=0.05),
    "default": Augmentation(rotation=40, scale=(0.75, 1.25), shift=0.08, contrast=0.25, brightness=25,
                            saturation=0.3, tint=0.08, blur=0.25, blur_px=2.5, noise=0.25, noise_levels=20,
                            occluder=0.15),
    "strong": Augmentation(rotation=180, scale=(0.5, 1.5), shift=0.15, contrast=0.5, brightness=50,
                           saturation=0.7, tint=0.2, blur=0.3, blur_px=3.0, noise=0.3, noise_levels=30, occluder=0.4),
}


def random_matrix(rng: np.random.Generator, size: int, augmentation: Augmentation) -> np.ndarray:
    """A random turn, scale and shift of a size x size input: float [2, 3], input px to input px."""
    low, high = np.log(augmentation.scale)
    turn, zoom, x, y = rng.uniform(-1, 1), rng.uniform(low, high), rng.uniform(-1, 1), rng.uniform(-1, 1)
    reach = augmentation.shift * size
    return geometry.rotate_scale_shift(size, degrees=augmentation.rotation * turn, scale=float(np.exp(zoom)),
                                       shift=(x * reach, y * reach))


def random_pixels(rng: np.random.Generator, image: np.ndarray, augmentation: Augmentation) -> np.ndarray:
    """Random occluder, blur, colour and noise; the joints stay where they are.

    Args:
        rng: the sample's own generator.
        image: uint8 [H, W, 3], RGB; may be written to.
        augmentation: how far to go; all zeros returns the image as it came.

    Returns:
        uint8 [H, W, 3].
    """
    if rng.random() < augmentation.occluder:
        image = occlude(rng, image)
    if rng.random() < augmentation.blur:
        image = _blur(rng, image, rng.uniform(0.3, 1.0) * augmentation.blur_px)
    if any((augmentation.contrast, augmentation.brightness, augmentation.saturation, augmentation.tint)):
        image = cv2.transform(image, _random_colours(rng, augmentation))
    if rng.random() < augmentation.noise:  # after the colours: what is dark has no less of it
        image = _add_noise(rng, image, rng.uniform(0.2, 1.0) * augmentation.noise_levels)
    return image


def _blur(rng: np.random.Generator, image: np.ndarray, sigma: float) -> np.ndarray:
    """Out of focus, or moved evenly along a line of any direction, with the same standard deviation along it."""
    if rng.random() < 0.5:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    reach = np.sqrt(3) * sigma  # of an even spread, to either side
    turn = rng.uniform(0, np.pi)
    half = int(np.ceil(reach))
    cells = np.arange(2 * half + 1)
    # Many points of the line, each shared among the four cells around it.
    along = (np.arange(8 * half) - 4 * half + 0.5) / (4 * half) * reach
    column, row = (np.maximum(1 - np.abs(half + along[:, None] * part - cells), 0)
                   for part in (np.cos(turn), np.sin(turn)))
    kernel = np.float32(row.T @ column)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def _add_noise(rng: np.random.Generator, image: np.ndarray, sigma: float) -> np.ndarray:
    """Add normal noise, the same for a pixel's channels or of each channel's own, in grains of 1 to 3 px."""
    height, width = image.shape[:2]
    grain, channels = int(rng.integers(1, 4)), int(rng.choice([1, 3]))
    coarse = rng.standard_normal((-(-height // grain), -(-width // grain), channels), np.float32)
    noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, channels)
    return np.uint8(np.clip(image + sigma * noise + 0.5, 0, 255))


def _random_colours(rng: np.random.Generator, augmentation: Augmentation) -> np.ndarray:
    """Saturation, tint, contrast and brightness as one affine map of RGB, [3, 4]; OpenCV rounds and clips."""
    saturation = 1 + augmentation.saturation * rng.uniform(-1, 1)
    grey = np.full((3, 1), 1.0) @ np.array([[0.299, 0.587, 0.114]])  # ITU-R BT.601 luma
    colours = saturation * np.eye(3) + (1 - saturation) * grey
    tint = 1 + augmentation.tint * rng.uniform(-1, 1, 3)
    contrast = 1 + augmentation.contrast * rng.uniform(-1, 1)
    colours = contrast * tint[:, None] * colours
    middle = 128.0  # contrast turns about mid-grey
    offset = middle * (1 - contrast) + augmentation.brightness * rng.uniform(-1, 1)
    return np.hstack([colours, np.full((3, 1), offset)])


def occlude(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Lay one random convex shape over the picture, plain or filled with another part of the same picture.

    The shape covers at most 35 % of the side in each direction, so a hand is never hidden as a whole.
    """
    height, width = image.shape[:2]
    half = rng.uniform(0.05, 0.175, 2) * (width, height)
    centre = rng.uniform(0, 1, 2) * (width, height)
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 9)))
    corners = np.int32(centre + half * np.stack([np.cos(angles), np.sin(angles)], 1))
    mask = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(mask, corners, 1, lineType=cv2.LINE_8)
    if rng.random() < 0.5:
        filling = np.empty_like(image)
        filling[:] = rng.integers(0, 256, 3)
    else:
        filling = np.roll(image, rng.integers(1, [height, width]), axis=(0, 1))
    return cv2.copyTo(filling, mask, image)
