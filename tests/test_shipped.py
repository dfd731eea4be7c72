"""The model that comes with the package: found by name, refused when damaged, as good as its card says."""

import hashlib
import os
import pathlib
import shutil

import numpy as np
import pytest
from absl import flags
from exported import random_checkpoint

from cpm_hand import artefacts, checkpoints, datasets, evaluation, export, predict, runtimes, shipped
from cpm_hand.cli import ship
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
    assert {line.split("  ")[1] for line in lines} == {shipped.CHECKPOINT, shipped.ARTEFACT, f"{shipped.ARTEFACT}.json",
                                                       shipped.FINETUNE, "parity.json"}
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
    size = runtimes.load(shipped.NAME).size
    pictures = np.stack([scene.render(9, number, scene.Options(size=(size, size))).image for number in (1, 2, 3)])
    ours, theirs = (runtimes.load(path)(pictures)["keypoints"]
                    for path in (shipped.NAME, shipped.checked(shipped.CHECKPOINT)))
    np.testing.assert_allclose(ours, theirs, atol=0.05)


def test_the_name_is_the_model_wherever_one_stands_and_a_path_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("cpm_lite").mkdir()
    assert shipped.find("cpm_lite", shipped.ARTEFACT) == shipped.folder() / shipped.ARTEFACT
    assert shipped.find("cpm_lite", shipped.CHECKPOINT) == shipped.folder() / shipped.CHECKPOINT
    for path in ("./cpm_lite", pathlib.Path("cpm_lite"), "other/cpm_lite"):
        assert shipped.find(path, shipped.ARTEFACT) == pathlib.Path(path)
    assert predict.Predictor().artefact.path == shipped.folder() / shipped.ARTEFACT


@pytest.mark.parametrize("file", [shipped.CHECKPOINT, shipped.ARTEFACT, f"{shipped.ARTEFACT}.json",
                                  shipped.FINETUNE])
def test_a_single_changed_bit_is_noticed_before_anything_is_loaded(copied, file, monkeypatch):
    data = bytearray((copied / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copied / file).write_bytes(data)
    monkeypatch.setattr(runtimes, "_kind", lambda path: pytest.fail(f"{path} was opened"))
    use = {shipped.CHECKPOINT: lambda: export.export("cpm_lite", {"keras": copied.parent / "x.keras"}),
           shipped.FINETUNE: lambda: shipped.checked(file)}.get(file, predict.Predictor)
    with pytest.raises(artefacts.BadArtefact, match=f"{file}: damaged: its sha256 is .* Install cpm_hand again"):
        use()


@pytest.mark.parametrize("missing", [shipped.ARTEFACT, f"{shipped.ARTEFACT}.json", shipped.SUMS])
def test_a_missing_file_says_what_to_do(copied, missing):
    os.remove(copied / missing)
    with pytest.raises(artefacts.BadArtefact, match="the model that comes with cpm_hand is not here .* name a model"):
        predict.Predictor()


def test_sums_that_do_not_list_a_file_do_not_vouch_for_it(copied):
    (copied / shipped.SUMS).write_bytes(b"\n\nnothing\n\xff  x\n")
    with pytest.raises(artefacts.BadArtefact, match="damaged: .* says None"):
        shipped.checked(shipped.ARTEFACT)


@pytest.mark.slow
def test_it_finds_rendered_hands_that_it_was_not_trained_on(tmp_path):
    for _ in writer.write(tmp_path, 60, seed=31, options=scene.Options(size=(160, 160)), workers=1):
        pass
    labels, _ = datasets.read("cmu_synth", tmp_path)
    measured = evaluation.evaluate(predict.Predictor(), labels)
    found = {number.name: number.value for number in measured.numbers()}
    assert found["error_percent"] < 7 and found["pck@0.2"] > 0.78   # the card says how good; this, that it is whole


def ship_from(runs, *arguments):
    values = flags.FlagValues()
    ship.define(values)
    values(["ship", *map(str, arguments)])
    return ship.main(["ship", *map(str, runs)], values)


def small_run(folder, stages=2, **more):
    spec = checkpoints.load(shipped.checked(shipped.CHECKPOINT)).spec._replace(size=32, stages=stages, width=1 / 8)
    made = random_checkpoint(spec, **{"step": 3, "hands": "right", "crop_factor": 1.5, **more})
    checkpoints.save(checkpoints.step_path(folder, 3), made)
    return made


@pytest.mark.slow
def test_a_run_becomes_a_model_whose_sums_and_threshold_are_right(tmp_path, monkeypatch):
    made = small_run(tmp_path / "run")
    with pytest.raises(ValueError, match="finetune.flags: is not there"):
        ship_from([tmp_path / "run"], "--presence_threshold=0.25", "--source=rendered", f"--output_dir={tmp_path}/out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / shipped.FINETUNE).write_text("--steps=3\n")
    assert ship_from([tmp_path / "run"], "--presence_threshold=0.25", "--source=rendered",
                     f"--output_dir={tmp_path}/out", "--check_pictures=3", "--size=48", "--crop_factor=1.25") == 0
    monkeypatch.setattr(shipped, "folder", lambda: tmp_path / "out")
    artefact = runtimes.load("cpm_lite")
    assert (artefact.presence_threshold, artefact.hands, artefact.size) == (0.25, "right", 48)
    assert artefact.crop_factor == 1.25
    kept = checkpoints.load(shipped.checked(shipped.CHECKPOINT))
    assert (kept.state["licence"], kept.state["source"]) == ("Apache-2.0", "rendered")
    for name, array in kept.weights.items():
        np.testing.assert_allclose(array, made.weights[name], rtol=2**-11, atol=2**-24)
    assert os.listdir(tmp_path) and not list(tmp_path.glob(".out.*"))


@pytest.mark.slow
def test_of_several_runs_it_is_the_mean_and_of_different_nets_nothing(tmp_path):
    made = [small_run(tmp_path / name, seed=seed).weights for seed, name in enumerate("abc")]
    runs = [tmp_path / name for name in "abc"]
    options = ["--presence_threshold=0.25", "--source=rendered", f"--output_dir={tmp_path}/out", "--check_pictures=3"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / shipped.FINETUNE).write_text("--steps=3\n")
    assert ship_from(runs, *options) == 0
    for name, array in checkpoints.load(tmp_path / "out" / shipped.CHECKPOINT).weights.items():
        mean = (made[0][name] + made[1][name] + made[2][name]) / 3
        np.testing.assert_allclose(array, mean, rtol=2**-11, atol=2**-24)
    small_run(tmp_path / "wide", crop_factor=2.2)
    with pytest.raises(ValueError, match="wide: of another net than .*/a, or shown other hands or crops"):
        ship_from([*runs, tmp_path / "wide"], *options)
    assert ship_from([*runs, tmp_path / "wide"], *options, "--crop_factor=1.75") == 0
    assert checkpoints.load(tmp_path / "out" / shipped.CHECKPOINT).state["crop_factor"] == 1.75
    deep = {stages: small_run(tmp_path / str(stages), stages, seed=stages).weights for stages in (3, 4)}
    with pytest.raises(ValueError, match="3: of another net than .*/a"):  # which has no third
        ship_from([*runs, tmp_path / "3"], *options)
    assert ship_from([tmp_path / "4", tmp_path / "3"], *options) == 0    # the fourth is the third once more
    both = checkpoints.load(tmp_path / "out" / shipped.CHECKPOINT)
    assert both.spec.stages == 4
    for name, array in both.weights.items():
        np.testing.assert_allclose(array, (deep[3][name] + deep[4][name]) / 2, rtol=2**-11, atol=2**-24)
