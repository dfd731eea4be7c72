"""The wheel carries the shipped model and no training data, and works from another folder."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

from cpm_hand import shipped
from cpm_hand.rendering import scene

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of the sources, beside what a used checkout has in models/; pip wants the network."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    ignored = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
    shutil.copytree(ROOT / "cpm_hand", folder / "cpm_hand", ignore=ignored)
    shutil.copytree(ROOT / "models" / shipped.NAME, folder / "models" / shipped.NAME)
    for name in ("train/mine", "data/hands"):
        (folder / "models" / name).mkdir(parents=True)
        (folder / "models" / name / "large.npz").write_bytes(bytes(1000))
    done = subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir=dist", "."],
                          cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next((folder / "dist").glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_the_model_and_nothing_that_was_trained_or_rendered_here(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name.rpartition("/")[2] for name in names if name.startswith(f"cpm_hand/models/{shipped.NAME}/")}
    assert inside >= {shipped.CHECKPOINT, shipped.ARTEFACT, f"{shipped.ARTEFACT}.json", shipped.FINETUNE,
                      shipped.SUMS, "MODEL_CARD.md"}
    assert not [name for name in names if "large.npz" in name or "/train/" in name or "/data/" in name]
    assert wheel.stat().st_size <= 20e6
    assert "cpm_hand/html_report.css" in names


@pytest.mark.slow
def test_an_installed_wheel_finds_a_hand_from_another_folder(wheel, tmp_path):
    import cv2

    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", f"--target={tmp_path}/elsewhere",
                    str(wheel)], check=True, capture_output=True)
    (tmp_path / "work").mkdir()
    hand = scene.render(5, 3, scene.Options(size=(320, 320))).image
    cv2.imwrite(str(tmp_path / "work/photo.png"), hand[..., ::-1])
    script = ("import cpm_hand, sys; from cpm_hand.cli import test; print(cpm_hand.__file__); "
              "sys.argv = ['cpm-hand-test', 'photo.png', '--threshold=0']; test.run()")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path / "work", capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(tmp_path / "elsewhere"), "TF_CPP_MIN_LOG_LEVEL": "2"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "elsewhere"))
    assert "little_tip" in done.stdout and (tmp_path / "work/out/photo_skeleton.png").exists()
