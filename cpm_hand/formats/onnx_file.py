"""ONNX: one file for ONNX Runtime and whatever else reads it, its description in the file's metadata."""

import json
import pathlib

import keras

from cpm_hand import graphs
from cpm_hand.artefacts import ANSWERS, OUTPUTS, BadArtefact, Loaded, check_names, describe, first_line, optional

KEY = "cpm_hand"  # of the description among the file's metadata


def write(model: keras.Model, metadata: dict, destination: pathlib.Path) -> None:
    """Write an ONNX file with the input `image` and the model's outputs; the batch is free.

    Args:
        model: the inference model.
        metadata: plain values, kept as JSON under the key "cpm_hand" of the file's metadata.
        destination: the file.

    Raises:
        ImportError: tf2onnx is not installed.
    """
    names = graphs.outputs_of(model)
    graph_def = graphs.freeze(lambda image: dict(model(image, training=False)), names, graphs.image_spec(model))
    converted = graphs.to_onnx(graph_def, names)
    converted.metadata_props.add(key=KEY, value=json.dumps(metadata))
    destination.write_bytes(converted.SerializeToString())


def is_it(path: pathlib.Path, head: bytes) -> bool:
    """An ONNX file begins with field 1, a number, its version; a GraphDef with field 1 too, but a node."""
    return path.suffix == ".onnx" or head[:1] == b"\x08"


def load(path: pathlib.Path) -> Loaded:
    """Load one into ONNX Runtime.

    Raises:
        BadArtefact: cut short, damaged, or of another program.
        ImportError: onnxruntime is not installed.
    """
    runtime = optional("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - its exceptions have no common class of their own
        raise BadArtefact(f"{path}: not a whole ONNX file that ONNX Runtime {runtime.__version__} can run "
                          f"({first_line(error)}); cut short, damaged or of another kind; export it again.") from error
    inputs, outputs = ({each.name: each for each in found} for found in (session.get_inputs(), session.get_outputs()))
    check_names(path, "an ONNX file", inputs, outputs)
    names = [name for name in OUTPUTS if name in outputs]
    description = describe(session.get_modelmeta().custom_metadata_map.get(KEY), path)

    only = runtime.RunOptions()
    only.only_execute_path_to_fetches = True

    def run(images, names=names):
        return dict(zip(names, session.run(list(names), {"image": images}, only)))

    dtype = inputs["image"].type.removeprefix("tensor(").removesuffix(")")
    return Loaded(run, (dtype, _sides(inputs["image"])), {name: _sides(outputs[name]) for name in names}, description,
                  lambda images: run(images, ANSWERS))


def _sides(value) -> list:
    """Shape with None for what has a name instead of a number."""
    return [side if isinstance(side, int) else None for side in value.shape]
