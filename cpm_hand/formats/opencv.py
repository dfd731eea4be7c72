"""ONNX for OpenCV's dnn module, which takes neither bytes nor the decoder: raw maps of the last stage.

Input `image`: float32 [1, 3, size, size], RGB, 0 to 255, which `cv2.dnn.blobFromImage(bgr, size=(size, size),
swapRB=True)` gives. Output `maps`: float32 [1, C, h, w], the last stage. The description lies beside it as
NAME.onnx.json. Tried with OpenCV 4.14.
"""

import pathlib
import threading

import keras
import numpy as np

from cpm_hand import graphs
from cpm_hand.artefacts import (
    OUTPUTS,
    BadArtefact,
    Loaded,
    check_bytes,
    describe_beside,
    described_inside,
    first_line,
    write_beside,
)

KIND = "opencv"


def write(model: keras.Model, metadata: dict, destination: pathlib.Path) -> None:
    """Write an ONNX file that OpenCV's dnn reads.

    Args:
        model: the inference model; its decoder is left out.
        metadata: plain values.
        destination: the .onnx file.

    Raises:
        ImportError: tf2onnx is not installed.
    """
    size = model.inputs[0].shape[1]
    stages = keras.Model(model.inputs[0], model.output["stages"])
    # A copy that takes floats: OpenCV has no bytes to cast, and the layers' own cast changes nothing then.
    floats = keras.models.clone_model(stages, input_tensors=keras.Input((size, size, 3), dtype="float32", name="image"),
                                      clone_function=lambda layer: layer)

    def run(image):
        pixels = keras.ops.transpose(image, (0, 2, 3, 1))
        return {"maps": keras.ops.transpose(floats(pixels, training=False)[:, -1], (0, 3, 1, 2))}

    import tensorflow as tf

    graph_def = graphs.freeze(run, ["maps"], tf.TensorSpec((1, 3, size, size), tf.float32, name="image"))
    converted = graphs.to_onnx(graph_def, ["maps"])
    write_beside(destination, converted.SerializeToString(), {**metadata, "format": KIND})


def is_it(path: pathlib.Path, head: bytes) -> bool:
    """An ONNX file whose description says that it is for OpenCV."""
    if head[:1] != b"\x08":
        return False
    try:
        return describe_beside(path)[1].get("format") == KIND
    except BadArtefact:  # somebody else's file beside plain ONNX, which holds its own description, or ours, damaged
        return not described_inside(path)


def load(path: pathlib.Path) -> Loaded:
    """Load one into OpenCV's dnn; the decoder that it lacks runs behind it.

    Raises:
        BadArtefact: cut short, damaged, or of another program.
    """
    import cv2

    description, fields = describe_beside(path)
    spec = description.spec
    check_bytes(path, path.read_bytes(), fields)
    try:
        net = cv2.dnn.readNetFromONNX(str(path))
    except cv2.error as error:
        raise BadArtefact(f"{path}: not a whole ONNX file that OpenCV {cv2.__version__} can run "
                          f"({first_line(error)}); cut short, damaged or of another kind; export it again.") from error
    cells, lock = spec.size // spec.target.stride, threading.Lock()

    def run(images):
        maps = []
        for image in images:
            with lock:  # a net of OpenCV's has one set of buffers
                net.setInput(np.float32(image.transpose(2, 0, 1)[None]), "image")
                maps.append(net.forward("maps").copy())
        stages = np.concatenate(maps).transpose(0, 2, 3, 1)[:, None]
        keypoints = spec.target.decode(stages[:, -1])
        results = {"belief_maps": spec.target.upsample(stages[:, -1], spec.size), "stages": stages,
                   "keypoints": keypoints, "presence": spec.target.presence(keypoints)}
        return {name: keras.ops.convert_to_numpy(results[name]) for name in OUTPUTS}

    shapes = {"belief_maps": [None, spec.size, spec.size, spec.num_maps],
              "stages": [None, 1, cells, cells, spec.num_maps], "keypoints": [None, spec.skeleton.num_joints, 3],
              "presence": [None]}
    return Loaded(run, ("uint8", [None, spec.size, spec.size, 3]), shapes, description)
