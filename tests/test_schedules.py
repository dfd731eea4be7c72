import math

import pytest

from cpm_hand.schedules import Progress, Schedule


def rates(count, **settings):
    schedule = Schedule(**{"kind": "constant", "learning_rate": 1.0, "total_steps": 10, **settings})
    return [schedule.at(step) for step in range(count)]


def test_a_constant_schedule_never_changes():
    assert rates(3) == [1.0, 1.0, 1.0]


def test_warm_up_rises_in_equal_steps_to_the_full_rate():
    assert rates(5, warmup_steps=4) == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_cosine_goes_from_the_full_rate_to_zero_at_the_end():
    assert rates(11, kind="cosine") == pytest.approx([0.5 + 0.5 * math.cos(math.pi * k / 10) for k in range(11)])


def test_cosine_starts_behind_the_warm_up():
    assert Schedule("cosine", 1.0, total_steps=12, warmup_steps=2).at(7) == pytest.approx(0.5)


def test_steps_multiplies_at_each_boundary():
    assert rates(6, kind="steps", boundaries=(2, 4), factor=0.1) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_a_plateau_schedule_follows_the_drops_that_validation_caused():
    assert Schedule("plateau", 1.0, 10, factor=0.5).at(3, drops=2) == 0.25


def test_a_better_validation_resets_both_counters_but_not_the_drops():
    progress = Progress(best=5.0, best_step=1, stale=3, waited=1, drops=2).after(4.0, step=9, patience=2)
    assert progress == Progress(best=4.0, best_step=9, drops=2)


def test_the_rate_drops_once_each_patience_validations_and_stale_goes_on_counting():
    progress, seen = Progress(best=1.0), []
    for step in range(1, 6):
        progress = progress.after(2.0, step, patience=2)
        seen.append((progress.stale, progress.drops))
    assert seen == [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)]


def test_an_error_that_is_not_a_number_is_no_improvement():
    assert Progress().after(float("nan"), 1, patience=0).best is None
