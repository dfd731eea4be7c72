"""Weights in HDF5, as Keras writes them; read with h5py alone, following no link out of the file."""

import json
import os
import pathlib
import re
import tempfile
from typing import TYPE_CHECKING

import h5py
import numpy as np

from cpm_hand.foreign import BadWeights

if TYPE_CHECKING:
    import keras  # for the type alone: HDF5 is read without it

MAGIC = b"\x89HDF\r\n\x1a\n"
SUFFIX = ".weights.h5"
ATTRIBUTE = "cpm_hand"
ERRORS = (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, MemoryError)  # as h5py has them
# How Keras orders the variables of a layer in a .weights.h5 file, where they are only numbered.
_VARIABLES = {"conv2d": ("kernel", "bias"), "depthwise_conv2d": ("kernel", "bias"),
              "conv2d_transpose": ("kernel", "bias"), "dense": ("kernel", "bias"),
              "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance")}


def read(path) -> dict[str, np.ndarray]:
    """Both of Keras's layouts: numbered variables (Keras 3), named ones (the applications' files).

    Returns:
        by `layer/variable` name.

    Raises:
        BadWeights: damaged, no Keras layers in it, or arrays that are not stored whole in this file.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise BadWeights(f"{path}: no such file.")
    arrays, left = {}, path.stat().st_size

    def visit(name: str, item) -> None:  # hard links only: h5py's visititems never leaves the file
        nonlocal left
        if not isinstance(item, h5py.Dataset):
            return
        key = _name(name, item)
        if key is None:
            return
        if item.external or item.is_virtual or item.nbytes > left or item.dtype.kind not in "fiu":
            raise BadWeights(f"{path}: '{name}' of {item.dtype}, shape {item.shape}, is not stored whole in this "
                             f"file as plain numbers.")
        left -= item.nbytes  # all together they cannot be more than the file
        if key in arrays:
            raise BadWeights(f"{path}: two arrays are called '{key}'.")
        arrays[key] = item[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except BadWeights:
        raise
    except ERRORS as error:
        raise BadWeights(f"{path}: not a whole HDF5 file ({error}); copy or download it again.") from error
    if not arrays:
        raise BadWeights(f"{path}: an HDF5 file without Keras layers in it; expected `.weights.h5`.")
    return arrays


def _name(name: str, item: h5py.Dataset) -> str | None:
    """`layers/conv2d_3/vars/0` or `block1_conv1/block1_conv1_W_1:0` to `layer/variable`; None for neither."""
    parts = name.split("/")
    if parts[0] in ("optimizer", "top_level_model_weights", "seed_generator"):
        return None
    if len(parts) >= 3 and parts[-2] == "vars":
        # The folder is named after the class and a count (conv2d_3); the layer's own name is an attribute.
        known = _VARIABLES.get(re.sub(r"_\d+$", "", parts[-3]), ())
        if not known or len(item.parent) > len(known) or (len(known) == 4 and len(item.parent) != 4):
            return None
        return f"{item.parent.attrs.get('name', parts[-3])}/{known[int(parts[-1])]}"
    if len(parts) >= 2 and item.ndim in (1, 2, 4):
        return f"{parts[0]}/{'bias' if item.ndim == 1 else 'kernel'}"
    return None


def describe(path) -> dict | None:
    """What `write` was told about the weights; None where the file says nothing.

    Raises:
        BadWeights: damaged.
    """
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get(ATTRIBUTE)
            description = None if text is None else json.loads(text)
    except ERRORS as error:
        raise BadWeights(f"{path}: not a whole HDF5 file ({error}); copy or download it again.") from error
    if not isinstance(description, dict | None):
        raise BadWeights(f"{path}: its attribute '{ATTRIBUTE}' is no description; convert it again.")
    return description


def write(path, model: "keras.Model", description: dict) -> None:
    """Write a model's weights as `.weights.h5`, whole or not at all; Keras's own `load_weights` takes it.

    Args:
        path: ends in `.weights.h5`.
        model: whose weights.
        description: plain values that travel with the file, as JSON in an attribute of its root.

    Raises:
        OSError: the folder cannot be written, or the disk is full; nothing is left behind.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = pathlib.Path(folder) / f"new{SUFFIX}"
        model.save_weights(temporary)
        with h5py.File(temporary, "r+") as file:
            file.attrs[ATTRIBUTE] = json.dumps(description)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
