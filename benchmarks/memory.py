"""Whether a long run grows: resident memory of a training run after few steps and after many.

A narrow net (width 1/4, 184 px, 3 stages; --net=tiny only shows that the benchmark works) trains with
`training.Run` on files from disk, in this process. Every --every steps it writes a checkpoint, validates,
and puts pictures into TensorBoard, twenty times as often as by default. Resident memory is that of this
process as the system counts it, in MiB (2**20 bytes), read after each step; "after N steps" is the median of
the --window steps that end with step N. Shown is its course, and the ratio of --steps to --early.

    python benchmarks/memory.py
"""

import os
import tempfile

import _pictures
import _results
import keras
import numpy as np
import psutil
from absl import app, flags

from cpm_hand import engine, nets, reports, sets, training
from cpm_hand.schedules import Schedule
from cpm_hand.settings import Settings

SPECS = {"narrow": nets.Spec("cpm", 184, 3, 0.25), "tiny": nets.Spec("cpm", 32, 2, 1 / 64)}
NUM_LINES = 10  # of the table, beside the early one

_NET = flags.DEFINE_enum("net", "narrow", list(SPECS), "Net to train.")
_STEPS = flags.DEFINE_integer("steps", 2000, "Length of the run.", lower_bound=2)
_EARLY = flags.DEFINE_integer("early", 200, "Step to compare its end with.", lower_bound=1)
_EVERY = flags.DEFINE_integer("every", 100, "Steps between checkpoints, and between validations with "
                              "pictures.", lower_bound=1)
_WINDOW = flags.DEFINE_integer("window", 50, "Steps whose median memory is taken.", lower_bound=1)
_BATCHSIZE = flags.DEFINE_integer("batchsize", 4, "Pictures in a batch.", lower_bound=1)
_PICTURES = flags.DEFINE_integer("pictures", 64, "Training pictures to make; a quarter as many for "
                                 "validation.", lower_bound=2)
_OUTPUT = flags.DEFINE_string("output", "out/bench/memory.json", "File for the numbers.")


class Watched:
    """Stands where the loop calls its step, and notes resident memory after each, MiB."""

    def __init__(self, step):
        self._step, self._process = step, psutil.Process()
        self.mib: list[float] = []

    def __call__(self, batch, stop):
        """As the engine's step."""
        result = self._step(batch, stop)
        self.mib.append(self._process.memory_info().rss / 2**20)
        return result

    def after(self, step: int, window: int) -> float:
        """Median of the window of steps that ends with that one."""
        return float(np.median(self.mib[max(step - window, 0):step]))


def train(folder: str) -> Watched:
    """The run; returns what was seen."""
    spec = SPECS[_NET.value]

    def made(name: str, count: int, seed: int) -> list[sets.Source]:
        pictures = _pictures.write(os.path.join(folder, name), count, spec.size, seed)
        return [sets.Source("cmu_synth", str(pictures), None)]

    data = sets.prepare(made("synth2", _PICTURES.value, 0), made("synth3", -(-_PICTURES.value // 4), 1),
                        sets.Choice(spec.size, _BATCHSIZE.value))
    ours = engine.Engine(spec, engine.Optimisation(ema_decay=0.999))
    ours.train = watched = Watched(ours.train)
    training.Run(ours, data, Settings(
        os.path.join(folder, "run"), Schedule("constant", 1e-4, _STEPS.value), log_every=_EVERY.value,
        checkpoint_every=_EVERY.value, validate_every=_EVERY.value)).train()
    return watched


@flags.multi_flags_validator(["steps", "early"], "--early must be smaller than --steps.")
def _in_order(values) -> bool:
    return values["early"] < values["steps"]


def main(argv) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}; flags are written --name=value.")
    reports.configure_logging()
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        watched = train(folder)
    early, late = watched.after(_EARLY.value, _WINDOW.value), watched.after(_STEPS.value, _WINDOW.value)
    stations = {_EARLY.value, *np.linspace(0, _STEPS.value, NUM_LINES + 1).astype(int).tolist()} - {0}
    course = [{"step": step, "mib": watched.after(step, _WINDOW.value)} for step in sorted(stations)]
    course = [{**line, "ratio": line["mib"] / early} for line in course]
    print()
    _results.show(course, {"step": "after step", "mib": "resident MiB", "ratio": f"of step {_EARLY.value}'s"})
    print(f"after {_STEPS.value} steps {100 * (late / early - 1):+.1f} % against {_EARLY.value} steps; "
          f"highest {max(watched.mib):.0f} MiB")
    settings = {"net": SPECS[_NET.value].to_json(), "steps": _STEPS.value, "early": _EARLY.value,
                "every": _EVERY.value, "window": _WINDOW.value, "batchsize": _BATCHSIZE.value,
                "pictures": _PICTURES.value}
    _results.write(_OUTPUT.value, "memory", settings, early_mib=early, late_mib=late, ratio=late / early,
                   highest_mib=max(watched.mib), course=course)


if __name__ == "__main__":
    app.run(main)
