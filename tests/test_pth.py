"""PyTorch's files in both layouts, written byte by byte as PyTorch does, and those that mean harm."""

import os
import time
import zipfile

import numpy as np
import pytest
from weight_files import (
    STREAM_HEAD,
    Calls,
    Storage,
    Tensor,
    count_refused,
    state_dict,
    stream_bytes,
    torch_pickle,
    write_pth,
    zip_bytes,
)

from cpm_hand import pth
from cpm_hand.foreign import BadWeights

RNG = np.random.default_rng(0)
ARRAYS = {"conv1_1.weight": np.float32(RNG.normal(size=(4, 3, 3, 3))), "conv1_1.bias": RNG.normal(size=4),
          "half": np.float16([1, 2]), "num_batches_tracked": np.int64([7])}


def read(path, data: bytes):
    path.write_bytes(data)
    return pth.read(path)


def make(value, storages, layout: str) -> bytes:
    pickled = torch_pickle(value, layout == "stream")
    return stream_bytes(pickled, storages) if layout == "stream" else zip_bytes(pickled, storages)


@pytest.mark.parametrize("layout", ["zip", "stream"])
def test_every_tensor_comes_back_under_its_name(tmp_path, layout):
    back = pth.read(write_pth(tmp_path / "net.pth", ARRAYS, layout))
    assert list(back) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize("layout", ["zip", "stream"])
def test_tensors_may_share_a_storage_and_lie_in_a_dictionary_of_dictionaries(tmp_path, layout):
    storage = Storage(np.arange(10, dtype="f4"), "5")
    value = {"epoch": 3, "state_dict": {"a": Tensor(storage, (2, 3), (3, 1), 4), "b": Tensor(storage, (), (), 1)}}
    back = read(tmp_path / "net.pth", make(value, [storage], layout))
    assert list(back) == ["state_dict.a", "state_dict.b"] and back["state_dict.b"] == 1
    np.testing.assert_array_equal(back["state_dict.a"], [[4, 5, 6], [7, 8, 9]])


@pytest.mark.parametrize("layout", ["zip", "stream"])
@pytest.mark.parametrize("function", [os.mkdir, eval, getattr, np.load])
def test_a_pickle_that_wants_to_call_anything_is_refused_and_does_nothing(tmp_path, layout, function):
    tensors, storages = state_dict(ARRAYS)
    tensors["evil"] = Calls(function, str(tmp_path / "ran"))
    with pytest.raises(BadWeights, match=r"evil.pth: refused: it asks for '[\w.]+'.* nothing in this"):
        read(tmp_path / "evil.pth", make(tensors, storages, layout))
    assert os.listdir(tmp_path) == ["evil.pth"]


@pytest.mark.parametrize("place", range(4))
def test_every_pickle_of_a_stream_is_read_with_the_same_care(tmp_path, place):
    head = list(STREAM_HEAD)
    pickled = torch_pickle(Calls(os.mkdir, str(tmp_path / "ran")), True)
    if place:
        head[place - 1] = Calls(os.mkdir, str(tmp_path / "ran"))
        pickled = torch_pickle({}, True)
    path = tmp_path / "evil.pth"
    data = stream_bytes(pickled, [], head)
    path.write_bytes(data)
    with pytest.raises(BadWeights, match=r"evil.pth: refused: it asks for"):
        pth._read_stream(data, path)
    assert os.listdir(tmp_path) == ["evil.pth"]


@pytest.mark.parametrize("size, stride, offset, text", [
    ((10**6, 10**6), (0, 0), 0, "does not lie in one piece"), ((3, 2), (1, 3), 0, "does not lie in one piece"),
    ((11,), (1,), 0, "larger than its storage"), ((5,), (1,), 6, "larger than"), ((5,), (1,), -1, "larger than"),
    ((-1, -5), (-5, 1), 0, "larger than"), ((2**70,), (1,), 0, "larger than"), ((2, 3), (1,), 0, "not whole arrays"),
    (("x",), (1,), 0, "not whole arrays")])
@pytest.mark.parametrize("layout", ["zip", "stream"])
def test_a_tensor_that_its_storage_does_not_hold_is_refused(tmp_path, layout, size, stride, offset, text):
    storage = Storage(np.zeros(10, "f4"), "0")
    with pytest.raises(BadWeights, match=f"net.pth: .*{text}"):
        read(tmp_path / "net.pth", make({"a": Tensor(storage, size, stride, offset)}, [storage], layout))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    storage = Storage(np.zeros(10**7, "f4"), "0")
    data = zip_bytes(torch_pickle({"a": Tensor(storage)}), [storage], zipfile.ZIP_DEFLATED)
    assert len(data) < 10**5
    with pytest.raises(BadWeights, match="compressed or overlapping files"):
        read(tmp_path / "bomb.pth", data)


def test_an_archive_whose_files_lie_in_the_same_place_is_refused(tmp_path):
    tensors, storages = state_dict({"a": np.zeros(500, "f4")})
    data = zip_bytes(torch_pickle(tensors), storages)
    end = data.rindex(b"PK\x05\x06")
    table = data[data.index(b"PK\x01\x02"):end]
    one = table[table.rindex(b"PK\x01\x02"):]
    name = one.index(b"archive")
    copies = b"".join(one[:name] + b"archive/data/%05d" % n + one[name + 18:] for n in range(3))
    footer = data[end:end + 8] + (7).to_bytes(2, "little") * 2 + (len(table) + len(copies)).to_bytes(4, "little")
    with pytest.raises(BadWeights, match="compressed or overlapping files"):
        read(tmp_path / "bomb.pth", data[:end] + copies + footer + data[end + 16:])


def test_an_archive_of_very_many_files_is_refused_before_they_are_listed(tmp_path):
    with pytest.raises(BadWeights, match="more than 10000 files"):
        read(tmp_path / "bomb.pth", b"PK\x03\x04" + b"PK\x01\x02" * 10_001)


@pytest.mark.parametrize("value, text", [
    ([1], r"expected a model's state_dict\(\), got list"), ({}, "without tensors"), ({"a": [1]}, "it holds a list")])
@pytest.mark.parametrize("layout", ["zip", "stream"])
def test_another_object_than_a_dictionary_of_tensors_is_named(tmp_path, layout, value, text):
    with pytest.raises(BadWeights, match=f"net.pth: .*{text}"):
        read(tmp_path / "net.pth", make(value, [], layout))


def test_big_endian_files_and_other_archives_are_named(tmp_path):
    tensors, storages = state_dict(ARRAYS)
    with pytest.raises(BadWeights, match="big-endian"):
        read(tmp_path / "net.pth", zip_bytes(torch_pickle(tensors), storages, byteorder=b"big"))
    head = [*STREAM_HEAD[:2], {**STREAM_HEAD[2], "little_endian": False}]
    with pytest.raises(BadWeights, match="big-endian"):
        read(tmp_path / "net.pth", stream_bytes(torch_pickle(tensors, True), storages, head))
    with zipfile.ZipFile(tmp_path / "net.pth", "w") as archive:
        archive.writestr("word/document.xml", b"")
    with pytest.raises(BadWeights, match="no 'data.pkl' in it"):
        pth.read(tmp_path / "net.pth")


@pytest.mark.parametrize("change, text", [
    (lambda data: data + b"x", "goes on behind"), (lambda data: data[:-4], "a storage has 3 elements, expected 4"),
    (lambda data: data.replace(b"\x04" + bytes(7), b"\xff" * 8), "has -1 elements, expected 4")])
def test_a_stream_of_another_length_than_its_tensors_is_refused(tmp_path, change, text):
    tensors, storages = state_dict({"a": np.float32([1, 2, 3, 4])})
    data = stream_bytes(torch_pickle(tensors, True), storages)
    with pytest.raises(BadWeights, match=f"net.pth: .*{text}"):
        read(tmp_path / "net.pth", change(data))


@pytest.mark.parametrize("layout", ["zip", "stream"])
def test_a_damaged_file_is_refused_or_has_other_numbers_and_takes_no_time(tmp_path, layout):
    path = write_pth(tmp_path / "net.pth", {"conv.weight": np.float32(np.random.default_rng(0).normal(size=(2, 3))),
                                            "conv.bias": np.float32([1, 2])}, layout)
    size, start = path.stat().st_size, time.process_time()
    assert count_refused(path, pth.read) > size
    assert time.process_time() - start < 20
