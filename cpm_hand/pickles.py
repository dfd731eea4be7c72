"""The one reader of pickles: arrays and dictionaries, and nothing that a pickle could execute.

Weight files of other projects come as pickles, and a pickle may name any function to be called while it is
read. Here the few names that arrays need are resolved to stand-ins, and every other name refuses the file.
"""

import codecs
import io
import pickle
import pickletools
import tokenize
from collections.abc import Callable
from typing import BinaryIO

import numpy as np

from cpm_hand import foreign
from cpm_hand.foreign import BadWeights

MAX_OPERATIONS = 200_000  # of a pickle; the hand model's has some thousand
MAX_TUPLES = 5_000        # Python's hash of nested tuples has no bound of its own and would overflow the stack
MAX_VALUES = 20_000       # in all dictionaries together; one that stands in two places counts twice
MAX_DEPTH = 3             # of dictionaries in dictionaries
NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")

# Whatever a damaged file makes of pickle, of NumPy's reshaping, and of its headers, which are Python text.
ERRORS = (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
          MemoryError, ImportError, RecursionError, OSError, SyntaxError, tokenize.TokenError)


def text(name) -> str:
    """Text that Python 2 may have left as bytes."""
    return name.decode("latin-1") if isinstance(name, bytes) else str(name)


def read_npy_object(path) -> dict:
    """The dictionary in a `.npy` file that NumPy wrote with pickle, read without running anything in it.

    Returns:
        by name: text, bytes, numbers, numeric arrays, dictionaries of such.

    Raises:
        BadWeights: not such a file, damaged, or it asks for anything but arrays and dictionaries.
    """
    stream = io.BytesIO(foreign.read_bytes(path))
    try:
        version = np.lib.format.read_magic(stream)
        read_header = (np.lib.format.read_array_header_1_0 if version == (1, 0)
                       else np.lib.format.read_array_header_2_0)
        shape, _, dtype = read_header(stream)
    except ERRORS as error:
        raise BadWeights(f"{path}: not a whole .npy file ({error}); copy or download it again.") from error
    if dtype.kind != "O" or shape not in ((), (1,)):
        raise BadWeights(f"{path}: expected a pickled dictionary, got an array of {dtype}, shape {shape}.")
    array = read_pickle(stream, path)
    inside = array.data if isinstance(array, Array) else None
    if not (isinstance(inside, list) and len(inside) == 1 and isinstance(inside[0], dict)):
        raise BadWeights(f"{path}: expected a dictionary of layers in the array.")
    return plain(inside[0], path)


def read_pickle(stream: BinaryIO, path, names: dict[tuple[str, str], object] | None = None,
                persistent: Callable | None = None):
    """Read one pickle that may name nothing but NumPy arrays and ordered dictionaries.

    The names are resolved to the stand-ins below, so not even NumPy's own reconstruction, which trusts its
    input, runs. `plain` makes arrays of them.

    Args:
        stream: at the pickle's first byte; is left behind its last one.
        path: the file, for errors.
        names: stand-ins for further (module, name).
        persistent: called with what the pickle names as stored outside of it. None: it may name nothing.

    Raises:
        BadWeights: it names something else, is damaged, or asks for more work than weights need.
    """
    start = stream.tell()
    try:
        _check_operations(stream)
        end = stream.tell()
        stream.seek(start)
        value = _Unpickler(stream, end - start, names or {}, persistent).load()
        stream.seek(end)
        return value
    except ERRORS as error:
        raise BadWeights(f"{path}: refused: {error}. Only arrays and dictionaries are read from a pickle; "
                         f"nothing in this one was executed.") from error


def _check_operations(stream: BinaryIO) -> None:
    """Walk over a pickle, and refuse one that would take long, or the memory, or the stack."""
    tuples = 0
    for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        tuples += opcode.name.startswith("TUPLE")
        # The memo is a table as long as its highest index, which a real pickle does not number with gaps.
        memo = argument if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") else 0
        for what, count, most in (("operations", number, MAX_OPERATIONS), ("tuples", tuples, MAX_TUPLES),
                                  ("rows in its table, a memo index", memo, MAX_OPERATIONS)):
            if count > most:
                raise pickle.UnpicklingError(f"{count} {what}, more than {most}")


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: BinaryIO, num_bytes: int, names: dict, persistent: Callable | None):
        super().__init__(stream, encoding="bytes")
        self._names = {**_STAND_INS, **names, ("_codecs", "encode"): StandIn(self._encode)}
        self._persistent, self._left = persistent, num_bytes

    def find_class(self, module: str, name: str):
        """The stand-in for a name; called for whatever a pickle wants to import."""
        if (module, name) in self._names:
            return self._names[module, name]
        raise pickle.UnpicklingError(f"it asks for '{module}.{name}'")

    def persistent_load(self, pid):
        """What the pickle says is stored outside of it."""
        if self._persistent is None:
            raise pickle.UnpicklingError("it names something outside of it")
        return self._persistent(pid)

    def _encode(self, value, encoding="latin1") -> bytes:
        """How protocol 2 spells bytes; all together they cannot be more than the file."""
        if encoding not in ("latin1", b"latin1"):
            raise pickle.UnpicklingError(f"it encodes text as {encoding!r}")
        data = codecs.latin_1_encode(text(value))[0]
        self._left -= len(data)
        if self._left < 0:
            raise pickle.UnpicklingError("it encodes the same text again and again")
        return data


class StandIn:
    """A callable that a pickle can call and can do nothing else to."""

    def __init__(self, call):
        self._call = call

    def __call__(self, *arguments):
        return self._call(*arguments)

    def __setstate__(self, state):
        raise pickle.UnpicklingError("it changes a function")


class Later:
    """What is left of an array in a pickle until `plain` asks for its numbers."""

    def numeric(self) -> np.ndarray:
        """The array, made of checked parts."""
        raise NotImplementedError


class Dtype:
    """What is left of a pickled dtype: numbers of known width only."""

    def __init__(self, code, *_):
        self._code, self._order = text(code), "<"

    def __setstate__(self, state):
        self._order = {"|": "<", "=": "<"}.get(text(state[1]), text(state[1]))

    def numeric(self) -> np.dtype:
        """The dtype."""
        if self._code not in NUMBERS or self._order not in ("<", ">"):
            raise BadWeights(f"an array of '{self._order}{self._code}' is not numeric")
        return np.dtype(self._order + self._code)


class Array(Later):
    """What is left of a pickled NumPy array: shape, dtype, order and bytes."""

    def __init__(self, *state):
        self._state = state

    def __setstate__(self, state):
        self._state = state[-4:]  # a version number may stand before shape, dtype, Fortran order, data

    @property
    def data(self):
        """Bytes, or the list of objects in an object array."""
        return self._state[-1] if self._state else None

    def numeric(self) -> np.ndarray:
        """The array, read-only."""
        shape, dtype, fortran, data = self._state
        return np.frombuffer(data, dtype.numeric()).reshape(shape, order="F" if fortran else "C")


class Ordered(dict):
    """An ordered dictionary; the attributes that a pickle gives it are dropped."""

    def __init__(self, pairs=()):
        super().__init__()
        self.pairs = pairs  # Python 2 hands over the content like this; `plain` reads it

    def __setstate__(self, state):
        pass


_STAND_INS = {
    ("collections", "OrderedDict"): StandIn(Ordered),
    ("__builtin__", "bytes"): StandIn(lambda: b""),  # how protocol 2 spells no bytes at all
    ("numpy", "dtype"): StandIn(Dtype),
    ("numpy", "ndarray"): StandIn(lambda *_: None),  # named as an argument only
    **{(f"numpy.{core}.multiarray", "_reconstruct"): StandIn(lambda *_: Array())
       for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): StandIn(lambda dtype, data: Array((), dtype, False, data))
       for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"):
       StandIn(lambda data, dtype, shape, order: Array(shape, dtype, order == "F", data))
       for core in ("core", "_core")},
}


def _key(key) -> str:
    if not isinstance(key, (str, bytes, int)):
        raise BadWeights(f"it holds something under a {type(key).__name__} instead of a name")
    return text(key)


def plain(value: dict, path) -> dict:
    """Stand-ins to arrays and names to text, in a dictionary and those in it.

    Args:
        value: what `read_pickle` gave, or a part of it.
        path: the file, for errors.

    Raises:
        BadWeights: an array that its bytes do not fill, values of other kinds, dictionaries without end.
    """
    left = MAX_VALUES

    def finish(inner, depth: int):
        nonlocal left
        left -= 1
        if left < 0:
            raise BadWeights(f"it holds more than {MAX_VALUES} values")
        if isinstance(inner, Later):
            return inner.numeric()
        if isinstance(inner, dict):
            if depth == MAX_DEPTH:
                raise BadWeights("it is nested too deeply")
            pairs = [*inner.items(), *getattr(inner, "pairs", ())]
            return {_key(key): finish(item, depth + 1) for key, item in pairs}
        if isinstance(inner, (str, bytes, int, float, bool)) or inner is None:
            return inner
        raise BadWeights(f"it holds a {type(inner).__name__}, which is neither array nor dictionary")

    try:
        return finish(value, 0)
    except ERRORS as error:
        raise BadWeights(f"{path}: not whole arrays of numbers ({error}); copy or download it again.") from error
