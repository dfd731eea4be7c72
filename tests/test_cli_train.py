"""What a person meets on the command line of training: every mistake gets one clear line and status 1."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from conftest import write_hands
from exported import random_checkpoint

from cpm_hand import checkpoints, datasets, export, images, nets, shipped
from cpm_hand.cli import command, demo, train
from cpm_hand.datasets import coco_writer
from cpm_hand.hand import HAND
from cpm_hand.predict import Predictor

RUN = "from cpm_hand.cli.train import run\nrun()"
NARROW = ["--input-width=32", "--width=0.015625", "--stages=2", "--batchsize=4", "--steps=2", "--validation_fraction=0"]


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hands(tmp_path, synth_root):
    """A folder of hands that a test may damage."""
    return shutil.copytree(synth_root / "synth2", tmp_path / "hand_labels_synth" / "synth2")


def call(capfd, *arguments, base=NARROW):
    """Run the command line in this process; status and what it wrote to stderr."""
    with flagsaver.flagsaver():
        for flag in flags.FLAGS.get_flags_for_module(train):
            flag.unparse()
        rest = command.parse_flags(["train.py", *base, *arguments])
        status = command._guarded(train.main, rest)
    return status, capfd.readouterr().err


def refused(capfd, *arguments, **more):
    status, text = call(capfd, *arguments, **more)
    assert status == 1 and "Traceback" not in text
    return text.splitlines()[-1].removeprefix("error: ")


def label(folder, number):
    return folder / f"{number:08d}.json"


def write_label(folder, number, **changes):
    path = label(folder, number)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# ---- what a person asks for

@pytest.mark.parametrize("arguments, text", [
    (["--datapath=nowhere"], "nowhere"),
    (["--data=cmu_synth"], "expected NAME=DIR or NAME=DIR:WEIGHT"),
    (["--data=freihand=x"], "unknown dataset 'freihand'; the datasets are cmu_manual, cmu_panoptic, cmu_synth"),
    (["--data=cmu_synth=x:0"], "the weight must be a positive number, got 0"),
    (["--datapath=x", "--validation_data=coco=y:1"], "--validation_data=coco=y:1: takes no :WEIGHT, for each picture"),
    (["--data=cmu_synth=x:1:0.9"], "the crop factor, behind the weight, is 1 to 10, got 0.9"),
    (["--datapath=x", "--max_minutes=1", "--deterministic"], "--max_minutes=1 goes by the clock"),
    (["--datapath=x", "--input-width=64", "--input-height=32"], "--input-width=64 and --input-height=32 must be equal"),
])
def test_a_request_that_cannot_be_met_is_refused(capfd, arguments, text):
    assert text in refused(capfd, *arguments)


def test_a_size_that_the_cells_do_not_tile_names_the_nearest_that_they_do(capfd, hands):
    assert "got size=100; the nearest valid size is 96" in refused(capfd, f"--datapath={hands}", "--input-width=100")


@pytest.mark.parametrize("argument, text", [("--net=vgg", "cpm"), ("--augment=wild", "none|light|default|strong"),
                                            ("--batchsize=0", "positive integer"), ("--steeps=5", "steps")])
def test_an_unknown_flag_value_is_answered_with_what_is_allowed(argument, text):
    out = subprocess.run([sys.executable, "-c", RUN, argument],
                         capture_output=True, text=True)
    assert out.returncode != 0 and text in out.stderr and "Traceback" not in out.stderr


def test_stray_arguments_are_refused():
    out = subprocess.run([sys.executable, "-c", RUN, "hands"],
                         capture_output=True, text=True)
    assert out.returncode != 0 and "Unexpected arguments: ['hands']" in out.stdout + out.stderr


def test_dashes_and_underscores_are_one_in_flagfiles_too(tmp_path):
    (tmp_path / "some.flags").write_text("# a comment\n--max-epoch=7\n--log_every=3\n")
    with flagsaver.flagsaver():
        command.parse_flags(["train.py", "--flagfile=some.flags", "--checkpoint-every=9"])
        assert (flags.FLAGS.max_epoch, flags.FLAGS.log_every, flags.FLAGS.checkpoint_every) == (7, 3, 9)


def test_what_follows_two_dashes_is_left_as_it_is():
    with flagsaver.flagsaver():
        assert command.parse_flags(["train.py", "--max-epoch=7", "--", "--my-photo.jpg", "a-b"])[1:] == [
            "--my-photo.jpg", "a-b"]
        assert flags.FLAGS.max_epoch == 7


def test_the_demo_refuses_what_it_cannot_do_before_it_renders(capfd, monkeypatch):
    monkeypatch.setattr(demo, "render", lambda: pytest.fail("rendered"))
    status, text = call(capfd, "--deterministic")
    assert status == 1 and "--max_minutes=5 goes by the clock" in text and "--max_minutes=0" in text
    status, text = call(capfd, "--input-height=128", "--input-width=64")
    assert status == 1 and "--input-width=64 and --input-height=128 must be equal" in text


def test_the_demo_takes_a_height_for_its_size(capfd, monkeypatch):
    monkeypatch.setattr(demo, "render", lambda: "nowhere")
    status, text = call(capfd, "--input-height=128", base=())
    assert status == 1 and "nowhere: no such folder" in text


def test_the_demo_says_what_to_do_where_its_folder_holds_other_pictures(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "FOLDER", str(tmp_path / "hands"))
    monkeypatch.setattr(demo, "COUNT", 1)
    monkeypatch.setattr(demo.os, "cpu_count", lambda: 1)
    list(demo.writer.write(demo.FOLDER, 1, options=demo.scene.Options(size=(64, 64))))
    with pytest.raises(ValueError, match="hands: holds other pictures .* remove that folder, or train on it with"):
        demo.render()


@pytest.mark.slow
def test_without_data_it_renders_a_set_once_and_says_so(capfd, monkeypatch):
    monkeypatch.setattr(demo, "COUNT", 6)
    monkeypatch.setattr(demo, "SIZE", 64)
    monkeypatch.setattr(demo.os, "cpu_count", lambda: 1)
    for steps in (2, 3):
        status, text = call(capfd, f"--steps={steps}")
        assert status == 0 and "no --datapath given: training on hands rendered here" in text
    assert len(list(pathlib.Path("models/data/hands/synth_rendered").glob("*.jpg"))) == 6
    recorded = pathlib.Path("models/train/demo/flags.txt").read_text()
    assert "--ema_decay=0.998" in recorded and "--width=0.015625" in recorded    # the demo's, and the given one


# ---- what is wrong with a file

@pytest.mark.parametrize("changes, text", [
    ({"hand_pts": [[1, 2, 1]] * 20}, "00000003.json: 'hand_pts' .*20"),
    ({"hand_pts": [[1, 2]] * 21}, "00000003.json: 'hand_pts'"),
    ({"hand_pts": [[float("nan"), 2, 1]] * 21}, "00000003.json.*hand_pts"),
    ({"hand_pts": [[5, 2, 0]] * 21}, "00000003.json.*visible"),
    ({"hand_pts": "none"}, "00000003.json: 'hand_pts'"),
])
def test_a_malformed_label_is_named(capfd, hands, changes, text):
    import re
    write_label(hands, 3, **changes)
    assert re.search(text, refused(capfd, f"--datapath={hands}"))


@pytest.mark.parametrize("damage, text", [
    (lambda folder: (folder / "00000003.jpg").unlink(), "00000003"),
    (lambda folder: (folder / "00000003.jpg").write_bytes(b""), "00000003.jpg: the file is empty"),
    (lambda folder: (folder / "00000003.jpg").write_bytes(b"text" * 99), "00000003.jpg: not an image"),
    (lambda folder: label(folder, 3).write_text("{"), "00000003.json"),
])
def test_a_damaged_file_is_named(capfd, hands, damage, text):
    damage(hands)
    assert text in refused(capfd, f"--datapath={hands}")


@pytest.mark.slow
def test_bad_samples_are_skipped_by_choice_and_each_is_listed(capfd, hands):
    label(hands, 3).write_text("{")
    (hands / "00000005.jpg").write_bytes(b"")
    status, text = call(capfd, f"--datapath={hands}", "--skip_bad", "--tag=skip")
    assert status == 0
    assert "skipped: " in text and "00000003.json" in text and "00000005.jpg: the file is empty" in text
    assert "2 bad samples were skipped, 22 are left" in text


# ---- where a run starts from

def test_a_checkpoint_of_another_net_is_refused(capfd, hands):
    assert call(capfd, f"--datapath={hands}", "--tag=a")[0] == 0
    assert "a checkpoint of another net" in refused(capfd, f"--datapath={hands}", "--tag=a", "--stages=3")


@pytest.mark.slow
def test_a_run_folder_given_as_checkpoint_goes_on_in_full_under_another_tag(capfd, hands):
    call(capfd, f"--datapath={hands}", "--tag=a")
    _, text = call(capfd, f"--datapath={hands}", "--tag=b", "--steps=3", "--checkpoint=models/train/a")
    assert "Done (step 2)" in text
    assert checkpoints.load_newest("models/train/b").step == 3


@pytest.mark.slow
def test_a_weights_file_is_loaded_by_name_and_what_was_used_is_listed(capfd, hands):
    call(capfd, f"--datapath={hands}", "--tag=a")
    path = checkpoints.step_path("models/train/a", 2)
    status, text = call(capfd, f"--datapath={hands}", "--tag=b", "--stages=3", f"--checkpoint={path}")
    assert status == 0
    assert "used 48 arrays: conv1_1/kernel" in text and "kept new: Mconv1_stage3/kernel" in text


def coco_of(folder: pathlib.Path, joints: dict[str, int]) -> pathlib.Path:
    """A COCO file beside drawn hands, with some of their joints under names of its own."""
    images_, annotations = [], []
    for number, path in enumerate(sorted(folder.glob("*.json")), start=1):
        points = json.loads(path.read_text())["hand_pts"]
        images_.append({"id": number, "file_name": path.with_suffix(".jpg").name, "width": 64, "height": 64})
        annotations.append({"id": number, "image_id": number, "category_id": 1, "num_keypoints": len(joints),
                            "keypoints": [value for joint in joints.values() for value in (*points[joint][:2], 2)],
                            "bbox": [0, 0, 64, 64], "area": 4096, "iscrowd": 0})
        path.unlink()
    category = {"id": 1, "name": "hand", "keypoints": list(joints), "skeleton": []}
    file = folder / "annotations.json"
    file.write_text(json.dumps({"images": images_, "annotations": annotations, "categories": [category]}))
    return file


@pytest.mark.slow
def test_the_shipped_model_goes_on_with_other_joints_and_knows_those_of_a_hand(capfd, hands):
    joints = {"index_finger_tip": HAND.names.index("index_tip"), "ring_on_the_finger": 14, "wrist": 0}
    flags_ = "--steps=2", "--batchsize=4", "--tag=mine", "--precision=float32"
    given = f"--data=coco={coco_of(hands, joints)}", "--checkpoint=cpm_lite", *flags_
    status, text = call(capfd, *given, base=[])
    assert status == 0, text
    assert "training on from cpm_lite, with the flags of" in text
    assert "joints whose maps it knows: index_finger_tip, wrist; to be learnt: ring_on_the_finger" in text
    trained = checkpoints.load_newest("models/train/mine")
    assert trained.spec.net == "cpm_lite" and trained.spec.skeleton.names == tuple(joints)
    recorded = pathlib.Path("models/train/mine/flags.txt").read_text()
    assert "--optimizer=muon" in recorded and "--batchsize=4" in recorded    # the model's flags, and a given one
    # Two small steps away from where it began: the trunk is the shipped one's.
    ours, theirs = trained.weights["stem1/kernel"], checkpoints.load(shipped.checked(shipped.CHECKPOINT)).weights
    assert 0 < np.abs(ours - theirs["stem1/kernel"]).max() < 0.05 * np.abs(ours).max()


@pytest.mark.slow
def test_a_run_begun_from_the_shipped_model_goes_on_with_its_own_weights(capfd, hands, monkeypatch):
    given = f"--datapath={hands}", "--checkpoint=cpm_lite", "--batchsize=4", "--tag=mine", "--precision=float32"
    assert call(capfd, *given, "--steps=1", base=[])[0] == 0
    first = checkpoints.load_newest("models/train/mine")
    monkeypatch.setattr(shipped, "folder", lambda: pathlib.Path("gone"))  # whatever became of it meanwhile
    given = [flag for flag in given if "--checkpoint" not in flag] + ["--checkpoint=gone.npz"]
    status, text = call(capfd, *given, "--steps=2", "--lr=0", "--ema_decay=0.99", "--optimizer=muon", base=[])
    assert status == 0 and "Restore from checkpoint...Done (step 1)" in text
    second = checkpoints.load_newest("models/train/mine")
    assert second.step == 2 and second.spec == first.spec
    for name, array in second.weights.items():
        np.testing.assert_array_equal(array, first.weights[name])


def test_a_checkpoint_needs_something_to_train_on(capfd):
    assert "--checkpoint=cpm_lite needs pictures to train on" in refused(capfd, "--checkpoint=cpm_lite")


def test_the_command_knows_every_net():
    assert set(flags.FLAGS["net"].parser.enum_values) == set(nets.NETS)


def test_a_checkpoint_that_is_not_there_is_refused(capfd, hands):
    for path in ("gone", "gone.npz"):
        text = refused(capfd, f"--datapath={hands}", f"--checkpoint={path}", base=[])
        assert text == f"--checkpoint={path}: no such file or folder."


@pytest.mark.slow
def test_the_net_is_that_of_the_checkpoint_and_is_written_into_the_runs_flags(capfd, hands):
    call(capfd, f"--datapath={hands}", "--tag=a", "--hands=right", "--crop-factor=1.75")
    path = checkpoints.step_path("models/train/a", 2)
    given = f"--datapath={hands}", f"--checkpoint={path}", "--tag=b", "--batchsize=4", "--validation_fraction=0"
    assert call(capfd, *given, "--steps=1", "--precision=auto", base=[])[0] == 0
    made = checkpoints.load_newest("models/train/b")
    assert made.spec == checkpoints.load(path).spec
    assert (made.state["hands"], made.state["crop_factor"]) == ("right", 1.75)
    assert export.export("models/train/b", {"frozen_graph": "b.pb"}, num_pictures=2)
    assert Predictor("b.pb").crop_factor == Predictor("models/train/b").crop_factor == 1.75
    recorded = pathlib.Path("models/train/b/flags.txt").read_text().splitlines()
    assert {"--net=cpm", "--input_width=32", "--width=0.015625", "--stages=2", "--hands=right",
            "--crop_factor=1.75"} <= set(recorded)
    assert "--precision=bfloat16" in recorded or "--precision=float32" in recorded


def test_a_run_hands_on_the_presence_threshold_of_the_net_that_it_begins_with(capfd, hands):
    made = random_checkpoint(nets.Spec("cpm", 32, 2, 1 / 64), step=1)
    checkpoints.save("known.npz", made._replace(state={"presence_threshold": 0.4}))
    given = f"--datapath={hands}", "--tag=c", "--steps=1", "--batchsize=4", "--validation_fraction=0"
    for more in (["--checkpoint=known.npz"], ["--steps=2"]):          # the second goes on with the first
        assert call(capfd, *given, *more, base=[])[0] == 0
        assert Predictor("models/train/c").threshold == 0.4


def test_a_checkpoint_that_says_what_cannot_be_is_refused(capfd, hands):
    made = random_checkpoint(nets.Spec("cpm", 32, 2, 1 / 64), step=1)
    checkpoints.save("odd.npz", made._replace(state={"crop_factor": "wide"}))
    text = refused(capfd, f"--datapath={hands}", "--checkpoint=odd.npz", base=[])
    assert text == "odd.npz: crop_factor is 1 to 10, got 'wide'."


def test_epochs_that_are_given_count_before_the_steps_of_a_flagfile(tmp_path):
    (tmp_path / "some.flags").write_text("--steps=600\n--lr=0.5\n")
    with flagsaver.flagsaver():
        for flag in flags.FLAGS.get_flags_for_module(train):
            flag.unparse()
        command.parse_flags(["train.py", "--max_epoch=3"])
        train._take(tmp_path / "some.flags")
        assert (flags.FLAGS.steps, flags.FLAGS.max_epoch, flags.FLAGS.lr) == (0, 3, 0.5)


def test_a_net_that_the_flags_name_is_not_the_checkpoints(capfd, hands):
    text = refused(capfd, f"--datapath={hands}", "--checkpoint=cpm_lite", "--net=cpm", "--steps=1")
    assert "weights of the net 'cpm_lite' do not fit the net 'cpm'; leave --net out" in text


def test_imagenet_weights_that_cannot_be_had_say_how_to_go_without(capfd, hands, monkeypatch):
    import keras

    def offline(*_, **__):
        raise Exception("URL fetch failure on https://…: None -- [Errno -2] Name or service not known")
    monkeypatch.setattr(keras.utils, "get_file", offline)
    text = refused(capfd, f"--datapath={hands}", "--width=1", "--backbone_weights=imagenet")
    assert "--backbone_weights=none" in text


def test_a_split_that_comes_out_empty_is_a_warning_and_not_the_end(capfd, tmp_path):
    folder = write_hands(tmp_path / "video", 3)
    for path in sorted(folder.iterdir()):
        path.rename(path.with_name(f"clip_{path.stem}_l{path.suffix}"))      # frames of one video
    status, text = call(capfd, f"--data=cmu_manual={folder}", "--validation_fraction=0.05", "--tag=v")
    assert status == 0
    assert "the validation split is empty" in text or "stays in training" in text


def prepared(*texts, **choice):
    from cpm_hand import sets
    return sets.prepare(sets.parse(texts), [], sets.Choice(size=32, batch_size=4, augmentation="none",
                                                           **{"validation_fraction": 0, **choice}))


def test_validation_never_shares_a_source_with_training(capfd, hands, tmp_path):
    data = prepared(f"cmu_synth={hands}", validation_fraction=0.4)
    ours, theirs = set(data.training.labels.groups), set(data.validation.labels.groups)
    assert ours and theirs and not ours & theirs
    assert data.training.labels.num_hands + data.validation.labels.num_hands == 24


def test_a_run_says_how_many_joints_a_narrow_crop_of_cropped_pictures_cuts_off(hands, caplog):
    for factor, text in ((1.1, "--crop_factor=1.1 cuts off "), (2.2, None), (3.0, None)):
        data = prepared(f"cmu_synth={hands}", crop_factor=factor)
        told = joints_cut_off(caplog, data)
        assert len(told) == (text is not None)
        if told:
            lost = [np.mean(~data.training(row, 0)[3]) for row in range(24)]
            share, count = 100 * np.mean(lost), np.count_nonzero(lost)
            assert told[0].startswith(f"{text}{share:.0f} % of the joints, in {count} hands")


def test_a_set_may_have_a_crop_factor_of_its_own(hands):
    own = prepared(f"cmu_synth={hands}:1", f"cmu_synth={hands}:3:2.2", crop_factor=1.1).training
    for rows, factor in ((range(24), 1.1), (range(24, 48), 2.2)):
        alone = prepared(f"cmu_synth={hands}", crop_factor=factor).training
        for row in rows:
            np.testing.assert_array_equal(own.matrix(None, row), alone.matrix(None, row % 24))


def test_what_is_held_back_of_a_set_is_cut_as_the_set(hands):
    data = prepared(f"cmu_synth={hands}:1:1.5", f"cmu_synth={hands}:1", crop_factor=3, validation_fraction=0.4)
    for loader in (data.training, data.validation):
        count = loader.labels.num_hands
        assert loader.crop_factors.tolist() == [1.5] * (count // 2) + [3] * (count // 2)


def joints_cut_off(caplog, data):
    from cpm_hand import sets
    caplog.clear()
    sets.tell_of_joints_cut_off(data.training)
    return [record.getMessage() for record in caplog.records if "cuts off" in record.getMessage()]


def test_joints_that_a_sets_own_crop_factor_cuts_off_are_told_of_and_no_others(hands, caplog):
    alone, = joints_cut_off(caplog, prepared(f"cmu_synth={hands}", crop_factor=1.1))
    assert joints_cut_off(caplog, prepared(f"cmu_synth={hands}:1:1.1", crop_factor=2.2)) == [alone]
    assert not joints_cut_off(caplog, prepared(f"cmu_synth={hands}:1:2.2", crop_factor=1.1))
    # However many there are in other sets, of which nothing is lost.
    others = [f"cmu_synth={hands}:1"] * 60
    assert joints_cut_off(caplog, prepared(*others, f"cmu_synth={hands}:1:1.1", crop_factor=2.2)) == [alone]


def test_numbers_behind_a_folder_are_its_weight_and_its_crop_factor():
    from cpm_hand import sets
    for text, expected in (("a", ("a", None, None)), ("a:2", ("a", 2, None)), ("a:2:1.4", ("a", 2, 1.4)),
                           ("a:b", ("a:b", None, None)), ("a:b:2", ("a:b", 2, None)), ("1:2:3", ("1", 2, 3))):
        assert sets.parse([f"coco={text}"])[0][1:] == expected, text


def plain_keras_file(channels):
    with h5py.File("vgg.h5", "w") as file:
        file["conv1_1/conv1_1_W_1:0"] = np.ones((3, 3, 3, channels), np.float32)
    return "--checkpoint=vgg.h5"


def test_layers_of_a_plain_keras_file_are_taken_by_name(capfd, hands):
    status, text = call(capfd, f"--datapath={hands}", plain_keras_file(channels=1))
    assert status == 0 and "vgg.h5: used 1 arrays: conv1_1/kernel" in text


def test_a_layer_of_a_plain_keras_file_that_does_not_fit_is_named_with_the_file(capfd, hands):
    text = refused(capfd, f"--datapath={hands}", plain_keras_file(channels=5))
    assert text.startswith("--checkpoint=vgg.h5: 'conv1_1/kernel' is (3, 3, 3, 5) in the file and (3, 3, 3, 1) in the")


def test_validation_on_other_joints_is_refused(capfd, hands):
    coco_writer.write(datasets.read("cmu_synth", hands)[0], hands.parent / "annotations.json", joints=[0, 8, 4])
    text = refused(capfd, f"--datapath={hands}", f"--validation_data=coco={hands.parent}")
    assert text.startswith("--validation_data has other joints than the training sets: 3 joints against 21, and joint "
                           "1 is 'index_tip' against 'thumb_cmc';")


def test_validation_on_training_pictures_is_told(capfd, hands):
    status, text = call(capfd, f"--datapath={hands}", "--limit=5", f"--validation_data=cmu_synth={hands}")
    assert status == 0 and "5 of the validation pictures are trained on, too" in text


@pytest.mark.slow
def test_the_recorded_flags_can_be_passed_back(capfd, hands):
    call(capfd, f"--datapath={hands}", "--tag=a", "--lr_boundaries=1", "--schedule=steps")
    text = pathlib.Path("models/train/a/flags.txt").read_text()
    with flagsaver.flagsaver():
        for flag in flags.FLAGS.get_flags_for_module(train):
            flag.unparse()
        command.parse_flags(["train.py", "--flagfile=models/train/a/flags.txt"])
        assert train._flags_text() == text


def test_recorded_sets_stay_in_their_order_for_that_of_samples_hangs_on_it():
    with flagsaver.flagsaver():
        command.parse_flags(["train.py", "--data=coco=B:3", "--data=cmu_synth=A:1", "--data=coco=A:2"])
        recorded = [line for line in train._flags_text().splitlines() if line.startswith("--data=")]
    assert recorded == ["--data=coco=B:3", "--data=cmu_synth=A:1", "--data=coco=A:2"]


@pytest.mark.slow
def test_one_picture_is_learnt_by_heart(tmp_path):
    """The narrow net's total loss falls under 5 % of its first value; a bug in data, loss or step shows here."""
    root = write_hands(tmp_path / "hand_labels_synth" / "synth2", 1, size=184, seed=5).parent
    subprocess.run([sys.executable, "-c", RUN, f"--datapath={root}", "--limit=1", "--augment=none",
                    "--input-width=184", "--width=0.25", "--stages=3", "--batchsize=1",
                    "--steps=300", "--lr=5e-4", "--tag=one"], check=True, cwd=tmp_path, env=os.environ)
    run = tmp_path / "models/train/one"
    lines = (run / "overfit/losses.jsonl").read_text().splitlines()
    losses = np.array([json.loads(line) for line in lines])[:, 1:].sum(1)
    assert losses[-1] < 0.05 * losses[0]
    assert images.read(run / "overfit.png").shape[0] > 500


@pytest.mark.slow
def test_a_narrow_net_learns_37_real_photographs(real_data, tmp_path):
    """Training error: it proves the path from labels to keypoints, not accuracy."""
    folder = real_data / "cmu_layout" / "manual"
    subprocess.run([sys.executable, "-c", RUN, f"--data=cmu_manual={folder}",
                    f"--validation_data=cmu_manual={folder}", "--augment=none", "--input-width=128", "--width=0.25",
                    "--stages=2", "--batchsize=8", "--steps=400", "--lr=7e-4", "--schedule=cosine",
                    "--precision=auto", "--tag=real"], check=True, cwd=tmp_path, env=os.environ)
    lines = [json.loads(line) for line in (tmp_path / "models/train/real/log.jsonl").read_text().splitlines()]
    assert lines[-1]["error_px"] < 8 and lines[-1]["pck@0.2"] > 0.95      # px of 256; 2.9 in benchmarks/MEASURED.md
