"""The command line `test.py`: what it writes, prints and refuses."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from cpm_hand import checkpoints, images, nets, runtimes
from cpm_hand.cli import command
from cpm_hand.cli import test as cli

SCRIPT = pathlib.Path(__file__).parents[1] / "test.py"
SPEC = nets.Spec("cpm", size=64, stages=2, width=1 / 16)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder with a tiny net of random weights."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("run")
    weights = {name: np.float32(rng.normal(0, 0.05, tuple(variable.shape)))
               for name, variable in checkpoints.variables(SPEC.build()).items()}
    checkpoints.save(checkpoints.step_path(folder, 0), checkpoints.Checkpoint(SPEC, 0, weights, {}, {}, {}))
    return folder


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    images.write(path, np.random.default_rng(0).integers(0, 256, (83, 131, 3), np.uint8))
    return path


def call(*arguments):
    """Run main as absl would, and give its status."""
    with flagsaver.flagsaver():
        rest = command.parse_flags(["test.py", *map(str, arguments)])
        return command._guarded(cli.main, rest)


def status_and_error(capsys, *arguments):
    return call(*arguments), capsys.readouterr().err


def test_it_prints_the_joints_and_writes_four_pictures(run, photo, tmp_path, capsys):
    assert call(f"--graph_path={run}", f"--image_path={photo}", f"--output_dir={tmp_path}/new/out") == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0].split() == ["joint", "x", "y", "score"] and lines[1].startswith("wrist ")
    assert lines[21].startswith("little_tip ") and lines[22].startswith("presence ")
    shapes = {}
    for name in ("belief_maps", "overlay", "stages", "skeleton"):
        path = tmp_path / "new/out" / f"photo_{name}.png"
        assert f"wrote {path}" in printed
        shapes[name] = images.read(path).shape
    assert shapes["overlay"] == shapes["skeleton"] == (83, 131, 3)     # the picture's own size
    assert shapes["stages"] == (368 + 20 + 8, 2 * 372 + 4, 3)          # two stages, two panels


def test_dashes_and_a_box_are_taken(run, photo, tmp_path, capsys):
    given = f"--graph-path={run}", f"--image-path={photo}", f"--output_dir={tmp_path}", "--box=40,30,20,25"
    assert call(*given) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:22]]
    side = 25 * 2.2
    for _, x, y, _ in rows:                                            # in the crop, in the picture's pixels
        assert abs(float(x) - 49.5) <= side / 2 + 0.1 and abs(float(y) - 42) <= side / 2 + 0.1


def test_without_flags_it_explains_itself(capsys):
    assert call() == 0
    assert "python test.py --graph_path=" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "text"), [
    (["--graph_path=none.pb"], "error: none.pb: no such file or folder; expected a run's folder"),
    (["--image_path=none.jpg"], "error: none.jpg: no such image file."),
    (["--box=500,500,10,10"], "error: box x=500 y=500 w=10 h=10 lies outside the picture of 131 x 83 px."),
    (["other.jpg"], r"error: unexpected arguments ['other.jpg']"),
    (["--output_dir=/dev/null/x"], "error: /dev/null/x: Not a directory"),
])
def test_a_mistake_is_one_line(run, photo, tmp_path, capsys, arguments, text):
    usual = [f"--graph_path={run}", f"--image_path={photo}", f"--output_dir={tmp_path}"]
    status, error = status_and_error(capsys, *usual, *arguments)
    assert status == 1 and error.startswith(text) and len(error.splitlines()) == 1


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "1,2,3,nan", ""])
def test_a_box_that_is_not_four_numbers_is_refused_as_a_flag(box):
    with pytest.raises(flags.IllegalFlagValueError, match="four numbers X,Y,W,H"), flagsaver.flagsaver():
        flags.FLAGS(["test.py", f"--box={box}"])


def test_show_without_a_display_says_so_and_still_writes(run, photo, tmp_path, capsys, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    status, error = status_and_error(capsys, f"--graph_path={run}", f"--image_path={photo}",
                                     f"--output_dir={tmp_path}", "--show")
    assert status == 0 and "--show: no windows, for there is no display" in error
    assert (tmp_path / "photo_skeleton.png").exists()


def fails_with(error):
    def main(argv):
        raise error
    return main


def test_ctrl_c_is_status_130(capsys):
    assert command._guarded(fails_with(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_what_the_system_refuses_is_named_without_its_number(capsys):
    assert command._guarded(fails_with(PermissionError(13, "Permission denied", "out/a.png")), []) == 1
    assert capsys.readouterr().err == "error: out/a.png: Permission denied\n"


@pytest.mark.parametrize("bug", [
    lambda argv: np.zeros(2) + np.zeros(3),                            # NumPy's ValueError, not ours
    lambda argv: {}["missing"],
    fails_with(ValueError("raised outside of the package")),
])
def test_a_bug_keeps_its_traceback(bug):
    with pytest.raises((ValueError, KeyError)):
        command._guarded(bug, [])


def test_what_the_package_refuses_by_name_is_one_line(capsys):
    assert command._guarded(lambda argv: runtimes.load("none.pb"), []) == 1
    assert capsys.readouterr().err.startswith("error: none.pb: no such file")


@pytest.mark.slow
def test_the_script_runs_from_anywhere_and_prints_nothing_of_tensorflow_s(run, photo, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    result = subprocess.run([sys.executable, SCRIPT, f"--graph-path={run}", f"--image-path={photo}"],
                            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
                            check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "out/photo_skeleton.png").exists()
