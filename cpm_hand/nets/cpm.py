"""The six-stage convolutional pose machine for hands, with the published layer names.

VGG-19 to conv4_4, three more 3x3 convolutions to a shared feature map at stride 8, a 1x1 head as stage 1, then
stages of five 7x7 and two 1x1 convolutions that each see [previous maps, features]. Layers carry the names of the
published model, so its weights fit by name.

Source: Simon et al. 2017, arXiv:1704.07809; OpenPose, models/hand/pose_deploy.prototxt.
"""

import keras
from keras import layers, ops

from cpm_hand.layers import Stages, check

STRIDE = 8
# Width of each 3x3 convolution, by block; a pool follows each of the first three blocks.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512, 512, 128))


@keras.saving.register_keras_serializable(package="cpm_hand")
class PixelsToNet(layers.Layer):
    """uint8 RGB pixels to what VGG-like weights expect: BGR, x / 256 - 0.5.

    Worked in float32 and cast last: every value is a multiple of 1/256 and exact in bfloat16 too. Slices and a
    concatenation turn the channels round, since not every runtime has a reverse operation.
    """

    def call(self, images):
        """uint8 [B, H, W, 3], RGB -> [B, H, W, 3] of the layer's compute dtype, BGR, in [-0.5, 0.5)."""
        scaled = ops.cast(images, "float32") / 256.0 - 0.5
        bgr = ops.concatenate([scaled[..., 2:3], scaled[..., 1:2], scaled[..., 0:1]], axis=-1)
        return ops.cast(bgr, self.compute_dtype)


def cpm(*, size: int = 368, stages: int = 6, width: float = 1.0, maps: int = 22) -> keras.Model:
    """Build the net; the defaults are the published one, 36,832,324 parameters and 103.19 GMAC.

    Args:
        size: side of the square input, px; a multiple of 8.
        stages: number of stages S, at least 1.
        width: factor on every hidden layer's channels; below 1 for tests and small machines.
        maps: number of maps C: joints and background.

    Returns:
        keras.Model: uint8 RGB [B, size, size, 3] -> float32 [B, S, size // 8, size // 8, C]; `[:, -1]` is the
        answer. Under a mixed-precision policy the heads stay in float32.

    Raises:
        ValueError: a size that the cells do not tile, no stage, or a width that is not above 0.
    """
    check(size, STRIDE, stages, width, usual=" (1 is the published net)")

    def conv(x, name: str, channels: int, kernel: int, initializer: str = "he_normal"):
        return layers.Conv2D(max(round(channels * width), 1), kernel, padding="same", activation="relu",
                             kernel_initializer=initializer, name=name)(x)

    # Nearly all cells are background: a net that begins by saying so need not unlearn a loss twenty times as high.
    no_hand = keras.initializers.Constant([0.0] * (maps - 1) + [1.0])

    def head(x, name: str):
        return layers.Conv2D(maps, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                             bias_initializer=no_hand, dtype="float32", name=name)(x)

    image = keras.Input((size, size, 3), dtype="uint8", name="image")
    x = PixelsToNet(name="pixels")(image)
    for block, channels in enumerate(BLOCKS, start=1):
        for number, filters in enumerate(channels, start=1):
            name = "conv5_3_CPM" if (block, number) == (5, 3) else f"conv{block}_{number}"
            x = conv(x, name, filters, 3)
        if block <= 3:
            x = layers.MaxPooling2D(name=f"pool{block}_stage1")(x)
    features = x                                                     # [B, h, w, 128]

    outputs = [head(conv(features, "conv6_1_CPM", 512, 1), "conv6_2_CPM")]
    for stage in range(2, stages + 1):
        x = layers.Concatenate(name=f"concat_stage{stage}")([outputs[-1], features])
        for number in range(1, 6):
            # Smaller than He's: with it the six stages drive each other up in the first steps.
            x = conv(x, f"Mconv{number}_stage{stage}", 128, 7, "glorot_uniform")
        x = conv(x, f"Mconv6_stage{stage}", 128, 1, "glorot_uniform")
        outputs.append(head(x, f"Mconv7_stage{stage}"))
    return keras.Model(image, Stages(name="stages")(outputs), name="cpm")
