"""What the Predictor itself costs: all but the net, per picture in memory, box given, batch 1.

    python benchmarks/predict.py

The narrow CPM with random weights (or --graph_path) gets one hand's box in pictures of several sizes; the time inside
the net is measured in the same calls.
"""

import pathlib
import tempfile
import time

import _results
import numpy as np
from absl import app, flags

from cpm_hand import checkpoints, nets, runtimes
from cpm_hand.predict import Predictor

_GRAPH_PATH = flags.DEFINE_string("graph_path", None, "An artefact or run; by default the narrow CPM.")
_SIZE = flags.DEFINE_multi_string("size", ["640x480", "1280x720", "4000x3000"], "WxH of a picture, px; repeat it.")
_CALLS = flags.DEFINE_integer("calls", 200, "Calls in one turn.", lower_bound=2)
_REPEATS = flags.DEFINE_integer("repeats", 3, "Turns.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", "out/bench/predict.json", "File for the numbers.")

NARROW = nets.Spec("cpm", size=184, stages=3, width=0.25)
WARM_UP = 5  # calls
HAND = 0.4   # tight box's side over the picture's shorter side


class Clocked:
    """An artefact that adds up the seconds it takes."""

    def __init__(self, artefact: runtimes.Artefact):
        self._artefact, self.seconds = artefact, 0.0

    def __call__(self, inputs):
        """As the artefact."""
        return self._timed(self._artefact, inputs)

    def answers(self, inputs):
        """As the artefact's."""
        return self._timed(self._artefact.answers, inputs)

    def _timed(self, function, inputs):
        began = time.perf_counter()
        result = function(inputs)
        self.seconds += time.perf_counter() - began
        return result

    def __getattr__(self, name):
        return getattr(self._artefact, name)


def narrow_net(folder: str) -> runtimes.Artefact:
    """The narrow CPM with random weights, through a checkpoint as any run's."""
    weights = {name: variable.numpy() for name, variable in checkpoints.variables(NARROW.build()).items()}
    checkpoints.save(checkpoints.step_path(pathlib.Path(folder), 0),
                     checkpoints.Checkpoint(NARROW, 0, weights, {}, {}, {}))
    return runtimes.load(folder)


def measure(artefact: runtimes.Artefact, width: int, height: int) -> dict:
    """Milliseconds of a call and the Predictor's share of them, per turn."""
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    side = HAND * min(width, height)
    boxes = [((width - side) / 2, (height - side) / 2, side, side)]
    clocked = Clocked(artefact)
    predictor = Predictor(clocked)
    for _ in range(WARM_UP):
        predictor(picture, boxes)
    calls, own = [], []
    for _ in range(_REPEATS.value):
        began, clocked.seconds = time.perf_counter(), 0.0
        for _ in range(_CALLS.value):
            predictor(picture, boxes)
        whole = time.perf_counter() - began
        calls.append(1e3 * whole / _CALLS.value)
        own.append(1e3 * (whole - clocked.seconds) / _CALLS.value)
    return {"size": f"{width}x{height}", "call_ms": _results.spread(calls), "own_ms": _results.spread(own),
            "own_percent": _results.spread(100 * np.divide(own, calls))}


def main(argv) -> None:
    """Measure each size and write the numbers."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}.")
    sizes = [_results.sides(size) for size in _SIZE.value]
    with tempfile.TemporaryDirectory() as folder:
        artefact = runtimes.load(_GRAPH_PATH.value) if _GRAPH_PATH.value else narrow_net(folder)
    rows = [measure(artefact, *size) for size in sizes]
    _results.show(rows, {"size": "picture px", "call_ms": "call ms", "own_ms": "own ms", "own_percent": "own %"})
    _results.write(_OUTPUT.value, "predict", {"graph_path": _GRAPH_PATH.value, "calls": _CALLS.value,
                                              "repeats": _REPEATS.value}, rows=rows)


if __name__ == "__main__":
    app.run(main)
