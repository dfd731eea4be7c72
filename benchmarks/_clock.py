"""Wall-clock and processor time, and what a training picture costs when nothing else runs."""

import pathlib
import time
from typing import NamedTuple

from cpm_hand.pipeline import Data, training_batches

WARM_UP = 4  # batches before the clock starts: tracing, starting of threads


class Times(NamedTuple):
    """A point in time, or the difference of two.

    Attributes:
        wall: seconds.
        cpu: seconds of processor time of all threads of this process.
    """

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "Times":
        """Only differences mean something."""
        return cls(time.perf_counter(), time.process_time())

    def since(self, start: "Times", parts: int = 1) -> "Times":
        """What has passed since then, divided by a number of parts."""
        return Times((self.wall - start.wall) / parts, (self.cpu - start.cpu) / parts)


class Counted:
    """A loader that counts the pictures as they are made: tf.data reads ahead, so batches would tell lies."""

    def __init__(self, loader):
        self._loader, self._made = loader, []

    def __call__(self, sample, place):
        """As the loader."""
        self._made.append(None)  # unlike += 1 it is atomic
        return self._loader(sample, place)

    def __getattr__(self, name):
        return getattr(self._loader, name)

    @property
    def made(self) -> int:
        """Pictures so far."""
        return len(self._made)


def time_pictures(data: Data, target, count: int) -> Times:
    """Seconds per picture of `training_batches` read as fast as they come, all cores at work.

    Args:
        data: what to read.
        target: how keypoints become maps.
        count: pictures to make at least, after `WARM_UP` batches.
    """
    loader = Counted(data.training)
    iterator = iter(training_batches(loader, data.mixture, target, batch_size=data.batch_size, first_step=0))
    for _ in range(WARM_UP):
        next(iterator)
    start, before = Times.now(), loader.made
    while loader.made - before < count:
        next(iterator)
    return Times.now().since(start, loader.made - before)


def processor() -> str:
    """Model of the processor and which bfloat16 instructions it has, where Linux tells; otherwise unknown."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    bfloat16 = [flag for flag in found.get("flags", "").split() if flag.endswith("bf16")]
    return f"{found.get('model name', 'unknown')}; {', '.join(bfloat16) or 'no bfloat16 instructions'}"

