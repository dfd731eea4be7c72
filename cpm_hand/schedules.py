"""The learning rate as a function of the step, and the counters that validation moves."""

import math
from typing import NamedTuple

KINDS = ("constant", "cosine", "steps", "plateau")


class Schedule(NamedTuple):
    """The learning rate over a run: a pure function of the step and of the drops that plateaus have caused.

    Attributes:
        kind: constant; cosine (to 0 at total_steps); steps (times factor at each boundary); plateau (times
            factor whenever validation has not improved for a while).
        learning_rate: after warm-up, before any decay.
        total_steps: length of the run.
        warmup_steps: linear rise from 0 over so many steps.
        boundaries: of kind steps.
        factor: of kinds steps and plateau.
    """

    kind: str
    learning_rate: float
    total_steps: int
    warmup_steps: int = 0
    boundaries: tuple[int, ...] = ()
    factor: float = 0.5

    def at(self, step: float, drops: int = 0) -> float:
        """The learning rate of step `step`, counted from 0; a run that ends by time may be between two.

        >>> Schedule("cosine", 1.0, total_steps=100).at(50)
        0.5
        >>> Schedule("steps", 1.0, total_steps=9, boundaries=(3, 6), factor=0.1).at(3)
        0.1
        >>> Schedule("constant", 1.0, total_steps=9, warmup_steps=4).at(0)
        0.25
        """
        rate = self.learning_rate
        if step < self.warmup_steps:
            return rate * (step + 1) / self.warmup_steps
        if self.kind == "cosine":
            done = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
            return rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        if self.kind == "steps":
            return rate * self.factor ** sum(step >= boundary for boundary in self.boundaries)
        return rate * self.factor ** drops


class Progress(NamedTuple):
    """What validation has shown so far; it travels in the checkpoint.

    Attributes:
        best: lowest validation error, in % of the input's width; None before the first validation.
        best_step: when it was.
        stale: validations since then, for early stop.
        waited: validations since then or since the last drop of the learning rate, for the plateau schedule.
        drops: how often the learning rate was lowered.
    """

    best: float | None = None
    best_step: int = 0
    stale: int = 0
    waited: int = 0
    drops: int = 0

    def after(self, error: float, step: int, patience: int) -> "Progress":
        """The counters after one more validation.

        Args:
            error: lower is better; NaN counts as no improvement.
            step: of this validation.
            patience: validations without improvement after which the learning rate drops; 0 never.

        >>> Progress().after(8.0, step=10, patience=1).after(9.0, step=20, patience=1)
        Progress(best=8.0, best_step=10, stale=1, waited=0, drops=1)
        """
        if not math.isnan(error) and (self.best is None or error < self.best):
            return Progress(error, step, drops=self.drops)
        waited = self.waited + 1
        drop = patience > 0 and waited >= patience
        return self._replace(stale=self.stale + 1, waited=0 if drop else waited, drops=self.drops + drop)
