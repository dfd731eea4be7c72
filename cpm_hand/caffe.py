"""Caffe's trained nets: layers and their blobs, straight from the protobuf wire format.

A `.caffemodel` is a `NetParameter` message. Four of its fields matter, and nothing else is looked into:
NetParameter.layer = 100; LayerParameter.name = 1 and .blobs = 7; BlobProto.shape = 7 with .dim = 1, and .data = 5
(packed float) or .double_data = 8 (packed double).

Source: BVLC Caffe, src/caffe/proto/caffe.proto; the wire format: protobuf.dev, "Encoding".
"""

import math
from collections.abc import Iterator

import numpy as np

from cpm_hand import foreign
from cpm_hand.foreign import BadWeights

MAX_FIELDS = 100_000  # over all messages that are looked into; the hand model has some thousand
_MAX_AXES = 32        # Caffe's own bound
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read(path) -> dict[str, list[np.ndarray]]:
    """The blobs of every layer that has some.

    Args:
        path: a `.caffemodel`.

    Returns:
        by the layer's name, in the file's order: its blobs, for a convolution the kernel [out, in, h, w] and
        the bias [out]; float32 or float64, read-only.

    Raises:
        BadWeights: damaged, or no net with weights.
    """
    reader = _Reader()
    layers = {}
    try:
        for number, layer in reader.fields(memoryview(foreign.read_bytes(path))):
            if number == 100:
                name, blobs = _layer(reader, layer)
                if blobs and name in layers:
                    raise _Damaged(f"two layers are called {name[:60]!r}")
                if blobs:
                    layers[name] = blobs
    except _Damaged as error:
        raise BadWeights(f"{path}: not a whole Caffe model ({error}); copy or download it again.") from None
    if not layers:
        raise BadWeights(f"{path}: a Caffe model without a layer that has weights; expected a trained .caffemodel.")
    return layers


class _Damaged(Exception):
    pass


def _layer(reader: "_Reader", message) -> tuple[str, list[np.ndarray]]:
    name, blobs = "", []
    for number, value in reader.fields(message):
        if number == 1:
            name = bytes(reader.message(value)).decode("utf-8", "replace")
        elif number == 7:
            blobs.append(_blob(reader, value, name))
    return name, blobs


def _blob(reader: "_Reader", message, layer: str) -> np.ndarray:
    shape, parts = None, []
    for number, value in reader.fields(message):
        if number == 7:
            shape = _shape(reader, value)
        elif number in (5, 8):
            dtype = np.dtype("<f4" if number == 5 else "<f8")
            numbers = reader.message(value)
            if len(numbers) % dtype.itemsize:
                raise _Damaged(f"a blob of {layer[:60]!r} has {len(numbers)} bytes, no whole count of {dtype}")
            parts.append(np.frombuffer(numbers, dtype))
    values = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.zeros(0, "<f4")
    if shape is None or not values.size:
        return values
    if len(shape) > _MAX_AXES or math.prod(shape) != values.size:
        raise _Damaged(f"a blob of {layer[:60]!r} has {values.size} numbers for the shape {str(shape)[:80]}")
    return values.reshape(shape)


def _shape(reader: "_Reader", message) -> tuple[int, ...]:
    """`dim` is packed; parsers have to take it unpacked too."""
    dims = []
    for number, value in reader.fields(message):
        if number != 1:
            continue
        if isinstance(value, int):
            dims.append(value)
            continue
        position = 0
        while position < len(value):
            dim, position = reader.varint(value, position)
            dims.append(dim)
    return tuple(dims)


class _Reader:
    """Fields of messages, counted: whatever a file says, reading it ends soon."""

    def __init__(self):
        self.left = MAX_FIELDS

    def fields(self, message) -> Iterator[tuple[int, object]]:
        """(field number, value): an int for a varint, a memoryview for all else."""
        message, position = self.message(message), 0
        while position < len(message):
            tag, position = self.varint(message, position)
            number, kind = tag >> 3, tag & 7
            if kind == _VARINT:
                value, position = self.varint(message, position)
                yield number, value
                continue
            if kind == _BYTES:
                length, position = self.varint(message, position)
            elif kind in (_FIXED32, _FIXED64):
                length = 4 if kind == _FIXED32 else 8
            else:
                raise _Damaged(f"field {number} is of the unknown kind {kind}")
            if not number or length > len(message) - position:
                raise _Damaged(f"field {number} claims {length} bytes where {len(message) - position} are left")
            yield number, message[position:position + length]
            position += length

    def message(self, value) -> memoryview:
        """A field's bytes; an int stands where a message or a list of numbers should."""
        if isinstance(value, int):
            raise _Damaged("a number stands where a message should")
        return value

    def varint(self, message: memoryview, position: int) -> tuple[int, int]:
        """An unsigned number of at most 64 bits, and where the next field begins."""
        self.left -= 1
        if self.left < 0:
            raise _Damaged(f"more than {MAX_FIELDS} fields")
        number = 0
        for count, byte in enumerate(message[position:position + 10]):
            number |= (byte & 127) << (7 * count)
            if byte < 128:
                return number & (2**64 - 1), position + count + 1
        raise _Damaged("a number has no end")
