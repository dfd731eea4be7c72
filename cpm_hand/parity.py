"""Whether an artefact computes what its Keras model computes, asked in a fresh process.

`python -m cpm_hand.parity ARTEFACT PICTURES.npz RESULT.npz` is that process: it loads one artefact as any
user would, runs it and leaves its answers.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
from typing import NamedTuple

import keras
import numpy as np

import cpm_hand

MAP_TOLERANCE = 1e-3        # largest difference in a belief
KEYPOINT_TOLERANCE_PX = 0.05
CLEAR_SCORE = 0.05          # keypoints with lower scores are not compared


class Parity(NamedTuple):
    """Largest differences between an artefact in a fresh process and the Keras model in this one.

    Attributes:
        maps: in belief maps and stages.
        keypoints_px: in x and y of the joints with a clear peak, input px; 0 where there is none.
        num_keypoints: how many had one.
    """

    maps: float
    keypoints_px: float
    num_keypoints: int


def pictures(size: int) -> np.ndarray:
    """Seeded pictures for the comparison: noise, and soft blobs: uint8 [2, size, size, 3]."""
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (size, size, 3))
    rows, columns = np.indices((size, size))
    waves = [np.sin(rows * a + columns * b + c) for a, b, c in generator.uniform(-0.2, 0.2, (3, 3))]
    return np.uint8([noise, 127.5 + 127.5 * np.stack(waves, -1)])


def compare(model: keras.Model, artefact: pathlib.Path) -> Parity:
    """Run an artefact in a fresh process and compare it with the model on `pictures`.

    Keypoints are compared where their place is well defined: the score is above CLEAR_SCORE and the highest
    cell leads the second by MAP_TOLERANCE. On a flat map, or one with two equal peaks, a difference in the
    last bit may move the keypoint across the picture.

    Raises:
        ValueError: it does not run, or a difference is above MAP_TOLERANCE or KEYPOINT_TOLERANCE_PX.
    """
    images = pictures(model.inputs[0].shape[1])
    expected = {name: keras.ops.convert_to_numpy(value) for name, value in model(images).items()}
    got = _run_elsewhere(artefact, images)
    # NumPy's max keeps a NaN, Python's may drop it.
    maps = float(np.max([np.abs(expected[name] - got[name]).max() for name in ("belief_maps", "stages")]))
    num_joints = expected["keypoints"].shape[1]
    cells = expected["stages"][:, -1, ..., :num_joints].reshape(len(images), -1, num_joints)
    second, first = np.sort(cells, axis=1)[:, -2:].swapaxes(0, 1)                    # [B, J] each
    clear = (expected["keypoints"][..., 2] > CLEAR_SCORE) & (first - second > MAP_TOLERANCE)
    moved = np.abs(expected["keypoints"] - got["keypoints"])[clear][:, :2]
    result = Parity(maps, float(np.max(moved, initial=0.0)), int(clear.sum()))
    if not (result.maps <= MAP_TOLERANCE and result.keypoints_px <= KEYPOINT_TOLERANCE_PX):  # NaN fails too
        raise ValueError(f"{artefact.name}: differs from the model: {result.maps:.2g} in belief maps "
                         f"(allowed {MAP_TOLERANCE}), {result.keypoints_px:.2g} px in keypoints (allowed "
                         f"{KEYPOINT_TOLERANCE_PX}). It was removed; please report this.")
    return result


def _run_elsewhere(artefact: pathlib.Path, images: np.ndarray) -> dict[str, np.ndarray]:
    package = pathlib.Path(cpm_hand.__file__).parents[1]
    paths = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory() as folder:
        given, result = pathlib.Path(folder) / "pictures.npz", pathlib.Path(folder) / "result.npz"
        np.savez(given, images=images)
        done = subprocess.run([sys.executable, "-m", "cpm_hand.parity", artefact, given, result],
                              env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"{artefact.name}: the artefact does not load in a fresh process; it was "
                             f"removed. {done.stderr.strip()[-500:]}")
        with np.load(result, allow_pickle=False) as arrays:
            return dict(arrays)


if __name__ == "__main__":
    from cpm_hand import runtimes

    given = np.load(sys.argv[2], allow_pickle=False)["images"]
    np.savez(sys.argv[3], **runtimes.load(sys.argv[1])(given))
