"""Weights by name, Keras' files, and the start from VGG-19."""

import pathlib
from collections import OrderedDict

import h5py
import keras
import numpy as np
import pytest
from scipy.ndimage import correlate
from weight_files import write_npy

from cpm_hand import checkpoints, nets, weights
from cpm_hand.weights import BadWeights

SPEC = nets.Spec("cpm", 32, 2, 1 / 32)


@pytest.fixture(scope="module")
def net() -> keras.Model:
    return SPEC.build()


def values(model) -> dict:
    return {name: np.array(variable) for name, variable in checkpoints.variables(model).items()}


def equal(a: dict, b: dict) -> bool:
    return set(a) == set(b) and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def vgg() -> dict[str, np.ndarray]:
    """Random weights in the shapes of VGG-19 by Keras's names, narrow behind conv1_1 to stay small."""
    rng, arrays, channels = np.random.default_rng(0), {}, 3
    for block, (count, width) in enumerate(((2, 64), (2, 5), (4, 4), (4, 3), (4, 3)), 1):
        for number in range(1, count + 1):
            arrays[f"block{block}_conv{number}/kernel"] = rng.normal(size=(3, 3, channels, width)) * 0.1
            arrays[f"block{block}_conv{number}/bias"] = rng.normal(size=width)
            channels = width
    return {name: np.float32(array) for name, array in arrays.items()}


def write_h5(path: pathlib.Path, arrays) -> pathlib.Path:
    """The layout and the names of Keras's VGG-19 file."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            layer, variable = name.split("/")
            file.create_dataset(f"{layer}/{layer}_{'W' if variable == 'kernel' else 'b'}_1:0", data=array)
    return path


def replica(vgg, as_bytes=False, flat=False) -> dict:
    """The same in the prior replica's layout."""
    def spell(text):
        return text.encode() if as_bytes else text

    nested = {}
    for name, array in vgg.items():
        layer, variable = name.replace("block", "conv", 1).replace("_conv", "_", 1).split("/")
        variable = {"kernel": "weights", "bias": "biases"}[variable]
        if flat:
            nested[spell(f"{layer}/{variable}")] = array
        else:
            nested.setdefault(spell(layer), {})[spell(variable)] = array
    return nested


def test_arrays_go_where_their_name_is_and_the_report_says_what_did_not(net):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 2)).astype(np.float32)
    before = values(net)
    report = weights.load_by_name(net, {"conv1_1/kernel": kernel, "fc8/kernel": kernel})
    assert report.used == ["conv1_1/kernel"] and report.unused == ["fc8/kernel"]
    assert len(report.missing) == len(net.variables) - 1 and "conv1_1/bias" in report.missing
    assert equal(values(net), {**before, "conv1_1/kernel": kernel})


def test_another_shape_names_both_and_changes_nothing(net):
    before = values(net)
    arrays = {"conv1_1/bias": np.ones(2, np.float32), "Mconv7_stage2/bias": np.zeros(4, np.float32)}
    with pytest.raises(BadWeights, match=r"'Mconv7_stage2/bias' is \(4,\) in the file and \(22,\) in"):
        weights.load_by_name(net, arrays)
    assert equal(values(net), before)


def test_no_name_in_common_is_an_error_that_shows_both(net):
    with pytest.raises(BadWeights, match="not one of 1 arrays .* 'fc8/kernel', the model 'conv1_1/kernel'"):
        weights.load_by_name(net, {"fc8/kernel": np.zeros(3)})


def test_a_keras_file_gives_back_every_variable_under_its_own_name(net, tmp_path):
    net.save_weights(tmp_path / "net.weights.h5")
    assert equal(weights.read_arrays(tmp_path / "net.weights.h5"), values(net))


@pytest.mark.parametrize("name", sorted(nets.NETS))
def test_a_keras_file_of_any_of_our_nets_gives_back_every_variable(name, tmp_path):
    row = nets.NETS[name]
    model = nets.Spec(name, 64, 2 if row.stages > 1 else 1, 1 / 16).build()
    model.save_weights(tmp_path / "net.weights.h5")
    assert equal(weights.read_arrays(tmp_path / "net.weights.h5"), values(model))


def test_batch_normalization_keeps_the_order_of_its_variables(tmp_path):
    image = keras.Input((8, 8, 3))
    x = keras.layers.DepthwiseConv2D(3, name="depth")(image)
    model = keras.Model(image, keras.layers.BatchNormalization(name="norm")(x))
    for number, variable in enumerate(model.variables):
        variable.assign(np.full(variable.shape, number, np.float32))
    model.save_weights(tmp_path / "net.weights.h5")
    assert equal(weights.read_arrays(tmp_path / "net.weights.h5"), values(model))


def test_a_run_and_a_checkpoint_give_their_averaged_weights(net, tmp_path):
    average = {"conv1_1/bias": np.float32([8, 9])}
    state = checkpoints.Checkpoint(SPEC, 1, values(net), average, {}, {})
    path = checkpoints.step_path(tmp_path, 1)
    checkpoints.save(path, state)
    for source in (tmp_path, path):
        assert equal(weights.read_arrays(source), {**values(net), **average})


@pytest.mark.parametrize("name, content, text", [
    ("a.pth", b"x", "unknown kind of weight file; expected a run's folder"),
    ("a.pth", None, "no such file"), ("a.h5", None, "no such file"), ("a.h5", b"", "not a whole HDF5 file"),
    ("a.npz", b"x", "not a whole")])
def test_a_file_of_another_kind_is_named(tmp_path, name, content, text):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: {text}"):
        weights.read_arrays(tmp_path / name)


def test_a_keras_file_cut_short_is_recognised(net, tmp_path):
    path = tmp_path / "net.weights.h5"
    net.save_weights(path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(BadWeights, match="not a whole HDF5 file"):
        weights.read_arrays(path)


def vgg_convolution(vgg, pixels: np.ndarray) -> np.ndarray:
    """VGG's own first layer on BGR pixels of 0 to 255, away from the border, by SciPy."""
    kernel, bias = vgg["block1_conv1/kernel"], vgg["block1_conv1/bias"]
    y = np.float64(pixels) - np.array([103.939, 116.779, 123.68])
    sums = [sum(correlate(y[..., c], np.float64(kernel[..., c, k]), mode="constant") for c in range(3))
            for k in range(kernel.shape[-1])]
    return np.maximum(np.stack(sums, -1) + bias, 0)[1:-1, 1:-1]


def test_our_first_layer_on_our_input_is_vggs_on_its_own(vgg, tmp_path):
    arrays = weights.vgg19_arrays(str(write_h5(tmp_path / "vgg.h5", vgg)))
    rgb = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    net = nets.cpm.cpm(size=16, stages=1, width=1)
    weights.load_by_name(net, {name: array for name, array in arrays.items() if name.startswith("conv1_1/")})
    ours = keras.Model(net.input, net.get_layer("conv1_1").output)(rgb[None])
    expected = vgg_convolution(vgg, rgb[..., ::-1])
    np.testing.assert_allclose(ours[0, 1:-1, 1:-1], expected, rtol=1e-4, atol=1e-4 * expected.max())


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("as_bytes", [True, False])
def test_the_replicas_dictionary_gives_the_same_as_keras_file(vgg, tmp_path, as_bytes, flat, protocol):
    expected = weights.vgg19_arrays(str(write_h5(tmp_path / "vgg.h5", vgg)))
    path = write_npy(tmp_path / "vgg.npy", replica(vgg, as_bytes, flat), protocol)
    assert equal(weights.vgg19_arrays(str(path)), expected)
    assert len(expected) == 28 and "conv5_2/kernel" in expected and "conv5_3/kernel" not in expected


def test_numpys_own_file_of_the_dictionary_is_read(vgg, tmp_path):
    np.save(tmp_path / "vgg.npy", OrderedDict(replica(vgg)), allow_pickle=True)
    assert len(weights.vgg19_arrays(str(tmp_path / "vgg.npy"))) == 28


def test_a_narrow_net_cannot_start_from_vgg19(net, vgg, tmp_path):
    with pytest.raises(BadWeights, match=r"fits only width 1: 'conv1_1/kernel' is \(3, 3, 3, 64\) there and"):
        weights.start_from_vgg19(net, str(write_h5(tmp_path / "vgg.h5", vgg)))


def test_vgg_16_is_told_apart(vgg, tmp_path):
    fewer = {name: array for name, array in vgg.items() if "conv4/" not in name}
    with pytest.raises(BadWeights, match="'conv3_4/kernel', .* VGG-16 lacks conv3_4"):
        weights.vgg19_arrays(str(write_h5(tmp_path / "vgg.h5", fewer)))


def test_without_a_network_one_error_says_how_to_go_without(monkeypatch):
    def offline(*_, **__):
        raise Exception("URL fetch failure on https://storage: None -- no route to host")

    monkeypatch.setattr(keras.utils, "get_file", offline)
    with pytest.raises(BadWeights, match="no route to host.*--backbone_weights=none, or download http.*PATH"):
        weights.vgg19_arrays("imagenet")


def test_a_word_that_is_no_file_says_what_is_read():
    with pytest.raises(BadWeights, match="imagnet: VGG-19 weights are read from .* 'imagenet' or 'none'"):
        weights.vgg19_arrays("imagnet")
