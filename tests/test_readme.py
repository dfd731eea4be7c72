"""The README's commands run; its flags, links, flagfiles and data sets exist, and those of the other documents."""

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
DOCUMENTS = [ROOT / "README.md", ROOT / "benchmarks/MEASURED.md", ROOT / "models/cpm_lite/MODEL_CARD.md",
             *sorted((ROOT / "docs").glob("*.md"))]
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


def mentioned(pattern: str) -> set[tuple[pathlib.Path, str]]:
    """What matches in all documents, with the document; something does."""
    found = {(path, text) for path in DOCUMENTS for text in re.findall(pattern, path.read_text().replace("---", ""))}
    assert len({path for path, _ in found}) > 1
    return found


def test_every_flag_exists():
    source = "".join(path.read_text() for path in (ROOT / "cpm_hand").rglob("*.py"))
    source += "".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    known = set(re.findall(r'DEFINE\w*\((?:_\w+\(\), )*\s*"(\w+)"', source)) | {"flagfile", "help", "logdir"}
    for path, flag in mentioned(r"--([a-z][\w-]*)"):
        assert flag.replace("-", "_") in known, f"{path} names --{flag}"


def test_every_linked_file_exists():
    for path, target in mentioned(r"\]\(([^)#:]+)\)"):
        assert (path.parent / target).exists(), f"{path}: {target}"
    for path, file in mentioned(r"(?:models|benchmarks|docs)/[\w/]+\.(?:flags|py|md)"):
        assert (ROOT / file).exists(), f"{path}: {file}"


def test_the_first_command_is_installed_with_the_package():
    (script,) = metadata.entry_points(group="console_scripts", name="cpm-hand-test")
    assert script.load().__name__ == "run" and "\ncpm-hand-test --image-path=" in README


def test_every_dataset_is_one():
    for path, name in mentioned(r"data=([a-z]\w*)="):
        assert name in datasets.DATASETS, f"{path}: {name}"


@pytest.mark.slow
def test_the_flagfiles_are_understood():
    for path in sorted((ROOT / "models").rglob("*.flags")):
        done = subprocess.run([sys.executable, ROOT / "train.py", f"--flagfile={path}", "--summary"], text=True,
                              capture_output=True)
        assert done.returncode == 0, done.stderr
        assert "parameters" in done.stdout
