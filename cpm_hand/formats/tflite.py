"""LiteRT (TensorFlow Lite): one file for telephones and small boards, its description in a zip behind the model.

Appended files are how TFLite metadata works everywhere: a reader of the model does not see them, and `unzip` does.
The batch is 1, as it is in LiteRT.
"""

import hashlib
import io
import json
import pathlib
import tempfile
import threading
import zipfile
import zlib

import keras
import numpy as np

from cpm_hand import graphs
from cpm_hand.artefacts import (
    DESCRIPTION,
    OUTPUTS,
    BadArtefact,
    Loaded,
    check_names,
    cores,
    describe,
    first_line,
    optional,
)

MARK = b"TFL3"  # bytes 4 to 7


def write(model: keras.Model, metadata: dict, destination: pathlib.Path) -> None:
    """Write a .tflite file with built-in operations only.

    Args:
        model: the inference model; for int8 one whose convolutions are marked, see `quantization`.
        metadata: plain values; "precision" says how the weights are kept: float32, float16 or int8.
        destination: the file.
    """
    data = _convert(model, metadata.get("precision", "float32"))
    description = {**metadata, "sha256": hashlib.sha256(data).hexdigest()}
    behind = io.BytesIO()
    with zipfile.ZipFile(behind, "w") as archive:
        archive.writestr(DESCRIPTION, json.dumps(description, indent=1))
    destination.write_bytes(data + behind.getvalue())


def _convert(model: keras.Model, precision: str) -> bytes:
    import tensorflow as tf

    names = graphs.outputs_of(model)
    spec = graphs.image_spec(model, batch=1)
    # A function that still holds variables converts into one that silently computes NaN; a frozen graph does not.
    graph_def = graphs.freeze(lambda image: dict(model(image, training=False)), names, spec,
                              fold=precision != "int8")

    @tf.function(input_signature=[spec], autograph=False)
    def serve(image):
        tensors = tf.graph_util.import_graph_def(graph_def, {"image": image}, [f"{name}:0" for name in names], name="")
        return dict(zip(names, tensors))

    with tempfile.TemporaryDirectory() as folder:
        module = tf.Module()
        tf.saved_model.save(module, folder, signatures={"serving_default": serve.get_concrete_function()})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return bytes(converter.convert())


def is_it(path: pathlib.Path, head: bytes) -> bool:
    """A FlatBuffer with LiteRT's mark, or what calls itself NAME.tflite."""
    return head[4:8] == MARK or path.suffix == ".tflite"


def load(path: pathlib.Path) -> Loaded:
    """Load one with as many threads as there are cores.

    Raises:
        BadArtefact: cut short, damaged, or of another program.
        ImportError: ai-edge-litert is not installed.
    """
    interpreter_of = optional("ai_edge_litert.interpreter", "tflite").Interpreter
    data = path.read_bytes()
    text, size = _description(path, data)
    description = describe(text, path)
    try:
        if data[4:8] != MARK:
            raise ValueError(f"no '{MARK.decode()}' at byte 4")
        if text and hashlib.sha256(data[:size]).hexdigest() != json.loads(text).get("sha256"):
            raise ValueError("its bytes are not those that its description was written for")
        interpreter = interpreter_of(model_content=data[:size], num_threads=cores())
        signatures = interpreter.get_signature_list()
        runner = interpreter.get_signature_runner() if len(signatures) == 1 else None
    except (ValueError, RuntimeError) as error:
        raise BadArtefact(f"{path}: not a whole LiteRT model ({len(data)} bytes; {first_line(error)}); cut short, "
                          f"damaged or of another kind; export it again.") from error
    inputs, outputs = (runner.get_input_details(), runner.get_output_details()) if runner else ({}, {})
    check_names(path, "a LiteRT model", inputs, outputs)
    names = [name for name in OUTPUTS if name in outputs]

    def run(images):
        with lock:  # an interpreter has one set of buffers; the arrays that come out are copies
            results = [runner(image=images[row:row + 1]) for row in range(len(images))]
        return {name: np.concatenate([result[name] for result in results]) for name in names}

    image, lock = inputs["image"], threading.Lock()
    return Loaded(run, (np.dtype(image["dtype"]).name, [int(side) for side in image["shape"]]),
                  {name: [int(side) for side in outputs[name]["shape"]] for name in names}, description)


def _description(path: pathlib.Path, data: bytes) -> tuple[bytes | None, int]:
    """The text in the zip behind a model, None where there is none, and where the model ends."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        start = data.rfind(b"PK\x03\x04")  # how a zip begins; its first file's name comes after 30 bytes
        if start >= 0 and DESCRIPTION.encode().startswith(data[start + 30:start + 30 + len(DESCRIPTION)]):
            raise BadArtefact(f"{path}: the description behind the model is cut short ({len(data)} bytes); export it "
                              f"again.")
        return None, len(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            start = min(info.header_offset for info in archive.infolist())
            return (archive.read(DESCRIPTION) if DESCRIPTION in archive.namelist() else None), start
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, RuntimeError) as error:
        raise BadArtefact(f"{path}: the description behind the model is damaged ({error}); export it again.") from None
