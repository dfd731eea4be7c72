"""Any labels as a COCO file: what our own reader gets back from it, and what is refused."""

import json
import pathlib

import cv2
import numpy as np
import pytest
from conftest import datasets_command, write_hands

from cpm_hand import datasets, geometry
from cpm_hand.datasets import coco_writer
from cpm_hand.datasets.__main__ import coco
from cpm_hand.hand import HAND, Skeleton
from cpm_hand.labels import from_rows

HERE = pathlib.Path(__file__).parents[1]


def write_pair(folder, name, size=(80, 60), **label):
    """NAME.jpg and NAME.json as CMU has them."""
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.jpg"), np.full((size[1], size[0], 3), 90, np.uint8))
    (folder / f"{name}.json").write_text(json.dumps(label))


def rows(visible=21):
    return [[10 + 2.123456 * joint, 5.5 + joint, int(joint < visible)] for joint in range(21)]


@pytest.fixture
def mine(tmp_path):
    """A folder of four pictures: a whole hand, half of one, none, and a hand known to be a left one."""
    write_pair(tmp_path / "mine", "a", hand_pts=rows())
    write_pair(tmp_path / "mine", "b", hand_pts=rows(9), head_size=33.25)
    write_pair(tmp_path / "mine", "c", has_hand=False, size=(50, 40))
    write_pair(tmp_path / "mine", "photo_1_l", hand_pts=rows(), is_left=1)
    return tmp_path / "mine"


def assert_equal(got, expected):
    """All columns but the groups, whose names tell of the file; those of unlabelled joints are nobody's business."""
    assert [pathlib.Path(path).resolve() for path in got.paths] == [pathlib.Path(p).resolve() for p in expected.paths]
    assert got.skeleton == expected.skeleton
    for name in ("visible", "has_hand", "is_left"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)
    np.testing.assert_allclose(got.keypoints[got.visible], expected.keypoints[got.visible], atol=1e-3, rtol=0)
    np.testing.assert_allclose(got.boxes, expected.boxes, atol=1e-3, rtol=0)
    np.testing.assert_allclose(got.head_size, expected.head_size, atol=1e-3)
    np.testing.assert_array_equal(np.unique(got.groups, return_inverse=True)[1],
                                  np.unique(expected.groups, return_inverse=True)[1])


# What comes back

def test_cmus_layout_comes_back_as_it_went(mine, capsys):
    coco(mine, mine.parent / "mine.json")
    assert "3 hands in 4 pictures, 1 of them without a hand\n" in capsys.readouterr().out
    got, problems = datasets.read("coco", mine.parent / "mine.json")
    assert problems == []
    assert_equal(got, datasets.read("cmu_manual", mine)[0])


def test_a_file_in_a_folder_for_annotations_finds_its_pictures_too(mine):
    (mine.parent / "annotations").mkdir()
    coco(mine, mine.parent / "annotations" / "mine.json")
    assert_equal(datasets.read("coco", mine.parent / "annotations")[0], datasets.read("cmu_manual", mine)[0])


def test_a_coco_file_comes_back_as_it_went_and_single_joints_keep_their_box(tmp_path):
    names = ["nose", "tail1", "tail2"]
    keypoints = [[10, 12.34567, 2, 0, 0, 0, 30, 40, 1], [20, 20, 2, 0, 0, 0, 0, 0, 0]]
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((60, 80, 3), np.uint8))
    (tmp_path / "annotations.json").write_text(json.dumps({
        "images": [{"id": 7, "file_name": "a.jpg"}],
        "annotations": [{"id": number, "image_id": 7, "category_id": 3, "keypoints": points, "bbox": [5, 6, 20, 41]}
                        for number, points in enumerate(keypoints)],
        "categories": [{"id": 3, "name": "rat", "keypoints": names, "skeleton": [[1, 2], [2, 3]]}]}))
    coco(tmp_path, tmp_path / "again.json")
    assert_equal(datasets.read("coco", tmp_path / "again.json")[0],
                 datasets.read("coco", tmp_path / "annotations.json")[0])


def test_several_folders_become_one_file_and_boxes_of_cropped_pictures_the_hands(tmp_path):
    """A picture of CMU's that is a hand's crop has no box in COCO: there the crop is cut around the joints."""
    root = tmp_path / "hand_labels_synth"
    write_hands(root / "synth2", 3, seed=1)
    write_hands(root / "synth3", 2, seed=2)
    coco(root, root / "all.json")
    got, expected = datasets.read("coco", root / "all.json")[0], datasets.read("cmu_synth", root)[0]
    tight = geometry.tight_box(expected.keypoints, expected.visible)
    assert_equal(got, expected._replace(boxes=np.stack([geometry.widen(box) for box in tight])))
    names = [entry["file_name"] for entry in json.loads((root / "all.json").read_text())["images"]]
    assert names[0] == "synth2/00000001.jpg" and names[-1] == "synth3/00000002.jpg"


@pytest.mark.parametrize("name", ["coco_gestures", "varied"])
def test_the_real_sets_come_back_as_they_went(real_data, tmp_path, name):
    expected, _ = datasets.read("coco", real_data / name)
    (tmp_path / name).symlink_to((real_data / name).resolve())
    coco(tmp_path / name, tmp_path / "all.json")
    assert_equal(datasets.read("coco", tmp_path / "all.json")[0], expected)


def test_two_hands_of_one_picture_by_hand(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 30, 3), np.uint8))
    skeleton = Skeleton(("tip", "base", "end"), ((1, 0), (0, 2)), (("all joints", (0, 1, 2)),))
    row = {"path": tmp_path / "a.png", "group": "film 3", "box": [0, 0, 22, 22], "keypoints": [[1, 2], [11, 5], [4, 9]]}
    labels = from_rows([{**row, "visible": [True] * 3},
                        {**row, "visible": [True, True, False], "is_left": 0, "head_size": 9.5}], skeleton)
    assert coco_writer.encode(labels, tmp_path / "all.json") == {
        "images": [{"id": 1, "file_name": "a.png", "width": 30, "height": 20, "source": "film 3"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [1, 2, 2, 11, 5, 2, 4, 9, 2], "num_keypoints": 3,
             "bbox": [1, 2, 11, 8], "area": 88, "iscrowd": 0, "is_left": -1},
            # The crop's middle is (10.5, 10.5), and a 2.2th of it 10 px: 6 .. 15; the joints lie in 1 .. 11, 2 .. 5.
            {"id": 2, "image_id": 1, "category_id": 1, "keypoints": [1, 2, 2, 11, 5, 2, 0, 0, 0], "num_keypoints": 2,
             "bbox": [1, 2, 15, 14], "area": 210, "iscrowd": 0, "is_left": 0, "head_size": 9.5}],
        "categories": [{"id": 1, "name": "object", "keypoints": ["tip", "base", "end"], "skeleton": [[2, 1], [1, 3]]}]}


# Some of the joints

def test_a_subset_has_its_joints_in_that_order_with_the_bones_among_them(mine):
    coco(mine, mine.parent / "few.json", joints=["index_tip", "thumb4", "wrist", "thumb_cmc", "index_dip"])
    got, _ = datasets.read("coco", mine.parent / "few.json")
    assert got.skeleton.names == ("index_tip", "thumb_tip", "wrist", "thumb_cmc", "index_dip")
    assert set(got.skeleton.bones) == {(2, 3), (4, 0)}  # wrist to thumb, and the last bone of the index finger
    expected, _ = datasets.read("cmu_manual", mine)
    np.testing.assert_array_equal(got.visible, expected.visible[:, [8, 4, 0, 1, 7]])
    np.testing.assert_allclose(got.keypoints, expected.keypoints[:, [8, 4, 0, 1, 7]], atol=1e-3)


def test_all_joints_in_another_order_are_still_a_hand(mine):
    coco(mine, mine.parent / "turned.json", joints=list(HAND.names[::-1]))
    assert_equal(datasets.read("coco", mine.parent / "turned.json")[0], datasets.read("cmu_manual", mine)[0])


def test_a_hand_without_any_of_the_joints_does_not_become_a_picture_without_a_hand(mine):
    coco(mine, mine.parent / "few.json", joints=["ring_tip", "little_tip"])  # not labelled in b
    got, _ = datasets.read("coco", mine.parent / "few.json")
    assert [pathlib.Path(path).stem for path in got.paths] == ["a", "c", "photo_1_l"]
    assert got.has_hand.tolist() == [True, False, True]
    counts = [item["num_keypoints"] for item in json.loads((mine.parent / "few.json").read_text())["annotations"]]
    assert counts == [2, 0, 2]


# What is refused

@pytest.mark.parametrize("joints, said", [
    (["wrist", "thumb5"], "no joint 'thumb5'; there are wrist, thumb_cmc, .*, little_tip"),
    (["wrist", "elbow"], "no joint 'elbow'"), (["wrist", "index4", "index_tip"], "index_tip is named twice"),
    (["wrist"], "two joints or more"), ([], "two joints or more")])
def test_joints_that_cannot_be_are_refused(mine, joints, said):
    with pytest.raises(ValueError, match=f"--joints.*{said}"):
        coco(mine, mine.parent / "few.json", joints=joints)
    assert not (mine.parent / "few.json").exists()


@pytest.mark.parametrize("output, said", [
    ("all.txt", "--output must end in .json"), ("no/where/all.json", "there is no folder .*no/where"),
    ("mine/a.json", "a.json: is there already"),
    ("mine/all.json", "among pictures with a .json each .* a folder higher: .*/all.json"),
    ("elsewhere/all.json", "a.jpg: does not lie below .*elsewhere, .* write it to ")])
def test_an_output_that_cannot_be_is_refused_and_nothing_is_written(mine, output, said):
    (mine.parent / "elsewhere").mkdir()
    before = sorted(mine.parent.rglob("*"))
    with pytest.raises(ValueError, match=said):
        coco(mine, mine.parent / output)
    assert sorted(mine.parent.rglob("*")) == before


def test_a_picture_in_whose_place_another_would_be_found_is_refused(mine):
    write_pair(mine.parent / "images" / "mine", "a", hand_pts=rows())
    with pytest.raises(ValueError, match="there is another picture .*images/mine/a.jpg"):
        coco(mine, mine.parent / "all.json")


def test_labels_and_what_was_written_from_them_are_not_mixed(mine):
    coco(mine.parent, mine.parent / "annotations.json")
    with pytest.raises(ValueError, match=r"a.jpg: has labels in .* \(cmu_manual\) and in .* \(coco\); .*--data=NAME"):
        coco(mine.parent, mine.parent / "more.json")
    coco(mine.parent, mine.parent / "more.json", data="coco")
    assert_equal(datasets.read("coco", mine.parent / "more.json")[0], datasets.read("cmu_manual", mine)[0])


@pytest.mark.slow
def test_the_command_line_writes_a_file_and_tells_in_a_line_what_is_wrong(mine):
    (mine / "d.jpg").write_bytes((mine / "a.jpg").read_bytes())  # without a label
    out = datasets_command("coco", mine, f"--output={mine.parent / 'few.json'}", "--joints=wrist,thumb4")
    assert out.returncode == 0 and "3 hands in 4 pictures" in out.stdout and "1 samples cannot be read" in out.stdout
    (mine.parent / "empty").mkdir()
    for arguments, said in (((mine,), "coco needs --output=FILE.json"),
                            ((mine.parent / "empty", f"--output={mine.parent / 'x.json'}"), "no known data set"),
                            ((mine.parent / "nowhere", f"--output={mine.parent / 'x.json'}"), "no such folder"),
                            ((mine, f"--output={mine.parent / 'x.json'}", "--joints=nose,wrist"), "no joint 'nose'")):
        out = datasets_command("coco", *arguments)
        assert out.returncode != 0 and said in out.stdout + out.stderr and "Traceback" not in out.stderr
    assert not (mine.parent / "x.json").exists()
