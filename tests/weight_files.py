"""Weight files as other programs write them, made without those programs."""

import collections
import io
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from cpm_hand.foreign import BadWeights

STREAM_HEAD = 0x1950a86a20f9469cfc6c, 1001, {"protocol_version": 1001, "little_endian": True,
                                             "type_sizes": {"short": 2, "int": 4, "long": 4}}


def _caffe_messages():
    """The part of caffe.proto that a trained net fills. `data` is packed floats, whose bytes are the same."""
    file = descriptor_pb2.FileDescriptorProto(name="part_of_caffe.proto", package="caffe", syntax="proto2")
    field = descriptor_pb2.FieldDescriptorProto
    kinds = {"bytes": field.TYPE_BYTES, "string": field.TYPE_STRING, "int64": field.TYPE_INT64,
             "int32": field.TYPE_INT32, "float": field.TYPE_FLOAT}
    for message, rows in {
            "BlobShape": [("dim", 1, "int64", True)],
            "BlobProto": [("data", 5, "bytes", False), ("shape", 7, "BlobShape", False),
                          ("double_data", 8, "bytes", False)],
            "LayerParameter": [("name", 1, "string", False), ("type", 2, "string", False),
                               ("bottom", 3, "string", True), ("top", 4, "string", True),
                               ("loss_weight", 5, "float", True), ("blobs", 7, "BlobProto", True),
                               ("phase", 10, "int32", False)],
            "NetParameter": [("name", 1, "string", False), ("layer", 100, "LayerParameter", True)]}.items():
        kind = file.message_type.add(name=message)
        for name, number, of, repeated in rows:
            row = kind.field.add(name=name, number=number, type=kinds.get(of, field.TYPE_MESSAGE),
                                 label=field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL)
            if of not in kinds:
                row.type_name = f".caffe.{of}"
            row.options.packed = of == "int64"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))
            for name in ("BlobProto", "LayerParameter", "NetParameter")}


CAFFE = _caffe_messages()


def write_caffe(path, layers: dict[str, tuple[np.ndarray, ...]], double: bool = False):
    """A `.caffemodel`; each convolution is followed by a layer without weights."""
    net = CAFFE["NetParameter"](name="hand")
    net.layer.add(name="data", type="CPMData", top=["data", "label"], phase=0)
    for name, arrays in layers.items():
        layer = net.layer.add(name=name, type="Convolution", bottom=["x"], top=[name])
        for array in arrays:
            blob = layer.blobs.add()
            blob.shape.dim.extend(array.shape)
            if double:
                blob.double_data = array.astype("<f8").tobytes()
            else:
                blob.data = array.astype("<f4").tobytes()
        net.layer.add(name=f"{name}_relu", type="ReLU", bottom=[name], top=[name], loss_weight=[1.0])
    path.write_bytes(net.SerializeToString())
    return path


class Storage:
    """What a tensor's numbers lie in."""

    def __init__(self, array: np.ndarray, key: str):
        self.array, self.key = np.ascontiguousarray(array), key


def _rebuild_tensor_v2(*_):
    raise AssertionError("must never be called")


class Tensor:
    """Pickles as torch.Tensor does."""

    def __init__(self, storage: Storage, size=None, stride=None, offset=0):
        array = storage.array
        self.state = (storage, offset, size if size is not None else array.shape,
                      stride if stride is not None else tuple(n // array.itemsize for n in array.strides))

    def __reduce__(self):
        return _rebuild_tensor_v2, (*self.state, False, collections.OrderedDict())


class _Pickler(pickle.Pickler):
    stream = False

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        name = {"float32": "Float", "float64": "Double", "float16": "Half", "int64": "Long"}[value.array.dtype.name]
        pid = ("storage", getattr(sys.modules["torch"], f"{name}Storage"), value.key, "cpu", value.array.size)
        return (*pid, None) if self.stream else pid


def torch_pickle(value, stream: bool = False) -> bytes:
    """A pickle in which stand-ins bear the names of PyTorch's classes."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("Float", "Double", "Half", "Long"):
        setattr(torch, f"{name}Storage", type(f"{name}Storage", (), {"__module__": "torch"}))
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    _rebuild_tensor_v2.__module__ = "torch._utils"
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        out = io.BytesIO()
        pickler = _Pickler(out, 2)
        pickler.stream = stream
        pickler.dump(value)
        return out.getvalue()
    finally:
        _rebuild_tensor_v2.__module__ = __name__
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def state_dict(arrays: dict[str, np.ndarray]) -> tuple[dict, list[Storage]]:
    """Tensors by name with the versions of modules that PyTorch hangs on, and their storages."""
    storages = [Storage(array, str(94000 + number)) for number, array in enumerate(arrays.values())]
    tensors = collections.OrderedDict((name, Tensor(storage)) for name, storage in zip(arrays, storages))
    tensors._metadata = collections.OrderedDict({"": {"version": 1}, "conv1_1": {"version": 1}})
    return tensors, storages


def zip_bytes(pickled: bytes, storages: list[Storage], compression=zipfile.ZIP_STORED, **others: bytes) -> bytes:
    """PyTorch's layout since 1.6."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in {"data.pkl": pickled, "byteorder": b"little", "version": b"3\n", **others}.items():
            archive.writestr(f"archive/{name}", data)
        for storage in storages:
            archive.writestr(f"archive/data/{storage.key}", storage.array.tobytes())
    return out.getvalue()


def stream_bytes(pickled: bytes, storages: list[Storage], head=STREAM_HEAD) -> bytes:
    """PyTorch's layout before 1.6."""
    ordered = sorted(storages, key=lambda storage: storage.key)
    out = [pickle.dumps(value, 2) for value in head]
    out += [pickled, pickle.dumps([storage.key for storage in ordered], 2)]
    for storage in ordered:
        out += [struct.pack("<q", storage.array.size), storage.array.tobytes()]
    return b"".join(out)


def write_pth(path, arrays: dict[str, np.ndarray], layout: str = "zip"):
    """What `torch.save(model.state_dict(), path)` writes."""
    tensors, storages = state_dict(arrays)
    make = {"zip": zip_bytes, "stream": stream_bytes}[layout]
    path.write_bytes(make(torch_pickle(tensors, layout == "stream"), storages))
    return path


def write_npy(path, content, protocol=4):
    """What `np.save(path, dictionary)` writes, with the pickle protocol of one's choice."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"shape": (), "fortran_order": False, "descr": "|O"})
        pickle.dump(np.array(content, object), file, protocol)
    return path


class Calls:
    """Pickles to a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def count_refused(path, read, step: int = 1) -> int:
    """Cut a file short and change a byte, at every step-th position, and count how often it is refused by its name.

    Args:
        path: of a sound file, which is overwritten.
        read: of a path; anything but success or BadWeights fails the test.
        step: from one position to the next.
    """
    data, refused = path.read_bytes(), 0
    for position in range(0, len(data), step):
        for variant in (data[:position], data[:position] + bytes([data[position] ^ 0x15]) + data[position + 1:]):
            path.write_bytes(variant)
            try:
                read(path)
            except BadWeights as error:
                assert path.name in str(error)
                refused += 1
    return refused
