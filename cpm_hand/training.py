"""The training loop: step, log, validate, checkpoint, resume, stop."""

import contextlib
import signal
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from cpm_hand import checkpoints, guards, overfit, reports, starts
from cpm_hand.engine import Engine
from cpm_hand.pending import PendingLosses
from cpm_hand.pipeline import Data, evaluation_batches, first_batch, training_batches
from cpm_hand.reports import LOGGER
from cpm_hand.schedules import Progress
from cpm_hand.settings import Settings
from cpm_hand.validation import validate


class Outcome(NamedTuple):
    """How a run ended.

    Attributes:
        step: steps done.
        signal: number of the signal that ended it early, 0 when it came to its end.
        progress: what validation has shown.
    """

    step: int
    signal: int
    progress: Progress


NUM_PICTURES = 4  # fixed pictures of each kind in TensorBoard


class Run:
    """One run of training, from its newest checkpoint to its end.

    Args:
        engine: net and optimizer, with the weights to start from.
        data: what to learn from.
        settings: when to do what.
        start: state to begin with when the run's folder has no checkpoint yet.
    """

    def __init__(self, engine: Engine, data: Data, settings: Settings, start: checkpoints.Checkpoint | None = None):
        self.engine, self.data, self.settings = engine, data, settings
        self.clock_from = None  # time.time() since when this process has trained
        self.rate = None
        self.pending = PendingLosses()
        self.last_losses = None
        with self._clear_errors():
            self.step, self.progress, self.seconds, self.closed = starts.restore(
                engine, settings.run_dir, start, total=settings.schedule.total_steps,
                shown={"hands": data.training.hands, "crop_factor": data.training.crop_factor})
            self._follow_chief()
        self.report = reports.Report(settings.run_dir, self.step, settings.flags, engine.is_chief)
        self.overfit = None
        if data.training.labels.num_hands == 1 and engine.is_chief:
            self.overfit = overfit.Recorder(settings.run_dir, self.step)
        self.pictures = self._fixed_pictures()
        self.validation = self._validation_batches()
        self.listed_bad: set[str] = set()

    def _follow_chief(self) -> None:
        """Only the chief reads checkpoints: another worker's disk may not have them, or have older ones."""
        self.engine.follow_chief()
        best = float("nan") if self.progress.best is None else self.progress.best
        step, best, closed, *counters = self.engine.from_chief([self.step, best, self.closed, *self.progress[1:]])
        self.step, self.closed = int(step), bool(closed)
        self.progress = Progress(None if np.isnan(best) else float(best), *map(int, counters))

    def _clear_errors(self):
        data = self.data
        return guards.clear_errors(data.training, data.validation, batch=f"{data.batch_size} pictures of "
                                   f"{self.engine.spec.size} px in a batch")

    def _fixed_pictures(self) -> dict:
        loaders = {"train": self.data.training, "validation": self.data.validation}
        with self._clear_errors():
            return {kind: first_batch(loader, self.engine.spec.target, NUM_PICTURES)
                    for kind, loader in loaders.items() if loader is not None and self.engine.is_chief}

    def _validation_batches(self):
        """This worker's part of the validation set; made once, since each making traces functions that stay."""
        loader = self.data.validation
        if loader is None:
            return None
        rows = np.arange(self.engine.worker, loader.labels.num_hands, self.engine.num_workers)
        batch_size = min(self.engine.optimisation.microbatch or 32, self.data.batch_size)
        return evaluation_batches(loader, self.engine.spec.target, batch_size=batch_size, rows=rows)

    # ---- the loop

    def train(self) -> Outcome:
        """Go on to the end of the run, or until a signal says stop.

        Raises:
            pending.Diverged: the loss is not a number.
            OutOfMemory: a step did not fit.
            images.BadImage: a sample cannot be read, and skip_bad is off.
            OSError: a checkpoint cannot be written.
        """
        with (contextlib.closing(self.report), contextlib.closing(self.overfit or contextlib.ExitStack()),
              logging_redirect_tqdm([LOGGER]), self._clear_errors(), guards.Stop() as stop):
            total = self.settings.schedule.total_steps
            if self._place() < total and not self._is_over():
                return self._train(total, stop)
            longer = ("--early_stop" if self._is_over() else
                      "--steps or --max_epoch" if self.step >= total else "--max_minutes")
            LOGGER.info("this run is complete at step %d; %s can make it longer.", self.step, longer)
            self._close()
            return Outcome(self.step, 0, self.progress)

    def _train(self, total: int, stop: guards.Stop) -> Outcome:
        self.closed = False  # of a run that is made longer
        began = self.logged_at = time.time()
        self.logged_step, self.paused = self.step, 0.0
        if self.step == 0:
            self._show_pictures()
            self._record_strip()
        batches = self._batches()
        with self._bar(total) as bar:
            LOGGER.info("Training Started at step %d of %d.", self.step, total)
            while self._place() < total and not self._is_over():
                told = self._one_step(next(batches), stop)
                self.clock_from = self.clock_from or time.time()  # from here: what compiles the first step trains none
                bar.update()
                self._events(bar)  # before leaving, or a resumed run would never do what was due at this step
                if told:
                    self._save()
                    LOGGER.warning("stopped by a signal at step %d; the same command goes on from here.", self.step)
                    return Outcome(self.step, stop.number or signal.SIGTERM, self.progress)
        self._finish(began)
        return Outcome(self.step, 0, self.progress)

    def _batches(self):
        """An iterator of training batches from this step on; with several replicas, one element for each."""
        if self.engine.strategy.num_replicas_in_sync == 1:
            return iter(self._make_dataset(tf.distribute.InputContext()))
        return iter(self.engine.strategy.distribute_datasets_from_function(self._make_dataset))

    def _make_dataset(self, context):
        replicas = self.engine.strategy.num_replicas_in_sync // context.num_input_pipelines
        return training_batches(
            self.data.training, self.data.mixture, self.engine.spec.target, batch_size=self.data.batch_size,
            first_step=self.step, shard=(context.input_pipeline_id, context.num_input_pipelines, replicas))

    def _bar(self, total: int):
        # disable=None: only where there is a terminal to draw it on.
        return tqdm(total=total, initial=self.step, unit="step", disable=None if self.engine.is_chief else True,
                    dynamic_ncols=True)

    def _trained(self) -> float:
        """Seconds that this run has trained, in all processes that went on with it."""
        return self.seconds + (time.time() - self.clock_from if self.clock_from else 0.0)

    def _place(self) -> float:
        """Where the run is in its schedule, in steps: by its steps, or by its time where that is further on."""
        if not self.settings.max_seconds:
            return self.step
        return max(self.step, self.settings.schedule.total_steps * self._trained() / self.settings.max_seconds)

    def _one_step(self, batch, stop: guards.Stop) -> bool:
        """One step; whether any worker was told to stop."""
        rate = self.settings.schedule.at(self._place(), self.progress.drops)
        if rate != self.rate:
            self.engine.set_learning_rate(rate)
            self.rate = rate
        losses, stops = self.engine.train(batch, tf.constant(float(stop.number > 0)))
        self.step += 1
        if self.pending.add(losses):
            self._flush()
        # Several workers must leave at the same step, so each reads what all were told.
        return stop.number > 0 if self.engine.num_workers == 1 else float(stops) > 0

    def _flush(self) -> None:
        """Read the losses of the last steps, and stop at the first that is not a number."""
        for number, losses in self.pending.read(self.step):
            self.last_losses = losses
            if self.overfit:
                self.overfit.loss(number, losses)

    # ---- what happens now and then

    def _events(self, bar) -> None:
        settings = self.settings
        if self.overfit and overfit.is_milestone(self.step):
            self._flush()
            self._record_strip()
        if self.step % settings.log_every == 0:
            self._flush()
            self._log()
            bar.set_postfix(loss=f"{self.last_losses.sum():.4g}")
        began = time.time()
        if self.step % settings.validate_every == 0:
            self._validate()
        if self.step % settings.checkpoint_every == 0:
            self._save()
        self.paused += time.time() - began

    def _log(self) -> None:
        now = time.time()
        examples = (self.step - self.logged_step) * self.data.batch_size / max(now - self.logged_at - self.paused, 1e-9)
        self.logged_at, self.logged_step, self.paused = now, self.step, 0.0
        epoch = self.step * self.data.batch_size / self.data.mixture.length
        self.report.training(self.step, self.last_losses, rate=self.rate, examples=examples, epoch=epoch)
        self._list_bad()

    def _list_bad(self) -> None:
        for loader in (self.data.training, self.data.validation):
            for path in sorted(set(loader.bad) - self.listed_bad) if loader else ():
                LOGGER.warning("skipped (%d so far): %s", len(self.listed_bad) + 1, loader.bad[path])
                self.listed_bad.add(path)

    def _show_pictures(self) -> None:
        with self.engine.averaged():
            for kind, batch in self.pictures.items():
                self.report.pictures(self.step, kind, self.engine, batch)

    def _record_strip(self) -> None:
        if self.overfit:
            self.overfit.strip(self.step, reports.panels(self.engine, self.pictures["train"])[0])

    def _validate(self, closing: bool = False) -> None:
        self._flush()
        self._show_pictures()
        if self.validation is None:
            return
        result = validate(self.engine, self.validation)
        self.report.validation(self.step, result)
        patience = self.settings.patience if self.settings.schedule.kind == "plateau" else 0
        after = self.progress.after(result.error_percent, self.step, patience)
        improved = after.best != self.progress.best
        if improved or not closing:
            # The closing validation comes at no regular step: a longer run would not have counted it.
            self.progress = after
        if improved:
            self._save(checkpoints.best_path(self.settings.run_dir))

    def _is_over(self) -> bool:
        return bool(self.settings.early_stop) and self.progress.stale >= self.settings.early_stop

    def _save(self, path=None) -> None:
        self._flush()
        if self.engine.is_chief:
            state = {"progress": self.progress._asdict(), "hands": self.data.training.hands,
                     "crop_factor": self.data.training.crop_factor,
                     "presence_threshold": self.settings.presence_threshold, "closed": self.closed}
            if self.settings.max_seconds:  # else runs that are the same to the last bit would differ in it
                state["seconds"] = self._trained()
            checkpoints.save(path or checkpoints.step_path(self.settings.run_dir, self.step),
                             self.engine.checkpoint(self.step, state))
            checkpoints.prune(self.settings.run_dir, self.settings.keep, self.step)
        # Nobody leaves before the chief has saved: a worker that is gone would end the chief, too.
        self.engine.sum_over_workers(np.zeros(1))

    def _finish(self, began: float) -> None:
        self._save()  # first: a validation takes its time, and whoever ends the process now should lose nothing
        if self._is_over():
            LOGGER.info("early stop: no improvement in %d validations since step %d.", self.progress.stale,
                        self.progress.best_step)
        elif self.step < self.settings.schedule.total_steps:
            LOGGER.info("time is up after %d of %d steps (--max_minutes); the step size came to its end with it.",
                        self.step, self.settings.schedule.total_steps)
        self._close()
        LOGGER.info("optimization finished. %.1f", time.time() - began)

    def _close(self) -> None:
        """What is left to be done at the end of a run, by whichever process of it comes that far."""
        if not (self.closed or self._is_over() or self.step % self.settings.validate_every == 0):
            self._validate(closing=True)
            self.closed = True
            self._save()
        self._list_bad()
        if self.listed_bad:
            LOGGER.warning("%d bad pictures were skipped; they are listed above.", len(self.listed_bad))
        for path in self.overfit.finish() if self.overfit else ():
            LOGGER.info("wrote %s", path)
