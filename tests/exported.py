"""Small nets whose maps have peaks, for the tests of what is exported."""

import keras
import numpy as np
from conftest import draw_hand

from cpm_hand import checkpoints, nets, parity

SPECS = {"cpm": nets.Spec("cpm", 64, 3, 1 / 16), "cpm_lite": nets.Spec("cpm_lite", 64, 4, 1 / 4)}
HEADS = ("conv6_2_CPM/kernel", "Mconv7_stage", "_logits/kernel")


def small_checkpoint(spec: nets.Spec, **state) -> checkpoints.Checkpoint:
    """Random weights whose averages are not the last ones: heads thirty times as strong, so that maps have peaks."""
    keras.utils.set_random_seed(0)
    arrays = {name: np.array(variable) for name, variable in checkpoints.variables(spec.build()).items()}
    average = {name: array * 30 for name, array in arrays.items()
               if name.endswith("kernel") and any(head in name for head in HEADS)}
    return checkpoints.Checkpoint(spec, 5, arrays, average, {}, state)


def random_checkpoint(spec: nets.Spec, *, seed: int = 0, step: int = 0, scale: float = 0.05,
                      **state) -> checkpoints.Checkpoint:
    """Noise in all weights, biases too, and nothing else."""
    rng = np.random.default_rng(seed)
    weights = {name: np.float32(rng.normal(0, scale, tuple(variable.shape)))
               for name, variable in checkpoints.variables(spec.build()).items()}
    return checkpoints.Checkpoint(spec, step, weights, {}, {}, state)


def pictures(size: int = 64, count: int = 4, num_joints: int = 21, seed: int = 0) -> parity.Pictures:
    """Drawn hands in the place of rendered ones, which take seconds to begin with."""
    drawn = [draw_hand(np.random.default_rng([seed, number]), size) for number in range(count)]
    points = np.float32([keypoints for _, keypoints in drawn])[:, :num_joints]
    return parity.Pictures(np.stack([image for image, _ in drawn]), points, np.ones(points.shape[:2], bool))
