"""Where a run of training begins: the net it goes on with, and that net's weights."""

import pathlib

from cpm_hand import checkpoints, hdf5, transfer, weights
from cpm_hand.artefacts import Description, of_state
from cpm_hand.engine import Engine
from cpm_hand.foreign import BadWeights
from cpm_hand.reports import LOGGER

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
