"""How fast training pictures are made, beside nothing but decoding the same files.

Measured are `pipeline.training_batches` (read, crop, augment, belief maps, batch) with each augmentation,
read as fast as it delivers and on all cores, and two floors: the same files decoded by OpenCV in one thread,
and by `tf.io.decode_jpeg` one after the other, both from bytes in memory. All take turns, --repeats times;
shown is the median of the turns with the smallest and the largest. Processor time is that of all threads of
this process, divided by the pictures made meanwhile; they are counted as they are made, so that what was read
ahead does not flatter it.

The pictures are made here, 25 to 30 kB each, unless --data names a set of yours.

    python benchmarks/pipeline.py
    python benchmarks/pipeline.py --data=cmu_synth=DIR
"""

import itertools
import os
import pathlib
import tempfile

import _clock
import _pictures
import _results
import cv2
import numpy as np
import tensorflow as tf
from absl import app, flags

from cpm_hand import nets, sets
from cpm_hand.artefacts import cores
from cpm_hand.pipeline import Data

_DATA = flags.DEFINE_multi_string("data", [], "NAME=DIR of a set to use instead of pictures made here.")
_LEVELS = ["none", "light", "default", "strong"]
_AUGMENT = flags.DEFINE_multi_enum("augment", _LEVELS, _LEVELS, "Augmentation to measure; repeat it for several.")
_SIZE = flags.DEFINE_integer("size", 368, "Side of the input, px; a multiple of 8.", lower_bound=8)
_BATCHSIZE = flags.DEFINE_integer("batchsize", 16, "Pictures in a batch.", lower_bound=1)
_PICTURES = flags.DEFINE_integer("pictures", 64, "Files to make, or to use of --data.", lower_bound=1)
_BATCHES = flags.DEFINE_integer("batches", 24, "Batches in one turn.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 7, "Turns.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", "out/bench/pipeline.json", "File for the numbers.")


def prepare(augmentation: str, sources: list[sets.Source]) -> Data:
    return sets.prepare(sources, [], sets.Choice(_SIZE.value, _BATCHSIZE.value, augmentation,
                                                 limit=_PICTURES.value, validation_fraction=0))


def time_batches(augmentation: str, sources: list[sets.Source]) -> _clock.Times:
    """Seconds per picture of the whole pipeline."""
    data = prepare(augmentation, sources)
    return _clock.time_pictures(data, nets.find("cpm").target, _BATCHES.value * data.batch_size)


def time_decoding(decode, files: list[bytes]) -> _clock.Times:
    """Seconds per picture of decoding alone, one file after the other, as many as in a pipeline's turn."""
    count = _BATCHES.value * _BATCHSIZE.value
    decode(files[0])
    start = _clock.Times.now()
    for file in itertools.islice(itertools.cycle(files), count):
        decode(file)
    return _clock.Times.now().since(start, count)


def with_opencv(file: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)


def with_tensorflow(file: bytes) -> tf.Tensor:
    return tf.io.decode_jpeg(file, channels=3)


def measure(sources: list[sets.Source]) -> list[dict]:
    """All candidates in turns; one row for each."""
    paths = prepare("none", sources).training.labels.paths
    files = [pathlib.Path(path).read_bytes() for path in paths]
    cv2.setNumThreads(1)
    candidates = {"cv2.imdecode, one thread": lambda: time_decoding(with_opencv, files),
                  "tf.io.decode_jpeg, one call at a time": lambda: time_decoding(with_tensorflow, files)}
    for name in _AUGMENT.value:
        candidates[f"pipeline, --augment={name}"] = lambda name=name: time_batches(name, sources)
    turns = {name: [] for name in candidates}
    for _ in range(_REPEATS.value):
        for name, candidate in candidates.items():
            turns[name].append(candidate())
    kilobytes = np.mean([len(file) for file in files]) / 1000
    print(f"{len(files)} files of {kilobytes:.1f} kB to {_SIZE.value} px, {cores()} cores\n")
    return [{"what": name, "images_per_second": _results.spread([1 / turn.wall for turn in found]),
             "cpu_ms_per_image": _results.spread([1000 * turn.cpu for turn in found])}
            for name, found in turns.items()]


def main(argv) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}; flags are written --name=value.")
    with tempfile.TemporaryDirectory() as folder:
        try:
            sources = sets.parse(_DATA.value)
        except ValueError as error:
            raise app.UsageError(str(error)) from None
        if not sources:
            made = _pictures.write(os.path.join(folder, "synth2"), _PICTURES.value, _SIZE.value)
            sources = [sets.Source("cmu_synth", str(made), None)]
        rows = measure(sources)
    _results.show(rows, {"what": "", "images_per_second": "images/s", "cpu_ms_per_image": "CPU ms/image"})
    _results.write(_OUTPUT.value, "pipeline", {
        "data": _DATA.value or "made here", "size_px": _SIZE.value, "batchsize": _BATCHSIZE.value,
        "pictures": _PICTURES.value, "batches": _BATCHES.value, "repeats": _REPEATS.value}, rows=rows)


if __name__ == "__main__":
    app.run(main)
