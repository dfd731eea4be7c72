"""Published weights converted: the net computes what the file's own program would have computed with them."""

import os
import subprocess
import sys

import cv2
import h5py
import numpy as np
import pytest
from weight_files import Calls, stream_bytes, torch_pickle, write_caffe, write_npy, write_pth, zip_bytes

from cpm_hand import checkpoints, conversion, hdf5, nets, runtimes, weights
from cpm_hand.conversion import convert
from cpm_hand.foreign import BadWeights
from cpm_hand.predict import Predictor

NARROW = nets.Spec("cpm", size=24, stages=3, width=1 / 32)
POOLED = ("conv1_2", "conv2_2", "conv3_4")
FRONT = [f"conv{block}_{number}" for block, count in ((1, 2), (2, 2), (3, 4), (4, 4), (5, 2))
         for number in range(1, count + 1)] + ["conv5_3_CPM"]


def layer_table(width: float, stages: int) -> dict[str, tuple[int, int, int]]:
    """The published layers by hand: name to channels in, channels out, kernel."""
    def wide(channels):
        return round(channels * width)

    table, before = {}, 3
    for name, channels in zip(FRONT, [64] * 2 + [128] * 2 + [256] * 4 + [512] * 6 + [128], strict=True):
        table[name], before = (before, wide(channels), 3), wide(channels)
    table["conv6_1_CPM"], table["conv6_2_CPM"] = (wide(128), wide(512), 1), (wide(512), 22, 1)
    for stage in range(2, stages + 1):
        for number in range(1, 6):
            table[f"Mconv{number}_stage{stage}"] = (22 + wide(128) if number == 1 else wide(128), wide(128), 7)
        table[f"Mconv6_stage{stage}"] = (wide(128), wide(128), 1)
        table[f"Mconv7_stage{stage}"] = (wide(128), 22, 1)
    return table


def random_layers(width: float, stages: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernels [out, in, h, w] and biases [out], such that values neither die out nor grow."""
    rng = np.random.default_rng(0)
    layers = {}
    for name, (into, out, side) in layer_table(width, stages).items():
        spread = np.float32(np.sqrt(2 / (into * side * side)))
        layers[name] = (rng.standard_normal((out, into, side, side), np.float32) * spread,
                        rng.standard_normal(out, np.float32) * np.float32(0.1))
    return layers


def convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Correlation as Caffe does it, [C, H, W] with zeros around, one kernel cell after the other, in float64."""
    side, (_, height, width) = kernel.shape[-1], x.shape
    x = np.pad(x, ((0, 0), (side // 2,) * 2, (side // 2,) * 2))
    return np.float64(bias)[:, None, None] + sum(
        np.tensordot(np.float64(kernel[:, :, row, column]), x[:, row:row + height, column:column + width], 1)
        for row in range(side) for column in range(side))


def evaluate(layers, rgb: np.ndarray, stages: int) -> np.ndarray:
    """The published net on a picture: float64 [S, h, w, 22]."""
    def relu(x, name):
        return np.maximum(convolve(x, *layers[name]), 0)

    x = np.float64(rgb[..., ::-1]).transpose(2, 0, 1) / 256 - 0.5      # BGR, as Caffe got it from OpenCV
    for name in FRONT:
        x = relu(x, name)
        if name in POOLED:
            x = np.max([x[:, row::2, column::2] for row in (0, 1) for column in (0, 1)], axis=0)
    features, outputs = x, [convolve(relu(x, "conv6_1_CPM"), *layers["conv6_2_CPM"])]
    for stage in range(2, stages + 1):
        x = np.concatenate([outputs[-1], features])
        for number in range(1, 7):
            x = relu(x, f"Mconv{number}_stage{stage}")
        outputs.append(convolve(x, *layers[f"Mconv7_stage{stage}"]))
    return np.stack(outputs).transpose(0, 2, 3, 1)


def write(path, layers, kind: str):
    """The same layers as a file of each kind."""
    if kind == "caffe":
        return write_caffe(path, layers)
    if kind == "npy":
        return write_npy(path, {name: {"weights": kernel.transpose(2, 3, 1, 0), "biases": bias}
                                for name, (kernel, bias) in layers.items()})
    return write_pth(path, {f"{name}.{variable}": array for name, arrays in layers.items()
                            for variable, array in zip(("weight", "bias"), arrays)}, kind)


@pytest.fixture(scope="module")
def layers() -> dict:
    return random_layers(NARROW.width, NARROW.stages)


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)


def assert_computes(path, rgb, expected, spec=NARROW):
    """float32 against float64: 1e-5 of the largest value of a stage."""
    net = spec.build()
    report = weights.load_by_name(net, weights.read_arrays(path))
    assert not report.unused and not report.missing
    maps = np.array(net(rgb[None])[0])
    for stage in range(spec.stages):
        np.testing.assert_allclose(maps[stage], expected[stage], rtol=0, atol=1e-5 * abs(expected[stage]).max())


@pytest.mark.parametrize("name", ["hand.npz", "hand.weights.h5"])
@pytest.mark.parametrize("kind", ["caffe", "zip", "stream", "npy"])
def test_the_converted_net_computes_what_a_plain_loop_computes_with_the_files_weights(
        tmp_path, layers, rgb, kind, name):
    source = write(tmp_path / "weights", layers, kind)  # no suffix: content alone tells what it is
    done = convert(source, tmp_path / name, NARROW)
    assert len(done.used) == 2 * len(layers) and not done.unused and done.spec == NARROW
    assert_computes(tmp_path / name, rgb, evaluate(layers, rgb, NARROW.stages))


def prototxt(stages: int, size: int) -> str:
    """The published net's description for Caffe."""
    lines = [f'input: "image" input_dim: 1 input_dim: 3 input_dim: {size} input_dim: {size}']

    def add(name, kind, bottoms, more=""):
        bottom = " ".join(f'bottom: "{blob}"' for blob in bottoms)
        lines.append(f'layer {{ name: "{name}" type: "{kind}" {bottom} top: "{name}" {more} }}')
        return name

    def conv(x, name, relu=True):
        _, out, side = layer_table(NARROW.width, stages)[name]
        add(name, "Convolution", [x],
            f"convolution_param {{ num_output: {out} kernel_size: {side} pad: {side // 2} }}")
        return add(f"{name}_relu", "ReLU", [name]) if relu else name

    x = "image"
    for name in FRONT:
        x = conv(x, name)
        if name in POOLED:
            x = add(f"{name}_pool", "Pooling", [x], "pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    features, last = x, conv(conv(x, "conv6_1_CPM"), "conv6_2_CPM", relu=False)
    for stage in range(2, stages + 1):
        x = add(f"concat_stage{stage}", "Concat", [last, features], "concat_param { axis: 1 }")
        for number in range(1, 7):
            x = conv(x, f"Mconv{number}_stage{stage}")
        last = conv(x, f"Mconv7_stage{stage}", relu=False)
    return "\n".join(lines)


@pytest.mark.skipif(not hasattr(cv2.dnn, "readNetFromCaffe"), reason="this OpenCV reads no Caffe models")
def test_the_converted_net_computes_what_opencv_computes_from_the_same_caffe_file(tmp_path, layers, rgb):
    source = write_caffe(tmp_path / "hand.caffemodel", layers)
    (tmp_path / "hand.prototxt").write_text(prototxt(NARROW.stages, NARROW.size))
    net = cv2.dnn.readNetFromCaffe(str(tmp_path / "hand.prototxt"), str(source))
    net.setInput(cv2.dnn.blobFromImage(rgb[..., ::-1], 1 / 256, mean=(128, 128, 128)))
    heads = ["conv6_2_CPM", *(f"Mconv7_stage{stage}" for stage in range(2, NARROW.stages + 1))]
    expected = np.stack([maps[0] for maps in net.forward(heads)]).transpose(0, 2, 3, 1)
    convert(source, tmp_path / "hand.npz", NARROW)
    assert_computes(tmp_path / "hand.npz", rgb, expected)


@pytest.mark.slow
def test_the_published_net_in_full_width_computes_the_same(tmp_path):
    spec, full = conversion.HAND_MODEL._replace(size=16), random_layers(1, 6)
    assert sum(array.size for arrays in full.values() for array in arrays) == 36_832_324
    picture = np.random.default_rng(2).integers(0, 256, (16, 16, 3), np.uint8)
    done = convert(write(tmp_path / "hand.caffemodel", full, "caffe"), tmp_path / "hand.npz")
    assert len(done.used) == 104 and done.spec == conversion.HAND_MODEL
    assert_computes(tmp_path / "hand.npz", picture, evaluate(full, picture, 6), spec)


@pytest.fixture(scope="module")
def converted(tmp_path_factory, layers):
    folder = tmp_path_factory.mktemp("converted")
    convert(write(folder / "hand.caffemodel", layers, "caffe"), folder / "hand.npz", NARROW)
    return folder / "hand.npz"


def test_the_checkpoint_runs_as_any_artefact_and_says_that_it_knows_right_hands(converted, layers, rgb):
    checkpoint = checkpoints.load(converted)
    assert checkpoint.spec == NARROW and checkpoint.state["hands"] == "right"
    assert "non-commercial" in checkpoint.state["licence"] and checkpoint.state["source"] == "hand.caffemodel"
    artefact = runtimes.load(converted)
    assert Predictor(artefact).hands == "right"
    stages = artefact(rgb[None])["stages"][0]
    expected = evaluate(layers, rgb, NARROW.stages)
    np.testing.assert_allclose(stages, expected, rtol=0, atol=1e-5 * abs(expected).max())


def test_the_keras_file_loads_in_keras_and_describes_itself(tmp_path, layers):
    convert(write(tmp_path / "hand.pth", layers, "zip"), tmp_path / "hand.weights.h5", NARROW)
    net = NARROW.build()
    net.load_weights(tmp_path / "hand.weights.h5")
    kernel = net.get_layer("Mconv1_stage2").kernel
    np.testing.assert_array_equal(np.array(kernel), layers["Mconv1_stage2"][0].transpose(2, 3, 1, 0))
    description = hdf5.describe(tmp_path / "hand.weights.h5")
    assert nets.Spec.from_json(description["spec"]) == NARROW and description["state"]["hands"] == "right"


def test_the_keras_file_runs_as_the_checkpoint_does(tmp_path, converted, layers, rgb):
    convert(write(tmp_path / "hand.caffemodel", layers, "caffe"), tmp_path / "hand.weights.h5", NARROW)
    keras_file, checkpoint = (runtimes.load(path) for path in (tmp_path / "hand.weights.h5", converted))
    assert Predictor(keras_file).hands == "right" and keras_file.kind == "checkpoint"
    np.testing.assert_array_equal(keras_file(rgb[None])["keypoints"], checkpoint(rgb[None])["keypoints"])


def test_keras_weights_that_do_not_say_what_net_they_are_of_cannot_be_run(tmp_path):
    NARROW.build().save_weights(tmp_path / "plain.weights.h5")
    with pytest.raises(runtimes.BadArtefact, match="plain.weights.h5: Keras weights that do not say what net"):
        runtimes.load(tmp_path / "plain.weights.h5")


def test_names_of_modules_around_a_layer_are_left_out_and_what_is_not_used_is_listed(tmp_path, layers):
    arrays = {f"model1_0.{name}.{variable}": array for name, parts in layers.items()
              for variable, array in zip(("weight", "bias"), parts)}
    arrays["module.fc8.weight"] = np.zeros((2, 3), np.float32)
    done = convert(write_pth(tmp_path / "hand.pth", arrays), tmp_path / "hand.npz", NARROW)
    assert done.unused == ["fc8/kernel"]
    arrays["module.conv1_1.bias"] = arrays["model1_0.conv1_1.bias"]
    with pytest.raises(BadWeights, match="two arrays are called 'conv1_1/bias'"):
        convert(write_pth(tmp_path / "hand.pth", arrays), tmp_path / "other.npz", NARROW)


@pytest.mark.parametrize("change, text", [
    ({"Mconv3_stage2": None, "conv5_2": None}, "4 of 62 arrays are missing: conv5_2/kernel, conv5_2/bias, Mconv3"),
    ({"conv6_1_CPM": (np.zeros((16, 4, 3, 3)), np.zeros(16))},
     r"'conv6_1_CPM/kernel' is \(3, 3, 4, 16\), expected \(1, 1, 4, 16\): another net"),
    ({"conv1_1": (np.full((2, 3, 3, 3), np.nan), np.zeros(2))}, "'conv1_1/kernel' holds values that are no numbers"),
    ({"conv1_1": (np.zeros((2, 3, 3, 3)), np.zeros((1, 1, 1, 2)))}, r"'conv1_1/bias' is \(1, 1, 1, 2\), expected")])
@pytest.mark.parametrize("kind", ["caffe", "stream", "npy"])
def test_what_is_missing_or_of_another_shape_stops_it_and_nothing_is_written(tmp_path, layers, kind, change, text):
    changed = {name: change.get(name, arrays) for name, arrays in layers.items()}
    source = write(tmp_path / "hand", {name: arrays for name, arrays in changed.items() if arrays}, kind)
    for name in ("hand.npz", "hand.weights.h5"):
        with pytest.raises(BadWeights, match=f"hand: {text}"):
            convert(source, tmp_path / name, NARROW)
    assert os.listdir(tmp_path) == ["hand"]


@pytest.mark.parametrize("content, text", [
    (b"<!DOCTYPE html>", "found a web page: the download failed"), (b"", "found an empty file"),
    (b'input: "image"', "begins with b'input: \"'; expected one of: a Caffe model, a PyTorch file"),
    (b"\nnot a net", "not a whole Caffe model"), (b"PK\x03\x04", "not a whole PyTorch file"),
    (b"\x93NUMPY", "not a whole .npy file"), (b"\x89HDF\r\n\x1a\n", "not a whole HDF5 file")])
def test_a_foreign_or_damaged_file_is_named(tmp_path, content, text):
    (tmp_path / "in").write_bytes(content)
    with pytest.raises(BadWeights, match=f"in: .*{text}"):
        convert(tmp_path / "in", tmp_path / "out.npz", NARROW)
    assert os.listdir(tmp_path) == ["in"]


@pytest.mark.parametrize("name", ["\x1b[2J", "a" * 300])
def test_names_that_cannot_be_shown_are_refused(tmp_path, layers, name):
    source = write(tmp_path / "hand.pth", {**layers, name: layers["conv1_1"]}, "zip")
    with pytest.raises(BadWeights, match="hand.pth: an array is called '.*'; the file is damaged") as caught:
        convert(source, tmp_path / "hand.npz", NARROW)
    assert str(caught.value).isprintable()


def test_nothing_is_replaced(tmp_path, layers):
    source = write(tmp_path / "hand.pth", layers, "zip")
    (tmp_path / "hand.npz").write_text("mine")
    with pytest.raises(BadWeights, match="hand.npz: exists and is not replaced"):
        convert(source, tmp_path / "hand.npz", NARROW)
    assert (tmp_path / "hand.npz").read_text() == "mine"
    with pytest.raises(BadWeights, match=r"hand.h5: expected NAME.npz or NAME.weights.h5"):
        convert(source, tmp_path / "hand.h5", NARROW)


def test_where_writing_fails_nothing_is_left_behind(tmp_path, layers, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    source = write(tmp_path / "hand.pth", layers, "zip")
    monkeypatch.setattr(os, "fsync", full)
    for name in ("hand.npz", "hand.weights.h5"):
        with pytest.raises(OSError, match="No space left"):
            convert(source, tmp_path / name, NARROW)
    assert os.listdir(tmp_path) == ["hand.pth"]


def vgg19_file(path, as_npy: bool):
    """VGG-19 in its own shapes, sparse, in Keras' layout or as a dictionary."""
    layers, before = {}, 3
    for block, (count, channels) in enumerate(((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)), 1):
        for number in range(1, count + 1):
            kernel = np.zeros((3, 3, before, channels), np.float32)
            kernel[1, 1, 0] = number
            layers[block, number], before = (kernel, np.full(channels, block, np.float32)), channels
    if as_npy:
        return write_npy(path, {f"conv{block}_{number}": {"weights": kernel, "biases": bias}
                                for (block, number), (kernel, bias) in layers.items()})
    with h5py.File(path, "w") as file:
        for (block, number), (kernel, bias) in layers.items():
            name = f"block{block}_conv{number}"
            file[f"{name}/{name}_W_1:0"], file[f"{name}/{name}_b_1:0"] = kernel, bias
        file["fc1/fc1_W_1:0"] = np.zeros((3, 2), np.float32)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("as_npy", [False, True])
def test_vgg_19_becomes_a_start_for_training_in_our_input_range(tmp_path, as_npy):
    source = vgg19_file(tmp_path / ("vgg.npy" if as_npy else "vgg.h5"), as_npy)
    with pytest.raises(BadWeights, match="the front of a net and not a whole one; write it to NAME.weights.h5"):
        convert(source, tmp_path / "vgg.npz")
    done = convert(source, tmp_path / "vgg.weights.h5")
    rest = [f"conv5_{number}/{variable}" for number in (3, 4) for variable in ("kernel", "bias")]
    assert done.spec is None and "Creative Commons" in done.licence and len(done.used) == 28
    assert sorted(done.unused) == sorted(rest + ([] if as_npy else ["fc1/kernel"]))
    arrays, expected = weights.read_arrays(tmp_path / "vgg.weights.h5"), weights.vgg19_arrays(str(source))
    assert list(arrays) and all(np.array_equal(arrays[name], expected[name]) for name in expected)


@pytest.mark.parametrize("kind", ["stream", "zip", "npy"])
def test_a_malicious_pickle_does_nothing_but_raise(tmp_path, layers, kind):
    evil = {"conv1_1.weight": Calls(os.mkdir, str(tmp_path / "ran"))}
    source = write_npy(tmp_path / "evil", evil) if kind == "npy" else _evil_pth(tmp_path / "evil", evil, kind)
    with pytest.raises(BadWeights, match="evil: refused: it asks for 'posix.mkdir'"):
        convert(source, tmp_path / "hand.npz", NARROW)
    assert os.listdir(tmp_path) == ["evil"]


def _evil_pth(path, value, kind: str):
    make = {"stream": stream_bytes, "zip": zip_bytes}[kind]
    path.write_bytes(make(torch_pickle(value, kind == "stream"), []))
    return path


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "cpm_hand.weights", *map(str, arguments)], capture_output=True,
                          text=True)


@pytest.mark.slow
def test_the_command_says_what_it_used_and_the_licence_and_answers_a_mistake_with_one_line(tmp_path):
    source = write(tmp_path / "hand.pth", random_layers(1, 6), "stream")
    done = run(source, tmp_path / "hand.npz")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    words = " ".join(done.stdout.split())
    for text in ("hand.pth: a PyTorch stream", "used: 104 arrays of conv1_1, conv1_2", "not used: nothing",
                 "6 stages, 368 px, right hands", "non-commercial research only", "Do not redistribute"):
        assert text in words, words
    again = run(source, tmp_path / "hand.npz")
    assert again.returncode == 1 and again.stderr.count("\n") == 1 and "is not replaced" in again.stderr


def test_without_arguments_the_command_explains_itself_without_loading_keras(tmp_path):
    done = run()
    assert done.returncode == 0 and "python -m cpm_hand.weights IN OUT" in done.stdout and done.stderr == ""
    code = "import sys, cpm_hand.weights.__main__; print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
