"""PyTorch's weight files without PyTorch: both layouts, through the restricted reader of pickles.

Since 1.6 a file is a zip archive: a pickle `…/data.pkl`, and the bytes of each storage as `…/data/KEY`. Before,
it was a stream: four pickles (a magic number, a version, facts about the machine, the object), a fifth with the
storages' keys, and then for each of them the count of its elements and their bytes.

Source: pytorch, torch/serialization.py.
"""

import io
import struct
import zipfile
import zlib

import numpy as np

from cpm_hand import foreign, pickles
from cpm_hand.foreign import BadWeights

STREAM_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the pickle of 0x1950a86a20f9469cfc6c
ZIP_MAGIC = b"PK\x03\x04"
MAX_MEMBERS = 10_000

_STORAGES = {"Double": "<f8", "Float": "<f4", "Half": "<f2", "Long": "<i8", "Int": "<i4", "Short": "<i2",
             "Char": "i1", "Byte": "u1", "Bool": "?"}


def read(path) -> dict[str, np.ndarray]:
    """The tensors of a state dictionary; nothing in the file is executed.

    Returns:
        read-only arrays by name; where dictionaries lie in the dictionary, their names are joined by dots.

    Raises:
        BadWeights: damaged, another kind of file, or a pickle that asks for more than tensors and dictionaries.
    """
    data = foreign.read_bytes(path)
    try:
        value = _read_zip(data, path) if data.startswith(ZIP_MAGIC) else _read_stream(data, path)
    except BadWeights:
        raise
    except (*pickles.ERRORS, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error,
            NotImplementedError, RuntimeError) as error:
        raise BadWeights(f"{path}: not a whole PyTorch file ({error}); copy or download it again.") from error
    arrays = _flat(value)
    if not arrays:
        raise BadWeights(f"{path}: a PyTorch file without tensors; expected a model's state_dict().")
    return arrays


def _flat(content: dict, prefix: str = "") -> dict[str, np.ndarray]:
    arrays = {}
    for key, value in content.items():
        if isinstance(value, dict):
            arrays |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, np.ndarray):
            arrays[prefix + key] = value
    return arrays


def _read_zip(data: bytes, path) -> dict:
    # Each member has such a mark in the table of contents, which zipfile reads whole whatever its length.
    if data.count(b"PK\x01\x02") > MAX_MEMBERS:
        raise BadWeights(f"{path}: an archive of more than {MAX_MEMBERS} files is no PyTorch file.")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {member.filename: member for member in archive.infolist()}
        # PyTorch compresses nothing, so what is in the archive cannot be more than the archive.
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()) or sum(
                member.file_size for member in archive.infolist()) > len(data):
            raise BadWeights(f"{path}: an archive with compressed or overlapping files is no PyTorch file.")
        pickled = [name for name in members if name.split("/")[1:] == ["data.pkl"]]
        if len(pickled) != 1:
            raise BadWeights(f"{path}: a zip archive, but no PyTorch file (no 'data.pkl' in it).")
        folder = pickled[0].removesuffix("data.pkl")
        if folder + "byteorder" in members and archive.read(folder + "byteorder") != b"little":
            raise BadWeights(f"{path}: was written on a big-endian machine, which is not read.")
        storages = _Storages()
        value = _read_object(io.BytesIO(archive.read(pickled[0])), path, storages)
        for key, storage in storages.items():
            storage.data = archive.read(f"{folder}data/{key}")
        return pickles.plain(value, path)


def _read_stream(data: bytes, path) -> dict:
    stream, storages = io.BytesIO(data), _Storages()
    magic, version, machine = (pickles.read_pickle(stream, path) for _ in range(3))
    if magic != 0x1950a86a20f9469cfc6c or version != 1001 or not isinstance(machine, dict):
        raise BadWeights(f"{path}: not a PyTorch file.")
    if not all(value for key, value in machine.items() if pickles.text(key) == "little_endian"):
        raise BadWeights(f"{path}: was written on a big-endian machine, which is not read.")
    value = _read_object(stream, path, storages)
    keys = pickles.read_pickle(stream, path)
    if sorted(map(pickles.text, keys)) != sorted(storages):
        raise BadWeights(f"{path}: its list of storages is not that of its tensors; copy or download it again.")
    view = memoryview(data)
    for key in map(pickles.text, keys):
        count, = struct.unpack("<q", stream.read(8))
        storage = storages[key]
        if count != storage.count:
            raise BadWeights(f"{path}: storage {key} has {count} elements, expected {storage.count}; it is damaged.")
        storage.data = view[stream.tell():stream.tell() + count * storage.dtype.itemsize]
        stream.seek(len(storage.data), io.SEEK_CUR)
    if stream.read(1):
        raise BadWeights(f"{path}: goes on behind its last storage; it is damaged.")
    return pickles.plain(value, path)


def _read_object(stream, path, storages: "_Storages") -> dict:
    value = pickles.read_pickle(stream, path, _STAND_INS, storages.find)
    if not isinstance(value, dict):
        raise BadWeights(f"{path}: expected a model's state_dict(), got {type(value).__name__.strip('_')}.")
    return value


class _Storage:
    """Bytes outside the pickle that tensors look into."""

    def __init__(self, dtype: np.dtype, count: int):
        self.dtype, self.count, self.data = dtype, count, None


class _Storages(dict):
    """The storages that a pickle names, by key."""

    def find(self, pid) -> _Storage:
        """The storage of a persistent id, ('storage', type, key, device, count[, view])."""
        kind, dtype, key, _, count, *view = pid
        key = pickles.text(key)
        if pickles.text(kind) != "storage" or not isinstance(dtype, _Elements) or type(count) is not int or any(view):
            raise BadWeights(f"it names a {pickles.text(kind)[:20]} that is not read")
        storage = self.setdefault(key, _Storage(dtype.dtype, count))
        if (storage.dtype, storage.count) != (dtype.dtype, count):
            raise BadWeights(f"storage {key} is two things at once")
        return storage


class _Elements:
    """What is left of a storage's class."""

    def __init__(self, dtype: str):
        self.dtype = np.dtype(dtype)

    def __setstate__(self, state):
        raise BadWeights("it changes a class")


class _Tensor(pickles.Later):
    def __init__(self, storage, offset, size, stride, *_):
        self._parts = storage, offset, size, stride

    def numeric(self) -> np.ndarray:
        storage, offset, size, stride = self._parts
        values = np.frombuffer(storage.data, storage.dtype)
        if len(values) != storage.count:
            raise BadWeights(f"a storage has {len(values)} elements, expected {storage.count}")
        count = step = 1
        for side, distance in zip(reversed(size), reversed(stride), strict=True):
            if side > 1 and distance != step:
                raise BadWeights(f"a tensor of size {str(size)[:60]} does not lie in one piece")
            step = count = count * side
        if offset < 0 or min(size, default=1) < 0 or offset + count > len(values):
            raise BadWeights(f"a tensor of size {str(size)[:60]} is larger than its storage")
        return values[offset:offset + count].reshape(size)


_STAND_INS = {
    ("torch._utils", "_rebuild_tensor"): pickles.StandIn(_Tensor),
    ("torch._utils", "_rebuild_tensor_v2"): pickles.StandIn(_Tensor),
    ("torch._utils", "_rebuild_parameter"): pickles.StandIn(lambda data, *_: data),
    **{("torch", f"{name}Storage"): _Elements(dtype) for name, dtype in _STORAGES.items()},
}
