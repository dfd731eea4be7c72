"""Losses that wait to be read, so that a GPU need not stop after each step."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

MOST = 16  # steps before losses are read: a loss that is no number is noticed so late at most


class Diverged(ValueError):
    """The loss is no longer a number; the text says at which step and in which stage."""


class PendingLosses:
    """The losses of the last steps, still on their device."""

    def __init__(self):
        self._losses: list[tf.Tensor] = []

    def add(self, losses: tf.Tensor) -> bool:
        """Keep the losses [S] of one more step; whether it is time to read them."""
        self._losses.append(losses)
        return len(self._losses) >= MOST

    def read(self, step: int) -> Iterator[tuple[int, np.ndarray]]:
        """Give what waits, and forget it at the first one asked for.

        Args:
            step: number of the last step added.

        Yields:
            Number and losses, float32 [S], of each step.

        Raises:
            Diverged: at the first loss that is not a number.
        """
        losses, self._losses = self._losses, []
        for number, row in enumerate((one.numpy() for one in losses), start=step - len(losses) + 1):
            if not np.isfinite(row).all():
                stage = int(np.flatnonzero(~np.isfinite(row))[0]) + 1
                raise Diverged(
                    f"the loss of stage {stage} became {row[stage - 1]} at step {number}; nothing was saved after "
                    f"the last checkpoint. Lower --lr, add --warmup_steps or --clip_norm=100, or use "
                    f"--precision=bfloat16 instead of float16; then the same command goes on from that checkpoint. "
                    f"If it ends here again, that one was spoilt already: remove it, and the one before is used.")
            yield number, row
