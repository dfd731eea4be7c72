"""What our training loop costs beside a bare GradientTape step, in float32 and bfloat16.

Two nets: `full`, the six-stage net at 368 px with batch 2, and `narrow`, width 1/4, 184 px, 3 stages, batch
16. For each net and precision:

bare      a keras model, GradientTape, the same loss and Adam in one tf.function, on tensors in memory
loop      `training.Run.train()`: files from disk, default augmentation, the loop, a log line every
          --log_every steps (a hundred times as often as by default); no checkpoint and no validation
pipeline  processor time that making one batch takes, measured alone

Bare and loop take turns within one run: our loop's step is wrapped, and after --steps steps on the clock the
wrapper lets the bare step run as many before it returns. Tracing is excluded, and so are the first --settle
steps after each change. Shown is the median of the turns with the smallest and the largest; percentages are
of the bare step, taken turn by turn, so that a machine that slows down slows both:

overhead   loop / bare - 1, wall clock
left over  (loop - bare - pipeline) / bare: wall clock, the pipeline's processor time taken off in full
strict     (loop - bare - pipeline / cores) / bare: as if the pipeline had spread over all cores perfectly
CPU        (loop - bare - pipeline) / bare, all three in processor time

The examples/sec of the log lines include the bare step's turns. On a GPU the pipeline runs beside the step:
look at overhead there.

    python benchmarks/step.py
    python benchmarks/step.py --net=narrow --precision=float32
"""

import os
import tempfile
from typing import NamedTuple

import _clock
import _pictures
import _results
import keras
import tensorflow as tf
from absl import app, flags

from cpm_hand import engine, nets, reports, sets, training
from cpm_hand.artefacts import cores
from cpm_hand.pipeline import training_batches
from cpm_hand.schedules import Schedule
from cpm_hand.settings import Settings


class Case(NamedTuple):
    """A net to measure with: its spec, pictures per step, steps in a turn."""

    spec: nets.Spec
    batch_size: int
    steps: int


CASES = {
    "full": Case(nets.Spec("cpm", 368, 6), batch_size=2, steps=5),
    "narrow": Case(nets.Spec("cpm", 184, 3, 0.25), batch_size=16, steps=20),
    "tiny": Case(nets.Spec("cpm", 32, 2, 1 / 64), batch_size=2, steps=4),
}
NEVER = 10**9

_NET = flags.DEFINE_multi_enum("net", ["full", "narrow"], list(CASES), "Net to measure; repeat it for "
                               "several. tiny only shows that the benchmark works.")
_PRECISION = flags.DEFINE_multi_enum("precision", ["float32", "bfloat16"], ["float32", "bfloat16"],
                                     "Arithmetic to measure; repeat it for several.")
_STEPS = flags.DEFINE_integer("steps", None, "Steps in one turn; by default full 5, narrow 20.",
                              lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 7, "Turns.", lower_bound=1)
_SETTLE = flags.DEFINE_integer("settle", 2, "Steps before the clock starts, in each turn.", lower_bound=1)
_LOG_EVERY = flags.DEFINE_integer("log_every", 5, "Steps between the loop's log lines.", lower_bound=1)
_PICTURES = flags.DEFINE_integer("pictures", 64, "Pictures to make.", lower_bound=2)
_OUTPUT = flags.DEFINE_string("output", "out/bench/step.json", "File for the numbers.")


class Bare:
    """A training step as short as Keras 3 on TensorFlow allows, always on the same batch.

    Args:
        spec: the net.
        precision: name in `engine.POLICIES`.
        batch: `pipeline.Batch` of tensors.
    """

    def __init__(self, spec: nets.Spec, precision: str, batch):
        model = spec.build(engine.POLICIES[precision])
        optimizer = keras.optimizers.Adam(1e-4, epsilon=1e-8)
        optimizer.build(model.trainable_variables)
        loss = nets.find(spec.net).loss

        @tf.function
        def step(images, targets, supervised):
            with tf.GradientTape() as tape:
                total, _ = loss(targets, model(images, training=True), supervised)
            optimizer.apply(tape.gradient(total, model.trainable_variables), model.trainable_variables)
            return total

        self._step, self._tensors = step, (batch.images, batch.targets, batch.supervised)

    def run(self, steps: int) -> None:
        """So many steps; back when the last one is done, also on a GPU."""
        for _ in range(steps):
            total = self._step(*self._tensors)
        total.numpy()

    def time(self, settle: int, steps: int) -> _clock.Times:
        """Seconds per step, after some that do not count."""
        self.run(settle)
        start = _clock.Times.now()
        self.run(steps)
        return _clock.Times.now().since(start, steps)


class Turns:
    """Stands where the loop calls its step, times the loop from call to call, and lets the bare step in.

    A turn of the loop begins when a step has ended and ends so many steps later, so it holds all that the
    loop does between steps: fetch the next batch, read the losses, write log lines, look for signals.
    """

    def __init__(self, step, bare: Bare, settle: int, steps: int):
        self._step, self._bare, self._settle, self._steps = step, bare, settle, steps
        self._calls, self._start = 0, None
        self.bare: list[_clock.Times] = []
        self.loop: list[_clock.Times] = []

    def __call__(self, batch, stop):
        """As the engine's step."""
        result = self._step(batch, stop)
        self._calls += 1
        place = self._calls % (self._settle + self._steps)
        if place == self._settle:
            result[0].numpy()  # on a GPU: wait until the step is done
            self._start = _clock.Times.now()
        elif place == 0:
            result[0].numpy()
            self.loop.append(_clock.Times.now().since(self._start, self._steps))
            self.bare.append(self._bare.time(self._settle, self._steps))
        return result


def measure(name: str, precision: str, source: sets.Source) -> dict:
    """One line of the table: one net in one precision."""
    keras.utils.set_random_seed(0)
    case = CASES[name]
    steps, settle = _STEPS.value or case.steps, _SETTLE.value
    data = sets.prepare([source], [], sets.Choice(case.spec.size, case.batch_size, validation_fraction=0))
    target, pictures = case.spec.target, max(steps, 8) * case.batch_size
    alone = [_clock.time_pictures(data, target, pictures) for _ in range(_REPEATS.value)]
    batches = training_batches(data.training, data.mixture, target, batch_size=case.batch_size, first_step=0)
    bare = Bare(case.spec, precision, next(iter(batches)))
    bare.run(1)  # traces

    ours = engine.Engine(case.spec, engine.Optimisation(precision=precision))
    ours.train = turns = Turns(ours.train, bare, settle, steps)
    schedule = Schedule("constant", 1e-4, _REPEATS.value * (settle + steps))
    with tempfile.TemporaryDirectory() as run_dir:
        training.Run(ours, data, Settings(run_dir, schedule, log_every=_LOG_EVERY.value,
                                          checkpoint_every=NEVER, validate_every=NEVER)).train()
    return {"net": name, "precision": precision, "size_px": case.spec.size, "batchsize": case.batch_size,
            "steps": steps, **numbers(turns.bare, turns.loop, [case.batch_size * each.cpu for each in alone])}


def numbers(bare: list[_clock.Times], loop: list[_clock.Times], alone: list[float]) -> dict:
    """All figures of one line, as the top of this file defines them.

    Args:
        bare: seconds per step, by turn.
        loop: the same of ours.
        alone: the pipeline's processor time, seconds per step.
    """
    pipeline = _results.spread(alone)["median"]

    def percent(pairs, beyond: float):
        return _results.spread([100 * (ours - theirs - beyond) / theirs for ours, theirs in pairs])

    wall = [(ours.wall, theirs.wall) for ours, theirs in zip(loop, bare)]
    cpu = [(ours.cpu, theirs.cpu) for ours, theirs in zip(loop, bare)]
    return {
        "bare_ms": _results.spread([1000 * turn.wall for turn in bare]),
        "loop_ms": _results.spread([1000 * turn.wall for turn in loop]),
        "bare_cpu_ms": _results.spread([1000 * turn.cpu for turn in bare]),
        "loop_cpu_ms": _results.spread([1000 * turn.cpu for turn in loop]),
        "pipeline_cpu_ms": _results.spread([1000 * seconds for seconds in alone]),
        "overhead_percent": percent(wall, 0.0),
        "left_over_percent": percent(wall, pipeline),
        "left_over_strict_percent": percent(wall, pipeline / cores()),
        "left_over_cpu_percent": percent(cpu, pipeline),
    }


def gains(rows: list[dict]) -> list[dict]:
    """How much faster bfloat16 is than float32, where both were measured: ratios of medians."""
    found = {(row["net"], row["precision"]): row for row in rows}
    return [{"net": net, **{f"{what}_gain": found[net, "float32"][f"{what}_ms"]["median"]
                            / found[net, "bfloat16"][f"{what}_ms"]["median"] for what in ("bare", "loop")}}
            for net in CASES if {(net, "float32"), (net, "bfloat16")} <= found.keys()]


def show(rows: list[dict]) -> None:
    """Times, percentages, and what bfloat16 gains."""
    which = {"net": "net", "precision": "precision"}
    print()
    _results.show(rows, {**which, "bare_ms": "bare ms/step", "loop_ms": "loop ms/step",
                         "pipeline_cpu_ms": "pipeline CPU ms/step"})
    _results.show(rows, {**which, "overhead_percent": "overhead %", "left_over_percent": "left over %",
                         "left_over_strict_percent": "strict %", "left_over_cpu_percent": "CPU %"})
    if gains(rows):
        _results.show(gains(rows), {"net": "bfloat16 over float32", "bare_gain": "bare, times as fast",
                                    "loop_gain": "loop, times as fast"})


def main(argv) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}; flags are written --name=value.")
    reports.configure_logging()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in _NET.value:
            pictures = os.path.join(folder, name, "synth2")
            _pictures.write(pictures, _PICTURES.value, CASES[name].spec.size)
            source = sets.Source("cmu_synth", pictures, None)
            rows += [measure(name, precision, source) for precision in _PRECISION.value]
    show(rows)
    _results.write(_OUTPUT.value, "step", {
        "nets": {name: CASES[name].spec.to_json() for name in _NET.value}, "repeats": _REPEATS.value,
        "settle": _SETTLE.value, "log_every": _LOG_EVERY.value, "pictures": _PICTURES.value},
        rows=rows, bfloat16_gain=gains(rows))


if __name__ == "__main__":
    app.run(main)
