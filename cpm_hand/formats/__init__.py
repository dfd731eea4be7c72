"""The files that a model can be written into: one file of this shelf each, one row each in `FORMATS`."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

from cpm_hand.artefacts import Loaded
from cpm_hand.formats import frozen_graph, keras_file, onnx_file, opencv, openvino_ir, saved_model, tflite


class Format(NamedTuple):
    """One row of `FORMATS`.

    Attributes:
        write: (inference model, metadata, destination) writes it; extra files begin with the destination's stem.
        is_it: (path, first bytes of the file; empty for a folder) whether something there is one.
        load: path to what runs.
        default_name: what it is usually called.
        precisions: what its weights and arithmetic may be, the usual first.
        keras_policy: whether bfloat16 is written as Keras' policy computes it; otherwise the weights stay float32, and
            the one who runs it asks for bfloat16.
        decodes: whether it holds the decoder; otherwise the raw maps of the last stage are all that is in it.
        kernel_bits: how many of int8's 8 bits kernels use, see `quantization.int8`.
        needs: packages that writing and checking it takes and that not everybody has, each with the extra that has it.
    """

    write: Callable[..., None]
    is_it: Callable[[pathlib.Path, bytes], bool]
    load: Callable[[pathlib.Path], Loaded]
    default_name: str
    precisions: tuple[str, ...] = ("float32",)
    keras_policy: bool = False
    decodes: bool = True
    kernel_bits: int = 8
    needs: tuple[tuple[str, str], ...] = ()


# Content decides what a file is; a suffix only settles who complains about a file whose first bytes are gone.
FORMATS = {
    "saved_model": Format(saved_model.write, lambda path, head: saved_model.version_folder(path) is not None,
                          saved_model.load, "saved_model", ("float32", "bfloat16"), keras_policy=True),
    "keras": Format(keras_file.write, keras_file.is_it, keras_file.load, "hand.keras"),
    "tflite": Format(tflite.write, tflite.is_it, tflite.load, "hand.tflite", ("float32", "float16", "int8"),
                     needs=(("ai_edge_litert.interpreter", "tflite"),)),
    "opencv": Format(opencv.write, opencv.is_it, opencv.load, "hand_opencv.onnx", decodes=False,
                     needs=(("tf2onnx.convert", "onnx"),)),
    "onnx": Format(onnx_file.write, onnx_file.is_it, onnx_file.load, "hand.onnx",
                   needs=(("tf2onnx.convert", "onnx"), ("onnxruntime", "onnx"))),
    "openvino": Format(openvino_ir.write, openvino_ir.is_it, openvino_ir.load, "hand_openvino.xml",
                       ("float32", "bfloat16", "int8"), kernel_bits=7, needs=(("openvino", "openvino"),)),
    # A GraphDef starts with its first node: field 1, length-delimited.
    "frozen_graph": Format(frozen_graph.write, lambda path, head: head.startswith(b"\n") or path.suffix == ".pb",
                           frozen_graph.load, "frozengraph.pb"),
}
