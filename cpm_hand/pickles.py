"""The one reader of pickles: arrays and dictionaries, and nothing that a pickle could execute.

Weight files of other projects come as pickles, and a pickle may name any function to be called while it is
read. Here the few names that arrays need are resolved to stand-ins, and every other name refuses the file.
"""

import codecs
import collections
import io
import pathlib
import pickle
import pickletools
import tokenize

import numpy as np

# What numpy.lib.format raises on a damaged header: it is Python text, and is tokenised and parsed.
HEADER_ERRORS = (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, SyntaxError,
                 tokenize.TokenError, RecursionError, MemoryError)


class BadPickle(ValueError):
    """A pickle that is damaged, or that wants more than arrays and dictionaries; the text names the file."""


def text(name) -> str:
    """Text that Python 2 may have left as bytes."""
    return name.decode("latin-1") if isinstance(name, bytes) else str(name)


def read_npy_object(path) -> dict:
    """The dictionary in a `.npy` file that NumPy wrote with pickle, read without running anything in it.

    Returns:
        dict of plain values: text, bytes, numbers, numeric arrays, dictionaries.

    Raises:
        BadPickle: not such a file, damaged, or it asks for anything but arrays and dictionaries.
    """
    try:
        data = pathlib.Path(path).read_bytes()
        stream = io.BytesIO(data)
        version = np.lib.format.read_magic(stream)
        read_header = (np.lib.format.read_array_header_1_0 if version == (1, 0)
                       else np.lib.format.read_array_header_2_0)
        shape, _, dtype = read_header(stream)
        if dtype.kind != "O" or shape not in ((), (1,)):
            raise BadPickle(f"{path}: expected a pickled dictionary, got an array of {dtype}, shape {shape}.")
        value = _finished(read_pickle(data[stream.tell():], str(path)), depth=4)
    except FileNotFoundError:
        raise BadPickle(f"{path}: no such file.") from None
    except BadPickle as error:
        raise error if str(path) in str(error) else BadPickle(f"{path}: refused: {error}.") from None
    except HEADER_ERRORS as error:
        raise BadPickle(f"{path}: not a whole .npy file ({error}); copy or download it again.") from error
    if not isinstance(value, dict):
        raise BadPickle(f"{path}: expected a dictionary of layers, got {type(value).__name__}.")
    return value


def read_pickle(data: bytes, name: str):
    """Read a pickle that may name nothing but NumPy arrays and ordered dictionaries.

    The names are resolved to the stand-ins below, so not even NumPy's own reconstruction, which trusts its
    input, runs; arrays stay `_Array` until `_finished` makes them of checked parts.

    Args:
        data: the pickle.
        name: the file, for errors.

    Raises:
        BadPickle: it names something else, or is damaged.
    """
    try:
        for opcode, argument, _ in pickletools.genops(data):
            # The memo is a table as long as its highest index, which a real pickle does not number with gaps.
            if opcode.name in ("PUT", "LONG_BINPUT") and argument > len(data):
                raise pickle.UnpicklingError(f"memo index {argument}")
        return _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError,
            UnicodeError, OverflowError, MemoryError, ImportError, RecursionError) as error:
        raise BadPickle(f"{name}: refused: {error}. Only arrays and dictionaries are read from a pickle; "
                        f"nothing in this one was executed.") from error


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        """The stand-in for a name; called for whatever a pickle wants to import."""
        if (module, name) in _STAND_INS:
            return _STAND_INS[module, name]
        raise pickle.UnpicklingError(f"it asks for '{module}.{name}'")


class _StandIn:
    """A callable that a pickle can call and can do nothing else to."""

    def __init__(self, call):
        self._call = call

    def __call__(self, *arguments):
        return self._call(*arguments)

    def __setstate__(self, state):
        raise pickle.UnpicklingError("it changes a function")


class _Dtype:
    """What is left of a pickled dtype: numbers of known width only."""

    def __init__(self, code, *_):
        self.code, self.order = text(code), "<"

    def __setstate__(self, state):
        self.order = {"|": "<", "=": "<"}.get(text(state[1]), text(state[1]))

    def numeric(self) -> np.dtype:
        if self.code not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"):
            raise BadPickle(f"an array of '{self.code}' is not numeric")
        return np.dtype(self.order + self.code)


class _Array:
    """What is left of a pickled array: shape, dtype, order and bytes."""

    def __init__(self, state=None):
        self.state = state

    def __setstate__(self, state):
        self.state = state[-4:]  # a version number may stand before shape, dtype, Fortran order, data

    def numeric(self) -> np.ndarray:
        if self.state is None:
            raise BadPickle("an array has no content")
        shape, dtype, fortran, data = self.state
        flat = np.frombuffer(data, dtype.numeric())
        return flat.reshape(shape, order="F" if fortran else "C")


def _encode(value, encoding="latin1") -> bytes:
    """How protocol 2 spells bytes."""
    if encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"it encodes text as {encoding!r}")
    return codecs.latin_1_encode(text(value))[0]


_STAND_INS = {
    ("collections", "OrderedDict"): _StandIn(collections.OrderedDict),
    ("_codecs", "encode"): _StandIn(_encode),
    ("__builtin__", "bytes"): _StandIn(lambda: b""),  # how protocol 2 spells no bytes at all
    ("numpy", "dtype"): _StandIn(_Dtype),
    ("numpy", "ndarray"): _StandIn(lambda *_: None),  # named as an argument only
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _StandIn(lambda *_: _Array())
       for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _StandIn(lambda dtype, data: _Array(((), dtype, False, data)))
       for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"):
       _StandIn(lambda data, dtype, shape, order: _Array((shape, dtype, order == "F", data)))
       for core in ("core", "_core")},
}


def _finished(value, depth: int):
    """Stand-ins to arrays, in dictionaries and in the object array that NumPy wraps around a dictionary."""
    if depth < 0:
        raise BadPickle("it is nested too deeply")
    if isinstance(value, _Array):
        shape, dtype, _, data = value.state
        if dtype.code.startswith("O") and depth == 4 and isinstance(data, list) and len(data) == 1:
            return _finished(data[0], depth - 1)
        return value.numeric()
    if isinstance(value, dict):
        return {key: _finished(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, (str, bytes, int, float, bool)) or value is None:
        return value
    raise BadPickle(f"it holds a {type(value).__name__.strip('_')}, which is neither array nor dictionary")
