import errno
import itertools
import json
import logging
import os
import pathlib
import re
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cpm_hand import augment, checkpoints, datasets, guards, images, nets, pending, training, validation
from cpm_hand.engine import Engine, Optimisation
from cpm_hand.pipeline import Data, Loader, Mixture
from cpm_hand.schedules import Schedule
from cpm_hand.settings import Settings, check_together
from cpm_hand.validation import Validation

SPEC = nets.Spec("cpm", size=32, stages=2, width=1 / 64)
DEFAULT = augment.AUGMENTATIONS["default"]


@pytest.fixture(scope="module")
def shared_engine():
    """One engine for all tests: tracing its step takes longer than the steps themselves."""
    keras.utils.set_random_seed(0)
    engine = Engine(SPEC, Optimisation(ema_decay=0.9))
    return engine, engine.checkpoint(0, {})


@pytest.fixture
def engine(shared_engine):
    made, fresh = shared_engine
    made.restore(fresh, "fresh")
    return made


@pytest.fixture(scope="module")
def labels(synth_root):
    return datasets.read("cmu_synth", synth_root)[0]


@pytest.fixture
def lines():
    """What the run logs."""
    seen = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())
    training.LOGGER.addHandler(handler)
    training.LOGGER.setLevel(logging.INFO)
    yield seen
    training.LOGGER.removeHandler(handler)


def data(labels, validation=True, **more):
    training_loader = Loader(labels, 32, augmentation=DEFAULT, **more)
    return Data(training_loader, Mixture([labels.num_hands]), Loader(labels, 32, **more) if validation else None, 4)


def settings(run_dir, steps=6, schedule="constant", **more):
    return Settings(**{"run_dir": str(run_dir), "schedule": Schedule(schedule, 1e-3, steps), "log_every": 2,
                       "checkpoint_every": 2, "validate_every": 3, **more})


def log(run_dir, kind="train"):
    lines = [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def saved_steps(run_dir):
    return sorted(checkpoints.load(path).step for path in checkpoints.steps(run_dir))


def arrays(checkpoint):
    return {**checkpoint.weights, **{f"ema/{k}": v for k, v in checkpoint.ema.items()}, **checkpoint.optimizer}


def test_each_interval_is_its_own(engine, labels, tmp_path, lines):
    training.Run(engine, data(labels), settings(tmp_path, 12, log_every=4, checkpoint_every=6, validate_every=5,
                                                keep=9)).train()
    assert [line["step"] for line in log(tmp_path)] == [4, 8, 12]
    assert saved_steps(tmp_path) == [6, 12]
    assert [line["step"] for line in log(tmp_path, "validation")] == [5, 10, 12]     # and once at the end


def test_the_log_line_is_the_prior_replicas(engine, labels, tmp_path, lines):
    training.Run(engine, data(labels), settings(tmp_path, 2)).train()
    pattern = (r"epoch=0\.20 step=2, \d+\.\d{4} examples/sec lr=0\.001000, loss=[\d.]+, loss_ll_heat=[\d.]+")
    assert any(re.fullmatch(pattern, line) for line in lines)


def test_the_loss_that_is_logged_is_the_sum_of_the_stages(engine, labels, tmp_path):
    training.Run(engine, data(labels), settings(tmp_path, 2)).train()
    line = log(tmp_path)[0]
    assert line["loss"] == pytest.approx(line["loss_stage1"] + line["loss_stage2"])


def test_a_run_that_goes_on_ends_like_one_that_never_stopped(shared_engine, engine, labels, tmp_path):
    training.Run(engine, data(labels), settings(tmp_path / "whole", 8)).train()
    engine.restore(shared_engine[1], "fresh")
    training.Run(engine, data(labels), settings(tmp_path / "parts", 4)).train()
    engine.restore(shared_engine[1], "fresh")           # as a new process would begin
    training.Run(engine, data(labels), settings(tmp_path / "parts", 8)).train()
    whole, parts = (arrays(checkpoints.find(checkpoints.step_path(tmp_path / name, 8))) for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for name, array in whole.items():
        np.testing.assert_allclose(parts[name], array, rtol=1e-4, atol=1e-6, err_msg=name)
    assert [line["step"] for line in log(tmp_path / "parts")] == [2, 4, 6, 8]


@pytest.mark.parametrize("other, text", [
    ({"crop_factor": 1.5}, "trained with --crop_factor=2.2, got --crop_factor=1.5"),
    ({"hands": "right"}, "trained with --hands=both, got --hands=right")])
def test_a_run_does_not_go_on_with_other_crops(engine, labels, tmp_path, other, text):
    training.Run(engine, data(labels), settings(tmp_path, 2)).train()
    with pytest.raises(checkpoints.BadCheckpoint, match=f"step-00000002.npz: this run was {text}; go on with"):
        training.Run(engine, data(labels, **other), settings(tmp_path, 4))


@pytest.mark.slow
def test_log_lines_behind_the_checkpoint_that_is_gone_back_to_are_dropped(engine, labels, tmp_path):
    training.Run(engine, data(labels), settings(tmp_path, 6)).train()
    checkpoints.step_path(tmp_path, 6).unlink()
    training.Run(engine, data(labels), settings(tmp_path, 8)).train()
    assert [line["step"] for line in log(tmp_path)] == [2, 4, 6, 8]


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(engine, labels, tmp_path, lines):
    training.Run(engine, data(labels), settings(tmp_path, 4)).train()
    newest = checkpoints.step_path(tmp_path, 4)
    newest.write_bytes(newest.read_bytes()[:-500])
    training.Run(engine, data(labels), settings(tmp_path, 6)).train()
    assert any("step-00000004.npz: not a whole checkpoint" in line and "the one before it" in line for line in lines)
    assert any("Done (step 2)" in line for line in lines)


@pytest.mark.slow
def test_only_the_newest_checkpoints_and_the_best_stay(engine, labels, tmp_path):
    training.Run(engine, data(labels), settings(tmp_path, 10, keep=2)).train()
    assert saved_steps(tmp_path) == [8, 10]
    assert checkpoints.best_path(tmp_path).exists()


def test_a_run_records_flags_versions_and_pictures(engine, labels, tmp_path):
    training.Run(engine, data(labels), settings(tmp_path, 3, flags="--tag=x\n")).train()
    assert (tmp_path / "flags.txt").read_text() == "--tag=x\n"
    assert json.loads((tmp_path / "versions.json").read_text())["tensorflow"] == tf.__version__
    seen = {}
    for path in (tmp_path / "tensorboard").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                seen.setdefault(value.tag, []).append(event.step)
    assert seen["train/stages"] == seen["validation/stages"] == [0, 3]
    assert {"flags", "versions", "train/loss", "train/loss_stage1", "train/learning_rate",
            "train/examples_per_second", "validation/loss", "validation/error_percent",
            "validation/pck@0.2"} <= seen.keys()


def test_a_loss_that_is_not_a_number_stops_the_run_and_names_step_and_stage(engine, labels, tmp_path, monkeypatch):
    step = engine.train
    counter = iter(range(99))

    def broken(batch, stop):
        losses, stops = step(batch, stop)
        return (tf.constant([1.0, float("nan")]) if next(counter) == 4 else losses), stops
    monkeypatch.setattr(engine, "train", broken)
    with pytest.raises(pending.Diverged, match="the loss of stage 2 became nan at step 5"):
        training.Run(engine, data(labels), settings(tmp_path, 8)).train()
    assert saved_steps(tmp_path) == [2, 4]


def test_out_of_memory_names_the_flag_that_helps(engine, labels, tmp_path, monkeypatch):
    def too_big(batch, stop):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[64,368,368,64]")
    monkeypatch.setattr(engine, "train", too_big)
    with pytest.raises(guards.OutOfMemory, match=r"out of memory with 4 pictures of 32 px .*--microbatch=N"):
        training.Run(engine, data(labels), settings(tmp_path)).train()


def test_a_full_disk_leaves_the_earlier_checkpoint_whole(engine, labels, tmp_path, monkeypatch):
    training.Run(engine, data(labels), settings(tmp_path, 2)).train()
    before = checkpoints.step_path(tmp_path, 2).read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")
    run = training.Run(engine, data(labels), settings(tmp_path, 4))
    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(OSError, match="cannot write the checkpoint .*No space left.*free some space"):
        run.train()
    assert checkpoints.step_path(tmp_path, 2).read_bytes() == before
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_picture_that_breaks_during_the_run_is_named(engine, labels, tmp_path):
    paths = labels.paths.astype(object).copy()
    paths[7] = tmp_path / "broken.jpg"
    (tmp_path / "broken.jpg").write_bytes(pathlib.Path(labels.paths[7]).read_bytes()[:-200])
    broken = labels._replace(paths=paths)
    with pytest.raises(images.BadImage, match="broken.jpg: the picture is cut short"):
        training.Run(engine, data(broken, validation=False), settings(tmp_path, 20)).train()


def test_bad_pictures_can_be_skipped_by_choice_and_are_listed_and_counted(engine, labels, tmp_path, lines):
    paths = labels.paths.astype(object).copy()
    paths[7] = tmp_path / "gone.jpg"
    training.Run(engine, data(labels._replace(paths=paths), skip_bad=True), settings(tmp_path, 12)).train()
    assert sum("gone.jpg: no such image file" in line for line in lines) == 1
    assert any(line.startswith("1 bad pictures were skipped") for line in lines)


def signal_in_step(step, engine, monkeypatch, number=signal.SIGTERM):
    """Have this process signalled while the engine does that many a step, once."""
    train, counter = engine.train, itertools.count(1)

    def signalled(batch, stop):
        if next(counter) == step:
            os.kill(os.getpid(), number)
        return train(batch, stop)
    monkeypatch.setattr(engine, "train", signalled)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_writes_a_checkpoint_and_leaves(engine, labels, tmp_path, monkeypatch, number):
    signal_in_step(5, engine, monkeypatch, number)
    outcome = training.Run(engine, data(labels), settings(tmp_path, 50, checkpoint_every=40)).train()
    assert (outcome.step, outcome.signal) == (5, number)
    assert saved_steps(tmp_path) == [5]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("step", [5, 6])
def test_what_was_due_at_the_step_of_the_signal_is_done_before_leaving(engine, labels, tmp_path, monkeypatch, step):
    signal_in_step(step, engine, monkeypatch)
    training.Run(engine, data(labels), settings(tmp_path, 12)).train()
    training.Run(engine, data(labels), settings(tmp_path, 12)).train()
    assert [line["step"] for line in log(tmp_path)] == [2, 4, 6, 8, 10, 12]
    assert [line["step"] for line in log(tmp_path, "validation")] == [3, 6, 9, 12]


def test_a_signal_during_the_closing_validation_loses_nothing(engine, labels, tmp_path, monkeypatch):
    def interrupted(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)              # the impatient second signal ends it there
    monkeypatch.setattr(training, "validate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        training.Run(engine, data(labels), settings(tmp_path, 5, validate_every=9, checkpoint_every=9)).train()
    assert saved_steps(tmp_path) == [5]
    monkeypatch.setattr(training, "validate", never_better)
    for _ in range(2):                                   # the same command does what was left, once
        training.Run(engine, data(labels), settings(tmp_path, 5, validate_every=9, checkpoint_every=9)).train()
    assert [line["step"] for line in log(tmp_path, "validation")] == [5]
    assert checkpoints.best_path(tmp_path).exists()


def test_a_signal_in_the_last_step_leaves_the_closing_validation_to_the_same_command(engine, labels, tmp_path,
                                                                                     monkeypatch):
    signal_in_step(5, engine, monkeypatch)
    outcome = training.Run(engine, data(labels), settings(tmp_path, 5)).train()
    assert (outcome.step, outcome.signal) == (5, signal.SIGTERM)
    training.Run(engine, data(labels), settings(tmp_path, 5)).train()
    assert [line["step"] for line in log(tmp_path, "validation")] == [3, 5]


def test_a_finished_run_is_left_as_it_is(engine, labels, tmp_path, lines):
    for _ in range(2):
        training.Run(engine, data(labels), settings(tmp_path, 4)).train()
    assert [line["step"] for line in log(tmp_path, "validation")] == [3, 4]
    assert any("complete at step 4" in line for line in lines)


def test_another_run_is_gone_on_with_under_a_new_name(shared_engine, engine, labels, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "validate", lambda *_: never_better()._replace(error_percent=1.0))
    training.Run(engine, data(labels), settings(tmp_path / "old", 4)).train()
    start = checkpoints.load_newest(tmp_path / "old")
    assert start.step == 4 and start.state["progress"]["best"] == 1.0
    with pytest.raises(checkpoints.BadCheckpoint, match="has done 4 steps, .* this one would end at 4: give"):
        training.Run(engine, data(labels), settings(tmp_path / "new", 4), start)
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(training, "validate", never_better)   # 5 %: on these pictures it begins at less
    outcome = training.Run(engine, data(labels), settings(tmp_path / "new", 6), start).train()
    assert (outcome.step, outcome.progress.best, outcome.progress.best_step) == (6, 5.0, 6)
    assert checkpoints.best_path(tmp_path / "new").exists() and saved_steps(tmp_path / "new")[-1] == 6


def test_other_flags_under_the_same_tag_are_warned_of_and_the_old_ones_kept(engine, labels, tmp_path, lines):
    training.Run(engine, data(labels), settings(tmp_path, 2, flags="--lr=1\n--tag=x\n")).train()
    training.Run(engine, data(labels), settings(tmp_path, 4, flags="--lr=2\n--tag=x\n")).train()
    assert (tmp_path / "flags-until-2.txt").read_text() == "--lr=1\n--tag=x\n"
    assert any("began with other flags" in line and line.endswith("from step 2 on: --lr=2") for line in lines)


def test_flags_with_a_name_that_is_no_text_are_recorded_as_they_are(engine, labels, tmp_path):
    flags = "--datapath=caf\udce9\n"
    for _ in range(2):
        training.Run(engine, data(labels), settings(tmp_path, 2, flags=flags)).train()
    assert (tmp_path / "flags.txt").read_bytes() == b"--datapath=caf\xe9\n"
    assert not list(tmp_path.glob("flags-until*"))


def test_validation_is_of_the_averaged_weights(engine, labels, tmp_path):
    run = training.Run(engine, data(labels), settings(tmp_path))
    run.report.close()
    of_averages = validation.validate(engine, run.validation).loss
    for variable in engine.model.trainable_variables:
        variable.assign(variable.numpy() + 0.5)          # the weights alone; the averages stay
    assert validation.validate(engine, run.validation).loss == pytest.approx(of_averages, rel=1e-5)


def test_pck_of_a_hand_that_the_crop_cuts_off_is_measured_by_the_whole_hand(engine, labels):
    loader, correct = Loader(labels, 32, crop_factor=1.1), []
    for row in range(labels.num_hands):
        picture, truth, supervised, labelled, _ = loader(row, 0)
        predicted = SPEC.target.decode(engine.predict(picture[None])[:, -1]).numpy()[0, :, :2]
        size = max(np.ptp(truth, axis=0)) + 1
        near = np.linalg.norm(predicted - truth, axis=1) < 0.2 * size
        correct.append(np.where(labelled, near, np.nan))
    assert np.isnan(correct).mean() > 0.05
    result = validation.validate(engine, training.evaluation_batches(loader, SPEC.target, batch_size=8))
    assert result.pck == pytest.approx(np.nanmean(correct, axis=0).mean(), abs=1e-6)


def test_skipped_pictures_do_not_enter_the_validation_loss(engine, labels, tmp_path):
    def loss(of):
        loader = Loader(of, 32, skip_bad=True)
        return validation.validate(engine, training.evaluation_batches(loader, SPEC.target, batch_size=8))
    paths = labels.paths.astype(object).copy()
    paths[20:] = tmp_path / "gone.jpg"
    good, mixed = loss(labels.take(slice(0, 20))), loss(labels._replace(paths=paths))
    assert (good.num_pictures, mixed.num_pictures) == (20, 20)
    assert mixed.loss == pytest.approx(good.loss, rel=1e-5)


def never_better(*_):
    return Validation(1.0, np.ones(2), 5.0, 5.0, 0.5, 4, 84)


def test_early_stop_ends_after_so_many_validations_without_improvement(engine, labels, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "validate", never_better)
    outcome = training.Run(engine, data(labels), settings(tmp_path, 50, early_stop=3)).train()
    assert outcome.step == 12 and outcome.progress.stale == 3     # best at 3, then 6, 9 and 12


def test_a_plateau_lowers_the_rate_and_a_resumed_run_remembers(engine, labels, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "validate", never_better)
    for steps in (8, 14):
        training.Run(engine, data(labels), settings(tmp_path, steps, "plateau", patience=1, log_every=1)).train()
    rates = {line["step"]: line["learning_rate"] for line in log(tmp_path)}
    assert [rates[step] for step in (3, 4, 6, 7)] == pytest.approx([1e-3, 1e-3, 1e-3, 5e-4])
    # Validations at 3, 6, 9 and 12; the first run's closing one, at step 8, moves no counter.
    assert [rates[step] for step in (9, 10, 12, 13)] == pytest.approx([5e-4, 2.5e-4, 2.5e-4, 1.25e-4])


@pytest.fixture
def ten_seconds_a_step(engine, monkeypatch):
    """A clock that only steps move."""
    step, now = engine.train, [1000.0]

    def slow(batch, stop):
        now[0] += 10.0
        return step(batch, stop)
    monkeypatch.setattr(engine, "train", slow)
    monkeypatch.setattr(training.time, "time", lambda: now[0])


def test_a_run_whose_time_is_up_ends_early_and_its_step_size_with_it(engine, labels, tmp_path, lines,
                                                                      ten_seconds_a_step):
    # 40 s from the end of the first step on: four more, each a quarter of the schedule.
    training.Run(engine, data(labels), settings(tmp_path, 100, "cosine", log_every=1, max_seconds=40)).train()
    rates = [line["learning_rate"] for line in log(tmp_path)]
    assert rates == pytest.approx([1e-3 * (1 + np.cos(np.pi * part)) / 2 for part in (0, 1 / 100, 1 / 4, 1 / 2, 3 / 4)])
    assert any("time is up after 5 of 100 steps (--max_minutes)" in line for line in lines)
    assert [line["step"] for line in log(tmp_path, "validation")] == [3, 5]


def test_a_run_that_goes_on_has_the_time_that_is_left(engine, labels, tmp_path, lines, ten_seconds_a_step):
    training.Run(engine, data(labels), settings(tmp_path, 3, max_seconds=40)).train()        # 20 s after its first
    training.Run(engine, data(labels), settings(tmp_path, 100, max_seconds=40)).train()
    assert saved_steps(tmp_path)[-1] == 6
    training.Run(engine, data(labels), settings(tmp_path, 100, max_seconds=40)).train()
    assert lines[-1] == "this run is complete at step 6; --max_minutes can make it longer."


def test_a_run_that_is_done_before_its_time_is_up_is_as_without_it(engine, labels, tmp_path, ten_seconds_a_step):
    training.Run(engine, data(labels), settings(tmp_path, 6, "cosine", log_every=1, max_seconds=1000)).train()
    rates = [line["learning_rate"] for line in log(tmp_path)]
    assert rates == pytest.approx([1e-3 * (1 + np.cos(np.pi * step / 6)) / 2 for step in range(6)])


def test_one_picture_also_leaves_a_loss_curve_and_a_film(engine, labels, tmp_path):
    training.Run(engine, data(labels.take([3]), validation=False), settings(tmp_path, 10)).train()
    figure = images.read(tmp_path / "overfit.png")
    assert min(figure.shape[:2]) > 300
    with Image.open(tmp_path / "overfit.gif") as film:
        assert film.n_frames == 5                                  # steps 0, 1, 2, 5, 10
    losses = [json.loads(line) for line in (tmp_path / "overfit/losses.jsonl").read_text().splitlines()]
    assert np.shape(losses) == (10, 3) and [row[0] for row in losses] == list(range(1, 11))


PLAIN = Optimisation()


class ThreeDevices:
    num_replicas_in_sync = 3


def refuse(labels, tmp_path, text, optimisation=PLAIN, validation=True, strategy=None, **more):
    with pytest.raises(ValueError, match=text):
        check_together(data(labels, validation), settings(tmp_path, **more), optimisation,
                       strategy or tf.distribute.get_strategy())


def test_settings_that_contradict_each_other_are_refused(labels, tmp_path):
    refuse(labels, tmp_path, "--batchsize=4 cannot be divided among 3 devices; the nearest that can is 3",
           strategy=ThreeDevices())
    refuse(labels, tmp_path, "--microbatch=3 does not divide the 4 pictures", Optimisation(microbatch=3))
    refuse(labels, tmp_path, "go by the validation error, but there are no", validation=False, early_stop=2)
    refuse(labels, tmp_path, "go by the validation error, but there are no", validation=False, schedule="plateau")
