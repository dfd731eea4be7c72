"""Sets that the renderer writes: whole, repeatable, and read by the flagship's own reader."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import time

import cv2
import numpy as np
import psutil
import pytest

from cpm_hand import datasets, images
from cpm_hand.rendering import poses, scene, writer

SMALL = scene.Options(size=(64, 64))


def write(folder, count, **settings):
    return sorted(writer.write(folder, count, **{"options": SMALL, **settings}))


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "synth_rendered").iterdir())}


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    assert write(folder, 12, seed=5) == list(range(1, 13))
    return folder


def test_the_reader_of_cmus_hands_reads_it_without_a_special_case(some):
    labels, problems = datasets.read("cmu_synth", some)
    assert labels.num_hands == 12 and not problems
    assert labels.visible.all() and set(labels.is_left.tolist()) <= {0, 1}
    np.testing.assert_array_equal(labels.boxes, [[0, 0, 64, 64]] * 12)


def test_an_interrupted_set_goes_on_and_what_is_there_stays(some, tmp_path):
    write(tmp_path, 4, seed=5)
    (tmp_path / "synth_rendered" / "00000002.json").unlink()         # its label is written last
    first = (tmp_path / "synth_rendered" / "00000001.json").stat().st_mtime_ns
    assert write(tmp_path, 12, seed=5) == [2, *range(5, 13)]
    assert (tmp_path / "synth_rendered" / "00000001.json").stat().st_mtime_ns == first
    assert contents(tmp_path) == contents(some)


@pytest.mark.slow
def test_two_workers_write_the_same_bytes_as_one(some, tmp_path):
    write(tmp_path, 12, seed=5, workers=2)
    assert contents(tmp_path) == contents(some)


@pytest.mark.slow
def test_freshly_compiled_code_draws_the_same_bytes_as_cached_code(tmp_path):
    """fastmath broke this: two compilations of one kernel rounded in two ways."""
    code = ("import hashlib, sys; from cpm_hand.rendering import scene; print(hashlib.sha256(b''.join("
            "scene.render(5, i, scene.Options(size=(64, 64))).image.tobytes() for i in range(1, 9))).hexdigest())")
    fresh = subprocess.run([sys.executable, "-c", code], env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
                           text=True, capture_output=True, check=True).stdout.strip()
    here = hashlib.sha256(b"".join(scene.render(5, number, SMALL).image.tobytes() for number in range(1, 9)))
    assert fresh == here.hexdigest()


def test_another_seed_is_another_set(some):
    assert scene.render(6, 1, SMALL).label != scene.render(5, 1, SMALL).label


def test_a_set_made_otherwise_is_not_mixed_in(some):
    with pytest.raises(ValueError, match="holds a set made with other settings"):
        write(some, 13, seed=6)
    with pytest.raises(ValueError, match="holds a set made with other settings"):
        write(some, 13, seed=5, options=SMALL._replace(empty_share=0.5))


def test_pictures_of_an_older_renderer_are_not_mixed_with_todays(tmp_path):
    write(tmp_path, 1, seed=5)
    record = json.loads((tmp_path / "rendered.json").read_text())
    assert record.pop("renderer") == writer.RENDERER > 1
    (tmp_path / "rendered.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="or an older renderer"):
        write(tmp_path, 2, seed=5)


def test_a_set_made_before_an_option_existed_goes_on_where_the_option_has_its_default(tmp_path):
    write(tmp_path, 1, seed=5)
    record = json.loads((tmp_path / "rendered.json").read_text())
    del record["options"]["look"], record["options"]["second_share"]
    (tmp_path / "rendered.json").write_text(json.dumps(record))
    assert write(tmp_path, 2, seed=5) == [2]
    for other in ({"look": "thermal"}, {"second_share": 0.5}):
        with pytest.raises(ValueError, match="holds a set made with other settings"):
            write(tmp_path, 3, seed=5, options=SMALL._replace(**other))
    del record["options"]["size"]  # not the default's
    (tmp_path / "rendered.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="holds a set made with other settings"):
        write(tmp_path, 3, seed=5)


@pytest.mark.parametrize("record", ["[]", "7", '{"seed": 5}', '{"seed": 5, "options": []}',
                                    '{"seed": 5, "options": {"of": "tomorrow"}}'])
def test_a_record_of_something_else_is_another_set(tmp_path, record):
    (tmp_path / "rendered.json").write_text(record)
    with pytest.raises(ValueError, match="holds a set made with other settings"):
        write(tmp_path, 1, seed=5)


def test_a_folder_with_files_of_others_is_left_alone(tmp_path):
    (tmp_path / "synth_rendered").mkdir()
    (tmp_path / "synth_rendered" / "mine.jpg").write_bytes(b"precious")
    with pytest.raises(ValueError, match="holds files that this program did not write"):
        write(tmp_path, 1)


def test_empty_scenes_are_marked_and_read_as_pictures_without_a_hand(tmp_path):
    write(tmp_path, 6, options=SMALL._replace(empty_share=1.0))
    labels, _ = datasets.read("cmu_synth", tmp_path)
    assert labels.num_hands == 6 and not labels.has_hand.any()


def test_depth_and_mask_lie_beside_the_set_and_agree(tmp_path):
    write(tmp_path, 3, options=SMALL._replace(depth=True, mask=True))
    for number in (1, 2, 3):
        depth = cv2.imread(str(tmp_path / f"synth_rendered_depth/{number:08d}.png"), cv2.IMREAD_UNCHANGED)
        mask = cv2.imread(str(tmp_path / f"synth_rendered_mask/{number:08d}.png"), cv2.IMREAD_UNCHANGED)
        assert depth.dtype == np.uint16 and mask.dtype == np.uint8 and depth.shape == mask.shape == (64, 64)
        assert set(np.unique(mask)) <= {0, 128, 255}
        assert (depth[mask > 0] > 100).all() and 0 < (mask > 0).mean() < 1


def test_whole_scenes_have_hands_of_the_size_asked_for():
    for number in range(5):
        options = scene.Options(size=(320, 180), hand_px=(40, 60))
        made = scene.render(0, number, options)
        points = np.array(made.label["hand_pts"])[:, :2]
        assert made.image.shape == (180, 320, 3)
        assert 39.5 <= np.ptp(points, axis=0).max() <= 60.5


def test_the_users_own_pictures_stand_behind_the_hands(tmp_path):
    images.write(tmp_path / "own" / "red.png", np.full((90, 90, 3), (250, 0, 0), np.uint8))
    made = scene.render(0, 2, SMALL._replace(backgrounds=str(tmp_path / "own"), realism=0.0))
    assert (np.abs(made.image.astype(int) - (250, 0, 0)).max(-1) < 8).mean() > 0.2


@pytest.mark.parametrize("changes, text", [
    ({"size": (8, 8)}, "--size=8x8: sides must be 32 to 8192"),
    ({"size": (9000, 64)}, "--size=9000x64: sides must be 32 to 8192"),
    ({"hand_px": (90, 40)}, "--hand_px=90,40: expected MIN,MAX"),
    ({"hand_px": (-20, 40)}, "--hand_px=-20,40: expected MIN,MAX with 8 <= MIN"),
    ({"hand_px": (40, 500)}, "--hand_px=40,500: .* <= 256, four times the picture's longer side"),
    ({"hand_px": (float("nan"), 40)}, "--hand_px=nan,40: expected MIN,MAX"),
    ({"empty_share": 1.5}, "--empty_share must be between 0 and 1"),
    ({"empty_share": -0.1}, "--empty_share must be between 0 and 1, got -0.1"),
    ({"cut_share": 2}, "--cut_share must be between 0 and 1, got 2"),
    ({"second_share": -0.1}, "--second_share must be between 0 and 1, got -0.1"),
    ({"look": "sepia"}, "--look=sepia: expected colour or thermal"),
    ({"realism": -1}, "realism must be 0 or more, got -1"),
    ({"pose_weights": {"wave": 1.0}}, "pose weights need classes of"),
    ({"tone_weights": (1, 1, 1)}, "tone_weights must be six numbers"),
    ({"tone_weights": (0, 0, 0, 0, 0, 0)}, "tone_weights must be six numbers .* not all 0"),
])
def test_impossible_scenes_are_refused(changes, text):
    with pytest.raises(ValueError, match=text):
        scene.check(SMALL._replace(**changes))


def test_backgrounds_without_a_picture_are_refused(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path}: no pictures in this folder"):
        scene.check(SMALL._replace(backgrounds=str(tmp_path)))
    with pytest.raises(ValueError, match="nowhere: no such folder of background pictures"):
        scene.check(SMALL._replace(backgrounds=str(tmp_path / "nowhere")))


def test_a_broken_background_among_good_ones_is_named_before_anything_is_written(tmp_path):
    images.write(tmp_path / "own" / "good.jpg", np.zeros((50, 50, 3), np.uint8))
    (tmp_path / "own" / "broken.jpg").write_bytes((tmp_path / "own" / "good.jpg").read_bytes()[:300])
    with pytest.raises(ValueError, match=r"broken\.jpg: .* cut short .* Repair it or take it out of"):
        write(tmp_path / "set", 3, options=SMALL._replace(backgrounds=str(tmp_path / "own")))
    assert not (tmp_path / "set").exists()


@pytest.mark.slow
def test_a_background_that_goes_bad_meanwhile_stops_two_workers_with_its_name(tmp_path):
    images.write(tmp_path / "own" / "good.png", np.zeros((50, 50, 3), np.uint8))
    options = SMALL._replace(backgrounds=str(tmp_path / "own"))
    scene.check(options)
    (tmp_path / "own" / "good.png").write_bytes(b"")
    with pytest.raises(images.BadImage, match=r"good\.png: the file is empty"):
        write(tmp_path / "set", 3, options=options, workers=2)


def test_no_pictures_are_a_set_too_that_can_grow(tmp_path):
    assert write(tmp_path, 0) == []
    assert not (tmp_path / "synth_rendered").exists()
    assert write(tmp_path, 1) == [1]


def test_a_file_is_no_folder_for_a_set(tmp_path):
    (tmp_path / "taken").write_text("precious")
    with pytest.raises(ValueError, match="--out=.*taken: is a file; expected a folder"):
        write(tmp_path / "taken", 1)
    assert (tmp_path / "taken").read_text() == "precious"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OSError, match="cannot be written") as caught:
        write("/proc/1/of_nobody", 1)  # not even root may make a folder there
    assert caught.value.filename == "/proc/1/of_nobody/rendered.json"


def test_a_record_that_is_no_record_is_refused(tmp_path):
    (tmp_path / "rendered.json").write_text("{")
    with pytest.raises(ValueError, match="rendered.json: not the record of a rendered set"):
        write(tmp_path, 1)


@pytest.mark.parametrize("calls", [2, 4, 5])  # of fsync: the first is for the record, then two for each picture
def test_a_full_disk_stops_with_the_files_name_and_leaves_nothing_half_written(some, tmp_path, monkeypatch, calls):
    count, plain = 0, os.fsync

    def fsync(handle):
        nonlocal count
        count += 1
        if count == calls:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="cannot be written .No space left on device.") as caught:
        write(tmp_path, 12, seed=5)
    name = {2: "00000001.jpg", 4: "00000002.jpg", 5: "00000002.json"}[calls]
    assert caught.value.errno == errno.ENOSPC and caught.value.filename.endswith(name)
    whole = contents(some)
    left = contents(tmp_path)
    assert len(left) == calls - 2 and all(left[file] == whole[file] for file in left)
    assert write(tmp_path, 12, seed=5)[0] == (1 if calls == 2 else 2)
    assert contents(tmp_path) == whole


def test_a_picture_whose_file_was_taken_away_is_made_again(some, tmp_path):
    write(tmp_path, 2, seed=5)
    (tmp_path / "synth_rendered" / "00000001.jpg").unlink()
    assert write(tmp_path, 2, seed=5) == [1]
    assert contents(tmp_path).items() <= contents(some).items()


@pytest.mark.parametrize("settings, text", [({"count": -1}, "--count must be at least 0"),
                                            ({"seed": -1}, "--seed must be at least 0"),
                                            ({"workers": 0}, "--workers must be at least 1, got 0"),
                                            ({"workers": -2}, "--workers must be at least 1, got -2")])
def test_impossible_numbers_are_refused(tmp_path, settings, text):
    with pytest.raises(ValueError, match=text):
        list(writer.write(tmp_path, **{"count": 1, "options": SMALL, **settings}))


@pytest.mark.slow
def test_the_command_line_writes_a_set_and_a_sheet_and_explains_itself(tmp_path):
    command = [sys.executable, "-m", "cpm_hand.rendering"]
    made = subprocess.run([*command, "--out=set", "--count=4", "--size=64", "--workers=1", "--preview=sheet.png"],
                          cwd=tmp_path, text=True, capture_output=True)
    assert made.returncode == 0, made.stderr
    assert "rendered 4 pictures" in made.stdout and images.read(tmp_path / "sheet.png").shape[1] > 300
    assert "Example:" in subprocess.run(command, text=True, capture_output=True).stdout


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path):
    parent = psutil.Popen([sys.executable, "-m", "cpm_hand.rendering", "--out=set", "--count=100000", "--size=64",
                           "--workers=2"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("set/*/*.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    children = parent.children(recursive=True)
    assert len(children) >= 2
    parent.kill()
    parent.wait()
    assert not psutil.wait_procs(children, timeout=20)[1]


@pytest.mark.slow
def test_the_command_line_takes_other_weights_of_pose_classes_and_leaves_the_others(tmp_path):
    command = [sys.executable, "-m", "cpm_hand.rendering", "--out=set", "--count=3", "--size=64", "--workers=1"]
    subprocess.run([*command, "--pose_weights=sign=1e9, grip=0"], cwd=tmp_path, check=True, capture_output=True)
    record = json.loads((tmp_path / "set" / "rendered.json").read_text())
    assert record["options"]["pose_weights"] == {**poses.WEIGHTS, "sign": 1e9, "grip": 0.0}
    labels = [json.loads(path.read_text()) for path in (tmp_path / "set").glob("*/*.json")]
    assert [label["pose_class"] for label in labels] == ["sign"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("wrong, text", [
    ("--size=0", "--size=0: expected a positive number"), ("--size=10", "--size=10x10: sides must be 32"),
    ("--size=10x", "--size=10x: expected a positive number, or two with 'x' between"),
    ("--size=64x64x64", "--size=64x64x64: expected a positive number, or two"),
    ("--hand_px=a,b", "--hand_px=a,b: expected a positive number, or two with ','"),
    ("--hand_px=60,20", "--hand_px=60,20: expected MIN,MAX"), ("--hand_px=-5,20", "--hand_px=-5,20: expected a p"),
    ("--count=-1", "count=-1"), ("--count=many", "--count=many"), ("--workers=0", "workers=0"),
    ("--empty_share=1.2", "empty_share=1.2"), ("--cut_share=-1", "cut_share=-1"),
    ("--second_share=1.5", "second_share=1.5"),
    ("--look=sepia", "--look=sepia: expected colour or thermal"),
    ("--pose_weights=sign", "--pose_weights=sign: 'sign' is not CLASS=WEIGHT, as in sign=0.3; the classes are relaxed"),
    ("--pose_weights=wave=1", "pose weights need classes"), ("--pose_weights=sign=-1", "shares >= 0"),
    ("--backgrounds=nowhere", "nowhere: no such folder"), ("--out=/proc/1/x", "/proc/1/x/rendered.json: cannot be"),
    ("stray", "unexpected arguments ['stray']"),
])
def test_the_command_line_tells_in_a_line_what_is_wrong(tmp_path, wrong, text):
    bad = subprocess.run([sys.executable, "-m", "cpm_hand.rendering", "--out=set", wrong], cwd=tmp_path, text=True,
                         capture_output=True)
    assert bad.returncode != 0 and "Traceback" not in bad.stderr
    assert text in bad.stdout + bad.stderr
    assert not (tmp_path / "set").exists()
