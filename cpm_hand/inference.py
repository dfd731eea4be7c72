"""The inference model: a net, the decoder and the upsampling in one graph, as every export writes it."""

import keras
from keras import layers

from cpm_hand.layers import Stages
from cpm_hand.targets import BeliefMaps


@keras.saving.register_keras_serializable(package="cpm_hand")
class Decode(layers.Layer):
    """Belief maps of the last stage to keypoints and presence, always in float32."""

    def __init__(self, target: dict, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.target = BeliefMaps(**target)

    def call(self, stages):
        """float [B, S, h, w, C] -> (keypoints [B, J, 3], presence [B])."""
        keypoints = self.target.decode(stages[:, -1])
        return keypoints, self.target.presence(keypoints)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "target": self.target._asdict()}


@keras.saving.register_keras_serializable(package="cpm_hand")
class Upsample(layers.Layer):
    """Belief maps of the last stage, bicubically brought to the input's size."""

    def __init__(self, target: dict, size: int, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.target, self.size = BeliefMaps(**target), size

    def call(self, stages):
        """float [B, S, h, w, C] -> float32 [B, size, size, C]."""
        return self.target.upsample(stages[:, -1], self.size)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "target": self.target._asdict(), "size": self.size}


def inference_model(net: keras.Model, target: BeliefMaps, *, maps: bool = True) -> keras.Model:
    """Put the decoder and the upsampling behind a net.

    Args:
        net: uint8 RGB [B, size, size, 3] -> float32 [B, S, h, w, C].
        target: how its maps become keypoints.
        maps: give `belief_maps` and `stages` too. Without them nothing is upsampled, and only the last stage's maps
            are kept: smallest and fastest.

    Returns:
        keras.Model with input `image` and a dictionary of outputs: `belief_maps` [B, size, size, C] upsampled
        from the last stage, `stages` [B, S, h, w, C], `keypoints` [B, J, 3] (x, y in input px, score) and
        `presence` [B].
    """
    config = target._asdict()
    stages, last = net.output, net.layers[-1]
    if not maps and isinstance(last, Stages):
        stages = Stages(name="last_stage")(keras.tree.flatten(last.input)[-1:])
    keypoints, presence = Decode(config, name="decode")(stages)
    outputs = {"keypoints": keypoints, "presence": presence}
    if maps:
        upsampled = Upsample(config, net.input.shape[1], name="upsample")(stages)
        outputs = {"belief_maps": upsampled, "stages": stages, **outputs}
    return keras.Model(net.input, outputs, name="inference")
