"""The README's commands run, and its flags, links, flagfiles and data sets exist."""

import os
import pathlib
import re
import shlex
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
from conftest import write_hands

from cpm_hand import datasets, images

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
# Later flags win, so the commands are run as they stand, only smaller.
SMALLER = {
    "train.py": ["--steps=3", "--input-width=64", "--width=0.03125", "--log_every=1", "--batchsize=4",
                 "--precision=float32"],
    "test.py": ["--output_dir=out", "--threshold=0"], "freeze.py": ["--check_pictures=3"],
    "-m cpm_hand.rendering": ["--count=4", "--size=64"]}


def commands(first_word: str) -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.startswith(first_word)]


def run(command: list[str], cwd) -> str:
    if command[1:3] == ["-m", "cpm_hand.rendering"]:
        command = [*command, *SMALLER["-m cpm_hand.rendering"]]
    elif command[1] in SMALLER:
        smaller = [flag for flag in SMALLER[command[1]]
                   if "--checkpoint=cpm_lite" not in command or not flag.startswith(("--input-width", "--width"))]
        command = [command[0], str(ROOT / command[1]), *command[2:], *smaller]
    elif command[1].endswith(".py"):
        command = [command[0], str(ROOT / command[1]), *command[2:]]
    done = subprocess.run([sys.executable, *command[1:]], cwd=cwd, env=os.environ, text=True, capture_output=True)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_commands_run_in_their_order(tmp_path):
    hands = write_hands(tmp_path / "hand_labels_synth" / "synth2", 30, size=96)
    image = images.read(hands / "00000001.jpg")
    images.write(tmp_path / "photo.jpg", np.kron(image, np.ones((5, 5, 1), np.uint8)))
    for folder, suffix in (("holiday", "jpg"), ("more", "png")):
        images.write(tmp_path / folder / f"a.{suffix}", image)
    write_hands(tmp_path / "hand_labels" / "manual_test", 3)
    ran = [command for command in commands("python ") if "-m venv" not in " ".join(command)]
    printed = {}
    for command in ran:
        if "verify" in command:         # 30 pictures are not CMU's 3,243, and verify says so
            continue
        printed.setdefault(command[1], run(command, tmp_path))
    assert {"train.py", "freeze.py", "test.py"} <= printed.keys()
    assert (tmp_path / "sheet.png").exists() and (tmp_path / "models/saved_model").is_dir()
    assert len(list((tmp_path / "out").glob("photo_*.png"))) == 4
    assert (tmp_path / "hands.csv").exists() and list((tmp_path / "out").glob("report_*.html"))
    assert printed["test.py"].splitlines()[1].startswith("wrist ")
    assert "frozen_graph" in printed["freeze.py"]
    assert (tmp_path / "out/side_by_side.png").exists() and (tmp_path / "models/train/thermal/checkpoints").is_dir()


def test_every_flag_in_the_readme_exists():
    source = "".join(path.read_text() for path in (ROOT / "cpm_hand").rglob("*.py"))
    source += "".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    known = set(re.findall(r'DEFINE\w*\((?:_\w+\(\), )*\s*"(\w+)"', source)) | {"flagfile", "help", "logdir"}
    for flag in re.findall(r"--([a-z][\w-]*)", README.replace("---", "")):
        assert flag.replace("-", "_") in known, f"README names --{flag}"


def test_every_linked_file_exists():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
    for flagfile in re.findall(r"models/[\w/]+\.flags", README):
        assert (ROOT / flagfile).exists(), flagfile


def test_the_first_command_is_installed_with_the_package():
    (script,) = metadata.entry_points(group="console_scripts", name="cpm-hand-test")
    assert script.load().__name__ == "run" and "\ncpm-hand-test --image-path=" in README


def test_every_dataset_in_the_readme_is_one():
    for name in re.findall(r"--data=(\w+)=", README):
        assert name in datasets.DATASETS, name


@pytest.mark.slow
def test_the_flagfiles_are_understood():
    for path in sorted((ROOT / "models").rglob("*.flags")):
        done = subprocess.run([sys.executable, ROOT / "train.py", f"--flagfile={path}", "--summary"], text=True,
                              capture_output=True)
        assert done.returncode == 0, done.stderr
        assert "parameters" in done.stdout
