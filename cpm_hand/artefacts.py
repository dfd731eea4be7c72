"""What every artefact has in common: the names of its outputs, what it says of itself, and how a bad one is refused."""

import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np

from cpm_hand import geometry, nets

OUTPUTS = ("belief_maps", "stages", "keypoints", "presence")
ANSWERS = ("keypoints", "presence")  # what one asks a net for; maps are to look at
DESCRIPTION = "cpm_hand.json"  # name of the description, wherever a format keeps it


class BadArtefact(ValueError):
    """An artefact that cannot be used; the text says which, what was found, what was expected, what to do."""


class Description(NamedTuple):
    """What an artefact says of itself, as far as running it needs it.

    Attributes:
        spec: of the net inside; None where the artefact does not say.
        hands: "both" or "right": which hands the net was trained on.
        presence_threshold: presence below which there is no hand; None where it was not measured.
        crop_factor: side of the square that the net is to be shown over the longer side of the tight joint box.
    """

    spec: nets.Spec | None = None
    hands: str = "both"
    presence_threshold: float | None = None
    crop_factor: float = geometry.CROP_FACTOR


class Loaded(NamedTuple):
    """What a loader found.

    Attributes:
        function: uint8 [B, size, size, 3] to float32 arrays by name.
        image: dtype name and shape of the input; None where a side is free.
        outputs: shapes by name, those of OUTPUTS that it has; None where a side is free.
        description: what the artefact says of itself.
        answers: as function, but ANSWERS alone, where the kind need not work maps out for them; else None.
    """

    function: Callable[[np.ndarray], dict[str, np.ndarray]]
    image: tuple[str, list]
    outputs: dict[str, list]
    description: Description
    answers: Callable[[np.ndarray], dict[str, np.ndarray]] | None = None


def check_numbers(keypoints: np.ndarray) -> None:
    """Refuse keypoints that are no numbers: a net with damaged weights gives them."""
    if not np.isfinite(keypoints).all():
        raise ValueError("the net gives keypoints that are no numbers: its weights are damaged; train again.")


def describe(text: str | bytes | None, where) -> Description:
    """Read a description.

    Args:
        text: the JSON that an export wrote; None where there is none.
        where: what to name in errors.

    Raises:
        BadArtefact: not the description of an artefact, or one of a net that this version does not know.
    """
    if text is None:
        return Description()
    try:
        data = json.loads(text)
        spec = nets.Spec.from_json(data["spec"])
        nets.find(spec.net)
        return of_state(spec, data)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise BadArtefact(f"{where}: not the description of an artefact ({first_line(error)}). Export it "
                          f"again, or remove the description to have the standard hand assumed.") from error


def of_state(spec: nets.Spec, state: dict) -> Description:
    """What a description's file or a checkpoint's state says of a net; the usual where it does not say.

    Raises:
        ValueError: hands, a threshold or a crop that there cannot be.
    """
    known = {name: state[name] for name in ("hands", "presence_threshold", "crop_factor") if name in state}
    description = Description(spec, **known)
    if description.hands not in ("both", "right"):
        raise ValueError(f"hands is 'both' or 'right', got {description.hands!r}")
    threshold = description.presence_threshold
    if threshold is not None and not (isinstance(threshold, (int, float)) and 0 <= threshold <= 1):
        raise ValueError(f"presence_threshold is 0 to 1, got {threshold!r}")
    if not (isinstance(description.crop_factor, (int, float)) and 1 <= description.crop_factor <= 10):
        raise ValueError(f"crop_factor is 1 to 10, got {description.crop_factor!r}")
    return description


def described_inside(path: pathlib.Path) -> bool:
    """Whether an artefact's own bytes hold a description, as all do but those that have it beside them."""
    return b"cpm_hand" in path.read_bytes()


def describe_beside(path: pathlib.Path) -> tuple[Description, dict]:
    """What NAME.json beside an artefact NAME says, and all that stands in it; nothing where there is no such file.

    Raises:
        BadArtefact: it cannot be read, or is no description.
    """
    beside = path.with_name(path.name + ".json")
    if not beside.exists():
        return Description(), {}
    try:
        text = beside.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadArtefact(f"{beside}: cannot be read ({first_line(error)}). Export the artefact again.") from None
    return describe(text, beside), json.loads(text)


def write_beside(path: pathlib.Path, data: bytes, metadata: dict) -> None:
    """Write an artefact and, as NAME.json beside it, its description with the SHA-256 of its bytes."""
    path.write_bytes(data)
    description = {**metadata, "sha256": hashlib.sha256(data).hexdigest()}
    path.with_name(path.name + ".json").write_text(json.dumps(description, indent=1))


def check_bytes(path: pathlib.Path, data: bytes, fields: dict) -> None:
    """Refuse an artefact that is not the one that its description, read from beside it, is of.

    Raises:
        BadArtefact: the SHA-256 is another one.
    """
    if "sha256" in fields and hashlib.sha256(data).hexdigest() != fields["sha256"]:
        raise BadArtefact(f"{path}: its bytes are not those that {path.name}.json describes (SHA-256 differs): one of "
                          f"the two was changed or belongs to another export. Export it again with freeze.py.")


def check_names(path: pathlib.Path, kind: str, inputs: Collection[str], outputs: Collection[str],
                needed: Collection[str] = ("keypoints", "presence")) -> None:
    """Refuse a file of the right format that is not one of this program's.

    Args:
        path: what to name in the error.
        kind: "an ONNX file", "a SavedModel", …
        inputs: names of all that it takes.
        outputs: names of all that it gives.
        needed: outputs without which it cannot be used.

    Raises:
        BadArtefact: it takes anything but `image`, or lacks an output.
    """
    if set(inputs) != {"image"} or not set(needed) <= set(outputs):
        raise BadArtefact(f"{path}: {kind} of another program: it maps {sorted(inputs)} to {sorted(outputs)}, not "
                          f"['image'] to {sorted(needed)}. Export one with freeze.py.")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def optional(module: str, extra: str):
    """Import a package that not everybody has.

    Raises:
        ImportError: it is not installed; the text has the command that installs it.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{module.partition('.')[0]} is needed for this format and cannot be imported ({error}); "
                          f"pip install 'cpm_hand[{extra}]' brings it.") from None


def first_line(error: Exception) -> str:
    """What an error of another program says, short enough for ours."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
