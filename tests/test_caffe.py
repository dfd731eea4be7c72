"""Caffe's files: written through the protobuf library, read without it."""

import time

import numpy as np
import pytest
from weight_files import CAFFE, count_refused, write_caffe

from cpm_hand import caffe
from cpm_hand.foreign import BadWeights

RNG = np.random.default_rng(0)
LAYERS = {"conv1_1": (RNG.normal(size=(4, 3, 3, 3)), RNG.normal(size=4)), "conv1_2": (RNG.normal(size=(2, 4, 1, 1)),)}


def read(path, data: bytes):
    path.write_bytes(data)
    return caffe.read(path)


@pytest.mark.parametrize("double", [False, True])
def test_the_blobs_of_every_layer_that_has_some_come_back_under_its_name(tmp_path, double):
    back = caffe.read(write_caffe(tmp_path / "net.caffemodel", LAYERS, double))
    assert list(back) == list(LAYERS)
    for name, blobs in LAYERS.items():
        assert [blob.dtype for blob in back[name]] == [np.dtype("f8" if double else "f4")] * len(blobs)
        for ours, theirs in zip(back[name], blobs, strict=True):
            np.testing.assert_array_equal(ours, theirs if double else np.float32(theirs))


def test_dimensions_that_are_not_packed_are_read_too(tmp_path):
    blob = b"\x3a\x04\x08\x02\x08\x03" + b"\x2a\x18" + np.arange(6, dtype="<f4").tobytes()
    layer = b"\x0a\x01a" + b"\x3a" + bytes([len(blob)]) + blob
    back = read(tmp_path / "net.caffemodel", b"\xa2\x06" + bytes([len(layer)]) + layer)
    np.testing.assert_array_equal(back["a"][0], [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize("data, text", [
    (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "claims 9223372036854775807 bytes where 0 are left"),
    (b"\xff" * 20, "a number has no end"), (b"\xa0\x06\x01", "a number stands where a message should"),
    (b"\x0b", "the unknown kind 3"), (b"\x08\x01" * 60_000, "more than 100000 fields"),
    (b"", "without a layer that has weights"), (b"\x0a\x04hand", "without a layer that has weights")])
def test_what_is_no_message_is_refused_with_its_reason(tmp_path, data, text):
    with pytest.raises(BadWeights, match=f"net.caffemodel: .*{text}"):
        read(tmp_path / "net.caffemodel", data)


def blob_of(dims, data: bytes) -> bytes:
    net = CAFFE["NetParameter"]()
    blob = net.layer.add(name="conv1_1").blobs.add(data=data)
    blob.shape.dim.extend(dims)
    return net.SerializeToString()


@pytest.mark.parametrize("dims, data, text", [
    ([2, 3], bytes(20), r"a blob of 'conv1_1' has 5 numbers for the shape \(2, 3\)"),
    ([2**62, 2**62], bytes(20), "has 5 numbers for the shape"), ([-1, -5], bytes(20), "has 5 numbers"),
    ([1] * 5000 + [5], bytes(20), "has 5 numbers for the shape"), ([5], bytes(21), "21 bytes, no whole count")])
def test_a_blob_that_does_not_fill_its_shape_is_refused(tmp_path, dims, data, text):
    with pytest.raises(BadWeights, match=text):
        read(tmp_path / "net.caffemodel", blob_of(dims, data))


def test_a_blob_without_numbers_is_empty_whatever_its_shape_says(tmp_path):
    blob, = read(tmp_path / "net.caffemodel", blob_of([0, 2**62], b""))["conv1_1"]
    assert blob.shape == (0,)


def test_two_layers_of_one_name_are_refused(tmp_path):
    twice = blob_of([1], bytes(4)) * 2
    with pytest.raises(BadWeights, match="two layers are called 'conv1_1'"):
        read(tmp_path / "net.caffemodel", twice)


def test_a_damaged_file_is_refused_or_has_other_numbers_and_takes_no_time(tmp_path):
    path = write_caffe(tmp_path / "net.caffemodel", LAYERS)
    size, start = path.stat().st_size, time.process_time()
    assert count_refused(path, caffe.read) > size / 2  # a flip in a weight cannot be told: the format has no checksum
    assert time.process_time() - start < 10
