"""The model that comes with the package: found by its name, and checked before it is used."""

import hashlib
import pathlib

from cpm_hand.artefacts import BadArtefact

NAME = "cpm_lite"
SUMS = "SHA256SUMS"           # as `sha256sum -c` reads it
CHECKPOINT = f"{NAME}.npz"    # weights, for training and for other exports
ARTEFACT = f"{NAME}.pb"       # to run with what every installation has
INT8 = f"{NAME}_int8.tflite"  # the fastest and smallest, with ai-edge-litert
FINETUNE = "finetune.flags"   # how to train on from it


def folder() -> pathlib.Path:
    """Where the model lies: inside an installed package, in `models/` of a checkout."""
    package = pathlib.Path(__file__).parent
    inside = package / "models" / NAME
    return inside if inside.is_dir() else package.parent / "models" / NAME


def find(path, file: str) -> pathlib.Path:
    """A path as it was given, or, where it is the model's name and nothing in this folder is called so, the model's.

    Args:
        path: what a person or a program named.
        file: which of the model's files is meant.

    Raises:
        BadArtefact: the model is meant, and `checked` refuses its file.
    """
    path = pathlib.Path(path)
    return checked(file) if path == pathlib.Path(NAME) and not path.exists() else path


def checked(file: str) -> pathlib.Path:
    """The path of one of the model's files, whose bytes are those that were shipped.

    Raises:
        BadArtefact: the file or its checksum is missing, or they disagree.
    """
    path = folder() / file
    remedy = "Install cpm_hand again, or name a model of your own."
    try:
        lines = (path.parent / SUMS).read_text().splitlines()
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, UnicodeDecodeError) as error:
        raise BadArtefact(f"{path}: the model that comes with cpm_hand is not here ({error}). {remedy}") from None
    expected = dict(reversed(line.split(maxsplit=1)) for line in lines if len(line.split(maxsplit=1)) == 2).get(file)
    if found != expected:
        raise BadArtefact(f"{path}: damaged: its sha256 is {found}, {SUMS} says {expected}. {remedy}")
    return path
