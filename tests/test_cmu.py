"""CMU's label files: what is read, which boxes and groups they get, and the ways they can be wrong."""

import json
import os
import pathlib

import cv2
import numpy as np
import pytest
from conftest import datasets_command, write_grey

from cpm_hand import datasets
from cpm_hand.datasets import cmu
from cpm_hand.labels import BadSample, validation_mask

POINTS = [[10.0 + joint, 20.0 + 2 * joint, 1] for joint in range(21)]  # tight box: 10, 20, 21 x 41
ORIGIN = "domedb.perception.cs.cmu.edu"


def write_sample(folder, name="0001", width=64, height=64, **fields):
    """NAME.jpg and NAME.json; a field of None is left out."""
    write_grey(folder / f"{name}.jpg", width, height)
    fields = {"hand_pts": POINTS, "is_left": 1, **fields}
    (folder / f"{name}.json").write_text(json.dumps({k: v for k, v in fields.items() if v is not None}))
    return folder


def write_panoptic(folder, items=({},)):
    for item in items:
        item.setdefault("img_paths", "imgs/00000001.jpg")
        item.setdefault("joint_self", POINTS)
        if isinstance(item["img_paths"], str) and ".." not in item["img_paths"]:
            write_grey(folder / item["img_paths"], 192, 108)
    folder.mkdir(exist_ok=True)
    (folder / cmu.PANOPTIC_JSON).write_text(json.dumps({"root": list(items)}))
    return folder


def points(joint, row):
    """POINTS with one row replaced."""
    return [row if number == joint else old for number, old in enumerate(POINTS)]


def manual(tmp_path, **fields):
    """The labels of one sample in a plain folder."""
    return cmu.read_manual(write_sample(tmp_path / "hands", **fields))[0]


# What is read

def test_a_label_is_read_as_it_stands(tmp_path):
    labels = manual(tmp_path, hand_pts=points(7, [1.5, 2.5, 0]), is_left=0, head_size=140.0)
    assert labels.keypoints[0, 3].tolist() == [13.0, 26.0] and labels.keypoints.shape == (1, 21, 2)
    assert np.flatnonzero(~labels.visible[0]).tolist() == [7]
    assert (labels.is_left[0], labels.head_size[0], labels.has_hand[0]) == (0, 140.0, True)
    assert pathlib.Path(labels.paths[0]) == tmp_path / "hands" / "0001.jpg"


@pytest.mark.parametrize("given, read", [(1, 1), (0, 0), (True, 1), (False, 0), (1.0, 1), (None, -1)])
def test_handedness_is_read_and_not_assumed(tmp_path, given, read):
    assert manual(tmp_path, is_left=given).is_left.tolist() == [read]


@pytest.mark.parametrize("given", [None, 0])
def test_a_head_size_that_is_absent_or_zero_is_unknown(tmp_path, given):
    assert np.isnan(manual(tmp_path, head_size=given).head_size[0])


def test_joints_outside_the_picture_and_at_zero_stay_visible(tmp_path):
    labels = manual(tmp_path, hand_pts=points(4, [-30.0, 0.0, 1]))
    assert labels.visible.all() and labels.keypoints[0, 4].tolist() == [-30.0, 0.0]


def test_any_positive_third_number_means_visible(tmp_path):
    assert manual(tmp_path, hand_pts=points(4, [5, 5, 2])).visible.all()


def test_file_names_may_contain_dots(tmp_path):
    write_sample(tmp_path, "ex2_2.flv_000040_l")
    write_sample(tmp_path, "ex2_2.flv_000041_l", is_left=0)
    labels, _ = cmu.read_manual(tmp_path)
    names = [os.path.basename(path) for path in labels.paths]
    assert names == ["ex2_2.flv_000040_l.jpg", "ex2_2.flv_000041_l.jpg"]
    assert labels.is_left.tolist() == [1, 0]


def test_a_picture_without_a_hand_needs_no_points_and_has_the_whole_picture_as_its_box(tmp_path):
    labels = manual(tmp_path, width=80, height=60, hand_pts=None, is_left=None, has_hand=False)
    assert not labels.has_hand[0] and not labels.visible.any()
    assert labels.boxes[0].tolist() == [0.0, -10.0, 80.0, 80.0]


def test_the_fingertips_that_synth1_lacks_are_not_visible(tmp_path):
    without = [row for joint, row in enumerate(POINTS) if joint not in (4, 8, 12, 16, 20)]
    unmarked = [[*row[:2], int(joint not in (4, 8, 12, 16, 20))] for joint, row in enumerate(POINTS)]
    folder = write_sample(tmp_path / "synth1", "1", hand_pts=without)
    write_sample(folder, "2", hand_pts=unmarked)
    labels, _ = cmu.read_synth(folder)
    assert [np.flatnonzero(~row).tolist() for row in labels.visible] == [[4, 8, 12, 16, 20]] * 2
    first, second = (labels.keypoints[row][labels.visible[row]] for row in (0, 1))
    np.testing.assert_array_equal(first, second)


def test_sixteen_rows_are_an_error_outside_synth1(tmp_path):
    with pytest.raises(BadSample, match="has 16 rows of 3 numbers; expected 21 rows"):
        cmu.read_synth(write_sample(tmp_path / "synth2", hand_pts=POINTS[:16]))


# Folders

@pytest.fixture
def cmu_root(tmp_path):
    for folder in ("synth1", "synth2", "synth3", "synth4", "synth_rendered", "output_viz_synth"):
        write_sample(tmp_path / "hand_labels_synth" / folder)
    for folder in ("manual_train", "manual_test"):
        write_sample(tmp_path / "hand_labels" / folder, "003_01_l")
    write_panoptic(tmp_path / "hand143_panopticdb")
    return tmp_path


def folders_read(result):
    return [pathlib.Path(path).parent.name for path in result[0].paths]


@pytest.mark.parametrize("name, inside, folders", [
    ("cmu_synth", "", ["synth2", "synth3", "synth_rendered"]),
    ("cmu_synth", "hand_labels_synth", ["synth2", "synth3", "synth_rendered"]),
    ("cmu_synth", "hand_labels_synth/synth4", ["synth4"]),
    ("cmu_manual", "", ["manual_train"]),
    ("cmu_manual", "hand_labels", ["manual_train"]),
    ("cmu_manual", "hand_labels/manual_test", ["manual_test"]),
    ("cmu_panoptic", "", ["imgs"]),
    ("cmu_panoptic", "hand143_panopticdb", ["imgs"]),
])
def test_the_root_may_be_the_set_the_folder_around_it_or_one_folder_of_it(cmu_root, name, inside, folders):
    assert folders_read(datasets.read(name, cmu_root / inside)) == folders


def test_all_folders_are_found_and_the_drawings_are_not(cmu_root):
    assert [(data, folder.name, expected) for data, folder, expected in cmu.find(cmu_root)] == [
        ("cmu_synth", "synth1", 6546), ("cmu_synth", "synth2", 3243), ("cmu_synth", "synth3", 2348),
        ("cmu_synth", "synth4", 2124), ("cmu_synth", "synth_rendered", None),
        ("cmu_manual", "manual_test", 846), ("cmu_manual", "manual_train", 1912),
        ("cmu_panoptic", "hand143_panopticdb", 14817)]


def test_the_published_synthetic_set_has_14261_samples():
    assert sum(cmu.COUNTS["cmu_synth"].values()) == 14261


def test_an_unknown_name_is_answered_with_the_names_there_are(tmp_path):
    with pytest.raises(ValueError, match="'cmu'; .* cmu_manual, cmu_panoptic, cmu_synth"):
        datasets.read("cmu", tmp_path)


# Boxes

@pytest.mark.parametrize("folder", ["synth2", "synth3", "synth_rendered"])
def test_square_pictures_of_the_cropped_sets_are_taken_whole(tmp_path, folder):
    assert cmu.read_synth(write_sample(tmp_path / folder))[0].boxes[0].tolist() == [0, 0, 64, 64]


@pytest.mark.parametrize("folder, width", [("synth2", 80), ("synth1", 64), ("synth4", 64), ("my_hands", 64)])
def test_elsewhere_the_box_is_2_2_times_the_tight_one(tmp_path, folder, width):
    labels, _ = cmu.read_synth(write_sample(tmp_path / folder, width=width))
    # Joints lie on x 10 .. 30 and y 20 .. 60: the centre is (20, 40), the side 2.2 * 41 = 90.2, the corner
    # (90.2 - 1) / 2 = 44.6 before the centre.
    np.testing.assert_allclose(labels.boxes[0], [-24.6, -4.6, 90.2, 90.2], rtol=1e-6)


def test_joints_that_are_not_visible_do_not_stretch_the_box(tmp_path):
    inside = manual(tmp_path / "a", hand_pts=points(8, [20, 40, 0]))
    outside = manual(tmp_path / "b", hand_pts=points(8, [900, 900, 0]))
    np.testing.assert_array_equal(inside.boxes, outside.boxes)


def test_the_folder_one_stands_in_has_its_name_all_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(write_sample(tmp_path / "synth2"))
    labels, _ = cmu.read_synth(".")
    assert labels.boxes[0].tolist() == [0, 0, 64, 64] and labels.groups.tolist() == ["cmu_synth:synth2/0001"]


# Groups

@pytest.mark.parametrize("name, group", [
    ("015601864_01_l", "cmu_manual:015601864"),
    ("015601864_02_r", "cmu_manual:015601864"),
    ("ex2_2.flv_000040_l", "cmu_manual:ex2_2.flv"),
    ("uci_001L0_0455_l", "cmu_manual:uci_001L0"),
    ("holiday", "cmu_manual:hands/holiday"),
])
def test_a_group_is_the_photograph_or_video_that_the_name_tells(tmp_path, name, group):
    assert cmu.read_manual(write_sample(tmp_path / "hands", name))[0].groups.tolist() == [group]


def test_two_hands_of_one_photograph_never_part(tmp_path):
    for photograph in range(12):
        for person, side in ((1, "l"), (1, "r"), (2, "l")):
            write_sample(tmp_path, f"{photograph:09d}_{person:02d}_{side}")
    groups = cmu.read_manual(tmp_path)[0].groups
    mask = validation_mask(groups, 0.5).reshape(12, 3)
    assert (mask == mask[:, :1]).all() and 0 < mask[:, 0].sum() < 12


def test_synthetic_pictures_of_equal_names_are_different_groups(cmu_root):
    labels, _ = cmu.read_synth(cmu_root)
    assert labels.groups.tolist() == [f"cmu_synth:{folder}/0001" for folder in cmu.DEFAULTS["cmu_synth"]]


def test_neighbouring_panoptic_pictures_share_a_group(tmp_path):
    names = [f"imgs/{number:08d}.jpg" for number in (0, 99, 100)]
    labels, _ = cmu.read_panoptic(write_panoptic(tmp_path / "dome", [{"img_paths": name} for name in names]))
    assert labels.groups.tolist() == ["cmu_panoptic:block 0", "cmu_panoptic:block 0", "cmu_panoptic:block 1"]


def test_a_panoptic_label_is_read_as_it_stands(tmp_path):
    items = [{"joint_self": points(0, [500, 0, 0])}, {"is_left": 1, "img_paths": "imgs/00000007.jpg"}]
    labels, problems = cmu.read_panoptic(write_panoptic(tmp_path / "dome", items))
    assert labels.visible.sum(1).tolist() == [20, 21] and labels.is_left.tolist() == [-1, 1]
    assert problems == []
    np.testing.assert_allclose(labels.boxes[1, 2:], 2.2 * 41, rtol=1e-6)


# Errors: the folder

def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"nothing-here: no such folder; .*{ORIGIN}"):
        cmu.read_synth(tmp_path / "nothing-here")


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "hands.zip").write_bytes(b"PK")
    with pytest.raises(ValueError, match="hands.zip: a file, not a folder"):
        cmu.read_manual(tmp_path / "hands.zip")


@pytest.mark.parametrize("name, layout", [
    ("cmu_synth", "synth2/, synth3/, synth_rendered/, here or in hand_labels_synth/, and for NAME.jpg"),
    ("cmu_manual", "manual_train/, here or in hand_labels/, and for NAME.jpg"),
    ("cmu_panoptic", "hands_v143_14817.json, here or in hand143_panopticdb/"),
])
def test_a_folder_without_hands_is_told_what_was_looked_for(tmp_path, name, layout):
    with pytest.raises(ValueError, match=f"no hands for --data={name} here; looked for {layout}.*{ORIGIN}"):
        datasets.read(name, tmp_path)


@pytest.mark.parametrize("asked, given, advice", [
    ("cmu_synth", "hand_labels", "--data=cmu_manual=.*manual_test, --data=cmu_manual=.*manual_train"),
    ("cmu_manual", "hand_labels_synth", "--data=cmu_synth=.*synth1, .* and 1 more"),
    ("cmu_manual", "hand143_panopticdb", "--data=cmu_panoptic=.*hand143_panopticdb"),
    ("cmu_panoptic", "hand_labels", "--data=cmu_manual="),
])
def test_another_sets_folder_is_recognised(cmu_root, asked, given, advice):
    with pytest.raises(ValueError, match=f"no hands for --data={asked} here; .* is read by {advice}"):
        datasets.read(asked, cmu_root / given)


def test_an_empty_part_is_not_passed_over(cmu_root):
    for file in (cmu_root / "hand_labels_synth" / "synth3").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match=f"synth3: no hands .*{ORIGIN}"):
        cmu.read_synth(cmu_root)


# Errors: the label

def raw(tmp_path, text):
    folder = write_sample(tmp_path / "hands")
    (folder / "0001.json").write_bytes(text)
    return folder


@pytest.mark.parametrize("text, said", [
    (b"", "the file is empty; expected a label"),
    (b"{'hand_pts': ", "not JSON .*; expected a label"),
    (b"\xff\xfe\xfa\x00", "not JSON"),
    (b"[1, 2]", r"expected a JSON object with a label's entries, got \[1, 2\]"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"hand_pts": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    (b'{"hand_pts": ' + b"1" * 5000 + b"}", "not JSON .*digits"),
    (b'{"joints": []}', r"no 'hand_pts' entry \(found \['joints'\]\); expected 21 rows of x, y, visible"),
    (b'{"joint_self": []}', "Is this a panoptic label\\? --data=cmu_panoptic=DIR reads those"),
])
def test_a_file_that_is_no_label_is_named(tmp_path, text, said):
    with pytest.raises(BadSample, match=rf"0001\.json: {said}" if "panoptic" not in said else said):
        cmu.read_manual(raw(tmp_path, text))


@pytest.mark.parametrize("value", [5, "21", True, {}, [1, 2, 3], [None] * 21])
def test_points_that_are_no_list_of_rows_are_named(tmp_path, value):
    with pytest.raises(BadSample, match=r"0001\.json: 'hand_pts' is .*; expected 21 rows of x, y, visible"):
        manual(tmp_path, hand_pts=value)


@pytest.mark.parametrize("value, said", [
    (POINTS[:20], "20 rows of 3 numbers"), ([*POINTS, POINTS[0]], "22 rows of 3 numbers"), ([], "0 rows"),
    ([row[:2] for row in POINTS], "21 rows of 2 numbers"), (points(2, [1, 2]), "21 rows of 2 or 3 numbers"),
])
def test_points_of_another_shape_are_counted(tmp_path, value, said):
    with pytest.raises(BadSample, match=rf"0001\.json: 'hand_pts' has {said}.*; expected 21 rows"):
        manual(tmp_path, hand_pts=value)


@pytest.mark.parametrize("row, said", [
    ([float("nan"), 1, 1], "x = nan"), ([1, float("inf"), 1], "y = inf"), ([-float("inf"), 1, 1], "x = -inf"),
    ([1, 1, float("nan")], "visible = nan"), (["7", 1, 1], "x = '7'"), ([1, None, 1], "y = None"),
    ([1, 1, True], "visible = True"), ([1, 1, -1], "visible = -1"), ([1e300, 1, 0], r"x = 1e\+300"),
    ([1, 10**400, 1], "y = 1000"), ([[1], 1, 1], r"x = \[1\]"),
])
def test_a_number_that_is_no_coordinate_is_named_with_its_joint(tmp_path, row, said):
    with pytest.raises(BadSample, match=rf"0001\.json: 'hand_pts' has {said}.* at joint 8 \('index_tip'\)"):
        manual(tmp_path, hand_pts=points(8, row))


def test_a_hand_without_visible_joints_is_refused(tmp_path):
    with pytest.raises(BadSample, match=r'0001\.json: no joint is visible; .*"has_hand": false'):
        manual(tmp_path, hand_pts=[[x, y, 0] for x, y, _ in POINTS])


@pytest.mark.parametrize("hand", [[[7, 9, 1]] * 21, [[7, 9, 1]] + [[50, 50, 0]] * 20])
def test_a_hand_in_one_point_has_no_box(tmp_path, hand):
    with pytest.raises(BadSample, match=r"joints lie in one point, \[7.0, 9.0\], and a box .* has no size"):
        manual(tmp_path, hand_pts=hand)


def test_a_coordinate_that_is_mistyped_makes_a_hand_too_large_for_its_picture(tmp_path):
    hand = [[99999, 9, 1], *POINTS[1:]]
    with pytest.raises(BadSample, match=r"0001\.json: a hand of \d+ x \d+ px in a picture of \d+ x \d+ px; correct"):
        manual(tmp_path, hand_pts=hand)


@pytest.mark.parametrize("field, value, said", [
    ("is_left", 2, "must be 0 or 1, .* got 2"), ("is_left", "left", "got 'left'"),
    ("is_left", [1], r"got \[1\]"), ("is_left", float("nan"), "got nan"),
    ("has_hand", "no", "must be true or false, got 'no'"), ("has_hand", 0, "must be true or false, got 0"),
    ("head_size", -1, "must be a length in px, got -1"), ("head_size", "140", "got '140'"),
    ("head_size", float("nan"), "got nan"), ("head_size", True, "got True"),
])
def test_another_entry_that_cannot_be_is_named(tmp_path, field, value, said):
    with pytest.raises(BadSample, match=rf"0001\.json: '{field}' .*{said}"):
        manual(tmp_path, **{field: value})


@pytest.mark.parametrize("item, said", [
    ({"joint_self": POINTS[:5]}, r"root\[1\] \(imgs/00000001.jpg\): 'joint_self' has 5 rows"),
    ({"img_paths": "../../secret.jpg"}, r"root\[1\]: 'img_paths' must name a picture in .*, got '../../sec"),
    ({"img_paths": "/secret.jpg"}, r"root\[1\]: 'img_paths'"),
    ({"img_paths": 5}, r"root\[1\]: 'img_paths' must name a picture in .*, got 5"),
    ({"img_paths": "imgs/\0.jpg"}, r"root\[1\]: 'img_paths'"), ({"img_paths": "\ud800.jpg"}, r"'img_paths'"),
])
def test_a_bad_panoptic_label_is_named_by_its_number(tmp_path, item, said):
    folder = write_panoptic(tmp_path / "dome")
    good = {"joint_self": POINTS, "img_paths": "imgs/00000001.jpg"}
    (folder / cmu.PANOPTIC_JSON).write_text(json.dumps({"root": [good, {**good, **item}]}))
    with pytest.raises(BadSample, match=said):
        cmu.read_panoptic(folder)
    assert cmu.read_panoptic(folder, skip_bad=True)[0].num_hands == 1


@pytest.mark.parametrize("content, said", [
    ({"root": 5}, "'root' must list the labels, got 5"), ({}, ".* got None"),
    ({"root": []}, r".* got \[\]"),
    ({"root": [7]}, r"root\[0\] must be an object, got 7"), ([], "expected a JSON object"),
])
def test_a_panoptic_file_of_another_shape_is_named(tmp_path, content, said):
    (tmp_path / cmu.PANOPTIC_JSON).write_text(json.dumps(content))
    with pytest.raises(BadSample, match=rf"hands_v143_14817\.json: {said}"):
        cmu.read_panoptic(tmp_path)


# Errors: the picture

def test_a_missing_picture_is_named(tmp_path):
    folder = write_sample(tmp_path)
    (folder / "0001.jpg").unlink()
    with pytest.raises(BadSample, match=r"0001\.jpg: no such image file"):
        cmu.read_manual(folder)


@pytest.mark.parametrize("content, said", [(b"", "the file is empty"), (b"<html>no</html>", "not an image")])
def test_a_picture_that_is_none_is_named(tmp_path, content, said):
    folder = write_sample(tmp_path)
    (folder / "0001.jpg").write_bytes(content)
    with pytest.raises(BadSample, match=rf"0001\.jpg: {said}"):
        cmu.read_manual(folder)


def test_a_picture_without_a_label_is_not_passed_over(tmp_path):
    write_grey(write_sample(tmp_path) / "0002.jpg")
    with pytest.raises(BadSample, match=r"0002\.jpg: no label, expected 0002\.json beside it"):
        cmu.read_manual(tmp_path)


def test_of_two_pictures_for_one_label_the_second_is_reported(tmp_path):
    write_grey(write_sample(tmp_path) / "0001.png")
    labels, problems = cmu.read_manual(tmp_path, skip_bad=True)
    assert labels.num_hands == 1 and len(problems) == 1 and "0001.png: no label" in problems[0]


def test_hidden_files_of_other_systems_are_no_samples(tmp_path):
    write_sample(tmp_path)
    (tmp_path / "._0001.jpg").write_bytes(b"")
    (tmp_path / "readme.txt").write_text("CMU")
    assert cmu.read_manual(tmp_path)[0].num_hands == 1


# Bad samples, skipped

def test_skipped_samples_are_reported_one_by_one(tmp_path):
    write_sample(tmp_path, "1")
    write_sample(tmp_path, "2", hand_pts=POINTS[:3])
    write_sample(tmp_path, "3", is_left=7)
    labels, problems = datasets.read("cmu_manual", tmp_path, skip_bad=True)
    assert labels.num_hands == 1
    assert [problem.split(": ")[0] for problem in problems] == [f"{tmp_path}/2.json", f"{tmp_path}/3.json"]


def test_nothing_but_bad_samples_is_an_error_even_then(tmp_path):
    with pytest.raises(ValueError, match=r"all 1 samples are bad; the first: .*0001\.json: no joint"):
        datasets.read("cmu_manual", write_sample(tmp_path, hand_pts=[[1, 1, 0]] * 21), skip_bad=True)


# The command line

def test_verify_finds_what_a_header_does_not_show(tmp_path):
    folder = write_sample(tmp_path / "hands", "1", width=200, height=200)
    write_sample(folder, "2", is_left=5)
    write_sample(folder, "3")
    data = (folder / "1.jpg").read_bytes()
    (folder / "1.jpg").write_bytes(data[:len(data) * 3 // 4])
    out = datasets_command("verify", tmp_path)
    assert out.returncode == 1 and "Traceback" not in out.stderr
    assert f"{folder}: cmu_manual, 3 samples" in out.stdout
    assert f"{folder / '1.jpg'}: the picture is cut short" in out.stdout
    assert f"{folder / '2.json'}: 'is_left'" in out.stdout
    assert "3 samples, 2 with a label that can be read; 2 problems." in out.stdout


def test_verify_counts_every_folder_against_the_published_set(cmu_root):
    (cmu_root / "hand_labels_synth" / "synth4" / "0001.json").unlink()
    (cmu_root / "hand_labels_synth" / "synth4" / "0001.jpg").unlink()
    (cmu_root / "hand_labels_synth" / "synth4").rmdir()
    out = datasets_command("verify", cmu_root)
    assert out.returncode == 1
    assert "synth1: cmu_synth, 1 samples, published are 6546" in out.stdout
    assert "synth4: not here; the published set has 2124" in out.stdout
    assert "synth3: 1 samples, the published set has 2348; unpack" in out.stdout
    assert "panopticdb: cmu_panoptic, 1 samples, published are 14817" in out.stdout


def test_verify_is_content_with_a_whole_folder(tmp_path):
    write_sample(tmp_path / "synth_rendered")
    out = datasets_command("verify", tmp_path)
    assert out.returncode == 0 and "0 problems." in out.stdout


def test_verify_goes_on_after_a_folder_that_cannot_be_read(cmu_root):
    (cmu_root / "hand143_panopticdb" / cmu.PANOPTIC_JSON).write_text("{")
    out = datasets_command("verify", cmu_root)
    assert out.returncode == 1 and "panopticdb: cmu_panoptic, cannot be read" in out.stdout
    assert "14817.json: not JSON" in out.stdout


def test_preview_writes_a_sheet_of_crops_with_skeletons(tmp_path):
    for name in "123":
        write_sample(tmp_path / "hands", name, width=100, height=80)
    out = datasets_command("preview", tmp_path, f"--output={tmp_path / 'sheet.png'}", "--count=2")
    assert out.returncode == 0 and "2 of 3 hands" in out.stdout
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[0] >= 184 and sheet.shape[1] >= 2 * 184
    assert (sheet.max(-1) - sheet.min(-1) > 100).any()  # colours, on grey pictures: the fingers


@pytest.mark.parametrize("arguments, said", [
    ([], "expected `verify DIR`, `preview DIR` or `coco DIR`, got no arguments"),
    (["verify"], "expected `verify DIR`"),
    (["preview", "."], "preview needs --output=FILE.png"),
    (["preview", ".", "--output=x.png", "--count=0"], "--count=0: 0 is not an integer in the range"),
    (["preview", "cpm_hand", "--output=x.png"], "error: cpm_hand: no known data set"),
    (["verify", "nowhere"], "error: nowhere: no such folder"),
    (["verify", ".", "--data=freihand"], "value should be one of <cmu_manual|cmu_panoptic|cmu_synth|coco>"),
])
def test_misuse_is_answered_without_a_traceback(arguments, said):
    out = datasets_command(*arguments)
    assert out.returncode == 1 and said in out.stdout + out.stderr and "Traceback" not in out.stderr


# Real pictures

def test_the_real_sequence_is_one_video_of_37_left_hands(real_data):
    labels, problems = cmu.read_manual(real_data / "cmu_layout" / "manual")
    assert labels.num_hands == 37 and problems == []
    assert labels.is_left.all() and labels.visible.all()
    assert set(labels.groups) == {"cmu_manual:uci_001L0"}
    assert labels.keypoints[0, 0].tolist() == [165.0, 178.0]
