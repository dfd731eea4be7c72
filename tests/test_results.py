"""The files for other programs: what stands where, and that a reader gets it back."""

import csv
import json
import time

import numpy as np
import pytest

from cpm_hand import results
from cpm_hand.hand import HAND, Skeleton
from cpm_hand.looks import Hand


def hand(seed=0, is_left=-1, joints=21):
    rng = np.random.default_rng(seed)
    keypoints = np.float32(np.column_stack([rng.uniform(0, 600, (joints, 2)), rng.uniform(0, 1, joints)]))
    return Hand(keypoints, 0.62345678, np.float32([10.125, 20, 300, 300]), None, is_left)


FOUND = [results.Found("in/a.jpg", 640, 480, [hand(0), hand(1, is_left=1)]), results.Found("in/b,c.jpg", 320, 240, []),
         results.Found("in/d.jpg", 640, 480, [hand(2, is_left=0)])]


def test_our_json_holds_each_picture_with_its_hands(tmp_path):
    path = tmp_path / "new" / "hands.json"
    results.write_json(path, FOUND, HAND, {"threshold": 0.3}, {"in/x.jpg": "the file is empty"})
    read = json.loads(path.read_text())
    assert read["program"].startswith("cpm_hand ") and read["settings"] == {"threshold": 0.3}
    assert read["joints"] == list(HAND.names) and read["unreadable"] == {"in/x.jpg": "the file is empty"}
    assert [(each["path"], each["width"], each["height"], len(each["hands"])) for each in read["pictures"]] == [
        ("in/a.jpg", 640, 480, 2), ("in/b,c.jpg", 320, 240, 0), ("in/d.jpg", 640, 480, 1)]
    first, second = read["pictures"][0]["hands"]
    np.testing.assert_allclose(first["keypoints"], hand(0).keypoints, atol=0.0051)
    assert first["presence"] == 0.6235 and first["box"] == [10.12, 20, 300, 300]
    assert [first["side"], second["side"], read["pictures"][2]["hands"][0]["side"]] == [None, "left", "right"]


def test_openpose_s_layout_key_by_key(tmp_path):
    path = results.write_openpose_json(tmp_path / "new", "a", [hand(0, is_left=1), hand(1, is_left=0)])
    assert path == tmp_path / "new" / "a_keypoints.json"
    read = json.loads(path.read_text())
    assert list(read) == ["version", "people"] and read["version"] == 1.3
    left, right = read["people"]
    assert set(left) == {"person_id", *[f"{part}_keypoints_{dimensions}d" for dimensions in (2, 3)
                                        for part in ("pose", "face", "hand_left", "hand_right")]}
    np.testing.assert_allclose(np.reshape(left["hand_left_keypoints_2d"], (21, 3)), hand(0).keypoints, atol=0.0051)
    np.testing.assert_allclose(np.reshape(right["hand_right_keypoints_2d"], (21, 3)), hand(1).keypoints, atol=0.0051)
    assert left["hand_right_keypoints_2d"] == right["hand_left_keypoints_2d"] == [0] * 63
    for person in (left, right):
        assert person["person_id"] == [-1]
        assert all(person[key] == [] for key in person if key.endswith("3d") or key.startswith(("pose", "face")))


@pytest.mark.parametrize(("is_left", "assume_left", "side"), [
    (-1, False, "right"), (-1, True, "left"), (0, True, "right"), (1, False, "left")])
def test_unknown_handedness_goes_right_unless_told_otherwise(tmp_path, is_left, assume_left, side):
    path = results.write_openpose_json(tmp_path, "a", [hand(is_left=is_left)], assume_left)
    person, = json.loads(path.read_text())["people"]
    other = {"left": "right", "right": "left"}[side]
    assert any(person[f"hand_{side}_keypoints_2d"]) and not any(person[f"hand_{other}_keypoints_2d"])


def test_a_picture_without_a_hand_has_a_file_without_people(tmp_path):
    assert json.loads(results.write_openpose_json(tmp_path, "a", []).read_text()) == {"version": 1.3, "people": []}


def test_openpose_s_files_hold_21_joints_only(tmp_path):
    with pytest.raises(ValueError, match="hands of 21 joints, this net finds 17; --write_json takes any"):
        results.write_openpose_json(tmp_path, "a", [hand(joints=17)])
    assert not list(tmp_path.iterdir())


def test_the_table_has_a_line_per_hand(tmp_path):
    results.write_csv(tmp_path / "hands.csv", FOUND, HAND)
    with open(tmp_path / "hands.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["path"], row["hand"], row["side"]) for row in rows] == [
        ("in/a.jpg", "0", ""), ("in/a.jpg", "1", "left"), ("in/d.jpg", "0", "right")]
    assert len(rows[0]) == 8 + 3 * 21
    x, y, score = (float(rows[2][f"index_tip_{what}"]) for what in ("x", "y", "score"))
    np.testing.assert_allclose([x, y, score], hand(2).keypoints[8], atol=0.0051)
    assert [rows[0][f"box_{side}"] for side in "xywh"] == ["10.12", "20.0", "300.0", "300.0"]


def test_joints_of_another_skeleton_keep_their_names(tmp_path):
    pair = Skeleton(names=("a", "b"), bones=((0, 1),), groups=(("all", (0, 1)),))
    found = [results.Found("p.jpg", 9, 9, [hand(joints=2)])]
    results.write_csv(tmp_path / "hands.csv", found, pair)
    assert (tmp_path / "hands.csv").read_text().splitlines()[0].endswith("box_h,a_x,a_y,a_score,b_x,b_y,b_score")


def test_a_comma_in_a_path_is_kept(tmp_path):
    results.write_csv(tmp_path / "hands.csv", [results.Found("b,c.jpg", 320, 240, [hand()])], HAND)
    with open(tmp_path / "hands.csv", newline="") as file:
        assert next(csv.DictReader(file))["path"] == "b,c.jpg"


@pytest.mark.parametrize(("paths", "names"), [
    (["a.jpg", "b.png"], ["a", "b"]),
    (["x/a.jpg", "y/a.jpg", "a.png"], ["a", "a_2", "a_3"]),
    (["x/a.jpg", "y/a.jpg", "a_2.jpg"], ["a", "a_3", "a_2"]),
    (["a_2.jpg", "x/a.jpg", "y/a_2.jpg", "y/a.jpg"], ["a_2", "a", "a_2_2", "a_3"]),
])
def test_no_two_pictures_share_a_name(paths, names):
    assert results.unique_names(paths) == names


def test_names_of_many_pictures_that_are_called_alike_take_no_time():
    began = time.process_time()
    assert results.unique_names([f"{number}/image.jpg" for number in range(20_000)])[-1] == "image_20000"
    assert time.process_time() - began < 2  # 55 s where each looks at all before it
