"""Where a run of training begins: the net it goes on with, that net's weights, and how far the run is."""

import pathlib
from typing import NamedTuple

from cpm_hand import checkpoints, hdf5, transfer, weights
from cpm_hand.artefacts import Description, of_state
from cpm_hand.engine import Engine
from cpm_hand.foreign import BadWeights
from cpm_hand.reports import LOGGER
from cpm_hand.schedules import Progress

DESCRIBED = (checkpoints.SUFFIX, hdf5.SUFFIX)  # files that may say what net they are of


def describe(run_dir: str, path: pathlib.Path | None) -> Description:
    """What net a run goes on with: its own once it has a checkpoint, else that of `path`.

    Every machine reads it, for all must build the same net.

    Args:
        run_dir: of this run.
        path: --checkpoint, None where there is none.

    Returns:
        Description: its spec, None where nothing says, and what it was shown; the usual where nothing says.

    Raises:
        ValueError: there is no such file.
        checkpoints.BadCheckpoint: a file is damaged or something else.
    """
    found, source = None, path
    if checkpoints.steps(run_dir):
        found, source = checkpoints.peek(run_dir), run_dir  # whatever became of --checkpoint meanwhile
    elif path and not path.exists():
        raise ValueError(f"--checkpoint={path}: no such file or folder.")
    elif path and (path.is_dir() or path.name.endswith(DESCRIBED)):
        found = checkpoints.peek(path)
    try:
        return of_state(*found) if found else Description()
    except ValueError as error:
        raise checkpoints.BadCheckpoint(f"{source}: {error}.") from error


def load(engine: Engine, run_dir: str, path: pathlib.Path | None, *, described: bool,
         backbone: str) -> checkpoints.Checkpoint | None:
    """Weights from elsewhere, where the run has no checkpoint of its own.

    Args:
        engine: with new weights, which loading by name changes.
        run_dir: of this run.
        path: --checkpoint, None where there is none.
        described: whether it says what net it is of, so that its joints have names.
        backbone: of the VGG-19 layers: "none", "imagenet" or the path of a file.

    Returns:
        Checkpoint: another run's state to go on from in full; None after loading by name, or where there is nothing
        to load.

    Raises:
        ValueError: a file is not what it is said to be; the text tells.
        checkpoints.BadCheckpoint: one of those is damaged.
    """
    if checkpoints.steps(run_dir) or not engine.is_chief:
        return None  # the run goes on from its own checkpoint, and workers follow the chief
    if backbone != "none":
        report = weights.start_from_vgg19(engine.model, backbone)
        LOGGER.info("backbone weights: %d arrays used from %s, %d layers start anew", len(report.used), backbone,
                    len(report.missing) // 2)
        engine.reset_averages()
    if not path:
        return None
    if path.is_dir() and checkpoints.steps(path):
        return checkpoints.load_newest(path, LOGGER.warning)
    found = checkpoints.find(path) if described else weights.read_arrays(path)
    kept = new = ()
    try:
        if described:
            report, kept, new = transfer.load(engine.model, engine.spec, found)
        else:
            report = weights.load_by_name(engine.model, found)
    except BadWeights as error:
        raise BadWeights(f"--checkpoint={path}: {error}") from error
    if new:
        LOGGER.info("%s: joints whose maps it knows: %s; to be learnt: %s", path, ", ".join(kept) or "none",
                    ", ".join(new))
    LOGGER.info("%s: used %d arrays: %s", path, len(report.used), ", ".join(report.used))
    LOGGER.info("%s: not in this net: %s; kept new: %s", path, ", ".join(report.unused) or "none",
                ", ".join(report.missing) or "none")
    engine.reset_averages()
    return None


class Counters(NamedTuple):
    """How far a run is.

    Attributes:
        step: steps done.
        progress: what validation has shown.
        seconds: how long it has trained, where --max_minutes limits that; else 0.
        closed: whether the validation that closes a run has been done.
    """

    step: int = 0
    progress: Progress = Progress()
    seconds: float = 0.0
    closed: bool = False


def restore(engine: Engine, run_dir: str, start: checkpoints.Checkpoint | None, *, total: int,
            shown: dict) -> Counters:
    """Bring a run to where its newest checkpoint left it, or to where another run was.

    Args:
        engine: whose arrays become those of the checkpoint.
        run_dir: of this run.
        start: another run's state, to begin with where this run has no checkpoint yet.
        total: steps at which this run ends.
        shown: hands and crop_factor of its pictures.

    Returns:
        Counters: all 0 where there is no checkpoint, and on workers, which follow the chief.

    Raises:
        checkpoints.BadCheckpoint: it does not fit this run, or the run would be over before it begins.
    """
    if not engine.is_chief:
        return Counters()
    found = checkpoints.load_newest(run_dir, LOGGER.warning)
    checkpoint = found or start
    if checkpoint is None:
        return Counters()
    source = checkpoints.step_path(run_dir, found.step) if found else "--checkpoint"
    LOGGER.info("Restore from checkpoint...")
    if found:
        _check_same_crops(source, of_state(found.spec, found.state), shown)
    engine.restore(checkpoint, source)
    if not found and checkpoint.step >= total:
        raise checkpoints.BadCheckpoint(
            f"{source}: that run has done {checkpoint.step} steps, which count, too, and this one would end at "
            f"{total}: give more --steps or --max_epoch, or its {checkpoints.best_path('')} to begin at 0 with its "
            f"weights.")
    try:
        progress = Progress(**checkpoint.state["progress"])
        # Of another run neither the time counts nor the best value, which was so on other pictures, perhaps.
        state = checkpoint.state
        counters = (Counters(checkpoint.step, progress, float(state.get("seconds", 0.0)), bool(state.get("closed")))
                    if found else Counters(checkpoint.step, Progress(drops=progress.drops)))
    except (KeyError, TypeError, ValueError) as error:
        raise checkpoints.BadCheckpoint(f"{source}: no counters of a training run in it ({error}); give the file "
                                        f"as --checkpoint to another --tag to load its weights alone.") from None
    LOGGER.info("Restore from checkpoint...Done (step %d)", counters.step)
    return counters


def _check_same_crops(source, kept: Description, shown: dict) -> None:
    """A run's errors, of which it keeps the best, are in % of its crops: others would not compare."""
    for name, now in shown.items():
        then = getattr(kept, name)
        if then != now:
            raise checkpoints.BadCheckpoint(f"{source}: this run was trained with --{name}={then}, got --{name}="
                                            f"{now}; go on with the former, or give the run's folder as "
                                            f"--checkpoint to another --tag.")
