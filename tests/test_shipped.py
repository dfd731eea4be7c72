"""The model that comes with the package: found by name, refused when damaged, as good as its card says."""

import hashlib
import os
import pathlib
import shutil

import numpy as np
import pytest

from cpm_hand import artefacts, checkpoints, datasets, evaluation, predict, runtimes, shipped
from cpm_hand.rendering import scene, writer

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the model that a test may damage, in the place of the real one."""
    folder = shutil.copytree(shipped.folder(), tmp_path / "copy")
    monkeypatch.setattr(shipped, "folder", lambda: folder)
    return folder


def test_every_file_has_the_sum_that_stands_beside_it():
    lines = (shipped.folder() / shipped.SUMS).read_text().split("\n")[:-1]
    assert {line.split("  ")[1] for line in lines} == {shipped.CHECKPOINT, shipped.ARTEFACT, shipped.INT8,
                                                       shipped.FINETUNE}
    for line in lines:
        expected, name = line.split("  ")
        assert hashlib.sha256((shipped.folder() / name).read_bytes()).hexdigest() == expected
        assert shipped.checked(name) == shipped.folder() / name


def test_its_weights_are_within_fifteen_megabytes_and_carry_their_terms():
    path = shipped.checked(shipped.CHECKPOINT)
    assert path.stat().st_size <= 15e6
    checkpoint = checkpoints.load(path)
    assert checkpoint.spec.net == "cpm_lite" and checkpoint.state["licence"] == "Apache-2.0"
    assert 0 < checkpoint.state["presence_threshold"] < 1 and not checkpoint.optimizer


def test_a_predictor_without_a_name_runs_it_at_its_own_threshold():
    predictor = predict.Predictor()
    assert predictor.artefact.path == shipped.folder() / shipped.ARTEFACT
    assert predictor.threshold == checkpoints.load(shipped.checked(shipped.CHECKPOINT)).state["presence_threshold"]


def test_weights_and_artefact_find_the_same_keypoints():
    pictures = np.stack([scene.render(9, number, scene.Options(size=(128, 128))).image for number in (1, 2, 3)])
    size = runtimes.load(shipped.NAME).size
    pictures = pictures[:, :size, :size]
    ours, theirs = (runtimes.load(path)(pictures)["keypoints"]
                    for path in (shipped.NAME, shipped.checked(shipped.CHECKPOINT)))
    np.testing.assert_allclose(ours, theirs, atol=0.05)


def test_a_file_or_folder_of_the_models_name_is_meant_before_the_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped.find("cpm_lite", shipped.ARTEFACT) == shipped.folder() / shipped.ARTEFACT
    pathlib.Path("cpm_lite").mkdir()
    assert shipped.find("cpm_lite", shipped.ARTEFACT) == pathlib.Path("cpm_lite")
    assert shipped.find("other/cpm_lite", shipped.ARTEFACT) == pathlib.Path("other/cpm_lite")


@pytest.mark.parametrize("file", [shipped.CHECKPOINT, shipped.ARTEFACT, shipped.INT8, shipped.FINETUNE])
def test_a_single_changed_bit_is_noticed_before_anything_is_loaded(copied, file):
    data = bytearray((copied / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copied / file).write_bytes(data)
    with pytest.raises(artefacts.BadArtefact, match=f"{file}: damaged: its sha256 is .* Install cpm_hand again"):
        shipped.checked(file)


@pytest.mark.parametrize("missing", [shipped.ARTEFACT, shipped.SUMS])
def test_a_missing_file_says_what_to_do(copied, missing):
    os.remove(copied / missing)
    with pytest.raises(artefacts.BadArtefact, match="the model that comes with cpm_hand is not here .* name a model"):
        predict.Predictor()


def test_sums_that_do_not_list_a_file_do_not_vouch_for_it(copied):
    (copied / shipped.SUMS).write_text("\n\nnothing\n")
    with pytest.raises(artefacts.BadArtefact, match="damaged: .* says None"):
        shipped.checked(shipped.ARTEFACT)


@pytest.mark.slow
def test_it_finds_rendered_hands_that_it_was_not_trained_on(tmp_path):
    for _ in writer.write(tmp_path, 60, seed=31, options=scene.Options(size=(160, 160)), workers=1):
        pass
    labels, _ = datasets.read("cmu_synth", tmp_path)
    measured = evaluation.evaluate(predict.Predictor(), labels)
    found = {number.name: number.value for number in measured.numbers()}
    assert found["error_percent"] < 8 and found["pck@0.2"] > 0.75   # the card says how good; this, that it is whole
