"""Keras' own file, NAME.keras: a zip with the architecture, the weights and our description.

It is for those who go on in Keras: the decoder's layers are this package's, so it has to be installed and imported.
"""

import json
import pathlib
import zipfile
import zlib

import keras

from cpm_hand import graphs
from cpm_hand.artefacts import DESCRIPTION, OUTPUTS, BadArtefact, Loaded, describe, first_line


def write(model: keras.Model, metadata: dict, destination: pathlib.Path) -> None:
    """Write a .keras file.

    Args:
        model: the inference model.
        metadata: plain values, written to cpm_hand.json inside.
        destination: the file.
    """
    model.save(destination)
    with zipfile.ZipFile(destination, "a") as archive:
        archive.writestr(DESCRIPTION, json.dumps(metadata, indent=1))


def is_it(path: pathlib.Path, head: bytes) -> bool:
    """What calls itself NAME.keras: Keras itself loads no file of another name."""
    return path.suffix == ".keras"


def load(path: pathlib.Path) -> Loaded:
    """Load one; code that a file from elsewhere may carry is refused by Keras' safe mode.

    Raises:
        BadArtefact: cut short, damaged, or of another program.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (bad := archive.testzip()) is not None:
                raise BadArtefact(f"{path}: '{bad}' in it is damaged; export it again.")
            text = archive.read(DESCRIPTION) if DESCRIPTION in archive.namelist() else None
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        outputs = model.output
        if not isinstance(outputs, dict) or not {"keypoints", "presence"} <= set(outputs) or len(model.inputs) != 1:
            raise BadArtefact(f"{path}: a Keras model of another program: it gives "
                              f"{sorted(outputs) if isinstance(outputs, dict) else 'no outputs by name'}, not "
                              f"{sorted(OUTPUTS)}. Export one with freeze.py.")
    except BadArtefact:
        raise
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, zipfile.BadZipFile, zlib.error,
            EOFError) as error:
        raise BadArtefact(f"{path}: not a whole Keras file ({first_line(error)}); cut short, damaged or of "
                          f"another program; export it again.") from error
    image = model.inputs[0]
    everything, answers = graphs.callables(model)
    return Loaded(everything, (image.dtype, list(image.shape)),
                  {name: list(outputs[name].shape) for name in graphs.outputs_of(model)}, describe(text, path), answers)
