"""Pickles that mean harm, and the plain ones."""

import io
import os
import time

import numpy as np
import pytest
from weight_files import Calls, count_refused, write_npy

from cpm_hand import pickles
from cpm_hand.foreign import BadWeights


def read(data: bytes):
    return pickles.read_pickle(io.BytesIO(data), "file.npy")


@pytest.mark.parametrize("function", [os.mkdir, eval, getattr, np.load, np.array])
def test_a_pickle_that_wants_to_call_anything_is_refused_and_does_nothing(tmp_path, function):
    path = write_npy(tmp_path / "evil.npy", {"conv1_1": Calls(function, str(tmp_path / "ran"))})
    with pytest.raises(BadWeights, match=r"evil.npy: refused: it asks for '[\w.]+'.* nothing in this"):
        pickles.read_npy_object(path)
    assert os.listdir(tmp_path) == ["evil.npy"]


@pytest.mark.parametrize("data, text", [
    (b"cnumpy\ndtype\n(S'f4'\ntR(dS'call'\nS'x'\nsb.", "."),            # gives a dtype a dictionary as state
    (b"ccollections\nOrderedDict\n}b.", "it changes a function"),       # sets attributes of a stand-in
    (b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.", "encodes text as"),
    (b"c_codecs\nencode\n(S'" + b"x" * 50 + b"'\nS'latin1'\ntp0\nR0c_codecs\nencode\ng0\nR0c_codecs\nencode\ng0\nR0"
     b"c_codecs\nencode\ng0\nR.", "the same text again"),
    (b"S'x'\nQ.", "names something outside"),
    (b"N" + b"r\xff\xff\xff\x7f" + b".", "memo index"),                 # a table of 2 ** 31 rows
    (b"\x80\x02})" + b"\x85" * 2_000_000 + b"K\x01s.", "tuples, more than"),  # Python's hash of it takes the stack
    (b"N0" * 150_000 + b"N.", "operations, more than"),
    (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", "."), (b"", "."), (b"\x82\x01.", ".")])
def test_a_crafted_pickle_is_refused(data, text):
    with pytest.raises(BadWeights, match=f"file.npy: refused: .*{text}"):
        read(data)


def test_a_dictionary_that_stands_in_itself_a_million_times_is_refused_at_once():
    wide = b"}(" + b"".join(b"K%cN" % n for n in range(200)) + b"uq\x00"
    nest = b"".join(b"0}(" + b"".join(b"K%ch%c" % (n, level) for n in range(200)) + b"uq%c" % (level + 1)
                    for level in range(2))
    start = time.process_time()
    with pytest.raises(BadWeights, match="more than 20000 values"):
        pickles.plain(read(b"\x80\x02" + wide + nest + b"."), "file.npy")
    assert time.process_time() - start < 2


@pytest.mark.parametrize("order", [b"|", b"f8,<", b"(9,)<"])
def test_a_dtype_is_one_number_and_nothing_composed(tmp_path, order):
    path = write_npy(tmp_path / "odd.npy", {"a": np.zeros(2, ">f4")}, 2)
    data = path.read_bytes()
    assert data.count(b"X\x01\x00\x00\x00>") == 1
    path.write_bytes(data.replace(b"X\x01\x00\x00\x00>", b"X" + len(order).to_bytes(4, "little") + order))
    if order == b"|":  # NumPy's word for "no order"
        assert pickles.read_npy_object(path)["a"].dtype == "<f4"
    else:
        with pytest.raises(BadWeights, match="odd.npy: .*is not numeric"):
            pickles.read_npy_object(path)


@pytest.mark.parametrize("content", [
    {"conv1_1": np.array([{"a": 1}], object)}, {"conv1_1": np.array(["text"])}, {"conv1_1": [1, 2]},
    {"conv1_1": {"a": {"b": {"c": {"d": {}}}}}}, {"conv1_1": np.zeros(2, "f4,i4")}, {(1, 2): 3}, ["no dictionary"]])
def test_only_dictionaries_of_plain_numbers_pass(tmp_path, content):
    with pytest.raises(BadWeights, match="odd.npy: "):
        pickles.read_npy_object(write_npy(tmp_path / "odd.npy", content))


def test_an_array_whose_bytes_do_not_fill_its_shape_is_refused(tmp_path):
    data = write_npy(tmp_path / "short.npy", {"conv1_1": np.zeros(8, "f4")}).read_bytes()
    where = data.index(b"K\x08\x85")  # the shape (8,)
    (tmp_path / "short.npy").write_bytes(data[:where] + b"K\x09\x85" + data[where + 3:])
    with pytest.raises(BadWeights, match="short.npy: not whole arrays of numbers"):
        pickles.read_npy_object(tmp_path / "short.npy")


def test_numbers_of_every_kind_and_order_come_back(tmp_path):
    arrays = {"f": np.arange(6, dtype=">f4").reshape(2, 3), "F": np.asfortranarray(np.eye(3)[:2]),
              "i": np.int64(7), "b": np.array([True, False]), "e": np.zeros((0, 3), np.float16)}
    for protocol in (2, 3, 4, 5):
        back = pickles.read_npy_object(write_npy(tmp_path / "all.npy", arrays, protocol))
        assert list(back) == list(arrays)
        assert all(np.array_equal(back[name], arrays[name]) for name in arrays)


def test_an_ordered_dictionary_of_python_2_comes_back():
    data = b"ccollections\nOrderedDict\n((lp1\n(lp2\nS'b'\naI1\naa(lp3\nS'a'\naI2\naatR."
    assert list(pickles.plain(read(data), "f").items()) == [("b", 1), ("a", 2)]


def test_a_damaged_dictionary_never_does_more_than_refuse(tmp_path):
    path = write_npy(tmp_path / "cut.npy", {"conv1_1": {"weights": np.arange(6.0), "biases": np.zeros(2)}})
    size = path.stat().st_size
    assert count_refused(path, pickles.read_npy_object) >= size    # however it is cut short, it is refused


def test_a_folder_a_pipe_and_a_huge_file_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    with open(tmp_path / "huge.npy", "wb") as file:
        file.truncate(2**30 + 1)
    for name, text in ((".", "is a folder"), ("pipe.npy", "no plain file"), ("huge.npy", "no weight file .* has more"),
                       ("none.npy", "no such file")):
        with pytest.raises(BadWeights, match=text):
            pickles.read_npy_object(tmp_path / name)
