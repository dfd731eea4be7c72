"""What several nets have in common: what they refuse, and the layers that they end in."""

import keras
from keras import layers, ops

from cpm_hand import geometry


def check(size: int, multiple: int, stages: int, width: float, usual: str = "") -> None:
    """Refuse to build a pose machine that cannot be.

    Args:
        size: side of the square input, px.
        multiple: the size must be one of this.
        stages: number of stages.
        width: factor on the hidden channels.
        usual: what to say of the usual width, in brackets.

    Raises:
        ValueError: a size that the cells do not tile, no stage, or a width that is not above 0.
    """
    geometry.check_size(size, multiple)
    if stages < 1:
        raise ValueError(f"a pose machine has at least 1 stage, got stages={stages}.")
    if width <= 0:
        raise ValueError(f"width must be above 0{usual}, got width={width}.")


def retraced(model: keras.Model, call) -> keras.Model:
    """Go through a functional model layer by layer, once for each time that a layer is used.

    Args:
        model: left as it is.
        call: (layer, *arguments, **keywords) -> what stands for the layer's output from there on.

    Returns:
        keras.Model of what `call` gave; it shares the layers and the weights.
    """
    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


@keras.saving.register_keras_serializable(package="cpm_hand")
class Stages(layers.Layer):
    """Stack the maps of all stages along axis 1."""

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, outputs):
        """S tensors [B, h, w, C] -> float32 [B, S, h, w, C]."""
        return ops.stack(list(outputs), axis=1)


@keras.saving.register_keras_serializable(package="cpm_hand")
class SpatialBelief(layers.Layer):
    """Logits to belief maps whose cells compete: each joint is in one cell or nowhere.

    A softmax over all cells of a map and one place more, "not in the picture", whose logit is 0. What it gives a
    cell is scaled such that a bell of the net's own sigma has an apex of 1: a belief as any other net's.

    Args:
        bell_cells: sum of such a bell over all cells, `targets.BeliefMaps.bell_cells`.
    """

    def __init__(self, bell_cells: float, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.bell_cells = bell_cells

    def call(self, logits):
        """float [B, h, w, J] -> float32 [B, h, w, J + 1]: the joints, and the background 1 - max, at least 0."""
        highest = ops.stop_gradient(ops.maximum(ops.max(logits, axis=(1, 2), keepdims=True), 0.0))
        weights = ops.exp(logits - highest)
        total = ops.sum(weights, axis=(1, 2), keepdims=True) + ops.exp(-highest)
        joints = weights / total * self.bell_cells
        background = 1.0 - ops.minimum(ops.max(joints, axis=-1, keepdims=True), 1.0)
        return ops.concatenate([joints, background], axis=-1)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "bell_cells": self.bell_cells}
