"""A checkpoint into artefacts that run without it, each checked before it counts."""

import functools
import json
import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

import cpm_hand
from cpm_hand import checkpoints, images, inference, parity, quantization, runtimes, sets, shipped
from cpm_hand.artefacts import BadArtefact, Description, of_state, optional
from cpm_hand.formats import FORMATS, saved_model

REPORT = "parity.json"   # usual name of what `write_report` writes, beside the artefacts
NUM_CALIBRATION = 64  # pictures


class Artefact(NamedTuple):
    """What was written.

    Attributes:
        format: row of `FORMATS`.
        path: file or folder.
        precision: of weights and arithmetic.
        num_bytes: size of all that is needed to run it.
        parity: how far it is from the Keras model, and how fast.
    """

    format: str
    path: pathlib.Path
    precision: str
    num_bytes: int
    parity: parity.Parity

    def to_json(self) -> dict:
        """Plain values for JSON."""
        return {**self._asdict(), "path": str(self.path), "parity": _without_nan(self.parity._asdict())}


class Choice(NamedTuple):
    """What of a net is exported, and how.

    Attributes:
        size: side of the square input, px; None: what it was trained with.
        stages: how many stages to keep, from the first on; None: all.
        maps: give belief maps and stages beside keypoints and presence.
        precision: float32, or what the format has besides.
    """

    size: int | None = None
    stages: int | None = None
    maps: bool = True
    precision: str = "float32"


AS_TRAINED = Choice()


def default_name(name: str, precision: str) -> str:
    """What an artefact is usually called: the format's name for it, with the precision unless it is float32.

    >>> default_name("tflite", "int8"), default_name("saved_model", "float32")
    ('hand_int8.tflite', 'saved_model')
    """
    usual = pathlib.PurePath(FORMATS[name].default_name)
    return usual.name if precision == "float32" else f"{usual.stem}_{precision}{usual.suffix}"


def say(artefact: Artefact) -> None:
    """Print a line about an artefact that was written."""
    found = artefact.parity
    print(f"{artefact.format}: {artefact.path}: keypoints {found.mean_px:.1e} px off in the mean, "
          f"{found.largest_px:.1e} px at most")


def export(checkpoint_path, destinations: dict[str, str | os.PathLike], choice: Choice = AS_TRAINED, *,
           num_pictures: int = 64, calibration_data: str | None = None,
           report: Callable[[Artefact], None] = say) -> list[Artefact]:
    """Write artefacts from a run or a checkpoint, with its averaged weights where it has them.

    Each is written under a temporary name, loaded in a fresh process, compared with the Keras model
    and only then given its name, so that a bad one is never left behind as if it were good.

    Args:
        checkpoint_path: a run's folder, a checkpoint file, or "cpm_lite", the model that comes with the package.
        destinations: path by format name, of `FORMATS`.
        choice: what to write.
        num_pictures: how many rendered hands to compare and time on.
        calibration_data: NAME=DIR with pictures such as the net will see, for int8; None renders hands.
        report: called with each artefact when it is in its place, whatever becomes of the next one.

    Returns:
        What was written, in the order of the destinations.

    Raises:
        ValueError: an unknown format, a precision that it does not have, a bad checkpoint, a size or number of stages
            that the net cannot have, calibration pictures that cannot be read, a destination that is something else,
            or an artefact that does not compute what the model computes.
        ImportError: a package that one of the formats needs is not installed; nothing is written then.
    """
    for name, destination in destinations.items():
        _check(name, choice, pathlib.Path(destination))
    checkpoint = checkpoints.find(shipped.find(checkpoint_path, shipped.CHECKPOINT))
    description = of_state(checkpoint.spec, checkpoint.state)
    spec = runtimes.resized(checkpoint.spec, choice.size, choice.stages)

    def model_of(policy: str = "float32", maps: bool = True) -> keras.Model:
        try:
            net = runtimes.restore_net(checkpoint, size=choice.size, stages=choice.stages, policy=policy)
        except BadArtefact as error:
            raise BadArtefact(f"{checkpoint_path}: {error}") from error
        return inference.inference_model(net, spec.target, maps=maps)

    reference = model_of()
    model = reference if choice.maps else model_of(maps=False)
    calibration = _calibration(calibration_data, spec.size, description) if choice.precision == "int8" else None

    def model_for(row) -> keras.Model:
        if choice.precision == "bfloat16" and row.keras_policy:
            return model_of("bfloat16", choice.maps)
        return model if calibration is None else quantization.int8(model, calibration, row.kernel_bits)

    pictures = parity.rendered(spec.size, num_pictures, spec.skeleton.num_joints)
    metadata = {"spec": spec.to_json(), "source": pathlib.Path(checkpoint_path).name,
                "step": checkpoint.step, "averaged": bool(checkpoint.ema), "version": cpm_hand.__version__,
                "hands": description.hands, "presence_threshold": description.presence_threshold,
                "crop_factor": description.crop_factor,
                "precision": choice.precision, "input": "image: uint8 RGB [B, size, size, 3]",
                "outputs": list(model.output)}
    written = []
    for name, destination in destinations.items():
        destination, row = pathlib.Path(destination), FORMATS[name]
        compare = functools.partial(parity.compare, reference, pictures=pictures, precision=choice.precision)
        num_bytes, difference = write_checked(row.write, model_for(row), metadata, destination, compare)
        written.append(Artefact(name, destination, choice.precision, num_bytes, difference))
        report(written[-1])
    return written


def _calibration(data: str | None, size: int, description: Description) -> np.ndarray:
    """Pictures from which the ranges of an int8 net come, cropped as the training pipeline crops: uint8 [N, …, 3]."""
    if data is None:
        return parity.rendered(size, NUM_CALIBRATION, seed=1).images  # others than those it is compared on
    choice = sets.Choice(size, batch_size=1, augmentation="none", hands=description.hands,
                         crop_factor=description.crop_factor, validation_fraction=0.0)
    loader = sets.prepare(sets.parse([data], "calibration_data", weighted=False), [], choice).training
    # Spread over the set: neighbours are often frames of one film.
    rows = np.unique(np.linspace(0, loader.labels.num_hands - 1, NUM_CALIBRATION).astype(int))
    return np.stack([loader(row, place)[0] for place, row in enumerate(rows)])


def write_checked(write, model: keras.Model, metadata: dict, destination: pathlib.Path,
                  compare) -> tuple[int, parity.Parity]:
    """Write one artefact, check it in a fresh process, and only then put it in its place.

    Args:
        write: as in a row of `FORMATS`.
        model: the inference model.
        metadata: for `write`.
        destination: file or folder; an older artefact there is replaced once the new one has passed.
        compare: path of what was written to its Parity.

    Returns:
        (bytes of what was written, its parity).

    Raises:
        ValueError: the artefact differs from the model, or does not load; nothing is left behind.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=f".{destination.name}.") as folder:
        temporary = pathlib.Path(folder) / "new" / destination.name
        temporary.parent.mkdir()
        write(model, metadata, temporary)
        num_bytes = sum(file.stat().st_size for file in temporary.parent.rglob("*") if file.is_file())
        difference = compare(temporary)
        if destination.is_dir():
            destination.rename(pathlib.Path(folder) / "replaced")
        beside = destination.with_name(destination.name + ".json")
        if not (temporary.parent / beside.name).exists() and _describes(beside):
            beside.unlink()  # an older artefact of this name and of another format
        # What belongs to it first: where the artefact is, its description and its weights are.
        for path in sorted(temporary.parent.iterdir(), key=lambda path: path == temporary):
            os.replace(path, destination.with_name(path.name))
    return num_bytes, difference


def _describes(path: pathlib.Path) -> bool:
    """Whether a file is the description of an artefact."""
    try:
        return bool(json.loads(path.read_text())["spec"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def write_report(path, artefacts: list[Artefact]) -> None:
    """Write what was measured as JSON, whole or not at all.

    Args:
        path: the file; rows of artefacts that are not exported anew are kept.
        artefacts: from `export`.
    """
    path = pathlib.Path(path)
    rows = {artefact.path.name: artefact.to_json() for artefact in artefacts}
    try:
        rows = {**json.loads(path.read_text())["artefacts"], **rows}
    except (OSError, ValueError, LookupError, TypeError):
        pass  # there is none, or another file; this one is ours to write
    images.write_bytes(path, (json.dumps({"artefacts": rows}, indent=1) + "\n").encode())


def _without_nan(values: dict) -> dict:
    """JSON has no NaN: what was not measured is null."""
    return {name: None if value != value else value for name, value in values.items()}


def _check(name: str, choice: Choice, path: pathlib.Path) -> None:
    """Refuse what cannot be written, and to replace what is not an artefact, before the work is done."""
    if name not in FORMATS:
        raise ValueError(f"unknown format '{name}'; the formats are {', '.join(sorted(FORMATS))}.")
    precision = choice.precision
    if precision not in FORMATS[name].precisions:
        others = [other for other, row in FORMATS.items() if precision in row.precisions]
        raise ValueError(f"{name} comes in {', '.join(FORMATS[name].precisions)}, not in {precision}; "
                         f"{precision} is made by {', '.join(others) or 'none'}.")
    if not choice.maps and not FORMATS[name].decodes:
        raise ValueError(f"{name} holds the raw maps alone, so without maps nothing is left; leave out "
                         f"--outputs=keypoints, or take another format.")
    for module, extra in FORMATS[name].needs:
        optional(module, extra)
    if name == "saved_model":
        found = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
        if path.is_file() or (found and saved_model.version_folder(path) is None):
            raise ValueError(f"{path}: exists and is not a SavedModel, so it is not replaced; "
                             f"remove it or give another place with --output_dir.")
        others = sorted(name for name in found - {saved_model.VERSION} if not name.startswith("."))
        if others and saved_model.version_folder(path) != path:
            raise ValueError(f"{path}: holds {', '.join(others)} besides version {saved_model.VERSION}, which would be "
                             f"lost; give another place with --output_dir.")
    elif path.is_dir():
        raise ValueError(f"{path}: is a folder; a {name} is a file. Give another place with --output_dir.")
    elif path.is_file() and path.stat().st_size and not runtimes.is_export(path):
        raise ValueError(f"{path}: exists and is not an artefact, so it is not replaced; remove it or give another "
                         f"name.")
    elif name == "openvino" and not path.exists() and path.with_suffix(".bin").exists():
        raise ValueError(f"{path.with_suffix('.bin')}: exists without {path.name}, so it is not replaced; remove it or "
                         f"give another name.")
    suffix = pathlib.PurePath(FORMATS[name].default_name).suffix
    if name in ("keras", "openvino") and path.suffix != suffix:
        raise ValueError(f"{path}: its writer wants a name that ends in {suffix}; give --output=NAME{suffix}.")
