"""A compact pose machine: the CPM's stages on a light trunk, for a laptop's processor.

The trunk is a residual encoder-decoder with features at stride 4. Stage 1 is a head on them; each later stage sees
[previous maps, features], as in the CPM. A map is a softmax over its cells and "not in the picture" instead of free
values: the cells of a joint compete, and a net that has not seen the joint says so with low scores.

There is no normalisation: residual branches are scaled down instead. That trains twice as fast on a processor, and
needs nothing folded away for export.
"""

import math

import keras
from keras import layers

from cpm_hand.layers import SpatialBelief, Stages, check
from cpm_hand.targets import BeliefMaps

TARGET = BeliefMaps(stride=4, sigma_px=5.0)
STEM = 32                               # channels at stride 2
TRUNK = ((64, 2), (128, 3), (160, 2))   # channels and residual blocks at strides 4, 8, 16
COARSEST = 16                           # stride of the last of them
STAGE = 64                              # channels of features and stages
BRANCH = 0.2                            # share of a residual branch


def cpm_lite(*, size: int = 128, stages: int = 3, width: float = 1.0, maps: int = 22) -> keras.Model:
    """Build the net.

    Args:
        size: side of the square input, px; a multiple of 16.
        stages: number of stages S, at least 1.
        width: factor on every hidden layer's channels.
        maps: number of maps C: joints and background.

    Returns:
        keras.Model: uint8 RGB [B, size, size, 3] -> float32 [B, S, size // 4, size // 4, C]; `[:, -1]` is the
        answer. Under a mixed-precision policy heads and maps stay in float32.

    Raises:
        ValueError: a size that the trunk does not divide, no stage, or no channel left.
    """
    check(size, COARSEST, stages, width)
    cells = (size // TARGET.stride) ** 2

    def conv(x, name: str, channels: int, kernel: int = 3, stride: int = 1, *, relu: bool = True, gain: float = 2.0):
        """A convolution that keeps the variance where gain is 2 and a ReLU follows (He)."""
        return layers.Conv2D(max(round(channels * width), 1), kernel, strides=stride, padding="same",
                             activation="relu" if relu else None, name=name,
                             kernel_initializer=keras.initializers.VarianceScaling(gain, "fan_in"))(x)

    def residual(x, name: str, channels: int):
        """x + 0.2 f(x): many of them in a row neither explode nor vanish, at the start and at large steps."""
        branch = conv(conv(x, f"{name}_1", channels), f"{name}_2", channels, relu=False)
        branch = layers.Rescaling(BRANCH, name=f"{name}_scale")(branch)
        return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, branch]))

    def head(x, name: str):
        """Maps that begin even: as likely somewhere in the picture as not in it."""
        logits = layers.Conv2D(maps - 1, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                               bias_initializer=keras.initializers.Constant(-math.log(cells)), dtype="float32",
                               name=f"{name}_logits")(x)
        return SpatialBelief(TARGET.bell_cells, name=name)(logits)

    image = keras.Input((size, size, 3), dtype="uint8", name="image")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="pixels")(image)
    x = conv(x, "stem", STEM, stride=2)
    skips = []
    for number, (channels, blocks) in enumerate(TRUNK, start=1):
        x = conv(x, f"down{number}", channels, stride=2)
        for block in range(1, blocks + 1):
            x = residual(x, f"block{number}_{block}", channels)
        skips.append((x, channels))
    for number, (skip, channels) in reversed(list(enumerate(skips[:-1], start=1))):
        x = layers.UpSampling2D(2, name=f"up{number}")(conv(x, f"lateral{number}", channels, 1))
        x = conv(layers.Add(name=f"merge{number}")([x, skip]), f"smooth{number}", channels)
    features = conv(x, "features", STAGE, 1)                              # [B, h, w, 64]

    outputs = [head(features, "maps_stage1")]
    for stage in range(2, stages + 1):
        x = layers.Concatenate(name=f"concat_stage{stage}")([outputs[-1], features])
        for number, kernel in enumerate((5, 5, 1), start=1):
            x = conv(x, f"Mconv{number}_stage{stage}", STAGE, kernel, gain=1.0)
        outputs.append(head(x, f"maps_stage{stage}"))
    return keras.Model(image, Stages(name="stages")(outputs), name="cpm_lite")
