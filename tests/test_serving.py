"""What TensorFlow Serving is given: pictures as bytes, a versioned folder, a warm-up request that really runs."""

import cv2
import numpy as np
import pytest
import tensorflow as tf
from exported import SPECS, small_checkpoint
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from cpm_hand import crops, geometry, inference, runtimes, serving
from cpm_hand.formats import saved_model

SPEC = SPECS["cpm"]


@pytest.fixture(scope="module")
def model():
    return inference.inference_model(runtimes.restore_net(small_checkpoint(SPEC)), SPEC.target)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "hand"
    saved_model.write(model, {"spec": SPEC.to_json()}, path)
    return path


@pytest.fixture(scope="module")
def loaded(folder):
    return tf.saved_model.load(str(folder / "1"))


def photograph(width: int, height: int) -> np.ndarray:
    """Soft stripes: uint8 [H, W, 3], RGB."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(columns * a + rows * b) for a, b in ((0.11, 0.02), (0.03, 0.13), (-0.07, 0.05))]
    return np.uint8(127.5 + 120 * np.stack(waves, -1))


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture[..., ::-1])[1].tobytes()


@pytest.mark.parametrize("width, height", [(64, 64), (100, 70), (50, 90), (20, 31), (400, 300), (1001, 333)])
def test_a_whole_picture_is_cropped_as_the_predictor_crops_it(width, height):
    picture = photograph(width, height)
    crop, scale, start = serving._whole_picture(tf.constant(png(picture)), 64)
    box = geometry.whole_picture_box(width, height)
    expected = crops.cut(picture, box, mirrored=False, size=64)
    difference = np.abs(np.int32(crop) - expected)
    # OpenCV samples at 1/32 of a pixel; TensorFlow does not round.
    assert difference.mean() < 1 and np.quantile(difference, 0.99) <= 6
    np.testing.assert_allclose([float(scale), *start.numpy()], [64 / box[2], *box[:2]], rtol=1e-5)


def test_bytes_of_several_sizes_give_keypoints_in_each_pictures_own_pixels(loaded, model):
    pictures = [photograph(100, 70), photograph(64, 64)]
    result = loaded.signatures["serving_bytes"](image_bytes=tf.constant([png(picture) for picture in pictures]))
    for row, picture in enumerate(pictures):
        crop, scale, start = serving._whole_picture(tf.constant(png(picture)), 64)
        expected = np.asarray(model(crop[None])["keypoints"])[0]
        side = max(picture.shape)
        back = geometry.invert(geometry.crop_matrix(geometry.whole_picture_box(*picture.shape[1::-1]), 64))
        places = geometry.apply(back, expected[:, :2])
        np.testing.assert_allclose(result["keypoints"][row, :, :2], places, atol=0.02 * side / 64)
        np.testing.assert_allclose(result["keypoints"][row, :, 2], expected[:, 2], atol=1e-4)
    assert set(result) == {"keypoints", "presence"} and result["presence"].shape == (2,)


def test_an_orientation_in_exif_data_is_not_applied(loaded):
    whole = cv2.imencode(".jpg", photograph(100, 70)[..., ::-1])[1].tobytes()
    tag = b"\x4d\x4d\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    segment = b"Exif\x00\x00" + tag
    turned = whole[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + whole[2:]
    seen = cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)
    assert seen.shape == (100, 70, 3)  # OpenCV does turn it: the tag is a real one
    plain, tagged = (loaded.signatures["serving_bytes"](image_bytes=tf.constant([data]))["keypoints"]
                     for data in (whole, turned))
    np.testing.assert_array_equal(plain, tagged)


def test_bytes_that_are_no_picture_are_refused_by_the_signature(loaded):
    with pytest.raises(tf.errors.InvalidArgumentError):
        loaded.signatures["serving_bytes"](image_bytes=tf.constant([b"no picture"]))


def log_class():
    """PredictionLog as protobuf's own library builds it, from the field numbers of tensorflow/serving."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="log.proto", package="t", syntax="proto3")
    shapes = {"ModelSpec": [("name", 1, None), ("signature_name", 3, None)],
              "Input": [("key", 1, None), ("value", 2, bytes)],
              "PredictRequest": [("model_spec", 1, "ModelSpec"), ("inputs", 2, "Input")],
              "PredictLog": [("request", 1, "PredictRequest")], "PredictionLog": [("predict_log", 6, "PredictLog")]}
    for name, fields in shapes.items():
        message = file.message_type.add(name=name)
        for title, number, kind in fields:
            added = message.field.add(name=title, number=number,
                                      label=field.LABEL_REPEATED if title == "inputs" else field.LABEL_OPTIONAL)
            if isinstance(kind, str):
                added.type, added.type_name = field.TYPE_MESSAGE, f".t.{kind}"
            else:
                added.type = field.TYPE_BYTES if kind is bytes else field.TYPE_STRING
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.PredictionLog"))


def test_the_warm_up_request_runs_against_the_loaded_signature(folder, loaded):
    records = list(tf.data.TFRecordDataset(str(folder / "1" / serving.WARM_UP)).as_numpy_iterator())
    assert len(records) == 1
    request = log_class().FromString(records[0]).predict_log.request
    assert (request.model_spec.name, request.model_spec.signature_name) == ("hand", "serving_default")
    inputs = {entry.key: tf.io.parse_tensor(entry.value, tf.uint8) for entry in request.inputs}
    outputs = loaded.signatures[request.model_spec.signature_name](**inputs)
    assert outputs["keypoints"].shape == (1, 21, 3)


@pytest.mark.parametrize("length", [1, 100, 127, 128, 16383, 16384, 3_000_000])
def test_a_field_of_any_length_is_read_back_by_protobuf(length):
    data = serving.prediction_log("a" * 3, "b", {"image": b"x" * length})
    request = log_class().FromString(data).predict_log.request
    assert [(entry.key, len(entry.value)) for entry in request.inputs] == [("image", length)]
    assert log_class().FromString(data).SerializeToString() == data
