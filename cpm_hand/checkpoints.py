"""Checkpoints: one NumPy archive per file, whole or not at all, and recognised when damaged.

A checkpoint holds arrays by name (`weights/conv1_1/kernel`, `ema/…`, `optimizer/…`) and one JSON text with
the net's spec, the step, the counters of the run and the arrays' names. It is written beside its final name,
flushed to disk and renamed, so a kill at any moment leaves the last good one; the zip's checksums and the
names tell a damaged file. Nothing in it is ever executed.
"""

import json
import lzma
import os
import pathlib
import reprlib
import tokenize
import zipfile
import zlib
from typing import NamedTuple

import numpy as np

from cpm_hand import foreign, hdf5, nets

SUFFIX = ".npz"
_STATE = "state.json"
# What a damaged or hostile file can bring about while it is read; NumPy's headers are Python text, hence the last two.
_ERRORS = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError,
           LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, MemoryError, SyntaxError,
           tokenize.TokenError)


class BadCheckpoint(ValueError):
    """A file that is not a whole checkpoint of this package; the text names it."""


class Checkpoint(NamedTuple):
    """What a run needs to go on, and what an export needs to start.

    Attributes:
        spec: the net.
        step: training steps done.
        weights: variables of the net by `layer/variable` name, float32.
        ema: moving averages of the trainable ones by the same names; empty where the run keeps none.
        optimizer: the optimizer's variables by name.
        state: counters and settings that are not arrays (schedule, early stop, best value, …).
    """

    spec: nets.Spec
    step: int
    weights: dict[str, np.ndarray]
    ema: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]
    state: dict

    def best_weights(self) -> dict[str, np.ndarray]:
        """The weights to validate and export: averaged where there is an average."""
        return {**self.weights, **self.ema}


def save(path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        OSError: the disk is full or the folder cannot be written; what stood at path is left as it was. The
            text names the file and the bytes needed.
    """
    path = pathlib.Path(path)
    arrays = {f"{part}/{name}": array for part in ("weights", "ema", "optimizer")
              for name, array in getattr(checkpoint, part).items()}
    # The zip's checksums cover what is in it, but not the table that says what is in it: hence the names.
    state = {"spec": checkpoint.spec.to_json(), "step": checkpoint.step, "state": checkpoint.state,
             "arrays": list(arrays)}
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                archive.writestr(zipfile.ZipInfo(_STATE), json.dumps(state))
                for name, array in arrays.items():
                    with archive.open(zipfile.ZipInfo(name + ".npy"), "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        megabytes = sum(array.nbytes for array in arrays.values()) / 1e6
        raise OSError(error.errno, f"cannot write the checkpoint ({megabytes:.1f} MB): {error.strerror}. "
                      f"Earlier checkpoints are untouched; free some space and start the same command again",
                      str(path)) from error


def load(path) -> Checkpoint:
    """Read a checkpoint and check every byte of it.

    Raises:
        BadCheckpoint: cut short, damaged, or another kind of file.
    """
    path = pathlib.Path(path)
    if path.name.endswith(hdf5.SUFFIX):
        return _load_described(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if _STATE not in archive.namelist():
                raise BadCheckpoint(f"{path}: a zip archive, but no checkpoint of cpm_hand "
                                    f"(no '{_STATE}' in it).")
            spec, head = _head(archive, path)
            parts = {"weights": {}, "ema": {}, "optimizer": {}}
            for name in head["arrays"]:
                part, _, key = name.partition("/")
                with archive.open(name + ".npy") as member:
                    parts[part][key] = np.lib.format.read_array(member, allow_pickle=False)
                    if member.read(1):
                        raise BadCheckpoint(f"{path}: '{name}' is longer than its header says.")
        return Checkpoint(spec, int(head["step"]), **parts, state=head["state"])
    except BadCheckpoint:
        raise
    except FileNotFoundError:
        raise BadCheckpoint(f"{path}: no such checkpoint.") from None
    except _ERRORS as error:
        size = path.stat().st_size if path.is_file() else 0
        raise BadCheckpoint(f"{path}: not a whole checkpoint ({size} bytes; {error}); it was cut short, "
                            f"damaged or is another kind of file.") from error


def peek(path) -> tuple[nets.Spec, dict] | None:
    """What net a file or a run's folder is of, and its state, without its arrays.

    Args:
        path: a checkpoint, a run's folder (its newest checkpoint that can be read) or Keras weights.

    Returns:
        (spec, state); None for Keras weights that do not say.

    Raises:
        BadCheckpoint: there is nothing, or nothing that can be read.
    """
    path = pathlib.Path(path)
    if path.name.endswith(hdf5.SUFFIX):
        return _described(path)
    for candidate in [*steps(path), best_path(path)] if path.is_dir() else [path]:
        try:
            with zipfile.ZipFile(candidate) as archive:
                spec, head = _head(archive, candidate)
            return spec, head["state"]
        except _ERRORS:
            continue
    find(path)  # says what is wrong with it
    raise BadCheckpoint(f"{path}: does not say what net it is of.")


def _head(archive: zipfile.ZipFile, path) -> tuple[nets.Spec, dict]:
    """The net in an archive, and what else its JSON text says; any of _ERRORS where that cannot be."""
    # `save` compresses nothing, so what is in the archive cannot be more than the archive.
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members) or sum(
            member.file_size for member in members) > os.path.getsize(path):
        raise ValueError("compressed or overlapping files in it")
    head = json.loads(archive.read(_STATE))
    if not isinstance(head["state"], dict):
        raise ValueError(f"its 'state' is no object but {reprlib.repr(head['state'])}")
    return nets.Spec.from_json(head["spec"]), head


def _described(path: pathlib.Path) -> tuple[nets.Spec, dict] | None:
    """What a `.weights.h5` says of its net and its state; None where it says nothing."""
    try:
        description = hdf5.describe(path)
        if not (description and description.get("spec")):
            return None
        return nets.Spec.from_json(description["spec"]), dict(description.get("state") or {})
    except foreign.BadWeights as error:
        raise BadCheckpoint(str(error)) from error
    except _ERRORS as error:
        raise BadCheckpoint(f"{path}: not the description of a net ({error}); convert it again.") from error


def _load_described(path: pathlib.Path) -> Checkpoint:
    """A `.weights.h5` that says what net it is of, as `python -m cpm_hand.weights` writes it."""
    described = _described(path)
    if described is None:
        raise BadCheckpoint(f"{path}: Keras weights that do not say what net they are of; only those that "
                            f"`python -m cpm_hand.weights` makes of a whole net do.")
    try:
        return Checkpoint(described[0], 0, hdf5.read(path), {}, {}, described[1])
    except foreign.BadWeights as error:
        raise BadCheckpoint(str(error)) from error


def folder(run_dir) -> pathlib.Path:
    """Where a run keeps its checkpoints."""
    return pathlib.Path(run_dir) / "checkpoints"


def step_path(run_dir, step: int) -> pathlib.Path:
    """The file of the checkpoint at that step."""
    return folder(run_dir) / f"step-{step:08d}{SUFFIX}"


def best_path(run_dir) -> pathlib.Path:
    """The file of the checkpoint with the best validation."""
    return folder(run_dir) / f"best{SUFFIX}"


def steps(run_dir) -> list[pathlib.Path]:
    """The checkpoints of a run by step, newest first."""
    return sorted(folder(run_dir).glob(f"step-*{SUFFIX}"), reverse=True)


def load_newest(run_dir, report=print) -> Checkpoint | None:
    """The newest whole checkpoint of a run.

    Args:
        run_dir: the run's folder.
        report: called with one line for each damaged checkpoint that was passed over.

    Returns:
        None where the run has no checkpoint at all.

    Raises:
        BadCheckpoint: there are checkpoints, but not one of them is whole.
    """
    paths = steps(run_dir)
    for path in paths:
        try:
            return load(path)
        except BadCheckpoint as error:
            report(f"{error} Using the one before it.")
    if paths:
        raise BadCheckpoint(f"{folder(run_dir)}: none of {len(paths)} checkpoints is whole; "
                            f"start anew with another --tag, or remove the folder.")
    return None


def find(path) -> Checkpoint:
    """The checkpoint that a person means: a file, or the best (else the newest) one of a run's folder.

    Raises:
        BadCheckpoint: there is none there, or it is damaged.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        return load(path)
    if best_path(path).exists():
        return load(best_path(path))
    checkpoint = load_newest(path)
    if checkpoint is None:
        raise BadCheckpoint(f"{path}: no checkpoints/step-*.npz in this folder; give a run's folder "
                            f"(models/train/<tag>) or a checkpoint file.")
    return checkpoint


def prune(run_dir, keep: int, step: int) -> None:
    """Remove all but the newest `keep` checkpoints until a step; the best one is never touched.

    Later ones are damaged, or the run would not be at that step, and count for nothing.
    """
    last = step_path(run_dir, step).name
    for path in [path for path in steps(run_dir) if path.name <= last][keep:]:
        path.unlink(missing_ok=True)


def variables(model) -> dict:
    """A model's variables by `layer/variable` name, in the model's order."""
    return {variable.path: variable for variable in model.variables}
