"""Make what `models/cpm_lite` holds from finished runs: the last step of the recipe in models/cpm_lite.flags.

  python -m cpm_hand.cli.ship models/train/cpm_lite --presence_threshold=0.4 \
      --source="trained on pictures rendered by cpm_hand, and on nothing else"

It writes the run's best weights as a checkpoint without the optimizer's state, the frozen graph, how that compares with
the Keras model (parity.json, as freeze.py does it), and checksums; finetune.flags is taken over as it is. Weights are
rounded to 11 bits, so that the package is smaller.

Several runs or checkpoints give the mean of their weights, which for runs that began with the same weights, or with one
another's, can be better than each of them (Wortsman et al. 2022, Model soups, arXiv:2203.05482): measure it.

The threshold is the one that `python benchmarks/search.py --calibrate` prints of what was shipped with any other. What
--source says is kept in the weights beside their terms; who ships them vouches for it.
"""

import hashlib
import os
import pathlib
import shutil
import tempfile

import numpy as np
from absl import app, flags

from cpm_hand.cli import command


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define this command's flags; a function, since other commands have some of the same names."""
    from cpm_hand import shipped

    flags.DEFINE_float("presence_threshold", None, "Presence below which there is no hand.", lower_bound=0,
                       upper_bound=1, flag_values=values)
    flags.DEFINE_string("source", None, "What the run, and those that it began with, were trained on; it must allow "
                        "Apache-2.0.", flag_values=values)
    flags.DEFINE_integer("size", None, "Side of the square input in pixels, where it is not the training size.",
                         lower_bound=1, flag_values=values)
    flags.DEFINE_integer("stages", None, "Stages of the net, where those that share their weights need not all run; by "
                         "default the most that any run has.", lower_bound=1, flag_values=values)
    flags.DEFINE_float("crop_factor", None, "Side of the crops to show it over the longer side of the tight joint box, "
                       "where it does better with others than those it was trained on.", lower_bound=1, upper_bound=10,
                       flag_values=values)
    flags.DEFINE_string("output_dir", f"models/{shipped.NAME}", "Folder of the shipped model.", flag_values=values)
    flags.DEFINE_integer("check_pictures", 200, "Rendered hands to compare on.", lower_bound=1, flag_values=values)


def main(argv: list[str], values: flags.FlagValues = flags.FLAGS) -> int:
    """Write the files beside each other, and put them in their place when all of them are good."""
    from cpm_hand import shipped
    if len(argv) < 2 or values.presence_threshold is None or not values.source:
        raise app.UsageError(f"expected a run's folder, --presence_threshold and --source, got {argv[1:]}.")
    folder = pathlib.Path(values.output_dir)
    if not (folder / shipped.FINETUNE).is_file():
        raise ValueError(f"{folder / shipped.FINETUNE}: is not there; it is part of the shipped model.")
    command.quiet_tensorflow()
    from cpm_hand import checkpoints, export, runtimes
    from cpm_hand.artefacts import of_state

    best = _mean([(path, checkpoints.find(path)) for path in argv[1:]], any_crops=bool(values.crop_factor))
    spec = runtimes.resized(best.spec, values.size, values.stages)
    shown = of_state(best.spec, best.state)
    state = {"hands": shown.hands, "crop_factor": values.crop_factor or shown.crop_factor,
             "presence_threshold": values.presence_threshold, "licence": "Apache-2.0", "source": values.source}
    weights = {name: np.float32(np.float16(array)) for name, array in best.weights.items()}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        new = pathlib.Path(temporary)
        shutil.copy(folder / shipped.FINETUNE, new)
        checkpoints.save(new / shipped.CHECKPOINT, checkpoints.Checkpoint(spec, best.step, weights, {}, {}, state))
        artefacts = export.export(new / shipped.CHECKPOINT, {"frozen_graph": new / shipped.ARTEFACT},
                                  num_pictures=values.check_pictures)
        export.write_report(new / export.REPORT, [made._replace(path=folder / made.path.name) for made in artefacts])
        sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(new.iterdir())}
        (new / shipped.SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))
        for name in (*sums, shipped.SUMS):
            os.replace(new / name, folder / name)
    print(f"wrote {', '.join(sums)} and {shipped.SUMS} into {folder}")
    return 0


def _mean(found: list, any_crops: bool):
    """One checkpoint with the mean of the best weights of all, and the most stages that any has.

    Args:
        found: (path, Checkpoint) of each.
        any_crops: whether they may have been shown different crops.

    Raises:
        ValueError: they are of different nets, or were shown different hands or crops.
    """
    from cpm_hand.artefacts import of_state

    def net(checkpoint):
        # Later stages of a compact net have no weights of their own: where the names agree, their number may differ.
        shown = of_state(checkpoint.spec._replace(stages=0), checkpoint.state)._replace(presence_threshold=None)
        return shown._replace(crop_factor=None) if any_crops else shown, set(checkpoint.weights)

    (path, first), *others = found
    for other_path, other in others:
        if net(other) != net(first):
            raise ValueError(f"{other_path}: of another net than {path}, or shown other hands or crops; the mean of "
                             f"the two would be neither. Of those of other crops --crop_factor says what to show it.")
    weights = [checkpoint.best_weights() for _, checkpoint in found]
    return first._replace(spec=first.spec._replace(stages=max(checkpoint.spec.stages for _, checkpoint in found)),
                          weights={name: np.mean([each[name] for each in weights], axis=0) for name in weights[0]},
                          ema={}, step=max(checkpoint.step for _, checkpoint in found))


def run() -> None:
    """Entry point of `python -m cpm_hand.cli.ship`."""
    define()
    command.run_main(main)


if __name__ == "__main__":
    run()
