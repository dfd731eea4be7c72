"""The nets against published numbers, and what they see."""

import keras
import numpy as np
import pytest

from cpm_hand import nets
from cpm_hand.hand import HAND, Skeleton
from cpm_hand.layers import SpatialBelief
from cpm_hand.nets.cpm import PixelsToNet, cpm
from cpm_hand.nets.cpm_lite import cpm_lite

# Each row of NETS: parameters, convolutions, multiply-accumulates for one picture, output shape.
GOLDEN = {"cpm": (36_832_324, 52, 103_187_671_040, (None, 6, 46, 46, 22)),
          "cpm_lite": (2_839_519, 30, 623_837_184, (None, 4, 32, 32, 22))}

LAYERS = [*(f"conv{block}_{number}" for block, count in enumerate((2, 2, 4, 4, 2), 1)
            for number in range(1, count + 1)), "conv5_3_CPM", "conv6_1_CPM", "conv6_2_CPM",
          *(f"Mconv{number}_stage{stage}" for stage in range(2, 7) for number in range(1, 8))]


@pytest.fixture(scope="module")
def full() -> keras.Model:
    return cpm()


@pytest.fixture(scope="module")
def narrow() -> keras.Model:
    keras.utils.set_random_seed(0)
    return cpm(size=64, stages=2, width=1 / 16)


def convolutions(model) -> list:
    kinds = (keras.layers.Conv2D, keras.layers.Conv2DTranspose)
    return [layer for layer in model.layers if isinstance(layer, kinds)]


def test_every_net_has_golden_numbers():
    assert set(GOLDEN) == set(nets.NETS)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_net_has_the_size_that_it_is_known_by(name):
    row = nets.find(name)
    model = nets.Spec(name, row.size, row.stages).build()
    parameters, num_convolutions, macs, shape = GOLDEN[name]
    costs = nets.costs(model)
    assert (costs.parameters, costs.macs, model.output_shape) == (parameters, macs, shape)
    assert len(convolutions(model)) == num_convolutions
    assert len(model.trainable_variables) == 2 * num_convolutions
    assert shape[2] == row.size // row.target.stride


def test_the_compact_net_costs_a_fortieth_of_the_cpm():
    costs = nets.costs(cpm_lite())
    assert costs.parameters <= 3_000_000 and costs.macs <= GOLDEN["cpm"][2] / 40


def test_the_row_of_a_net_builds_what_its_builder_does_by_default(full):
    row = nets.find("cpm")
    assert (row.size, row.stages) == (368, 6)
    assert full.output_shape == nets.Spec("cpm", row.size, row.stages).build().output_shape
    row = nets.find("cpm_lite")
    assert (row.size, row.stages) == (128, 4)
    assert cpm_lite().output_shape == nets.Spec("cpm_lite", row.size, row.stages).build().output_shape


def test_layers_have_the_published_names(full):
    assert [layer.name for layer in convolutions(full)] == LAYERS


@pytest.mark.parametrize("name, count", [
    ("conv1_1", 1_792), ("conv3_1", 295_168), ("conv4_4", 2_359_808), ("conv5_3_CPM", 589_952),
    ("conv6_1_CPM", 66_048), ("conv6_2_CPM", 11_286), ("Mconv1_stage2", 940_928), ("Mconv5_stage6", 802_944),
    ("Mconv6_stage3", 16_512), ("Mconv7_stage6", 2_838)])
def test_a_layer_has_the_published_parameters(full, name, count):
    assert full.get_layer(name).count_params() == count


def test_only_the_heads_are_linear(full):
    linear = [layer.name for layer in convolutions(full) if layer.activation is keras.activations.linear]
    assert linear == ["conv6_2_CPM", *(f"Mconv7_stage{stage}" for stage in range(2, 7))]


def test_a_stage_sees_the_maps_before_the_features(full):
    concat = full.get_layer("concat_stage3")
    assert [tensor.shape[-1] for tensor in concat.input] == [22, 128]
    assert concat.input[0] is full.get_layer("Mconv7_stage2").output
    assert concat.input[1] is full.get_layer("conv5_3_CPM").output


def test_the_first_22_kernels_of_a_stage_read_the_maps(narrow):
    # Where the features are switched off, only the first 22 input channels of Mconv1 can matter.
    net = keras.models.clone_model(narrow)
    net.set_weights(narrow.get_weights())
    kernel, bias = net.get_layer("Mconv1_stage2").get_weights()
    assert kernel.shape[2] == 22 + 8
    pictures = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    tap = keras.Model(net.input, [net.get_layer(name).output for name in
                                  ("conv6_2_CPM", "conv5_3_CPM", "Mconv1_stage2")])
    for channels, source in ((slice(0, 22), 0), (slice(22, 30), 1)):
        part = np.zeros_like(kernel)
        part[3, 3, channels] = kernel[3, 3, channels]
        net.get_layer("Mconv1_stage2").set_weights([part, bias])
        outputs = [np.asarray(tensor) for tensor in tap(pictures)]
        expected = np.maximum(outputs[source] @ kernel[3, 3, channels] + bias, 0)
        np.testing.assert_allclose(outputs[2], expected, atol=1e-5)


def test_each_stage_is_one_row_of_the_stage_axis(narrow):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    names = ("conv6_2_CPM", "Mconv7_stage2")
    heads = keras.Model(narrow.input, [narrow.get_layer(name).output for name in names])
    stages = np.asarray(narrow(pictures))
    assert stages.shape == (3, 2, 8, 8, 22)
    for number, maps in enumerate(heads(pictures)):
        np.testing.assert_allclose(stages[:, number], maps, atol=1e-6)


def test_the_net_sees_bgr_between_minus_a_half_and_a_half():
    red, green, blue = 255, 128, 0
    seen = np.asarray(PixelsToNet()(np.uint8([[[[red, green, blue]]]])))
    assert seen.ravel().tolist() == [-0.5, 0.0, 255 / 256 - 0.5]


def test_pixels_are_exact_in_bfloat16():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 1, 256, 1).repeat(3, -1)
    seen = keras.ops.cast(PixelsToNet(dtype="mixed_bfloat16")(levels), "float32")
    np.testing.assert_array_equal(np.asarray(seen)[0, 0, :, 0], np.arange(256) / 256 - 0.5)


@pytest.fixture
def bfloat16():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


def test_the_heads_stay_in_float32_under_mixed_precision(bfloat16):
    net = cpm(size=32, stages=2, width=1 / 32)
    kinds = {layer.name: layer.compute_dtype for layer in net.layers}
    assert kinds["conv6_2_CPM"] == kinds["Mconv7_stage2"] == kinds["stages"] == "float32"
    assert kinds["conv1_1"] == kinds["Mconv6_stage2"] == "bfloat16"
    assert all(variable.dtype == "float32" for variable in net.variables)
    assert net(np.zeros((1, 32, 32, 3), np.uint8)).dtype == "float32"


@pytest.mark.parametrize("arguments, text", [
    ({"size": 370}, "size=370; the nearest valid size is 368"), ({"size": 0}, "got size=0"),
    ({"stages": 0}, "at least 1 stage, got stages=0"), ({"width": 0}, "above 0 .* got width=0"),
    ({"width": -1}, "got width=-1")])
def test_a_net_that_cannot_be_is_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        cpm(**arguments)


def test_one_stage_keeps_the_stage_axis():
    assert cpm(size=32, stages=1, width=1 / 32, maps=4).output_shape == (None, 1, 4, 4, 4)
    assert cpm_lite(size=32, stages=1, width=1 / 32, maps=4).output_shape == (None, 1, 8, 8, 4)


@pytest.mark.parametrize("arguments, text", [
    ({"size": 120}, "size=120; the nearest valid size is 128\\."), ({"stages": 0}, "at least 1 stage, got stages=0"),
    ({"width": -1}, "above 0, got width=-1")])
def test_a_compact_net_that_cannot_be_is_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        cpm_lite(**arguments)


def test_a_new_compact_net_says_that_a_joint_is_as_likely_anywhere_as_nowhere():
    keras.utils.set_random_seed(0)
    net = cpm_lite(size=64, stages=2, width=1 / 4)
    maps = np.asarray(net(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)))
    bell = nets.find("cpm_lite").target.bell_cells
    np.testing.assert_allclose(maps[..., :-1].sum((2, 3)) / bell, 0.5, atol=0.03)


def test_a_new_compact_net_is_as_loud_behind_as_in_front():
    keras.utils.set_random_seed(0)
    net, target = cpm_lite(), nets.find("cpm_lite").target
    layers = ("stem2", "relu1", "features", "Mconv3_stage2", "Mconv3_stage3")
    pictures = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), np.uint8)
    outputs = keras.Model(net.input, [net.get_layer(name).output for name in layers])(pictures)
    loudness = [float(np.sqrt(np.mean(np.square(output)))) for output in outputs]
    assert max(loudness) < 2.5 * min(loudness), dict(zip(layers, loudness))
    # What a stage hears of good maps may be less than of the features, but not nothing.
    maps = target.encode(np.random.default_rng(1).uniform(30, 100, (4, 21, 2)), np.ones((4, 21), bool), 128)
    heard = np.asarray(net.get_layer("fold_stage2")(maps)).std((1, 2)).mean()
    assert 0.1 < heard / np.asarray(outputs[2]).std((1, 2)).mean() < 1


def test_the_stages_of_the_compact_net_see_the_maps_before(bfloat16):
    net = cpm_lite(size=32, stages=3, width=1 / 8)  # each layer is used once: its input and output are one
    for stage in (2, 3):
        concat = net.get_layer(f"concat_stage{stage}")
        assert concat.input[0] is net.get_layer(f"fold_stage{stage}").output
        assert net.get_layer(f"fold_stage{stage}").input is net.get_layer(f"maps_stage{stage - 1}").output
        assert concat.input[1] is net.get_layer("features").output
    kinds = {layer.name: layer.compute_dtype for layer in net.layers}
    assert kinds["maps_stage3_logits"] == kinds["maps_stage1"] == kinds["stages"] == "float32"
    assert kinds["stem1"] == kinds["block2_2_2"] == "bfloat16"


def test_later_stages_of_the_compact_net_are_the_third_once_more():
    keras.utils.set_random_seed(0)
    net, three = cpm_lite(size=32, stages=5, width=1 / 8), cpm_lite(size=32, stages=3, width=1 / 8)
    assert [weight.path for weight in net.weights] == [weight.path for weight in three.weights]
    net.set_weights([np.random.default_rng(0).normal(0, 0.2, weight.shape) for weight in net.weights])
    three.set_weights(net.get_weights())
    pictures = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), np.uint8)
    maps = np.asarray(net(pictures))
    np.testing.assert_allclose(maps[:, :3], three(pictures), atol=1e-5)
    features = keras.Model(net.input, net.get_layer("features").output)(pictures)
    for stage in (4, 5):
        x = keras.ops.concatenate([net.get_layer("fold_stage3")(maps[:, stage - 2]), features], axis=-1)
        for name in ("Mconv1_stage3", "Mconv2_stage3", "Mconv3_stage3", "maps_stage3_logits", f"maps_stage{stage}"):
            x = net.get_layer(name)(x)
        np.testing.assert_allclose(maps[:, stage - 1], x, atol=1e-4)
        assert np.abs(maps[:, stage - 1] - maps[:, stage - 2]).max() > 0.01


def test_a_layer_that_is_used_twice_costs_twice():
    image = keras.Input((8, 8, 4))
    layer = keras.layers.Conv2D(4, 3, padding="same")
    assert nets.costs(keras.Model(image, layer(layer(image)))) == (148, 2 * 8 * 8 * 9 * 16, 2 * 4 * 8 * 8 * 4)


def test_spatial_beliefs_are_a_softmax_with_one_place_more():
    logits = np.random.default_rng(0).normal(0, 3, (2, 4, 5, 3)).astype(np.float32)
    maps = np.asarray(SpatialBelief(9.0)(logits))
    weights = np.exp(np.float64(logits))
    expected = 9 * weights / (1 + weights.sum((1, 2), keepdims=True))
    np.testing.assert_allclose(maps[..., :-1], expected, rtol=1e-5)
    np.testing.assert_allclose(maps[..., -1], 1 - np.minimum(expected.max(-1), 1), atol=1e-6)


@pytest.mark.parametrize("logit, mass", [(200.0, 1.0), (-200.0, 0.0)])
def test_spatial_beliefs_stand_large_logits(logit, mass):
    maps = np.asarray(SpatialBelief(9.0)(np.full((1, 4, 4, 1), logit, np.float32)))
    assert maps[..., 0].sum() / 9 == pytest.approx(mass)


def test_a_bell_read_as_a_belief_gives_its_keypoint_back():
    # Logits that are a parabola about a point: what a trained net writes.
    target = nets.find("cpm_lite").target
    cells = np.arange(16) * 4 + 1.5
    x, y = np.meshgrid(cells, cells)
    logits = 8 - ((x - 30.2) ** 2 + (y - 21.7) ** 2) / (2 * target.sigma_px ** 2)
    maps = SpatialBelief(target.bell_cells)(np.float32(logits)[None, ..., None])
    (px, py, score), = np.asarray(target.decode(maps))[0]
    # Within a hundredth of a cell: what is gathered around a bell is no Gaussian, to which alone the parabola is exact.
    assert (px, py) == (pytest.approx(30.2, abs=0.03), pytest.approx(21.7, abs=0.03))
    assert score == pytest.approx(1, abs=1e-3)


def test_an_unknown_net_lists_those_there_are():
    with pytest.raises(ValueError, match="unknown net 'unet'; the nets are cpm"):
        nets.find("unet")


def test_a_spec_comes_back_from_json_with_its_own_joints():
    three = Skeleton(("a", "b", "c"), ((0, 1), (1, 2)), (("all", (0, 1, 2)),))
    for skeleton in (HAND, three):
        spec = nets.Spec("cpm", 64, 2, 0.125, skeleton)
        assert nets.Spec.from_json({**spec.to_json(), "from_the_future": 1}) == spec
    assert spec.num_maps == 4


def test_costs_agree_with_counting_by_hand():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(image)
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.Conv2DTranspose(5, 2, strides=2)(x)
    # 64 cells: 64*9*3*4 + 64*4*9 + 64*4*(2*2*5); 4*(3*9+1) + 4*(9+1) + 5*(2*2*4+1) parameters; two outputs of 64 * 4
    # floats and one of 256 * 5.
    assert nets.costs(keras.Model(image, x)) == nets.Costs(152 + 85, 6912 + 2304 + 5120, (2 * 64 * 4 + 256 * 5) * 4)
