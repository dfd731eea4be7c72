"""Published weights of other programs into files of ours, which then need no flag to be used rightly.

What the weights rely on goes with them. Their pixels, BGR and x / 256 - 0.5, are the first layer of the net here.
That they know right hands only stands in the file, and the Predictor mirrors left ones for them.
"""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from cpm_hand import caffe, checkpoints, foreign, hdf5, nets, pth, weights
from cpm_hand.foreign import BadWeights

HAND_MODEL = nets.Spec("cpm", size=368, stages=6)

HAND_LICENCE = ("The published hand weights are CMU's: for academic or non-profit, non-commercial research only. Do "
                "not redistribute them, neither as they came nor converted, nor what you train from them.")
VGG_LICENCE = ("VGG-19's weights are K. Simonyan's and A. Zisserman's, under the Creative Commons Attribution licence; "
               "Keras's file is made of them. A .npy of another origin is under the licence of that: the hand and body "
               "models of CMU are non-commercial and must not be redistributed.")


class Conversion(NamedTuple):
    """What was made of a file.

    Attributes:
        kind: what the file was recognised as.
        path: what was written.
        used: names of ours that the file gave, all that there are.
        unused: what else was in the file.
        spec: of the net that the new file holds; None where it is a start for training only.
        licence: that the weights come with, for people.
    """

    kind: str
    path: pathlib.Path
    used: list[str]
    unused: list[str]
    spec: nets.Spec | None
    licence: str


class Kind(NamedTuple):
    """One row of `KINDS`."""

    is_it: Callable[[bytes], bool]                   # first bytes of a file
    read: Callable[[object], dict[str, np.ndarray]]  # path to arrays by our names, in our order of axes


def convert(source, destination, spec: nets.Spec = HAND_MODEL) -> Conversion:
    """Convert a weight file of another program.

    Args:
        source: the published Caffe hand model (`.caffemodel`), its PyTorch port (`.pth`, both layouts), a `.npy`
            dictionary of the hand model's or VGG-19's layers, or Keras' VGG-19 (`.h5`). Its content tells which.
        destination: `NAME.npz`, a checkpoint, which is run, exported and trained from; or `NAME.weights.h5` with
            the same in it, which Keras reads too. VGG-19 alone is no whole net, and goes into the latter.
        spec: of the net in the file.

    Raises:
        BadWeights: an unknown kind of file, a damaged one, an array missing or of another shape; or the
            destination exists, for nothing is replaced, or has another suffix. Nothing is written then.
        OSError: it cannot be written; nothing is left behind.
    """
    destination = pathlib.Path(destination)
    if not destination.name.endswith((checkpoints.SUFFIX, hdf5.SUFFIX)):
        raise BadWeights(f"{destination}: expected NAME{checkpoints.SUFFIX} or NAME{hdf5.SUFFIX} to write.")
    if destination.exists():
        raise BadWeights(f"{destination}: exists and is not replaced; remove it or give another name.")
    kind = recognise(source)
    found = KINDS[kind].read(source)
    for name in found:
        if len(name) > 200 or not name.isprintable():  # they are shown to people
            raise BadWeights(f"{source}: an array is called {name[:40]!r}; the file is damaged.")
    whole = any(name.startswith(("conv5_3_CPM/", "conv6_", "Mconv")) for name in found) or kind in WHOLE
    if not whole and destination.suffix == checkpoints.SUFFIX:
        raise BadWeights(f"{source}: VGG-19 is the front of a net and not a whole one; write it to "
                         f"NAME{hdf5.SUFFIX} and start a training from that.")
    net = spec.build()
    if not whole:
        net = keras.Model(net.input, net.get_layer(weights.VGG19_LAYERS[-1]).output)
        found = {**found, **weights.pick_vgg19(found, source)}  # its first layer for our range of pixels
    arrays = _checked(found, net, source)
    licence = HAND_LICENCE if whole else VGG_LICENCE
    state = {"hands": "right" if whole else "both", "source": pathlib.Path(source).name, "licence": licence}
    checkpoint = checkpoints.Checkpoint(spec, 0, arrays, {}, {}, state)
    if destination.suffix == checkpoints.SUFFIX:
        checkpoints.save(destination, checkpoint)
    else:
        weights.load_by_name(net, arrays)
        hdf5.write(destination, net, {"spec": spec.to_json() if whole else None, "state": state})
    return Conversion(kind, destination, list(arrays), [name for name in found if name not in arrays],
                      spec if whole else None, licence)


def recognise(path) -> str:
    """The row of `KINDS` that a file's first bytes tell.

    Raises:
        BadWeights: none, or no file.
    """
    head = foreign.read_bytes(path, first=64)
    for kind, row in KINDS.items():
        if row.is_it(head):
            return kind
    hint = ("a web page: the download failed; " if head.lstrip().startswith(b"<") else
            "an empty file; " if not head else f"a file that begins with {head[:8]!r}; ")
    raise BadWeights(f"{path}: found {hint}expected one of: {', '.join(KINDS)}.")


def _checked(found: dict[str, np.ndarray], net: keras.Model, source) -> dict[str, np.ndarray]:
    """float32 arrays by name: each that the net has, of its shape, and numbers throughout."""
    variables, arrays = checkpoints.variables(net), {}
    missing = [name for name in variables if name not in found]
    if missing:
        raise BadWeights(f"{source}: {len(missing)} of {len(variables)} arrays are missing: {_some(missing)}; found "
                         f"{_some(list(found))}. Nothing is written.")
    for name, variable in variables.items():
        if found[name].shape != tuple(variable.shape):
            raise BadWeights(f"{source}: '{name}' is {found[name].shape}, expected {tuple(variable.shape)}: "
                             f"another net than the published one.")
        with np.errstate(over="ignore", invalid="ignore"):
            arrays[name] = np.ascontiguousarray(found[name], np.float32)
        if not np.isfinite(arrays[name]).all():
            raise BadWeights(f"{source}: '{name}' holds values that are no numbers; copy or download it again.")
    return arrays


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _add(arrays: dict[str, np.ndarray], path, layer: str, variable: str, array: np.ndarray) -> None:
    """Put an array under its name, a kernel from [out, in, h, w] to [h, w, in, out].

    Caffe and PyTorch correlate, as Keras does: nothing is turned round.
    """
    name = f"{layer}/{variable}"
    if name in arrays:
        raise BadWeights(f"{path}: two arrays are called '{name}'.")
    arrays[name] = array.transpose(2, 3, 1, 0) if variable == "kernel" and array.ndim == 4 else array


def _read_caffe(path) -> dict[str, np.ndarray]:
    arrays = {}
    for layer, blobs in caffe.read(path).items():
        for number, blob in enumerate(blobs):
            _add(arrays, path, layer, ("kernel", "bias")[number] if len(blobs) == 2 else f"blob{number}", blob)
    return arrays


def _read_pth(path) -> dict[str, np.ndarray]:
    """`conv1_1.weight`, or with the names of modules around it, `model1_0.conv1_1.weight`."""
    arrays, ours = {}, {"weight": "kernel", "bias": "bias"}
    for name, array in pth.read(path).items():
        *_, layer, variable = ["", *name.split(".")]
        _add(arrays, path, layer, ours.get(variable, variable), array)
    return arrays


# A NetParameter starts with its name (field 1) or its first layer (field 100).
KINDS = {
    "a Caffe model": Kind(lambda head: head.startswith((b"\n", b"\xa2\x06")), _read_caffe),
    "a PyTorch file": Kind(lambda head: head.startswith(pth.ZIP_MAGIC), _read_pth),
    "a PyTorch stream": Kind(lambda head: head.startswith(pth.STREAM_MAGIC), _read_pth),
    "a NumPy dictionary": Kind(lambda head: head.startswith(np.lib.format.MAGIC_PREFIX), weights.read_npy),
    "a Keras file": Kind(lambda head: head.startswith(hdf5.MAGIC), weights.read_keras),
}
WHOLE = ("a Caffe model", "a PyTorch file", "a PyTorch stream")  # of them, only the hand model is known
