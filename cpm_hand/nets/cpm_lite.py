"""A compact pose machine: the CPM's stages on a light trunk, for a laptop's processor.

The trunk is a residual encoder-decoder with features at stride 8. Stage 1 is a head on them; each later stage sees
[previous maps, features], as in the CPM. The fourth, and any after it, is the third once more, with the same weights:
it goes on with what that began, and adds no parameter. Heads write maps at stride 4, and stages fold them back to
stride 8: cells of 8 px tell joints apart at a quarter of the price. A map is a softmax over its cells and "not in the
picture" instead of free values: the cells of a joint compete, and a net that has not seen the joint says so with low
scores.

There is no normalisation, which trains twice as fast on a processor and needs nothing folded away for export. What
keeps activations in bounds instead is where kernels begin (He) and that `optimizers.Muon` never changes their length,
but for those of the heads.
"""

import math

import keras
from keras import layers

from cpm_hand.layers import SpatialBelief, Stages, check
from cpm_hand.targets import BeliefMaps

TARGET = BeliefMaps(stride=4, sigma_px=5.0, reach_px=22.0)
STEM = (32, 48)                 # channels at strides 2 and 4
TRUNK = ((128, 4), (144, 2))    # channels and residual blocks at strides 8 and 16
COARSEST = 16                   # stride of the last of them
STAGE = 96                      # channels of features and stages
FOLD = 64                       # channels in which a stage sees the previous maps
OWN = 3                         # stages with weights of their own; the last of them is what later ones are, too
BRANCH = 0.5                    # share of a residual branch
FOLD_GAIN = 16.0                # a bell is 1 in few cells and 0 elsewhere: stages would hear the features alone


def cpm_lite(*, size: int = 128, stages: int = 4, width: float = 1.0, maps: int = 22) -> keras.Model:
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
        ValueError: a size that the trunk does not divide, no stage, or a width that is not above 0.
    """
    check(size, COARSEST, stages, width)
    cells = (size // TARGET.stride) ** 2

    def conv(name: str, channels: int, kernel: int = 3, stride: int = 1, *, relu: bool = True, gain: float = 2.0):
        """A convolution that keeps the variance where gain is 2 and a ReLU comes before or after (He)."""
        return layers.Conv2D(max(round(channels * width), 1), kernel, strides=stride, padding="same",
                             activation="relu" if relu else None, name=name,
                             kernel_initializer=keras.initializers.VarianceScaling(gain, "fan_in"))

    def residual(x, name: str, channels: int):
        """x and a share of f(relu(x)): nothing stands in the way from the last block to the first."""
        branch = conv(f"{name}_1", channels)(layers.ReLU(name=f"{name}_relu")(x))
        branch = layers.Rescaling(BRANCH, name=f"{name}_scale")(conv(f"{name}_2", channels, relu=False)(branch))
        return layers.Add(name=f"{name}_add")([x, branch])

    def head(stage: int):
        """To maps at twice the resolution that begin even: as likely somewhere in the picture as not in it."""
        return layers.Conv2DTranspose(maps - 1, 2, strides=2, dtype="float32", name=f"maps_stage{stage}_logits",
                                      kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                                      bias_initializer=keras.initializers.Constant(-math.log(cells)))

    def belief(logits, stage: int):
        return SpatialBelief(TARGET.bell_cells, name=f"maps_stage{stage}")(logits)

    image = keras.Input((size, size, 3), dtype="uint8", name="image")
    x = layers.Rescaling(1 / 64, offset=-2.0, name="pixels")(image)
    for number, channels in enumerate(STEM, start=1):
        x = conv(f"stem{number}", channels, stride=2)(x)
    skips = []
    for number, (channels, blocks) in enumerate(TRUNK, start=1):
        x = conv(f"down{number}", channels, stride=2, relu=False)(x)
        for block in range(1, blocks + 1):
            x = residual(x, f"block{number}_{block}", channels)
        x = layers.ReLU(name=f"relu{number}")(x)
        skips.append((x, channels))
    for number, (skip, channels) in reversed(list(enumerate(skips[:-1], start=1))):
        x = conv(f"lateral{number}", channels, 1, relu=False, gain=1.0)(x)
        x = layers.Add(name=f"merge{number}")([layers.UpSampling2D(2, name=f"up{number}")(x), skip])
        x = conv(f"smooth{number}", channels)(x)
    features = conv("features", STAGE, 1)(x)                              # [B, size // 8, size // 8, 96]

    outputs = [belief(head(1)(features), 1)]
    for stage in range(2, stages + 1):
        if stage <= OWN:
            fold = conv(f"fold_stage{stage}", FOLD, 2, stride=2, relu=False, gain=FOLD_GAIN)
            refine = [conv(f"Mconv{number}_stage{stage}", STAGE, kernel)
                      for number, kernel in enumerate((3, 3, 1), start=1)] + [head(stage)]
        x = layers.Concatenate(name=f"concat_stage{stage}")([fold(outputs[-1]), features])
        for layer in refine:
            x = layer(x)
        outputs.append(belief(x, stage))
    return keras.Model(image, Stages(name="stages")(outputs), name="cpm_lite")
