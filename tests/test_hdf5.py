"""Weights in HDF5: Keras's layouts, and files that mean harm."""

import os
import time

import h5py
import keras
import numpy as np
import pytest
from weight_files import count_refused

from cpm_hand import hdf5
from cpm_hand.foreign import BadWeights


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 3, name="a")])


def test_what_was_written_comes_back_with_its_description_and_nothing_lies_beside_it(tmp_path, model):
    path = tmp_path / "new" / "a.weights.h5"
    hdf5.write(path, model, {"hands": "right"})
    arrays = hdf5.read(path)
    assert set(arrays) == {"a/kernel", "a/bias"} and hdf5.describe(path) == {"hands": "right"}
    np.testing.assert_array_equal(arrays["a/kernel"], np.array(model.get_layer("a").kernel))
    assert os.listdir(tmp_path / "new") == ["a.weights.h5"]


def test_a_file_of_keras_itself_has_no_description(tmp_path, model):
    model.save_weights(tmp_path / "a.weights.h5")
    assert hdf5.describe(tmp_path / "a.weights.h5") is None


@pytest.mark.parametrize("value", ["[1]", "{", 3, np.zeros(3)])
def test_an_odd_description_is_refused(tmp_path, model, value):
    path = tmp_path / "a.weights.h5"
    hdf5.write(path, model, {})
    with h5py.File(path, "r+") as file:
        file.attrs[hdf5.ATTRIBUTE] = value
    with pytest.raises(BadWeights, match="a.weights.h5: "):
        hdf5.describe(path)


def test_an_hdf5_file_reaches_no_other_file(tmp_path):
    (tmp_path / "secret").write_bytes(b"\0" * 4000)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["kernel"] = np.zeros((3, 3, 3, 2))
    with h5py.File(tmp_path / "linked.h5", "w") as file:
        file["conv/kernel"] = h5py.ExternalLink("other.h5", "/kernel")
        file["conv/bias"] = np.zeros(2)
    assert set(hdf5.read(tmp_path / "linked.h5")) == {"conv/bias"}
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file.create_dataset("conv/bias", (100,), "f4", external=[(str(tmp_path / "secret"), 0, 400)])
    with pytest.raises(BadWeights, match="'conv/bias' .* not stored whole in this file"):
        hdf5.read(tmp_path / "external.h5")


def test_a_file_that_claims_more_than_it_holds_is_refused(tmp_path):
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("conv/kernel", (100000, 100000, 9, 9), "f8", chunks=(10, 10, 9, 9))
    with pytest.raises(BadWeights, match="not stored whole"):
        hdf5.read(tmp_path / "huge.h5")


def test_compressed_arrays_that_together_are_more_than_the_file_are_refused(tmp_path):
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        for number in range(40):
            file.create_dataset(f"conv{number}/bias", data=np.zeros(3000), compression="gzip")
    assert 3000 * 8 < (tmp_path / "bomb.h5").stat().st_size < 40 * 3000 * 8
    with pytest.raises(BadWeights, match="not stored whole"):
        hdf5.read(tmp_path / "bomb.h5")


@pytest.mark.parametrize("names, value, text", [
    (["conv/bias"], [b"text"], "as plain numbers"), (["layers/conv2d/vars/7"], np.zeros(2), "not a whole HDF5 file"),
    (["layers/conv2d/vars/x"], np.zeros(2), "not a whole"), (["a/x", "a/y"], np.zeros(2), "two arrays are called")])
def test_odd_content_is_refused(tmp_path, names, value, text):
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        for name in names:
            file[name] = value
    with pytest.raises(BadWeights, match=f"odd.h5: .*{text}"):
        hdf5.read(tmp_path / "odd.h5")


def test_a_damaged_file_is_refused_or_has_other_numbers_and_takes_no_time(tmp_path, model):
    path = tmp_path / "a.weights.h5"
    hdf5.write(path, model, {"hands": "right"})
    start = time.process_time()
    assert count_refused(path, lambda cut: (hdf5.read(cut), hdf5.describe(cut)), path.stat().st_size // 150) >= 150
    assert time.process_time() - start < 20
