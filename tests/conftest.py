"""What several test files use: small labelled pictures on disk, and the real ones where they are."""

import json
import os
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

REAL = pathlib.Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """Folder of real sample pictures, which users do not have."""
    if not REAL.is_dir():
        pytest.skip(f"no real sample pictures at {REAL}")
    return REAL


def datasets_command(*arguments) -> subprocess.CompletedProcess:
    """`python -m cpm_hand.datasets` with these arguments, from the repository's root."""
    return subprocess.run([sys.executable, "-m", "cpm_hand.datasets", *map(str, arguments)],
                          capture_output=True, text=True, cwd=pathlib.Path(__file__).parents[1])


def write_grey(path: pathlib.Path, width: int = 64, height: int = 64) -> None:
    """A plain grey picture, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), 90, np.uint8))


def deepest_between_fingers(shape, joints: np.ndarray) -> float:
    """An oracle in mm: points along the outer two bones of each finger, each finger against each other one."""
    t = np.linspace(0, 1, 9)[:, None]
    clouds = []
    for finger in range(5):
        bones = [1 + 4 * finger + part for part in (2, 3)]
        points = np.concatenate([joints[b - 1] * (1 - t) + joints[b] * t for b in bones])
        radii = 0.92 * np.concatenate([shape.half_widths[b - 1] * (1 - t) + shape.half_widths[b] * t for b in bones])
        clouds.append((points, radii))
    return max((clouds[i][1] + clouds[j][1].T - np.linalg.norm(clouds[i][0][:, None] - clouds[j][0], axis=-1)).max()
               for i in range(5) for j in range(i))


def draw_hand(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A flat five-fingered figure: picture uint8 [size, size, 3] RGB and keypoints [21, 2]."""
    centre = rng.uniform(0.4, 0.6, 2) * size
    angle, scale = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.35) * size
    keypoints = [centre]
    for finger, spread in enumerate(np.linspace(-0.9, 0.9, 5)):
        direction = np.array([np.cos(angle + spread), np.sin(angle + spread)])
        keypoints += [centre + direction * scale * length for length in (0.45, 0.65, 0.85, 1.0 + 0.04 * finger)]
    keypoints = np.array(keypoints)
    image = np.full((size, size, 3), rng.integers(0, 90, 3), np.uint8)
    for finger in range(5):
        colour = (60 + 45 * finger, 240 - 40 * finger, 120 + 25 * (finger % 3))
        chain = np.int32([keypoints[0], *keypoints[1 + 4 * finger:5 + 4 * finger]])
        cv2.polylines(image, [chain], False, colour, max(size // 24, 2), cv2.LINE_AA)
    return image, keypoints


def write_hands(folder: pathlib.Path, count: int, size: int = 64, seed: int = 0, first: int = 1) -> pathlib.Path:
    """Write drawn hands in CMU's layout, NAME.jpg and NAME.json side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(first, first + count):
        image, keypoints = draw_hand(rng, size)
        cv2.imwrite(str(folder / f"{number:08d}.jpg"), image[..., ::-1])
        points = [[float(x), float(y), 1.0] for x, y in keypoints]
        (folder / f"{number:08d}.json").write_text(json.dumps({"hand_pts": points, "is_left": number % 2}))
    return folder


@pytest.fixture(scope="session")
def synth_root(tmp_path_factory) -> pathlib.Path:
    """A small hand_labels_synth with 24 hands in synth2 and 16 in synth3."""
    root = tmp_path_factory.mktemp("hands") / "hand_labels_synth"
    write_hands(root / "synth2", 24, seed=1)
    write_hands(root / "synth3", 16, seed=2)
    return root
