"""Weights into our layers by name: from runs, Keras files, and the VGG-19 start.

Keras and what builds on it are imported at use: this file is imported before `python -m cpm_hand.weights` can
keep TensorFlow quiet.
"""

import pathlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cpm_hand import hdf5, pickles
from cpm_hand.foreign import BadWeights

if TYPE_CHECKING:
    import keras

VGG19_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
VGG19_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg19/{VGG19_FILE}"
VGG19_MD5 = "253f8cb515780f3b799900260a226db6"
VGG19_LAYERS = tuple(f"conv{block}_{number}" for block, count in ((1, 2), (2, 2), (3, 4), (4, 4), (5, 2))
                     for number in range(1, count + 1))
BGR_MEANS = np.array([103.939, 116.779, 123.68])  # what VGG-19 wants subtracted from pixels of 0 to 255


class Report(NamedTuple):
    """What became of the arrays of a file.

    Attributes:
        used: names that the model has and the file gave, in the model's order.
        unused: names in the file that the model does not have.
        missing: names in the model that the file did not give; they keep their values.
    """

    used: list[str]
    unused: list[str]
    missing: list[str]


def load_by_name(model: "keras.Model", arrays: dict[str, np.ndarray]) -> Report:
    """Assign arrays to a model's variables of the same `layer/variable` name, all or none.

    Args:
        model: any Keras model.
        arrays: values by name, e.g. `conv1_1/kernel`: float [3, 3, 3, 64].

    Raises:
        BadWeights: a name that both have with two shapes, or no name in common; the model is then as it was.
    """
    from cpm_hand import checkpoints

    variables = checkpoints.variables(model)
    used = [name for name in variables if name in arrays]
    if not used:
        raise BadWeights(f"not one of {len(arrays)} arrays fits the model: the file has {_some(arrays)}, "
                         f"the model {_some(variables)}.")
    for name in used:
        if tuple(variables[name].shape) != tuple(arrays[name].shape):
            raise BadWeights(f"'{name}' is {tuple(arrays[name].shape)} in the file and "
                             f"{tuple(variables[name].shape)} in the model: of another net, --width or joints.")
    for name in used:
        variables[name].assign(arrays[name])
    return Report(used, [name for name in arrays if name not in variables],
                  [name for name in variables if name not in arrays])


def _some(names) -> str:
    return ", ".join(repr(name) for name in list(names)[:3]) + (", …" if len(names) > 3 else "")


def read_arrays(path) -> dict[str, np.ndarray]:
    """Weights by `layer/variable` name from a file or a run; nothing in it is executed.

    Args:
        path: a run's folder or checkpoint .npz (its averaged weights where there are any), or a Keras
            `.weights.h5` file.

    Raises:
        BadWeights: another kind of file, or a damaged one.
        checkpoints.BadCheckpoint: the same for runs and checkpoints.
    """
    from cpm_hand import checkpoints

    path = pathlib.Path(path)
    if path.is_dir() or path.suffix == checkpoints.SUFFIX:
        return checkpoints.find(path).best_weights()
    if path.suffix == ".h5":
        return hdf5.read(path)
    problem = "unknown kind of weight file" if path.exists() else "no such file"
    raise BadWeights(f"{path}: {problem}; expected a run's folder, a checkpoint (.npz) or Keras weights "
                     f"(.weights.h5). `python -m cpm_hand.weights IN OUT` converts weights of other programs.")


def start_from_vgg19(model: "keras.Model", source: str) -> Report:
    """Give a CPM of width 1 the convolutions conv1_1 to conv5_2 of VGG-19, trained on ImageNet.

    Args:
        model: a net with the published layer names.
        source: as for `vgg19_arrays`.

    Raises:
        BadWeights: the model is narrower, or the source cannot be had.
    """
    from cpm_hand import checkpoints

    arrays = vgg19_arrays(source)
    for name, variable in checkpoints.variables(model).items():
        if name in arrays and tuple(variable.shape) != arrays[name].shape:
            raise BadWeights(f"VGG-19 fits only width 1: '{name}' is {arrays[name].shape} there and "
                             f"{tuple(variable.shape)} here. Use --width=1 or --backbone_weights=none.")
    return load_by_name(model, arrays)


def vgg19_arrays(source: str) -> dict[str, np.ndarray]:
    """The first fourteen convolutions of VGG-19, under our names and for our input range.

    Args:
        source: 'imagenet' for Keras's own file, downloaded once into its cache and checked by its hash; or
            the path of that file (`…_notop.h5`), or of a `.npy` dictionary {layer: {'weights', 'biases'}} as
            the prior replica used it. The dictionary is taken to be what VGG-19's published weights are: BGR,
            pixels of 0 to 255 minus the mean, conv1_1 not rescaled.

    Returns:
        float32 by name: `conv1_1/kernel` [3, 3, 3, 64], `conv1_1/bias` [64], … `conv5_2/bias` [512].

    Raises:
        BadWeights: no network, or a file that is damaged, of another kind, or lacks a layer.
    """
    path = pathlib.Path(_download_vgg19() if source == "imagenet" else source)
    if path.suffix not in (".h5", ".npy"):
        raise BadWeights(f"{path}: VGG-19 weights are read from {VGG19_FILE} or a .npy dictionary; give one, "
                         f"'imagenet' or 'none'.")
    return pick_vgg19(read_keras(path) if path.suffix == ".h5" else read_npy(path), path)


def pick_vgg19(found: dict[str, np.ndarray], path) -> dict[str, np.ndarray]:
    """What `vgg19_arrays` gives, out of what `read_keras` or `read_npy` found.

    Args:
        found: arrays of the file, by name.
        path: the file, for errors.
    """
    wanted = [f"{layer}/{variable}" for layer in VGG19_LAYERS for variable in ("kernel", "bias")]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise BadWeights(f"{path}: {len(missing)} arrays of VGG-19 are missing ({_some(missing)}); found "
                         f"{_some(found)}. VGG-16 lacks conv3_4 and conv4_4 and does not fit.")
    arrays = {name: np.asarray(found[name], np.float32) for name in wanted}
    if arrays["conv1_1/kernel"].shape != (3, 3, 3, 64) or arrays["conv1_1/bias"].shape != (64,):
        raise BadWeights(f"{path}: conv1_1 must be (3, 3, 3, 64) with 64 biases, got "
                         f"{arrays['conv1_1/kernel'].shape} and {arrays['conv1_1/bias'].shape}.")
    arrays["conv1_1/kernel"], arrays["conv1_1/bias"] = to_our_range(arrays["conv1_1/kernel"],
                                                                    arrays["conv1_1/bias"])
    return arrays


def to_our_range(kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rewrite VGG's first convolution, which takes y = pixel - mean, for our input z = pixel / 256 - 0.5.

    y = 256 z + 128 - mean, so the kernel grows by 256 and the bias takes the constant: exact wherever the
    kernel does not touch the zero padding, whose zeros mean grey here and the mean colour there.

    Args:
        kernel: float [h, w, 3, C], BGR.
        bias: float [C].

    Returns:
        float32 of the same shapes.
    """
    shift = np.einsum("hwic,i->c", np.float64(kernel), 128.0 - BGR_MEANS)
    return np.float32(256.0 * np.float64(kernel)), np.float32(bias + shift)


def read_keras(path) -> dict[str, np.ndarray]:
    """All arrays of a Keras file; those of its VGG-19 under the published names, `conv3_2/kernel`.

    Raises:
        BadWeights: damaged, or not Keras's.
    """
    return {_our_name(name): array for name, array in hdf5.read(path).items()}


def _our_name(name: str) -> str:
    """`block3_conv2/kernel` to `conv3_2/kernel`; other names unchanged."""
    layer, _, variable = name.partition("/")
    if layer.startswith("block") and "_conv" in layer:
        layer = "conv" + layer.removeprefix("block").replace("_conv", "_")
    return f"{layer}/{variable}"


def _download_vgg19() -> str:
    import keras

    try:
        return keras.utils.get_file(VGG19_FILE, VGG19_URL, cache_subdir="models", file_hash=VGG19_MD5)
    except Exception as error:  # noqa: BLE001 - Keras raises a bare Exception where the network fails
        raise BadWeights(f"the VGG-19 weights cannot be downloaded ({error}). Go without them with "
                         f"--backbone_weights=none, or download {VGG19_URL} on another machine and give its "
                         f"path: --backbone_weights=PATH.") from error


def read_npy(path) -> dict[str, np.ndarray]:
    """All arrays of a `.npy` dictionary, as `conv1_1/kernel`.

    Args:
        path: {layer: {'weights': kernel, 'biases': bias}} or {'layer/weights': array}; names as bytes or text.

    Raises:
        BadWeights: damaged, or holding anything but dictionaries of plain numbers.
    """
    renamed = {"weights": "kernel", "W": "kernel", "biases": "bias", "b": "bias"}
    arrays = {}
    for key, value in pickles.read_npy_object(path).items():
        for inner, array in value.items() if isinstance(value, dict) else [("", value)]:
            layer, _, variable = f"{key}/{inner}".strip("/").removesuffix(":0").rpartition("/")
            if isinstance(array, np.ndarray):
                arrays[f"{layer}/{renamed.get(variable, variable)}"] = array
    return arrays
