"""The command line `test.py`: what it writes, prints and refuses."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from conftest import write_hands
from exported import random_checkpoint

from cpm_hand import checkpoints, draw, images, inference, nets, results, runtimes
from cpm_hand.cli import command, side_by_side
from cpm_hand.cli import test as cli
from cpm_hand.formats import frozen_graph
from cpm_hand.hand import Skeleton

SCRIPT = pathlib.Path(__file__).parents[1] / "test.py"
SPEC = nets.Spec("cpm", size=64, stages=2, width=1 / 16)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder with a tiny net of random weights."""
    folder = tmp_path_factory.mktemp("run")
    checkpoints.save(checkpoints.step_path(folder, 0), random_checkpoint(SPEC))
    return folder


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    images.write(path, np.random.default_rng(0).integers(0, 256, (83, 131, 3), np.uint8))
    return path


def call(*arguments):
    """Run main as absl would, and give its status."""
    values = flags.FlagValues()
    cli.define(values)
    rest = values(["test.py", *map(command._with_underscores, map(str, arguments))])
    return command._guarded(lambda argv: cli.main(argv, values), rest)


def status_and_error(capsys, *arguments):
    return call(*arguments), capsys.readouterr().err


@pytest.mark.parametrize("with_flag", [True, False])
def test_it_prints_the_joints_and_writes_four_pictures(run, photo, tmp_path, capsys, with_flag):
    picture = f"--image_path={photo}" if with_flag else photo
    assert call(f"--graph_path={run}", picture, f"--output_dir={tmp_path}/new/out", "--threshold=0") == 0
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


def test_a_picture_without_a_hand_shows_what_the_net_believes_and_no_skeleton(run, photo, tmp_path, capsys):
    assert call(f"--graph_path={run}", photo, f"--output_dir={tmp_path}", "--threshold=1") == 0
    assert "photo.png: no hand found: no presence reaches 1.00 (--threshold=0 gives" in capsys.readouterr().out
    np.testing.assert_array_equal(images.read(tmp_path / "photo_skeleton.png"), images.read(photo))
    assert (tmp_path / "photo_stages.png").exists()


@pytest.mark.parametrize("shape", [(1, 1), (1, 131), (3, 900)])
def test_a_picture_of_a_pixel_or_a_thin_one_is_a_picture(run, tmp_path, capsys, shape):
    images.write(tmp_path / "thin.png", np.full((*shape, 3), 90, np.uint8))
    for threshold, said in ((0, "presence"), (1, "no hand found")):
        assert call(f"--graph_path={run}", tmp_path / "thin.png", f"--output_dir={tmp_path}/out",
                    f"--threshold={threshold}") == 0
        assert said in capsys.readouterr().out
    assert len(os.listdir(tmp_path / "out")) == 4


def test_dashes_and_a_box_are_taken(run, photo, tmp_path, capsys):
    given = f"--graph-path={run}", f"--image-path={photo}", f"--output_dir={tmp_path}", "--box=40,30,20,25"
    assert call(*given) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:22]]
    side = 25 * 2.2
    for _, x, y, _ in rows:                                            # in the crop, in the picture's pixels
        assert abs(float(x) - 49.5) <= side / 2 + 0.1 and abs(float(y) - 42) <= side / 2 + 0.1


def test_an_artefact_without_maps_finds_the_same_and_draws_the_skeleton_alone(run, photo, tmp_path, capsys):
    model = inference.inference_model(runtimes.restore_net(checkpoints.find(run)), SPEC.target, maps=False)
    path = tmp_path / "keypoints.pb"
    frozen_graph.write(model, {"spec": SPEC.to_json()}, path)
    printed = {}
    for graph in (run, path):
        assert call(f"--graph_path={graph}", photo, f"--output_dir={tmp_path}/{graph.stem}_out", "--threshold=0") == 0
        printed[graph] = capsys.readouterr().out.splitlines()
    assert printed[path][:22] == printed[run][:22]
    assert os.listdir(tmp_path / "keypoints_out") == ["photo_skeleton.png"]
    assert printed[path][-1] == f"{path}: exported with --outputs=keypoints, so there are no belief maps to draw."


def test_without_flags_it_explains_itself(capsys):
    assert call() == 0
    assert "python test.py --graph_path=" in capsys.readouterr().out


def test_several_boxes_give_several_hands_in_order(run, photo, tmp_path, capsys):
    assert call(f"--graph_path={run}", photo, f"--output_dir={tmp_path}", "--box=40,30,20,25", "--box=90,40,20,20") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    wrists = [(float(x), float(y)) for name, x, y, _ in (row for row in rows if row[:1] == ["wrist"])]
    assert len(wrists) == 2
    for (x, y), middle, side in zip(wrists, ((49.5, 42), (99.5, 49.5)), (55, 44)):
        assert abs(x - middle[0]) <= side / 2 + 0.1 and abs(y - middle[1]) <= side / 2 + 0.1


# Many pictures

@pytest.fixture
def album(tmp_path):
    """Three good pictures, one that is cut short, and a file that is none."""
    folder = tmp_path / "album"
    rng = np.random.default_rng(0)
    for name, size in (("b.jpg", (60, 80)), ("a.png", (90, 70)), ("c.png", (64, 64))):
        images.write(folder / name, rng.integers(0, 256, (*size, 3), np.uint8))
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:200])
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_of_a_folder_every_picture_is_done_and_the_broken_one_reported_at_the_end(run, album, tmp_path, capsys):
    out = tmp_path / "out"
    given = [f"--graph_path={run}", album, "--threshold=0", f"--output_dir={out}", f"--write_json={tmp_path}/x/h.json",
             f"--write_csv={tmp_path}/x/h.csv", f"--write_openpose_json={tmp_path}/op"]
    assert call(*given) == 1
    printed, error = capsys.readouterr()
    assert error == f"error: {album}/broken.png: the picture is cut short after 200 bytes; copy or load it again.\n"
    lines = printed.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == [f"{album}/{name}" for name in ("a.png", "b.jpg", "c.png")]
    assert lines[3] == "3 hands in 3 of 3 pictures; 1 could not be read"
    assert sorted(path.name for path in out.iterdir()) == ["a_skeleton.png", "b_skeleton.png", "c_skeleton.png"]
    assert images.read(out / "b_skeleton.png").shape == (60, 80, 3)
    read = json.loads((tmp_path / "x/h.json").read_text())
    assert [(each["path"], each["width"], each["height"], len(each["hands"])) for each in read["pictures"]] == [
        (f"{album}/a.png", 70, 90, 1), (f"{album}/b.jpg", 80, 60, 1), (f"{album}/c.png", 64, 64, 1)]
    assert list(read["unreadable"]) == [f"{album}/broken.png"] and read["settings"]["threshold"] == 0
    assert len((tmp_path / "x/h.csv").read_text().splitlines()) == 4
    assert sorted(path.name for path in (tmp_path / "op").iterdir()) == [f"{name}_keypoints.json" for name in "abc"]


def test_many_pictures_give_what_each_gives_alone(run, album, tmp_path, capsys):
    # One look each: several looks of a net that knows nothing are so even that rounding decides among them.
    usual = f"--graph_path={run}", "--threshold=0", "--scale=1", f"--output_dir={tmp_path}/out"
    call(*usual, album, f"--write_json={tmp_path}/all.json", "--batchsize=3")
    together = json.loads((tmp_path / "all.json").read_text())["pictures"]
    assert len(together) == 3
    for each in together:
        call(*usual, each["path"], f"--write_json={tmp_path}/one.json")
        alone, = json.loads((tmp_path / "one.json").read_text())["pictures"]
        for one, other in zip(alone["hands"], each["hands"], strict=True):
            np.testing.assert_allclose(other["keypoints"], one["keypoints"], atol=0.05)


def test_only_the_files_asked_for_are_written(run, album, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(f"--graph_path={run}", "album/*.jpg", "album/a.png", "--write_csv=hands.csv", "--threshold=0") == 0
    assert (tmp_path / "hands.csv").exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize(("more", "side"), [
    ([], "right"), (["--assume_left"], "left"), (["--handedness=left"], "left")])
def test_openpose_s_file_has_the_hand_on_the_side_asked_for(run, photo, tmp_path, capsys, more, side):
    assert call(f"--graph_path={run}", photo, "--threshold=0", f"--write_openpose_json={tmp_path}/op", *more) == 0
    person, = json.loads((tmp_path / "op/photo_keypoints.json").read_text())["people"]
    assert any(person[f"hand_{side}_keypoints_2d"])


def test_what_was_found_before_an_interruption_is_written(run, album, tmp_path, capsys, monkeypatch):
    write, calls = images.write, []

    def interrupted(path, image):
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        write(path, image)

    monkeypatch.setattr(images, "write", interrupted)
    assert call(f"--graph_path={run}", album, "--threshold=0", f"--output_dir={tmp_path}/out",
                f"--write_csv={tmp_path}/h.csv") == 130
    assert len((tmp_path / "h.csv").read_text().splitlines()) == 4


def test_a_sheet_of_what_was_found_before_an_interruption_is_written(run, album, tmp_path, monkeypatch):
    read, calls = images.read, []

    def interrupted(path, **more):
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read(path, **more)

    monkeypatch.setattr(images, "read", interrupted)
    assert call(f"--graph_path={run}", f"--graph_path={run}/", album, f"--output_dir={tmp_path}/out") == 130
    monkeypatch.undo()
    assert images.read(tmp_path / "out/side_by_side.png").shape[1] >= 2 * side_by_side.CELL_PX


def test_files_folders_and_patterns_become_paths_each_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in/b.jpg", "in/a.JPG", "in/x.txt", "in/deep/c.png", "odd[1].jpg"):
        pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(name).touch()
    assert cli.expand(["in"]) == ["in/a.JPG", "in/b.jpg"]
    assert cli.expand(["in/*.jpg", "in", "none.jpg"]) == ["in/b.jpg", "in/a.JPG", "none.jpg"]
    assert cli.expand(["in/**/*.png"]) == ["in/deep/c.png"]
    assert cli.expand(["odd[1].jpg"]) == ["odd[1].jpg"]                # a file of that name, no pattern
    with pytest.raises(ValueError, match=r"in/deep/\*.gif: no file fits this pattern"):
        cli.expand(["in/deep/*.gif"])
    with pytest.raises(ValueError, match="the name of a picture is empty"):
        cli.expand([""])
    pathlib.Path("in/folder.png").mkdir()                              # a folder, whatever it is called
    assert cli.expand(["in"]) == ["in/a.JPG", "in/b.jpg"]
    pathlib.Path("empty").mkdir()
    with pytest.raises(ValueError, match="empty/: no pictures in this folder .* give 'empty/"):
        cli.expand(["empty/"])


def test_several_artefacts_are_shown_side_by_side_a_row_for_each_picture(run, album, tmp_path, capsys):
    checkpoints.save(tmp_path / "other.npz", random_checkpoint(SPEC._replace(size=48), seed=1))
    paths = {"run": run, "other": tmp_path / "other.npz"}
    assert call(*[f"--graph_path={path}" for path in paths.values()], album, f"--output_dir={tmp_path}/out",
                "--threshold=0") == 1
    printed = capsys.readouterr()
    assert f"wrote {tmp_path}/out/side_by_side.png" in printed.out and "broken.png" in printed.err
    count = 3
    gap, bar = 4, 20
    side = side_by_side.CELL_PX
    sheet = images.read(tmp_path / "out/side_by_side.png")
    assert sheet.shape == (count * (side + bar + gap) + gap, 2 * (side + gap) + gap, 3)
    for column, path in enumerate(paths.values()):                                    # c.png is square: no margin
        assert call(f"--graph_path={path}", album / "c.png", f"--output_dir={tmp_path}/{column}", "--threshold=0") == 0
        alone = draw.scaled(images.read(tmp_path / f"{column}/c_skeleton.png"), side)
        top, left = 2 * (side + bar + gap) + gap + bar, column * (side + gap) + gap
        np.testing.assert_array_equal(sheet[top:top + side, left:left + side], alone)
    titles = sheet[gap:gap + bar, gap:gap + side], sheet[gap:gap + bar, side + 2 * gap:2 * (side + gap)]
    assert (titles[0] != titles[1]).any()
    assert os.listdir(tmp_path / "out") == ["side_by_side.png"]


def test_many_pictures_are_shown_on_several_sheets_none_of_which_is_written_over_a_picture(run, tmp_path, capsys,
                                                                                           monkeypatch):
    monkeypatch.setattr(side_by_side, "ROWS", 2)
    for number in range(5):
        images.write(tmp_path / f"in/{number}.png", np.full((20, 20, 3), number, np.uint8))
    arguments = [f"--graph_path={run}", f"--graph_path={run}/", tmp_path / "in", f"--output_dir={tmp_path}/out"]
    assert call(*arguments) == 0
    sheets = [tmp_path / f"out/side_by_side{number}.png" for number in ("", "_2", "_3")]
    assert capsys.readouterr().out.splitlines() == [f"wrote {sheet}" for sheet in sheets]
    row = side_by_side.CELL_PX + 20 + 4
    assert [images.read(sheet).shape[0] - 4 for sheet in sheets] == [2 * row, 2 * row, row]
    status, error = status_and_error(capsys, *arguments[:2], sheets[0], f"--output_dir={tmp_path}/out")
    assert status == 1 and "side_by_side.png: is one of the pictures, and would be written over" in error


@pytest.mark.parametrize(("arguments", "text"), [
    (["--box=500,500,10,10"], "error: box x=500 y=500 w=10 h=10 lies outside the picture of 131 x 83 px."),
    (["other.jpg", "--box=1,2,3,4"], "error: --box is for one picture, got 2."),
    (["other.jpg", "--show"], "error: --show is for one picture, got 2."),
    (["--graph_path=other.pb"], "error: --write_csv is for one --graph_path, got 2: those of several are compared on"),
    (["--skip_bad"], "error: --skip_bad is for --evaluate"),
    (["--evaluate", "--data=cmu_manual=x"], "error: --evaluate takes labelled sets, --data=NAME=DIR, and not pictures"),
    (["--output_dir=/dev/null/x"], "error: /dev/null/x: Not a directory"),
    (["--write_json=/dev/null/x.json"], "error: /dev/null: File exists"),
    (["--write_csv=/"], "error: --write_csv=/: this is a folder; give the name of a file."),
])
def test_a_mistake_is_one_line(run, photo, tmp_path, capsys, arguments, text):
    usual = [f"--graph_path={run}", f"--image_path={photo}", f"--output_dir={tmp_path}",
             f"--write_csv={tmp_path}/h.csv"]
    status, error = status_and_error(capsys, *usual, *arguments)
    assert status == 1 and error.startswith(text) and len(error.splitlines()) == 1
    assert not (tmp_path / "h.csv").exists() or "/dev/null/x:" in text


def test_a_folder_that_takes_no_table_is_told_of_before_the_work(run, photo, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not (str(path) == str(tmp_path) and mode == os.W_OK))
    status, error = status_and_error(capsys, f"--graph_path={run}", photo, f"--write_csv={tmp_path}/h.csv")
    assert (status, error) == (1, f"error: --write_csv={tmp_path}/h.csv: nothing may be written there; give another "
                                  "place.\n")
    assert call(f"--graph_path={run}", photo, "--write_csv=/dev/stdout") == 0


def test_a_table_that_can_be_written_is_though_the_other_one_cannot(run, photo, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(results, "write_json", full)
    status, error = status_and_error(capsys, f"--graph_path={run}", photo, f"--write_json={tmp_path}/h.json",
                                     f"--write_csv={tmp_path}/h.csv")
    assert status == 1 and "no space left" in error and (tmp_path / "h.csv").exists()


def test_openposes_files_are_refused_to_a_net_of_other_joints_before_the_work(photo, tmp_path, capsys):
    pair = Skeleton(names=("one", "other"), bones=((0, 1),), groups=(("both", (0, 1)),))
    checkpoints.save(tmp_path / "pair.npz", random_checkpoint(SPEC._replace(skeleton=pair)))
    status, error = status_and_error(capsys, f"--graph_path={tmp_path}/pair.npz", photo, "--threshold=1",  # no hand
                                     f"--write_openpose_json={tmp_path}/op")
    assert status == 1 and error.startswith("error: OpenPose's files hold hands of 21 joints, this net finds 2;")


def test_an_artefact_that_is_not_there_is_one_line(photo, capsys):
    status, error = status_and_error(capsys, "--graph_path=none.pb", photo)
    assert status == 1 and error.startswith("error: none.pb: no such file or folder; expected a run's folder")


@pytest.mark.parametrize("box", [[], ["--box=1,2,30,40"], ["--box=1,2,30,40", "--box=5,5,9,9"]])
def test_a_picture_that_is_not_there_is_one_line(run, tmp_path, capsys, box):
    status, error = status_and_error(capsys, f"--graph_path={run}", "none.jpg", f"--output_dir={tmp_path}", *box)
    assert (status, error) == (1, "error: none.jpg: no such image file.\n")


def test_no_picture_that_was_given_is_written_over(run, tmp_path, capsys):
    for name in ("a.png", "a_skeleton.png"):
        images.write(tmp_path / name, np.zeros((9, 9, 3), np.uint8))
    status, error = status_and_error(capsys, f"--graph_path={run}", tmp_path, f"--output_dir={tmp_path}")
    assert status == 1 and error == (f"error: {tmp_path}/a_skeleton.png: is one of the pictures, and would be written "
                                     f"over; give another --output_dir.\n")
    assert images.read(tmp_path / "a_skeleton.png").shape == (9, 9, 3)


def test_a_protocol_is_for_evaluations(run, photo, capsys):
    status, error = status_and_error(capsys, f"--graph_path={run}", photo, "--protocol=W")
    assert status == 1 and error.startswith("error: --protocol is for --evaluate;")


# Evaluation

@pytest.mark.parametrize("protocol", ["G", "W"])
def test_evaluation_prints_the_main_numbers_and_writes_them_all(run, tmp_path, capsys, protocol):
    labelled = write_hands(tmp_path / "manual", 5)
    assert call(f"--graph_path={run}", "--evaluate", f"--protocol={protocol}", f"--data=cmu_manual={labelled}",
                f"--output_dir={tmp_path}/out") == 0
    printed = capsys.readouterr().out
    stem = tmp_path / "out" / f"{run.name}_cmu_manual_manual_{protocol}"
    assert f"protocol {protocol}" in printed and f"wrote {stem}.json and .npz" in printed
    numbers = {row["name"]: row for row in json.loads(stem.with_suffix(".json").read_text())["numbers"]}
    line = next(line.split() for line in printed.splitlines() if line.startswith("pck@0.2"))
    assert float(line[1]) == pytest.approx(numbers["pck@0.2"]["value"], rel=1e-3)
    assert line[-1] == "105" == str(numbers["pck@0.2"]["count"]) and "pck@0.2/index" not in printed
    assert np.load(stem.with_suffix(".npz"))["distances"].shape == (5, 21)
    page = (tmp_path / "out" / f"report_cmu_manual_manual_{protocol}.html").read_text()
    assert page.count(run.name) and str(labelled) in page and "<script" not in page


def test_several_artefacts_and_sets_are_told_apart(run, tmp_path, capsys):
    one, other = write_hands(tmp_path / "a" / "hands", 2), write_hands(tmp_path / "b" / "hands", 3)
    assert call(f"--graph_path={run}", f"--graph_path={run}/", "--evaluate", f"--data=cmu_manual={one}",
                f"--data=cmu_manual={other}", f"--output_dir={tmp_path}/out") == 0
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert sum(name.endswith(".npz") for name in made) == 4
    assert [name for name in made if name.endswith(".html")] == ["report_cmu_manual_hands_2_G.html",
                                                                 "report_cmu_manual_hands_G.html"]


def test_what_an_evaluation_would_fail_at_in_the_end_is_told_before_anything_is_measured(run, tmp_path, capsys):
    labelled = write_hands(tmp_path / "manual", 2)
    (tmp_path / "file").touch()
    usual = "--evaluate", f"--graph_path={run}", f"--data=cmu_manual={labelled}", f"--output_dir={tmp_path}/out"
    for more, text in (([f"--output_dir={tmp_path}/file/out"], "file is no folder that can be written to"),
                       (["--graph_path=typo"], "typo: no such file or folder"),
                       (["--data=cmu_manual=none"], "none: no such folder")):
        status, error = status_and_error(capsys, *usual, *more)
        assert status == 1 and text in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def cut_short(picture):
    """Leave half of a file: of a picture the size can still be read."""
    picture.write_bytes(picture.read_bytes()[:picture.stat().st_size // 2])


@pytest.fixture
def damaged(tmp_path):
    """Five hands, of which one picture is cut short, one is no picture, and one label is no label."""
    folder = write_hands(tmp_path / "manual", 5)
    pictures, labels = (sorted(folder.glob(pattern)) for pattern in ("*.jpg", "*.json"))
    cut_short(pictures[0])
    pictures[1].write_bytes(b"no picture")
    labels[2].write_text("{")
    return folder, (pictures[0], pictures[1], labels[2])


@pytest.mark.parametrize(("damage", "suffix"), [(cut_short, ".jpg"), (lambda path: path.write_bytes(b"x"), ".jpg"),
                                                (cut_short, ".json")], ids=["cut short", "no picture", "no label"])
def test_an_evaluation_stops_at_what_cannot_be_used_and_writes_nothing(run, tmp_path, capsys, damage, suffix):
    folder = write_hands(tmp_path / "manual", 3)
    bad = sorted(folder.glob(f"*{suffix}"))[1]
    damage(bad)
    status, error = status_and_error(capsys, f"--graph_path={run}", "--evaluate", f"--data=cmu_manual={folder}",
                                     f"--output_dir={tmp_path}/out")
    assert status == 1 and error.startswith("error: ") and bad.name in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_evaluation_that_skips_the_bad_measures_the_rest_and_lists_them(run, damaged, tmp_path, capsys):
    folder, bad = damaged
    status, error = status_and_error(capsys, f"--graph_path={run}", "--evaluate", f"--data=cmu_manual={folder}",
                                     "--skip_bad", f"--output_dir={tmp_path}/out")
    listed = [line for line in error.splitlines() if line.startswith("left out: ")]
    assert status == 1 and len(listed) == 3
    for path in bad:
        assert any(str(path) in line or path.with_suffix(".jpg").name in line for line in listed)
    kept, = (tmp_path / "out").glob("*.npz")
    assert np.load(kept)["distances"].shape == (2, 21)
    assert json.loads(kept.with_suffix(".json").read_text())["left_out"] == [line[10:] for line in listed]
    page, = (tmp_path / "out").glob("*.html")
    assert "3 left out" in page.read_text()


def test_pictures_without_a_hand_are_not_bad(run, tmp_path, capsys):
    folder = write_hands(tmp_path / "manual", 3)
    for label in folder.glob("*.json"):
        label.write_text('{"has_hand": false}')
    usual = [f"--graph_path={run}", "--evaluate", "--protocol=W", f"--data=cmu_manual={folder}", "--skip_bad"]
    assert call(*usual, f"--output_dir={tmp_path}/out") == 0
    assert "of 3\n" in capsys.readouterr().out.split("false_detections")[1]
    cut_short(sorted(folder.glob("*.jpg"))[0])
    status, error = status_and_error(capsys, *usual, f"--output_dir={tmp_path}/fewer")
    assert status == 1 and error.startswith("left out: ") and len(error.splitlines()) == 1


def test_what_was_left_out_is_said_even_if_a_later_set_fails(run, damaged, tmp_path, capsys):
    status, error = status_and_error(capsys, f"--graph_path={run}", "--evaluate", f"--data=cmu_manual={damaged[0]}",
                                     "--data=cmu_manual=none", "--skip_bad", f"--output_dir={tmp_path}/out")
    assert status == 1 and error.count("left out: ") == 3 and "error: none: no such folder" in error


def test_an_evaluation_without_one_usable_hand_is_one_line(run, tmp_path, capsys):
    folder = write_hands(tmp_path / "manual", 2)
    for picture in folder.glob("*.jpg"):
        cut_short(picture)
    status, error = status_and_error(capsys, f"--graph_path={run}", "--evaluate", f"--data=cmu_manual={folder}",
                                     "--skip_bad", f"--output_dir={tmp_path}/out")
    assert status == 1 and len(error.splitlines()) == 1 and "manual: all samples are bad; the first: " in error


@pytest.mark.parametrize(("arguments", "text"), [
    (["--evaluate"], "error: --evaluate needs a labelled set, --data=NAME=DIR"),
    (["--data=cmu_manual=x"], "error: --evaluate needs a labelled set, --data=NAME=DIR, and --data needs --evaluate."),
    (["--evaluate", "--data=mine=x"], "error: --data=mine=x: unknown dataset 'mine'"),
    (["--evaluate", "--data=cmu_manual=none"], "error: none: no such folder"),
    (["--evaluate", "--data=cmu_manual=none:2"], "error: --data=cmu_manual=none:2: takes no :WEIGHT, for each"),
    (["--evaluate", "--data=cmu_manual=x", "--write_csv=x.csv"], "error: --write_csv is not for --evaluate, which"),
    (["--evaluate", "--data=cmu_manual=x", "--box=1,2,3,4"], "error: --box is not for --evaluate, which"),
])
def test_an_evaluation_of_nothing_is_one_line(run, capsys, arguments, text):
    status, error = status_and_error(capsys, f"--graph_path={run}", *arguments)
    assert status == 1 and error.startswith(text) and len(error.splitlines()) == 1


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "1,2,3,nan", ""])
def test_a_box_that_is_not_four_numbers_is_refused_as_a_flag(box):
    with pytest.raises(flags.IllegalFlagValueError, match="four numbers X,Y,W,H"):
        call(f"--box={box}")


def test_show_without_a_display_says_so_and_still_writes(run, photo, tmp_path, capsys, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    status, error = status_and_error(capsys, f"--graph_path={run}", f"--image_path={photo}",
                                     f"--output_dir={tmp_path}", "--show")
    assert status == 0 and "--show: no windows, for there is no display" in error
    assert (tmp_path / "photo_skeleton.png").exists()


def test_show_shows_though_a_table_alone_was_asked_for(run, photo, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    status, error = status_and_error(capsys, f"--graph_path={run}", f"--image_path={photo}", "--write_json=x.json",
                                     "--show")
    assert status == 0 and "--show: no windows, for there is no display" in error
    assert (tmp_path / "x.json").exists() and (tmp_path / "out" / "photo_skeleton.png").exists()


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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="this system's file names are text")
def test_a_name_whose_bytes_are_no_text_is_printed_and_written(run, photo, tmp_path):
    odd = os.fsencode(tmp_path) + b"/caf\xe9.png"  # as zips of other systems leave them
    with open(odd, "wb") as file:
        file.write(photo.read_bytes())
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}  # what most terminals have
    arguments = [f"--graph-path={run}", "--threshold=0", "--write_csv=a.csv", photo, odd]
    result = subprocess.run([sys.executable, SCRIPT, *arguments], cwd=tmp_path, env=environment, capture_output=True,
                            text=True, timeout=300, check=False)
    assert (result.returncode, result.stderr) == (0, "") and r"caf\udce9.png" in result.stdout
    assert b"caf\xe9.png" in (tmp_path / "a.csv").read_bytes()
