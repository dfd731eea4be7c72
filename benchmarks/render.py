"""How fast labelled hands are made, and where the time goes.

The rate is that of `rendering.writer` with all workers, everything included: background, hand, things, sensor, JPEG,
JSON and flushing to disk. A turn writes twice --count pictures, or more where that are too few for the workers, and
times the middle half of them by their files: by then each worker has started (imports, the skin's template, the bank
of textures), and none has run out of work. The shares are of one process that draws the same scenes, timed around the
functions that a scene calls.

    python benchmarks/render.py
"""

import os
import pathlib
import tempfile
import time

import _results
import cv2
from absl import app, flags

from cpm_hand.rendering import backgrounds, hands, scene, sensor, things, writer

_SIZE = flags.DEFINE_multi_integer("size", [368, 184], "Side of the pictures, px; repeat it for several.",
                                   lower_bound=32)
_COUNT = flags.DEFINE_integer("count", 400, "Pictures that are timed in one turn, at least.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 3, "Turns.", lower_bound=1)
_WORKERS = flags.DEFINE_integer("workers", os.cpu_count() or 1, "Processes.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", "out/bench/render.json", "File for the numbers.")

PARTS = {"background": (backgrounds, "background"), "hand": (hands, "render_hand"), "things": (things, "hold"),
         "sensor": (sensor, "expose"), "JPEG": (cv2, "imencode")}


def rates(size: int) -> list[float]:
    """Pictures per second of each turn, all workers together."""
    found = []
    options = scene.Options(size=(size, size))
    # A worker takes a part at a time; with four for each of them, none runs out of work before the last quarter.
    count = max(8, 2 * _COUNT.value, 4 * writer.PART * _WORKERS.value if _WORKERS.value > 1 else 0)
    for turn in range(_REPEATS.value):
        with tempfile.TemporaryDirectory() as folder:
            for _ in writer.write(folder, count, seed=turn, options=options, workers=_WORKERS.value):
                pass
            labels = pathlib.Path(folder, writer.FOLDER).glob("*.json")  # the last file of each picture
            done = sorted(label.stat().st_mtime_ns for label in labels)[count // 4:-(count // 4)]
            found.append(1e9 * (len(done) - 1) / (done[-1] - done[0]))
    return found


def shares(size: int) -> dict[str, float]:
    """Milliseconds per picture of each part, in one process."""
    spent = dict.fromkeys(PARTS, 0.0)
    plain = {part: getattr(module, name) for part, (module, name) in PARTS.items()}

    def timed(part):
        def call(*arguments, **settings):
            began = time.perf_counter()
            try:
                return plain[part](*arguments, **settings)
            finally:
                spent[part] += time.perf_counter() - began
        return call

    options = scene.Options(size=(size, size))
    with tempfile.TemporaryDirectory() as folder:
        writer.write_one(pathlib.Path(folder), 0, options, 1)  # compiles, and makes template and bank
        for part, (module, name) in PARTS.items():
            setattr(module, name, timed(part))
        try:
            began = time.perf_counter()
            for number in range(2, 2 + _COUNT.value):
                writer.write_one(pathlib.Path(folder), 0, options, number)
            whole = time.perf_counter() - began
        finally:
            for part, (module, name) in PARTS.items():
                setattr(module, name, plain[part])
    per_picture = {part: 1e3 * seconds / _COUNT.value for part, seconds in spent.items()}
    return {**per_picture, "rest": 1e3 * whole / _COUNT.value - sum(per_picture.values())}


def main(argv) -> None:
    """Measure each size and write the numbers."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}.")
    rows = [{"size_px": size, "pictures_per_s": _results.spread(rates(size)),
             **{f"{part}_ms": value for part, value in shares(size).items()}} for size in _SIZE.value]
    headings = {f"{part}_ms": f"{part} ms" for part in [*PARTS, "rest"]}
    _results.show(rows, {"size_px": "size px", "pictures_per_s": f"pictures/s, {_WORKERS.value} workers", **headings})
    _results.write(_OUTPUT.value, "render", {"count": _COUNT.value, "repeats": _REPEATS.value,
                                             "workers": _WORKERS.value}, rows=rows)


if __name__ == "__main__":
    app.run(main)
