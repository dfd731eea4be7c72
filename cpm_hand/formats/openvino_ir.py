"""OpenVINO's own form: NAME.xml with the description inside, and the weights in NAME.bin."""

import functools
import hashlib
import json
import os
import pathlib
import tempfile
import threading

import keras

from cpm_hand import graphs
from cpm_hand.artefacts import ANSWERS, OUTPUTS, BadArtefact, Loaded, check_names, describe, first_line, optional

KEY = "cpm_hand"          # of the description in the file's runtime information
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "bf16"}  # what is not rounded to 8 bits may be in bfloat16


def write(model: keras.Model, metadata: dict, destination: pathlib.Path) -> None:
    """Write NAME.xml and NAME.bin with the input `image` and the model's outputs; the batch is free.

    Weights are stored in float32. The precision that they are computed in is one of the description's values, which
    our loader asks OpenVINO for; another program sets INFERENCE_PRECISION_HINT itself.

    Args:
        model: the inference model.
        metadata: plain values, kept as JSON under "cpm_hand" in the file's runtime information.
        destination: the .xml file.

    Raises:
        ImportError: openvino is not installed.
    """
    openvino = optional("openvino", "openvino")
    names = graphs.outputs_of(model)
    graph_def = graphs.freeze(lambda image: dict(model(image, training=False)), names, graphs.image_spec(model),
                              fold=metadata.get("precision") != "int8")
    with tempfile.TemporaryDirectory() as folder:
        frozen = os.path.join(folder, "hand.pb")
        pathlib.Path(frozen).write_bytes(graph_def.SerializeToString())
        converted = openvino.convert_model(frozen)
        _rename(converted, names)
        openvino.save_model(converted, destination, compress_to_fp16=False)
        # Once more, for the description says which weights it is of.
        weights = hashlib.sha256(destination.with_suffix(".bin").read_bytes()).hexdigest()
        converted.set_rt_info(json.dumps({**metadata, "sha256": weights}), [KEY])
        openvino.save_model(converted, destination, compress_to_fp16=False)


def _rename(converted, names: list[str]) -> None:
    """The names of the interface alone, without those that the converter found on the way."""
    converted.inputs[0].set_names({"image"})
    for port in converted.outputs:
        own = port.get_names() | {port.get_node().get_friendly_name()}
        port.set_names({next(name for name in names if own & {name, f"{name}:0"})})


def is_it(path: pathlib.Path, head: bytes) -> bool:
    """XML, or what calls itself so."""
    return path.suffix == ".xml" or head.startswith(b"<?xml")


def load(path: pathlib.Path) -> Loaded:
    """Load one.

    Raises:
        BadArtefact: cut short, damaged, or of another program.
        ImportError: openvino is not installed.
    """
    openvino = optional("openvino", "openvino")
    weights = path.with_suffix(".bin")
    if not weights.exists():
        raise BadArtefact(f"{path}: the weights belong beside it in {weights.name}, which is not there; copy both.")
    core = openvino.Core()
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        raise BadArtefact(f"{path}: not a whole OpenVINO model ({first_line(error)}); cut short, damaged or "
                          f"of another kind; export it again.") from error
    outputs = {name: port for port in model.outputs for name in port.get_names()}
    check_names(path, "an OpenVINO model", [name for port in model.inputs for name in port.get_names()], outputs)
    text = model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None
    description, fields = describe(text, path), json.loads(text or "{}")
    if "sha256" in fields and hashlib.sha256(weights.read_bytes()).hexdigest() != fields["sha256"]:
        raise BadArtefact(f"{weights}: not the weights that {path.name} describes (SHA-256 differs): damaged or of "
                          f"another export. Copy both files again, or export them again.")
    hint = HINTS.get(fields.get("precision"), "f32")

    @functools.cache
    def running(names):  # that of the answers is compiled when they are first asked for
        part = openvino.Model([outputs[name].get_node() for name in names], model.get_parameters(), "hand")
        compiled = core.compile_model(part, "CPU", {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"})
        lock = threading.Lock()

        def run(images):
            with lock:  # a call uses the model's one request; the arrays that come out are copies
                results = compiled({"image": images})
            return {name: results[name] for name in names}

        return run

    names = tuple(name for name in OUTPUTS if name in outputs)
    image = {"u8": "uint8"}.get(model.inputs[0].get_element_type().get_type_name(), "another type")
    return Loaded(running(names), (image, _sides(model.inputs[0])), {name: _sides(outputs[name]) for name in names},
                  description, lambda images: running(ANSWERS)(images))


def _sides(port) -> list:
    """Shape with None for what is free."""
    return [side.get_length() if side.is_static else None for side in port.get_partial_shape()]
