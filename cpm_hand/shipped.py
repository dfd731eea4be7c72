"""The model that comes with the package: found by its name, and checked before it is used."""

import hashlib
import pathlib

from cpm_hand.artefacts import BadArtefact

NAME = "cpm_lite"
SUMS = "SHA256SUMS"           # as `sha256sum -c` reads it
CHECKPOINT = f"{NAME}.npz"    # weights, for training and for other exports
ARTEFACT = f"{NAME}.pb"       # to run with what every installation has
FINETUNE = "finetune.flags"   # how to train on from it
_REMEDY = "Install cpm_hand again, or name a model of your own."


def folder() -> pathlib.Path:
    """Where the model lies: inside an installed package, in `models/` of a checkout."""
    package = pathlib.Path(__file__).parent
    inside = package / "models" / NAME
    return inside if inside.is_dir() else package.parent / "models" / NAME


def find(path: str | pathlib.Path, file: str) -> pathlib.Path:
    """What a person or a program named: a path as it is, or a file of the model by the model's name.

    Args:
        path: the name, as a string, is the model and never a path; `./cpm_lite` is a path.
        file: what the name stands for here, `ARTEFACT` to run, `CHECKPOINT` to train.

    Raises:
        BadArtefact: the model is meant, and `checked` refuses its file.
    """
    return checked(file) if path == NAME else pathlib.Path(path)


def checked(file: str) -> pathlib.Path:
    """The path of one of the model's files; its bytes, and those of its description, are the ones that were shipped.

    Raises:
        BadArtefact: a file or its checksum is missing, or they disagree.
    """
    sums = _sums()
    for name in (file, file + ".json"):
        if name == file or name in sums:
            found = hashlib.sha256(_read(name)).hexdigest()
            if found != sums.get(name):
                raise BadArtefact(f"{folder() / name}: damaged: its sha256 is {found}, {SUMS} says {sums.get(name)}. "
                                  f"{_REMEDY}")
    return folder() / file


def _sums() -> dict[str, str]:
    """sha256 by file."""
    lines = [line.split(maxsplit=1) for line in _read(SUMS).decode(errors="replace").splitlines()]
    return {line[1]: line[0] for line in lines if len(line) == 2}


def _read(file: str) -> bytes:
    try:
        return (folder() / file).read_bytes()
    except OSError as error:
        raise BadArtefact(f"{folder() / file}: the model that comes with cpm_hand is not here ({error.strerror}). "
                          f"{_REMEDY}") from None
