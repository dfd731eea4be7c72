"""The networks: one file each, one row each in `NETS`, and what a row promises."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import keras

from cpm_hand import losses
from cpm_hand.hand import HAND, Skeleton
from cpm_hand.layers import retraced
from cpm_hand.nets import cpm, cpm_lite
from cpm_hand.targets import BeliefMaps


class Net(NamedTuple):
    """One row of `NETS`.

    Attributes:
        build: (size=…, stages=…, width=…, maps=…) -> keras.Model from uint8 RGB [B, size, size, 3] to float32
            [B, S, h, w, C], one set of maps per stage.
        size: side of the square input that the net was designed for, px.
        stages: number of stages S that the net was designed for.
        target: how keypoints become what the net predicts, and back.
        loss: (targets, outputs, visible) -> (total, per stage).
    """

    build: Callable[..., keras.Model]
    size: int
    stages: int
    target: BeliefMaps
    loss: Callable


NETS = {
    "cpm": Net(cpm.cpm, size=368, stages=6, target=BeliefMaps(stride=8, sigma_px=7.0), loss=losses.stage_sum_l2),
    "cpm_lite": Net(cpm_lite.cpm_lite, size=128, stages=4, target=cpm_lite.TARGET,
                    loss=functools.partial(losses.spatial_cross_entropy, bell_cells=cpm_lite.TARGET.bell_cells)),
}


def find(name: str) -> Net:
    """The row of that name.

    Raises:
        ValueError: there is none; the text lists those there are.
    """
    if name not in NETS:
        raise ValueError(f"unknown net '{name}'; the nets are {', '.join(sorted(NETS))}.")
    return NETS[name]


class Spec(NamedTuple):
    """All that is needed to build a net again; it travels inside checkpoints and artefacts.

    Attributes:
        net: row of `NETS`.
        size: side of the square input, px.
        stages: number of stages.
        width: factor on the hidden channels.
        skeleton: names, bones and groups of the joints that its maps stand for.
    """

    net: str
    size: int
    stages: int
    width: float = 1.0
    skeleton: Skeleton = HAND

    @property
    def target(self) -> BeliefMaps:
        """How the net's maps become keypoints."""
        return find(self.net).target

    @property
    def num_maps(self) -> int:
        """Channels C of the net's maps."""
        return self.target.num_maps(self.skeleton.num_joints)

    def build(self, policy: str = "float32") -> keras.Model:
        """The net with new random weights.

        Args:
            policy: Keras dtype policy of its layers, whatever the one of the moment; that one is left as it is.
        """
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            return find(self.net).build(size=self.size, stages=self.stages, width=self.width, maps=self.num_maps)
        finally:
            keras.config.set_dtype_policy(before)

    def to_json(self) -> dict:
        """Plain values for JSON."""
        return {**self._asdict(), "skeleton": self.skeleton.to_json()}

    @classmethod
    def from_json(cls, data: dict) -> "Spec":
        """The inverse of `to_json`; keys that it does not know are ignored.

        >>> Spec.from_json(Spec("cpm", 184, 3, 0.25).to_json()) == Spec("cpm", 184, 3, 0.25)
        True
        """
        return cls(net=str(data["net"]), size=int(data["size"]), stages=int(data["stages"]),
                   width=float(data["width"]), skeleton=Skeleton.from_json(data["skeleton"]))


class Costs(NamedTuple):
    """What a net costs.

    Attributes:
        parameters: number of weights and biases.
        macs: multiply-accumulates of the convolutions for one picture.
        activation_bytes: all layers' outputs for one picture in float32, what a training step keeps at least.
    """

    parameters: int
    macs: int
    activation_bytes: int


def costs(model: keras.Model) -> Costs:
    """Count a net's parameters, multiply-accumulates and activations.

    Args:
        model: built for one input size.
    """
    macs = activations = 0

    def call(layer, *arguments, **keywords):  # a layer that is used twice is computed twice
        nonlocal macs, activations
        result = layer(*arguments, **keywords)
        cells = math.prod(result.shape[1:])
        activations += 4 * cells
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            macs += cells * math.prod(layer.kernel_size)
        elif isinstance(layer, keras.layers.Conv2D):
            macs += cells * math.prod(layer.kernel_size) * arguments[0].shape[-1] // layer.groups
        elif isinstance(layer, keras.layers.Conv2DTranspose):  # each input cell is multiplied by the whole kernel
            macs += math.prod(arguments[0].shape[1:]) * math.prod(layer.kernel_size) * layer.filters
        return result

    retraced(model, call)
    return Costs(model.count_params(), macs, activations)
