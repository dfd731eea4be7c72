"""Pictures to measure with: drawn hands on smoothed noise, as large on disk as photographs of that size."""

import json
import pathlib

import cv2
import numpy as np

from cpm_hand.hand import HAND

# Side of a patch of one noise, px, and how strong it is, grey levels. Together they make JPEGs of 25 to 30 kB
# at 368 px and quality 95, with detail at all scales, as photographs have it.
NOISE = ((96, 45.0), (32, 25.0), (12, 8.0), (5, 2.5))
QUALITY = 95


def write(folder, count: int, size: int, seed: int = 0) -> pathlib.Path:
    """Write pictures with labels in CMU's layout, NAME.jpg beside NAME.json.

    Args:
        folder: made if need be; called synth2 or synth3, a whole picture is one crop.
        count: how many.
        size: side, px.
        seed: the same seed writes the same files.

    Returns:
        The folder.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(1, count + 1):
        image, keypoints = draw(rng, size)
        cv2.imwrite(str(folder / f"{number:08d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        label = {"hand_pts": [[float(x), float(y), 1.0] for x, y in keypoints], "is_left": number % 2}
        (folder / f"{number:08d}.json").write_text(json.dumps(label))
    return folder


def draw(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A flat five-fingered figure on noise: uint8 [size, size, 3], BGR, and keypoints float [21, 2], px."""
    image = np.full((size, size, 3), rng.uniform(60, 190, 3))
    for patch, strength in NOISE:
        cells = -(-size // patch) + 1
        light = rng.normal(scale=strength, size=(cells, cells, 1))
        colour = rng.normal(scale=strength / 4, size=(cells, cells, 3))
        image += cv2.resize(light + colour, (size, size), interpolation=cv2.INTER_CUBIC)
    image = np.clip(image, 0, 255).astype(np.uint8)

    wrist = rng.uniform(0.35, 0.65, 2) * size
    turn, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.33) * size
    keypoints = np.tile(wrist, (HAND.num_joints, 1))
    for finger, spread in enumerate(np.linspace(-0.8, 0.8, 5)):
        direction = np.array([np.cos(turn + spread), np.sin(turn + spread)])
        keypoints[1 + 4 * finger:5 + 4 * finger] += np.outer((0.45, 0.65, 0.85, 1.0), direction) * reach
        chain = np.int32([wrist, *keypoints[1 + 4 * finger:5 + 4 * finger]])
        skin = [int(level) for level in (120, 150, 200) + rng.normal(scale=15, size=3)]
        cv2.polylines(image, [chain], False, skin, max(size // 20, 2), cv2.LINE_AA)
    return image, keypoints
