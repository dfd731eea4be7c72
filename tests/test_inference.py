"""The net, the decoder and the upsampling as one model."""

import keras
import numpy as np
import pytest

from cpm_hand import nets
from cpm_hand.inference import inference_model
from cpm_hand.targets import BeliefMaps

TARGET = BeliefMaps(stride=8, sigma_px=7.0)


class Painted(keras.layers.Layer):
    """A net that has learnt one hand by heart: two stages, the second right, the first empty."""

    def __init__(self, maps):
        super().__init__(dtype="float32")
        self.maps = maps

    def call(self, images):
        """uint8 [B, H, W, 3] to [B, 2, h, w, C]."""
        stages = keras.ops.stack([keras.ops.zeros_like(self.maps), self.maps])[None]
        scale = keras.ops.cast(images[:, :1, :1, :1], "float32")[:, None] / 255.0
        return stages * scale


@pytest.fixture(scope="module")
def painted():
    keypoints = np.random.default_rng(0).uniform(8, 56, (21, 2)).astype(np.float32)
    maps = TARGET.encode(keypoints, np.ones(21, bool), 64)
    image = keras.Input((64, 64, 3), dtype="uint8", name="image")
    return keypoints, np.asarray(maps), inference_model(keras.Model(image, Painted(maps)(image)), TARGET)


def test_keypoints_come_from_the_last_stage_in_input_pixels(painted):
    keypoints, _, model = painted
    outputs = model(np.full((2, 64, 64, 3), 255, np.uint8))
    np.testing.assert_allclose(outputs["keypoints"][1, :, :2], keypoints, atol=0.02)
    np.testing.assert_allclose(outputs["keypoints"][1, :, 2], 1, atol=1e-3)
    np.testing.assert_allclose(outputs["presence"], 1, atol=1e-3)


def test_belief_maps_are_the_last_stage_upsampled_and_stages_are_left_alone(painted):
    _, maps, model = painted
    outputs = model(np.full((1, 64, 64, 3), 255, np.uint8))
    np.testing.assert_allclose(outputs["belief_maps"], TARGET.upsample(maps[None], 64), atol=1e-6)
    np.testing.assert_allclose(outputs["stages"][0], [np.zeros_like(maps), maps], atol=1e-6)


def test_each_picture_of_a_batch_has_its_own_answer(painted):
    _, _, model = painted
    pictures = np.zeros((3, 64, 64, 3), np.uint8)
    pictures[1] = 255
    assert np.asarray(model(pictures)["presence"]).round(3).tolist() == [0, 1, 0]


def test_the_model_says_what_goes_in_and_what_comes_out(painted):
    _, _, model = painted
    assert model.input.name == "image" and model.input.dtype == "uint8"
    shapes = {name: tuple(tensor.shape) for name, tensor in model.output.items()}
    assert shapes == {"belief_maps": (None, 64, 64, 22), "stages": (None, 2, 8, 8, 22),
                      "keypoints": (None, 21, 3), "presence": (None,)}


def test_it_comes_back_from_its_file_with_the_same_numbers(tmp_path):
    spec = nets.Spec("cpm", 32, 1, 1 / 32)
    model = inference_model(spec.build(), spec.target)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    for name, value in model(pictures).items():
        np.testing.assert_allclose(again(pictures)[name], value, atol=1e-6)


@pytest.mark.parametrize("spec", [nets.Spec("cpm", 32, 2, 1 / 32), nets.Spec("cpm_lite", 32, 1, 1 / 8)])
def test_keypoints_alone_are_the_same_without_upsampling_and_without_the_earlier_stages(spec):
    net = spec.build()
    whole, alone = (inference_model(net, spec.target, maps=maps) for maps in (True, False))
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    got = alone(pictures)
    assert set(got) == {"keypoints", "presence"} and "upsample" not in [layer.name for layer in alone.layers]
    np.testing.assert_allclose(got["keypoints"], whole(pictures)["keypoints"], atol=1e-4)


def test_a_net_that_does_not_end_in_stacked_stages_gives_keypoints_alone_too(painted):
    keypoints, maps, _ = painted
    image = keras.Input((64, 64, 3), dtype="uint8", name="image")
    model = inference_model(keras.Model(image, Painted(maps)(image)), TARGET, maps=False)
    got = model(np.full((1, 64, 64, 3), 255, np.uint8))["keypoints"]
    np.testing.assert_allclose(got[0, :, :2], keypoints, atol=0.02)
