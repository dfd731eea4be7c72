"""Killed at random moments, a deterministic run ends with the very bits of one that was left alone."""

import hashlib
import os
import random
import re
import subprocess
import sys
import time

import pytest

from cpm_hand import checkpoints

KILLS = 10
COMMAND = [sys.executable, "-c", "from cpm_hand.cli.train import run\nrun()", "--deterministic", "--steps=300",
           "--input-width=32", "--width=0.03125", "--stages=2", "--batchsize=8", "--ema_decay=0.99", "--lr=0.01",
           "--schedule=plateau", "--patience=1", "--early_stop=99", "--validation_fraction=0.2",
           "--checkpoint_every=10", "--validate_every=15", "--log_every=1", "--clip_norm=20"]


def start(synth_root, cwd):
    return subprocess.Popen([*COMMAND, f"--datapath={synth_root}"], cwd=cwd, text=True, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"})


def digests(cwd):
    """sha256 of each part of the last checkpoint, and the counters in it."""
    checkpoint = checkpoints.load(checkpoints.step_path(cwd / "models/train/test", 300))
    found = {}
    for part in ("weights", "ema", "optimizer"):
        digest = hashlib.sha256()
        for name, array in sorted(getattr(checkpoint, part).items()):
            digest.update(name.encode() + array.tobytes())
        found[part] = digest.hexdigest()
    return found, checkpoint.state


def kill_at(process, step, delay):
    """Kill so many seconds after that step was logged; step 0 is while the net is still being traced."""
    for line in process.stderr:
        logged = re.search(r" step=(\d+),", line)
        if "Training Started" in line and step == 0 or logged and int(logged[1]) >= step > 0:
            break
    time.sleep(delay)
    assert process.poll() is None, "the run ended before its kill"
    process.kill()
    process.communicate()


def newest_step(cwd):
    saved = checkpoints.steps(cwd / "models/train/test")
    return checkpoints.load(saved[0]).step if saved else 0


@pytest.mark.slow
def test_ten_kills_change_not_one_bit(synth_root, tmp_path):
    for name in ("alone", "killed"):
        (tmp_path / name).mkdir()
    _, errors = start(synth_root, tmp_path / "alone").communicate(timeout=300)
    assert newest_step(tmp_path / "alone") == 300, errors

    seed = int(os.environ.get("CPM_HAND_SEED") or random.randrange(2**32))
    print(f"CPM_HAND_SEED={seed} plays the same again")
    rng, steps = random.Random(seed), []
    for _ in range(KILLS):
        # At any step, between checkpoints and (with 30 checkpoints and a delay) within the writing of one.
        begun = newest_step(tmp_path / "killed")
        ahead = rng.randrange(0, 52) if begun < 240 else 0
        kill_at(start(synth_root, tmp_path / "killed"), begun + ahead if ahead else 0, rng.uniform(0, 0.1))
        steps.append(begun + ahead)
    _, errors = start(synth_root, tmp_path / "killed").communicate(timeout=300)
    print(f"killed at steps {steps}")
    assert checkpoints.load(checkpoints.step_path(tmp_path / "alone/models/train/test", 300)).state["progress"]["drops"]
    assert digests(tmp_path / "killed") == digests(tmp_path / "alone"), errors
