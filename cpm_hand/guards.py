"""What can befall a running loop from outside: signals, no memory, a bad picture, a lost worker."""

import contextlib
import signal
import threading

import tensorflow as tf


class OutOfMemory(ValueError):
    """A step did not fit; the text says what to do."""


class LostWorker(ValueError):
    """Another worker ended, so this one cannot go on."""


class Stop:
    """SIGTERM and Ctrl-C set `number` while this context lasts; a second Ctrl-C interrupts at once."""

    def __init__(self):
        self.number = 0
        self._before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # elsewhere Python refuses handlers
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number, frame):
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def clear_errors(*loaders, batch: str = "a batch"):
    """Turn TensorFlow's errors into those that a person can act on.

    Args:
        loaders: `pipeline.Loader`s or None; inside tf.data their errors lose the file's name, and get it back here.
        batch: what had to fit into memory, in words.

    Raises:
        OutOfMemory: TensorFlow ran out of memory.
        LostWorker: a collective operation found another worker gone.
        images.BadImage: what a loader failed at.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise OutOfMemory(
            f"out of memory with {batch} ({error.message.splitlines()[0][:200]}). --microbatch=N holds only N pictures "
            f"in memory at a time and gives the same result; or lower --batchsize.") from None
    except tf.errors.OpError as error:
        for loader in loaders:
            if loader is not None and loader.failure is not None:
                raise loader.failure from None
        if isinstance(error, (tf.errors.UnavailableError, tf.errors.AbortedError)) or "ollective" in error.message:
            raise LostWorker("another worker ended, so this one cannot go on; its own output says why. The same "
                             "commands go on from the last checkpoint.") from None
        raise
