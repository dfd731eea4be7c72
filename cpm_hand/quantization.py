"""A net with its convolutions marked to run in 8 bits: what a converter turns into integer kernels.

Marked means that what flows between the layers, and the kernels, is rounded to 256 values where it stands (TensorFlow's
FakeQuant operations), each kernel channel on its own scale. Softmax, decoder and the heads that these read stay in
floating point: their maps carry the fractions of a cell that keypoints are made of, and they cost next to nothing.
"""

import keras
import numpy as np
from keras import layers, ops

from cpm_hand.layers import retraced

KEEP = 0.99999  # share of a layer's values that its 256 steps span, on either side; the rest is cut off
_SAME_SCALE = (layers.MaxPooling2D, layers.UpSampling2D)
_ROUNDED = (layers.Conv2D, layers.Add, layers.ReLU, layers.Rescaling, layers.Concatenate, *_SAME_SCALE)
_READS_ROUNDED = (*_ROUNDED, layers.Conv2DTranspose)  # the heads of compact nets, which compute in floating point


def int8(model: keras.Model, pictures: np.ndarray, kernel_bits: int = 8) -> keras.Model:
    """A model that computes what the int8 artefact will compute, with the marks that converters look for.

    Args:
        model: functional, uint8 [B, size, size, 3] to a dictionary.
        pictures: uint8 [N, size, size, 3], RGB, such as the net will see: from them come the ranges.
        kernel_bits: how many of the 8 bits kernels use. With 7, a sum of two products fits into 16 bits, in which x86
            processors without VNNI add them, and cut off what does not fit.

    Returns:
        keras.Model with the same outputs; it shares the weights.
    """
    readers = _readers(model)
    first = {reader.name for layer in model.layers if isinstance(layer, layers.InputLayer)
             for reader in readers[layer.name]}  # these read pixels
    marked = {layer.name for layer in model.layers if isinstance(layer, _ROUNDED) and layer.name not in first
              and all(isinstance(reader, _READS_ROUNDED) for reader in readers[layer.name])}
    ranges = _ranges(model, _rounded_outputs(model, marked, readers), readers, pictures)

    rounded = {}  # by id of a tensor that floating point reads too: (the tensor, what 8 bits read)

    def call(layer, *arguments, **keywords):
        if layer.name not in marked:
            result = layer(*arguments, **keywords)
            if layer.name in ranges:
                rounded[id(result)] = result, Round(*ranges[layer.name])(result)
            return result
        arguments = keras.tree.map_structure(lambda tensor: rounded.get(id(tensor), (None, tensor))[1], arguments)
        kernel = RoundedKernel(layer, kernel_bits) if isinstance(layer, layers.Conv2D) else layer
        result = kernel(*arguments, **keywords)
        return Round(*ranges[layer.name])(result) if layer.name in ranges else result

    return retraced(model, call)


class Round(layers.Layer):
    """Round to 256 values between two."""

    def __init__(self, low: float, high: float, **kwargs):
        super().__init__(**kwargs)
        self.low, self.high = low, high

    def call(self, values):
        """float32, any shape; the same."""
        import tensorflow as tf

        return tf.quantization.fake_quant_with_min_max_vars(values, self.low, self.high)

    def compute_output_spec(self, values):
        """The same shape."""
        return keras.KerasTensor(values.shape, values.dtype)


class RoundedKernel(layers.Layer):
    """A convolution with its kernel rounded to -127 .. 127 steps, a step for each output channel.

    With fewer bits the steps are as many, but the kernel lies in the middle ones: converters know no other number.
    """

    def __init__(self, convolution: layers.Conv2D, bits: int = 8, **kwargs):
        super().__init__(**kwargs)
        self.convolution = convolution
        largest = np.maximum(np.abs(ops.convert_to_numpy(convolution.kernel)).max((0, 1, 2)), 1e-9)
        self.most = largest * 2 ** (8 - bits)

    def call(self, values):
        """As the convolution."""
        import tensorflow as tf

        layer = self.convolution
        kernel = tf.quantization.fake_quant_with_min_max_vars_per_channel(
            tf.convert_to_tensor(layer.kernel), -self.most, self.most, narrow_range=True)
        result = ops.conv(values, kernel, strides=layer.strides, padding=layer.padding,
                          dilation_rate=layer.dilation_rate)
        return layer.activation(result + layer.bias)

    def compute_output_spec(self, values):
        """As the convolution."""
        return keras.KerasTensor(self.convolution.compute_output_shape(values.shape), values.dtype)


def _readers(model: keras.Model) -> dict[str, list]:
    """Which layers read the output of each, by its name."""
    makers, readers = {}, {layer.name: [] for layer in model.layers}
    kept = []  # so that no id is given twice

    def call(layer, *arguments, **keywords):
        for tensor in keras.tree.flatten((arguments, keywords)):
            if id(tensor) in makers:
                readers[makers[id(tensor)]].append(layer)
        result = layer(*arguments, **keywords)
        for tensor in keras.tree.flatten(result):
            makers[id(tensor)] = layer.name
            kept.append(tensor)
        return result

    retraced(model, call)
    return readers


def _rounded_outputs(model: keras.Model, marked: set[str], readers: dict[str, list]) -> list[str]:
    """The layers whose output is rounded: what lies between two that run in 8 bits, or before one."""
    names = []
    for layer in model.layers:
        following = readers[layer.name]
        if layer.name in marked:
            # A ReLU that follows a sum is one kernel with it; pools and repeats take their input's steps over.
            fused = isinstance(layer, layers.Add) and all(isinstance(reader, layers.ReLU) for reader in following)
            if not fused and not isinstance(layer, _SAME_SCALE):
                names.append(layer.name)
        elif not isinstance(layer, layers.InputLayer) and any(reader.name in marked for reader in following):
            names.append(layer.name)
    return names


def _ranges(model: keras.Model, names: list[str], readers: dict, pictures: np.ndarray) -> dict:
    """(Least, greatest) value to tell apart, by name of the layer whose output is rounded."""
    probed = {name: [] for name in names}  # what a layer gives, each time that it is used

    def call(layer, *arguments, **keywords):
        result = layer(*arguments, **keywords)
        if layer.name in probed:
            probed[layer.name].append(result)
        return result

    probe = keras.Model(retraced(model, call).inputs[0], probed)
    ranges = dict.fromkeys(names, (np.inf, -np.inf))
    for picture in pictures:
        for name, outputs in probe(picture[None], training=False).items():
            for low, high in (_range(ops.convert_to_numpy(values)) for values in outputs):
                ranges[name] = (min(float(low), ranges[name][0]), max(float(high), ranges[name][1]))
    # What is joined has to be on one scale, and what is joined twice makes one group of both.
    groups = [{name for name in names if layer in readers[name]} | {layer.name}
              for layer in model.layers if isinstance(layer, layers.Concatenate) and layer.name in ranges]
    while groups:
        group = groups.pop()
        if others := [other for other in groups if other & group]:
            groups = [other for other in groups if not other & group] + [group.union(*others)]
        else:
            lows, highs = zip(*(ranges[name] for name in group))
            ranges |= dict.fromkeys(group, (min(lows), max(highs)))
    return ranges


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, (1 - KEEP, KEEP))
    return min(low, 0.0), max(high, 1e-6)
