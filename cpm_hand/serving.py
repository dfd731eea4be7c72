"""What TensorFlow Serving finds in a SavedModel beside the plain signature: encoded pictures in, and a warm-up request.

The arithmetic of `serving_bytes` is that of the Predictor looking at a whole picture: one square crop centred on it,
grey where it sticks out, area-averaged where it shrinks by two or more, then bilinear.
"""

import pathlib

import keras

from cpm_hand import images

WARM_UP = "assets.extra/tf_serving_warmup_requests"


def bytes_signature(model: keras.Model):
    """A function from picture files to keypoints in the pictures' own pixels.

    Pictures are JPEG or PNG of any size. The stored pixels count: an orientation in EXIF data is not applied, and
    the keypoints are those of the picture as it is stored.

    Args:
        model: uint8 [B, size, size, 3] to a dictionary with `keypoints` and `presence`.

    Returns:
        tf.function: `image_bytes`, string [N], to `keypoints` [N, J, 3] (x and y in px of each picture, score) and
        `presence` [N].
    """
    import tensorflow as tf

    size = model.inputs[0].shape[1]

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")], autograph=False)
    def serving_bytes(image_bytes):
        crops, scale, start = tf.map_fn(
            lambda data: _whole_picture(data, size), image_bytes,
            fn_output_signature=(tf.TensorSpec((size, size, 3), tf.uint8), tf.float32, tf.TensorSpec((2,), tf.float32)))
        results = model(crops, training=False)
        points = results["keypoints"]
        places = (points[..., :2] + 0.5) / scale[:, None, None] - 0.5 + start[:, None, :]
        return {"keypoints": tf.concat([places, points[..., 2:]], -1), "presence": results["presence"]}

    return serving_bytes


def _whole_picture(data, size: int):
    """One picture file to (crop uint8 [size, size, 3], input px per picture px, x and y of the crop in the picture)."""
    import tensorflow as tf

    picture = tf.io.decode_image(data, channels=3, expand_animations=False)
    picture.set_shape((None, None, 3))
    length = tf.cast(tf.shape(picture)[:2], tf.float32)[::-1]                         # [2]: width, height
    side = tf.reduce_max(length)
    start, scale = (length - side) / 2, size / side
    shrink = tf.floor(side / size)
    small = tf.maximum(tf.floor(length / tf.maximum(shrink, 1.0)), 1.0)

    def averaged():
        return tf.round(tf.image.resize(picture, tf.cast(small[::-1], tf.int32), method="area"))

    pixels = tf.cond(shrink >= 2, averaged, lambda: tf.cast(picture, tf.float32))
    step = tf.where(shrink >= 2, length / small, 1.0)                                 # picture px per px of `pixels`
    # From input to `pixels`: u -> a * u + b, for the transform is asked where each input pixel comes from.
    a = 1 / (scale * step)
    b = (start + 0.5 / scale) / step - 0.5
    transform = tf.stack([a[0], 0.0, b[0], 0.0, a[1], b[1], 0.0, 0.0])
    crop = tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels[None], transforms=transform[None], output_shape=(size, size), fill_value=float(images.BORDER[0]),
        interpolation="BILINEAR", fill_mode="CONSTANT")[0]
    return tf.cast(tf.round(crop), tf.uint8), scale, start


def write_warm_up(folder: pathlib.Path, name: str, image) -> None:
    """Write a request that TensorFlow Serving replays before it takes others, so that no user waits for the first run.

    Args:
        folder: of one version of a SavedModel.
        name: of the model.
        image: uint8 [N, size, size, 3], for `serving_default`.
    """
    import tensorflow as tf

    tensor = tf.make_tensor_proto(image).SerializeToString()
    path = folder / WARM_UP
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(prediction_log(name, "serving_default", {"image": tensor}))


def prediction_log(name: str, signature: str, inputs: dict[str, bytes]) -> bytes:
    """A PredictionLog of TensorFlow Serving with one PredictRequest, in protobuf's wire format.

    Written by hand, for the package that has the classes pins another TensorFlow. Field numbers are those of
    prediction_log.proto, predict.proto and model.proto of tensorflow/serving.

    Args:
        name: of the model.
        signature: of the model.
        inputs: serialized TensorProto by name.
    """
    model_spec = _field(1, name.encode()) + _field(3, signature.encode())
    request = _field(1, model_spec)
    for key, tensor in inputs.items():
        request += _field(2, _field(1, key.encode()) + _field(2, tensor))
    return _field(6, _field(1, request))


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field."""
    length, digits = len(data), b""
    while length > 0x7F:
        digits += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | 2]) + digits + bytes([length]) + data
