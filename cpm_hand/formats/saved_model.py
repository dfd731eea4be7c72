"""A SavedModel in a versioned folder, NAME/1, as TensorFlow and TensorFlow Serving load it."""

import json
import pathlib

import keras
import numpy as np

from cpm_hand import graphs, serving
from cpm_hand.artefacts import ANSWERS, DESCRIPTION, OUTPUTS, BadArtefact, Loaded, check_names, describe, first_line

VERSION = "1"
METADATA = f"assets.extra/{DESCRIPTION}"  # inside the version's folder


def write(model: keras.Model, metadata: dict, destination: pathlib.Path) -> None:
    """Write a SavedModel with the signatures `serving_default` (`image` to the model's outputs) and `serving_bytes`.

    Args:
        model: the inference model.
        metadata: plain values, written to assets.extra/cpm_hand.json inside.
        destination: a folder that does not exist yet; the model goes to its subfolder 1.
    """
    import tensorflow as tf

    module = tf.Module()
    module.parameters = [variable.value for variable in model.variables]  # and nothing else of Keras

    @tf.function(input_signature=[graphs.image_spec(model)], autograph=False)
    def serve(image):
        return dict(model(image, training=False))

    signatures = {"serving_default": serve.get_concrete_function(),
                  "serving_bytes": serving.bytes_signature(model).get_concrete_function()}
    folder = destination / VERSION
    tf.saved_model.save(module, str(folder), signatures=signatures)
    extra = folder / METADATA
    extra.parent.mkdir()
    extra.write_text(json.dumps(metadata, indent=1))
    serving.write_warm_up(folder, destination.name, np.zeros((1, *model.inputs[0].shape[1:]), np.uint8))


def version_folder(path: pathlib.Path) -> pathlib.Path | None:
    """The SavedModel that a folder is or holds, in the subfolder with the highest number; None where there is none."""
    if (path / "saved_model.pb").exists():
        return path
    if not path.is_dir():
        return None
    versions = [folder for folder in path.iterdir() if folder.name.isdecimal() and (folder / "saved_model.pb").exists()]
    return max(versions, key=lambda folder: int(folder.name), default=None)


def load(path: pathlib.Path) -> Loaded:
    """Load one, or the highest version of a folder of them.

    Raises:
        BadArtefact: cut short, damaged, or of another program.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    path = version_folder(path)
    try:
        model = tf.saved_model.load(str(path))
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, AssertionError,
            DecodeError, tf.errors.OpError) as error:
        raise BadArtefact(f"{path}: not a whole SavedModel ({first_line(error)}); cut short or damaged; "
                          f"export it again.") from error
    if "serving_default" not in model.signatures:
        raise BadArtefact(f"{path}: a SavedModel without the signature 'serving_default' (found "
                          f"{sorted(model.signatures) or 'none'}); export one with freeze.py.")
    signature = model.signatures["serving_default"]
    inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
    extra = path / METADATA
    description = describe(extra.read_bytes() if extra.exists() else None, extra)
    check_names(path, "a SavedModel", inputs, outputs, ("keypoints", "presence") if description.spec else OUTPUTS)

    shapes = {name: graphs.sides(outputs[name].shape) for name in OUTPUTS if name in outputs}
    image = inputs["image"]

    @tf.function(autograph=False, input_signature=[image])
    def answering(images):  # traced for who asks, and what leads to maps alone is left out
        results = model.signatures["serving_default"](image=images)
        return {name: results[name] for name in ANSWERS}

    def run(images):
        # The function asks the model each time, for the model owns the weights and has to live as long.
        results = model.signatures["serving_default"](image=tf.constant(images))
        return {name: results[name].numpy() for name in shapes}

    return Loaded(run, (image.dtype.name, graphs.sides(image.shape)), shapes, description,
                  graphs.arrays(answering))
