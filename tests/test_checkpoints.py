"""Checkpoints that are whole, and files that are not."""

import errno
import io
import os
import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from cpm_hand import checkpoints, nets
from cpm_hand.checkpoints import BadCheckpoint, Checkpoint


def example(step=7, value=1.0, ema=True) -> Checkpoint:
    weights = {"conv1_1/kernel": np.arange(12, dtype=np.float32).reshape(3, 4) * value,
               "conv1_1/bias": np.float32([value, -0.0])}
    average = {"conv1_1/bias": np.float32([5, 6])} if ema else {}
    return Checkpoint(nets.Spec("cpm", 64, 2, 0.0625), step, weights, average,
                      {"adam/iteration": np.int64(step)}, {"best": 0.25, "epoch": 3})


@pytest.fixture
def saved(tmp_path) -> pathlib.Path:
    checkpoints.save(tmp_path / "one.npz", example())
    return tmp_path / "one.npz"


def same(a: Checkpoint, b: Checkpoint) -> bool:
    parts = [(getattr(a, part), getattr(b, part)) for part in ("weights", "ema", "optimizer")]
    return (a.spec, a.step, a.state) == (b.spec, b.step, b.state) and all(
        list(x) == list(y) and all(x[k].dtype == y[k].dtype and x[k].tobytes() == y[k].tobytes() for k in x)
        for x, y in parts)


def test_what_is_saved_comes_back_to_the_last_bit(saved):
    assert same(checkpoints.load(saved), example())


def test_the_same_state_makes_the_same_file(saved, tmp_path):
    checkpoints.save(tmp_path / "two.npz", checkpoints.load(saved))
    assert (tmp_path / "two.npz").read_bytes() == saved.read_bytes()


def test_nothing_else_is_left_in_the_folder(saved):
    assert os.listdir(saved.parent) == ["one.npz"]


def test_averaged_weights_are_the_best_ones():
    best = example().best_weights()
    assert best["conv1_1/bias"].tolist() == [5, 6] and best["conv1_1/kernel"][0, 1] == 1
    assert example(ema=False).best_weights()["conv1_1/bias"].tolist() == [1, 0]


def test_a_file_cut_short_anywhere_is_recognised(saved):
    data = saved.read_bytes()
    for length in {0, 1, 2, *range(3, len(data), 37), len(data) - 1}:
        saved.write_bytes(data[:length])
        with pytest.raises(BadCheckpoint, match=f"one.npz: not a whole checkpoint \\({length} bytes"):
            checkpoints.load(saved)


def test_a_flipped_byte_is_recognised_or_changes_nothing(saved):
    data = saved.read_bytes()
    recognised = 0
    positions = range(0, len(data), 5)
    for position in positions:
        saved.write_bytes(data[:position] + bytes([data[position] ^ 0x41]) + data[position + 1:])
        try:
            assert same(checkpoints.load(saved), example()), f"byte {position} changed the weights unseen"
        except BadCheckpoint:
            recognised += 1
    assert recognised > len(positions) / 2


def test_a_text_is_not_a_checkpoint(saved):
    saved.write_text("no zip at all")
    with pytest.raises(BadCheckpoint, match="not a whole checkpoint .* another kind of file"):
        checkpoints.load(saved)


def test_a_zip_of_something_else_is_not_a_checkpoint(saved):
    np.savez(saved, kernel=np.zeros(3))
    with pytest.raises(BadCheckpoint, match="no checkpoint of cpm_hand .no 'state.json'"):
        checkpoints.load(saved)


@pytest.mark.parametrize("head", ["[]", "{}", "null", '{"spec": {}, "step": 1, "state": {}}', "{", "\x00"])
def test_a_state_that_makes_no_sense_is_refused(saved, head):
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr("state.json", head)
    with pytest.raises(BadCheckpoint, match="one.npz"):
        checkpoints.load(saved)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_inside_is_refused_and_never_run(saved, tmp_path):
    member = io.BytesIO()
    np.save(member, np.array([Bomb(tmp_path / "ran")], object), allow_pickle=True)
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["weights/conv1_1/kernel.npy"] = member.getvalue()
    with zipfile.ZipFile(saved, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(BadCheckpoint, match="one.npz: not a whole checkpoint"):
        checkpoints.load(saved)
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(Bomb(tmp_path / "ran")))  # noqa: S301 - to show that the bomb is one
    assert (tmp_path / "ran").exists()  # it would have


@pytest.mark.parametrize("header", ["{'descr': '<f4', ", "}", "(" * 3000, "{'descr': '|O'}", "\xe4"])
def test_a_member_with_a_crafted_header_is_refused(saved, header):
    text = header.encode("latin-1")
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["ema/conv1_1/bias.npy"] = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    with zipfile.ZipFile(saved, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(BadCheckpoint, match="one.npz: not a whole checkpoint"):
        checkpoints.load(saved)


def test_a_small_file_that_becomes_large_arrays_is_refused(saved):
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    for reader in (checkpoints.load, checkpoints.peek):
        with pytest.raises(BadCheckpoint, match="one.npz: not a whole checkpoint .* compressed or overlapping files"):
            reader(saved)


@pytest.mark.parametrize("old, new", [
    ('"step": 7', '"step": Infinity'), ('"size": 64', '"size": Infinity'), ('"size": 64', '"size": "large"'),
    ('"state": {', '"state": [], "other": {'), ('"step": 7', '"step": ' + "[" * 100_000),
    ('"skeleton": {', '"skeleton": 3, "other": {')])
def test_a_state_with_values_that_cannot_be_is_refused(saved, old, new):
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    head = members["state.json"].decode()
    assert head.count(old) == 1
    members["state.json"] = head.replace(old, new).encode()
    with zipfile.ZipFile(saved, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(BadCheckpoint, match="one.npz: not a whole checkpoint"):
        checkpoints.load(saved)
    if "step" not in old or "[" in new:  # a peek does not look at the step
        with pytest.raises(BadCheckpoint, match="one.npz: not a whole checkpoint"):
            checkpoints.peek(saved)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadCheckpoint, match="nowhere.npz: no such checkpoint"):
        checkpoints.load(tmp_path / "nowhere.npz")


@pytest.mark.parametrize("name", ["write_array", "fsync"])
def test_a_full_disk_leaves_the_old_file_whole_and_nothing_beside_it(saved, monkeypatch, name):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format if name == "write_array" else os, name, full)
    with pytest.raises(OSError, match="cannot write the checkpoint .* No space left .* Earlier checkpoints"):
        checkpoints.save(saved, example(step=8))
    monkeypatch.undo()
    assert same(checkpoints.load(saved), example()) and os.listdir(saved.parent) == ["one.npz"]


@pytest.fixture
def run(tmp_path) -> pathlib.Path:
    for step in (10, 20, 100):
        checkpoints.save(checkpoints.step_path(tmp_path, step), example(step))
    return tmp_path


def test_the_newest_is_the_one_with_the_highest_step(run):
    assert checkpoints.load_newest(run).step == 100
    assert [path.name for path in checkpoints.steps(run)][0] == "step-00000100.npz"


def test_a_damaged_newest_gives_the_one_before_and_says_so(run):
    newest = checkpoints.step_path(run, 100)
    newest.write_bytes(newest.read_bytes()[:-20])
    lines = []
    assert checkpoints.load_newest(run, lines.append).step == 20
    assert len(lines) == 1 and str(newest) in lines[0] and lines[0].endswith("Using the one before it.")


def test_a_run_with_damaged_checkpoints_only_stops(run):
    for path in checkpoints.steps(run):
        path.write_bytes(b"")
    with pytest.raises(BadCheckpoint, match="none of 3 checkpoints is whole"):
        checkpoints.load_newest(run, lambda line: None)


def test_a_run_without_checkpoints_has_no_newest(tmp_path):
    assert checkpoints.load_newest(tmp_path) is None


def test_a_left_over_temporary_file_is_not_a_checkpoint(run):
    checkpoints.step_path(run, 200).with_suffix(".npz.tmp").write_bytes(b"half")
    assert checkpoints.load_newest(run).step == 100


def test_a_person_means_the_best_then_the_newest_then_the_file(run):
    assert checkpoints.find(run).step == 100
    checkpoints.save(checkpoints.best_path(run), example(20))
    assert checkpoints.find(run).step == 20
    assert checkpoints.find(checkpoints.step_path(run, 10)).step == 10


def test_an_empty_folder_says_what_to_give(tmp_path):
    with pytest.raises(BadCheckpoint, match="no checkpoints/step-.* give a run's folder"):
        checkpoints.find(tmp_path)


def test_pruning_keeps_the_newest_and_the_best(run):
    checkpoints.save(checkpoints.best_path(run), example(10))
    checkpoints.prune(run, keep=2, step=100)
    left = sorted(os.listdir(checkpoints.folder(run)))
    assert left == ["best.npz", "step-00000020.npz", "step-00000100.npz"]


def test_pruning_does_not_count_later_ones_for_they_are_damaged(run):
    checkpoints.prune(run, keep=1, step=20)
    assert sorted(os.listdir(checkpoints.folder(run))) == ["step-00000020.npz", "step-00000100.npz"]
