"""COCO keypoint files: what is read, how joints are recognised, and the ways a file can be wrong."""

import json
import pathlib
import re

import cv2
import numpy as np
import pytest
from conftest import datasets_command, write_grey
from PIL import Image

from cpm_hand import datasets, geometry, skeletons
from cpm_hand.datasets import coco, coco_writer
from cpm_hand.hand import HAND
from cpm_hand.labels import BadSample, concatenate, validation_mask

HERE = pathlib.Path(__file__).parents[1]
POINTS = [(10.0 + joint, 20.0 + 2 * joint) for joint in range(21)]  # tight box: 10, 20, 21 x 41
def spelt(wrist, fingers, thumb="1 2 3 4", finger="1 2 3 4"):
    """21 names in our order: the wrist's, then each finger's with what its four joints add to it."""
    ends = [thumb.split(" ")] + 4 * [finger.split(" ")]
    return [wrist] + [name + end for name, four in zip(fingers.split(","), ends) for end in four]


SPELLINGS = {
    "ours": list(HAND.names),
    "mmpose": spelt("wrist", "thumb,forefinger,middle_finger,ring_finger,pinky_finger"),
    "whole body": spelt("left_hand_root", "left_thumb,left_forefinger,left_middle_finger,left_ring_finger,"
                                          "left_pinky_finger"),
    "interhand": spelt("r_wrist", "r_thumb,r_index,r_middle,r_ring,r_pinky"),
    "mediapipe": spelt("WRIST", "THUMB,INDEX_FINGER,MIDDLE_FINGER,RING_FINGER,PINKY", "_CMC _MCP _IP _TIP",
                       "_MCP _PIP _DIP _TIP"),
    "camel case": spelt("Wrist", "Thumb,Index,Middle,Ring,Pinky", "1CMC 2Knuckles 3IP 4FingerTip",
                        "1Knuckles 2PIP 3DIP 4FingerTip"),
    "spaced": spelt("Hand Wrist", "Thumb ,Index finger ,Middle finger ,Ring finger ,Little finger "),
    "from 0": [str(joint) for joint in range(21)],
    "from 1": [str(joint + 1) for joint in range(21)],
}


def flat(points=POINTS, v=2):
    return [number for x, y in points for number in (x, y, v)]


def annotation(number=1, image=1, **fields):
    """One annotation; a field of None is left out."""
    fields = {"id": number, "image_id": image, "category_id": 1, "keypoints": flat(), "iscrowd": 0, **fields}
    return {name: value for name, value in fields.items() if value is not None}


def picture(number=1, **fields):
    return {"id": number, "file_name": f"{number}.jpg", "width": 64, "height": 64, **fields}


def write(root, annotations=None, images=None, categories=None, name="annotations.json", folder="images", **more):
    """A COCO file with its pictures; one hand in one picture unless said otherwise."""
    root.mkdir(parents=True, exist_ok=True)
    images = [picture()] if images is None else images
    for entry in images:
        name_of = entry.get("file_name") if isinstance(entry, dict) else None
        if isinstance(name_of, str) and re.fullmatch(r"[\w /]+\.jpg", name_of) and name_of[0] != "/":
            write_grey(root / folder / name_of)
    categories = [{"id": 1, "name": "hand", "keypoints": list(HAND.names)}] if categories is None else categories
    data = {"images": images, "annotations": [annotation()] if annotations is None else annotations,
            "categories": categories, **more}
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text(json.dumps(data))
    return root


def labels_of(root, *arguments, **fields):
    return coco.read(write(root, *arguments, **fields))[0]


def category(names, **fields):
    return [{"id": 1, "name": "thing", "keypoints": names, **fields}]


# What is read

def test_a_hand_is_read_as_it_stands(tmp_path):
    keypoints = flat()
    keypoints[3 * 7 + 2], keypoints[3 * 8 + 2] = 0, 1
    labels, problems = coco.read(write(tmp_path / "own", [annotation(keypoints=keypoints)]))
    assert problems == [] and labels.skeleton == HAND
    assert labels.keypoints[0].tolist() == [list(point) for point in POINTS]
    assert np.flatnonzero(~labels.visible[0]).tolist() == [7]  # v 1, hidden and annotated, counts as v 2 does
    assert labels.paths.tolist() == [str(tmp_path / "own" / "images" / "1.jpg")]
    assert labels.groups.tolist() == ["coco:own/1.jpg"]
    assert labels.has_hand.all() and labels.is_left.tolist() == [-1] and np.isnan(labels.head_size[0])


def test_hands_of_one_picture_stay_together_and_pictures_keep_their_order(tmp_path):
    images = [picture(number) for number in (5, 3, 9)]
    hands = [annotation(1, 9), annotation(2, 5), annotation(3, 9)]
    labels = labels_of(tmp_path, hands, images)
    assert [pathlib.Path(path).name for path in labels.paths] == ["5.jpg", "3.jpg", "9.jpg", "9.jpg"]
    assert labels.has_hand.tolist() == [True, False, True, True]
    assert labels.groups[2] == labels.groups[3]


def test_a_picture_without_annotations_is_one_without_a_hand(tmp_path):
    labels = labels_of(tmp_path, [], [picture(width=64, height=64)])
    assert not labels.has_hand[0] and not labels.visible.any()
    assert labels.boxes[0].tolist() == [0, 0, 64, 64]


@pytest.mark.parametrize("fields", [
    {"iscrowd": 1}, {"keypoints": flat(v=0), "num_keypoints": 0}, {"keypoints": None, "bbox": [1, 2, 30, 40]}])
def test_a_picture_of_crowds_and_unlabelled_hands_is_neither_a_hand_nor_without_one(tmp_path, fields):
    images = [picture(1), picture(2)]
    assert coco.read(write(tmp_path, [annotation(1, 1), annotation(2, 2, **fields)], images))[0].num_hands == 1


def test_other_things_than_hands_leave_a_picture_without_a_hand(tmp_path):
    categories = [{"id": 1, "name": "hand", "keypoints": list(HAND.names)}, {"id": 2, "name": "bottle"}]
    bottle = {"id": 5, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}
    assert labels_of(tmp_path, [bottle], categories=categories).has_hand.tolist() == [False]


def test_a_bad_hand_does_not_make_its_picture_one_without_a_hand(tmp_path):
    images = [picture(1), picture(2), picture(3)]
    hands = [annotation(1, 1), annotation(2, 2, keypoints=[1, 2]), annotation(3, 3, category_id=8)]
    labels, problems = coco.read(write(tmp_path, hands, images), skip_bad=True)
    assert labels.num_hands == 1 and labels.has_hand.all() and len(problems) == 2


@pytest.mark.parametrize("image, group", [
    ({}, "1.jpg"), ({"video": "walk"}, "walk"), ({"source": 17}, "17"), ({"video": None}, "1.jpg")])
def test_a_group_is_the_picture_or_the_video_it_is_from(tmp_path, image, group):
    assert labels_of(tmp_path / "own", images=[picture(**image)]).groups.tolist() == [f"coco:own/{group}"]


def test_a_copy_of_another_set_is_split_as_that_set_is(tmp_path):
    """Else a net that is trained on both would be validated on what it was trained on."""
    copied = picture(source="cmu_synth:synth_rendered/00000001")
    assert labels_of(tmp_path / "own", images=[copied]).groups.tolist() == ["cmu_synth:synth_rendered/00000001"]


def test_the_head_size_is_read_where_it_is_given(tmp_path):
    hands = [annotation(1, head_size=72.5), annotation(2, head_size=0)]
    np.testing.assert_array_equal(labels_of(tmp_path, hands).head_size, np.float32([72.5, np.nan]))


# Joints

@pytest.mark.parametrize("names", SPELLINGS.values(), ids=SPELLINGS)
def test_joints_of_any_common_spelling_in_any_order_come_out_in_ours(tmp_path, names):
    assert len(set(names)) == 21
    order = list(range(21)) if names[0] in "01" else np.random.default_rng(0).permutation(21).tolist()
    shuffled = [names[joint] for joint in order]
    labels = labels_of(tmp_path, [annotation(keypoints=flat([POINTS[joint] for joint in order]))],
                       categories=category(shuffled))
    assert labels.skeleton == HAND
    assert labels.keypoints[0].tolist() == [list(point) for point in POINTS]


@pytest.mark.parametrize("categories", [[{"id": 1, "name": "hand"}], [], [{"id": 1, "keypoints": []}]])
def test_21_joints_without_names_are_in_our_order(tmp_path, categories):
    labels = labels_of(tmp_path, categories=categories)
    assert labels.skeleton == HAND and labels.keypoints[0].tolist() == [list(point) for point in POINTS]


@pytest.mark.parametrize("name", ["nose", "left_eye", "thumb", "thumb_pip", "index_ip", "index5", "thumb0", "wrist2",
                                  "ringworm", "", "fingertip", "left", "12"])
def test_what_is_no_joint_of_a_hand_is_not_taken_for_one(name):
    assert skeletons.joint_of(name) is None


def test_any_other_skeleton_is_taken_from_the_category(tmp_path):
    names = ["nose", "tail_1", "tail_2", "ear"]
    keypoints = flat([(30, 10), (10, 50), (20, 60), (40, 12)])
    labels = labels_of(tmp_path, [annotation(keypoints=keypoints)],
                       categories=category(names, skeleton=[[1, 2], [2, 3], [1, 4]]))
    assert labels.skeleton.names == tuple(names) and labels.skeleton.bones == ((0, 1), (1, 2), (0, 3))
    assert labels.skeleton.groups == (("nose", (0,)), ("tail", (1, 2)), ("ear", (3,)))
    assert labels.keypoints[0].tolist() == [[30, 10], [10, 50], [20, 60], [40, 12]]


def test_21_joints_that_are_no_hand_keep_their_names(tmp_path):
    names = [f"point_{number}" for number in range(21)]
    labels = labels_of(tmp_path, categories=category(names))
    assert labels.skeleton.names == tuple(names) and labels.skeleton.groups == (("point", tuple(range(21))),)


def test_joints_whose_names_have_nothing_in_common_are_one_group():
    assert skeletons.from_names(["nose", "ear"], ())[1].groups == (("all joints", (0, 1)),)


def test_a_group_is_not_called_like_one_of_its_joints():
    assert skeletons.from_names(["spine", "spine1", "nose"], ())[1].groups == (("spine joints", (0, 1)), ("nose", (2,)))


def test_hands_from_coco_and_from_cmu_can_be_mixed(tmp_path):
    labels = labels_of(tmp_path, categories=category(SPELLINGS["mediapipe"]))
    assert concatenate([labels, labels._replace(skeleton=HAND)]).num_hands == 2


# Handedness

@pytest.mark.parametrize("fields, is_left", [
    ({"is_left": 1}, 1), ({"is_left": False}, 0), ({"attributes": {"is_left": True}}, 1), ({"handedness": "Right"}, 0),
    ({"hand_type": "left"}, 1), ({"attributes": {"side": "right"}}, 0), ({"hand_type": "interacting"}, -1),
    ({"attributes": [1]}, -1), ({"is_left": -1}, -1), ({}, -1)])
def test_handedness_is_read_from_an_annotation_and_not_assumed(tmp_path, fields, is_left):
    assert labels_of(tmp_path, [annotation(**fields)]).is_left.tolist() == [is_left]


def test_handedness_is_read_from_the_categories_names(tmp_path):
    names = list(HAND.names)
    categories = [{"id": number, "name": name, "keypoints": names}
                  for number, name in enumerate(("left_hand", "RightHand", "left or right hand"), start=1)]
    hands = [annotation(number, category_id=number) for number in (1, 2, 3)]
    assert labels_of(tmp_path, hands, categories=categories).is_left.tolist() == [1, 0, -1]


def test_handedness_is_read_from_the_joints_names(tmp_path):
    assert labels_of(tmp_path, categories=category(SPELLINGS["whole body"])).is_left.tolist() == [1]


# Boxes

@pytest.mark.parametrize("bbox", [None, [], [0, 0, 0, 0], [5, 5, 50, 50]])
def test_the_box_of_a_fully_labelled_hand_is_2_2_times_the_tight_one_whatever_bbox_says(tmp_path, bbox):
    # Joints lie on x 10 .. 30 and y 20 .. 60: the centre is (20, 40), the side 2.2 * 41 = 90.2, the corner
    # (90.2 - 1) / 2 = 44.6 before the centre.
    labels = labels_of(tmp_path, [annotation(bbox=bbox)])
    np.testing.assert_allclose(labels.boxes[0], [-24.6, -4.6, 90.2, 90.2], rtol=1e-6)


def test_the_box_of_a_partly_labelled_hand_holds_what_bbox_says(tmp_path):
    keypoints = flat()
    keypoints[2::3] = [2] * 5 + [0] * 16  # joints on x 10 .. 14 and y 20 .. 28
    labels = labels_of(tmp_path, [annotation(1, keypoints=keypoints), annotation(2, keypoints=keypoints,
                                                                                 bbox=[12, 10, 20, 30])])
    np.testing.assert_allclose(labels.boxes[0], geometry.widen((10, 20, 5, 9)), rtol=1e-6)
    np.testing.assert_allclose(labels.boxes[1], geometry.widen((10, 10, 22, 30)), rtol=1e-6)


def test_a_single_joint_needs_a_bbox(tmp_path):
    keypoints = flat(v=0)
    keypoints[2] = 2
    with pytest.raises(BadSample, match=r"annotations\[0\] .*all 1 visible joints lie in one point, \[10.0, 20.0\].*"
                                        r"'bbox'"):
        labels_of(tmp_path, [annotation(keypoints=keypoints)])
    assert labels_of(tmp_path, [annotation(keypoints=keypoints, bbox=[5, 5, 30, 20])]).boxes[0, 2] == np.float32(66)


# Where the file and its pictures are

@pytest.mark.parametrize("name, folder", [
    ("annotations.json", "images"), ("annotations.json", "."), ("_annotations.coco.json", "."), ("own.json", "images"),
    ("annotations/own.json", "images"), ("annotations/own.json", "annotations"), ("annotations/own.json", "."),
    ("annotations/person_keypoints_train2017.json", "train2017"), ("annotations/train.json", "images/train"),
])
def test_the_file_and_its_pictures_are_found_where_people_put_them(tmp_path, name, folder):
    write(tmp_path, name=name, folder=folder)
    for root in (tmp_path, tmp_path / name):
        labels, _ = coco.read(root)
        assert pathlib.Path(labels.paths[0]).resolve() == (tmp_path / folder / "1.jpg").resolve()


@pytest.mark.parametrize("name", ["\u5199\u771f\u30001.jpg", "Screen 3.05\u202fPM.jpg", "caf\u00e9.jpg"])
def test_a_picture_may_have_any_letters_and_spaces_in_its_name(tmp_path, name):
    write_grey(tmp_path / "images" / name)
    labels = labels_of(tmp_path, images=[picture(file_name=name)])
    assert labels.paths[0].endswith(name)
    coco_writer.write(labels, tmp_path / "again.json")
    assert coco.read(tmp_path / "again.json")[0].paths[0].endswith(name)


def test_a_picture_may_be_named_with_its_folder(tmp_path):
    labels = labels_of(tmp_path, images=[picture(file_name="images/day 1/1.jpg")], folder=".")
    assert labels.paths.tolist() == [str(tmp_path / "images" / "day 1" / "1.jpg")]


def test_of_several_files_one_must_be_named_for_they_may_be_splits(tmp_path):
    write(tmp_path, name="annotations/train.json")
    write(tmp_path, name="annotations/val.json")
    with pytest.raises(ValueError, match=r"2 files match annotations/\*\.json \(train.json, val.json\); name one: "
                                         r"--data=coco=.*train.json"):
        coco.read(tmp_path)
    assert coco.read(tmp_path / "annotations" / "val.json")[0].num_hands == 1


@pytest.mark.parametrize("root, said", [
    ("nothing-here", "no such folder or file"), ("", r"no COCO keypoint file here; looked for annotations.json")])
def test_a_folder_without_a_file_is_named(tmp_path, root, said):
    with pytest.raises(ValueError, match=said):
        datasets.read("coco", tmp_path / root)


# Errors: the file

@pytest.mark.parametrize("content, said", [
    ("", "the file is empty"), ("{", "not JSON"), ("[1]", "expected a JSON object"), ("[" * 100_000, "nested too deep"),
    ("{}", "'images' must be a list, got None; expected COCO's keypoint format"),
    ('{"images": [], "annotations": {}}', "'annotations' must be a list, got {}"),
    ('{"images": [], "annotations": [], "categories": {}}', "'categories' must be a list of objects with an 'id'"),
    ('{"images": [], "annotations": [], "categories": [{"name": "hand"}]}', "'categories' must be a list of objects"),
    ('{"images": [], "annotations": [], "categories": [{"id": 1}, {"id": 1}]}', "two categories have the same id"),
])
def test_a_file_of_another_shape_is_named(tmp_path, content, said):
    (tmp_path / "annotations.json").write_text(content)
    for skip_bad in (False, True):
        with pytest.raises(BadSample, match=rf"annotations\.json: {said}"):
            coco.read(tmp_path, skip_bad)


@pytest.mark.parametrize("fields, said", [
    ({"names": "wrist"}, "'keypoints' must be a list of names, got 'wrist'"),
    ({"names": ["a", 5.5]}, "'keypoints' must be a list of names"),
    ({"names": ["a", ["b"]]}, "'keypoints' must be a list of names"),
    ({"names": ["a", "b", "a"]}, "two of its keypoints are called 'a'"),
    ({"names": ["a", "b\x1b[2J"]}, r"names of 'keypoints' are at most 200 .* got \['a', 'b\\x1b\[2J'\]"),
    ({"names": ["a", "\ud800"]}, "names of 'keypoints'"), ({"names": ["a", "b" * 201]}, "names of 'keypoints'"),
    ({"names": ["a"] * 1001}, "'keypoints' must be a list of names"),
    ({"names": ["a", "b"], "skeleton": [[0, 1]]}, r"'skeleton' must be pairs .* from 1 to 2, got \[\[0, 1\]\]"),
    ({"names": ["a", "b"], "skeleton": [[1, 3]]}, "'skeleton' must be pairs"),
    ({"names": ["a", "b"], "skeleton": [[1, 1]]}, "'skeleton' must be pairs"),
    ({"names": ["a", "b"], "skeleton": [[1, True]]}, "'skeleton' must be pairs"),
    ({"names": ["a", "b"], "skeleton": 7}, "'skeleton' must be pairs"),
])
def test_a_category_that_cannot_be_is_named(tmp_path, fields, said):
    with pytest.raises(BadSample, match=f"annotations.json: category 'thing': {said}"):
        labels_of(tmp_path, categories=category(**fields))


def test_categories_of_different_joints_are_too_many(tmp_path):
    categories = category(list(HAND.names)) + [{"id": 2, "name": "person", "keypoints": ["nose", "ear"]}]
    with pytest.raises(BadSample, match=r"'thing' \(21 joints\), 'person' \(2 joints\) have different joints"):
        labels_of(tmp_path, categories=categories)


# Errors: a picture

@pytest.mark.parametrize("entry, said", [
    (7, r"must be an object with an 'id', a number or text, got 7"), ({"file_name": "2.jpg"}, "with an 'id'"),
    (picture([2]), "with an 'id'"), (picture(True), "with an 'id'"), (picture(2.5), "with an 'id'"),
    (picture(2, file_name="../2.jpg"), r"'file_name' must name a picture below .*, got '\.\./2\.jpg'"),
    (picture(2, file_name="a/../../2.jpg"), "'file_name'"), (picture(2, file_name="..\\2.jpg"), "'file_name'"),
    (picture(2, file_name="/etc/passwd"), "'file_name'"), (picture(2, file_name=""), "'file_name'"),
    (picture(2, file_name="\0.jpg"), r"'file_name' has control characters or broken text in it, '\\x00\.jpg'"),
    (picture(2, file_name="\ud800.jpg"), r"'file_name' has .*, '\\ud800\.jpg'; rename the picture"),
    (picture(2, file_name="a\n.jpg"), "'file_name' has"), (picture(2, file_name="a\u2028.jpg"), "'file_name' has"),
    (picture(2, file_name=None), "'file_name' must name a picture .*got None"),
    (picture(2, file_name="x" * 5000), "no picture xxx"),
    (picture(2, width=640, height=480), r"2.jpg is 64 x 64 px, and was labelled at 640 x 480; bring the picture that"),
    (picture(2, width="64"), "labelled at '64' x 64"),
])
def test_a_picture_that_cannot_be_is_named_and_can_be_skipped(tmp_path, entry, said):
    root = write(tmp_path, [annotation(1, 1), annotation(2, 2)] if isinstance(entry, dict) and entry.get("id") == 2
                 else None, [picture(), entry])
    with pytest.raises(BadSample, match=rf"annotations\.json: images\[1\]:? .*{said}" if not isinstance(entry, int)
                       else said):
        coco.read(root)
    labels, problems = coco.read(root, skip_bad=True)
    assert labels.num_hands == 1 and len(problems) == 1  # its hand is not a second problem


def test_a_missing_picture_is_named_with_the_folders_looked_in(tmp_path):
    root = write(tmp_path)
    (root / "images" / "1.jpg").unlink()
    with pytest.raises(BadSample, match=rf"images\[0\]: no picture 1\.jpg; looked in {tmp_path}/images, {tmp_path}\."):
        coco.read(root)


@pytest.mark.parametrize("content, said", [(b"", "the file is empty"), (b"<html>", "not an image")])
def test_a_picture_that_is_none_is_named(tmp_path, content, said):
    root = write(tmp_path)
    (root / "images" / "1.jpg").write_bytes(content)
    with pytest.raises(BadSample, match=rf"1\.jpg: {said}"):
        coco.read(root)


def test_a_picture_that_was_labelled_turned_is_told_from_another_one(tmp_path):
    root = write(tmp_path, images=[picture(width=40, height=64)])
    exif = Image.Exif()
    exif[0x112] = 6
    Image.new("RGB", (64, 40)).save(root / "images" / "1.jpg", exif=exif)
    with pytest.raises(BadSample, match=r"is 64 x 40 px, and was labelled at 40 x 64; save it turned as its EXIF"):
        coco.read(root)


def test_two_pictures_of_one_id_are_both_left_out(tmp_path):
    images = [picture(1), picture(1, file_name="b.jpg"), picture("1", file_name="c.jpg")]
    root = write(tmp_path, [annotation(1, 1), annotation(2, "1")], images)
    with pytest.raises(BadSample, match=r"images\[0\]: 2 pictures have the id 1,"):
        coco.read(root)
    labels, problems = coco.read(root, skip_bad=True)
    assert [pathlib.Path(path).name for path in labels.paths] == ["c.jpg"] and len(problems) == 2


# Errors: an annotation

def at(place, value):
    keypoints = flat()
    keypoints[place] = value
    return {"keypoints": keypoints}


@pytest.mark.parametrize("fields, said", [
    ({"keypoints": flat()[:60]}, r"'keypoints' is 60 entries; expected 63 numbers"),
    ({"keypoints": 5}, "'keypoints' is 5; expected 63 numbers"), ({"keypoints": {}}, "'keypoints' is {}"),
    (at(3, float("nan")), "'keypoints' has x = nan at its joint 2"), (at(4, float("inf")), "y = inf at its joint 2"),
    (at(0, 1e300), r"has x = 1e\+300"), (at(0, 10**400), "has x = 1000"), (at(0, "7"), "has x = '7'"),
    (at(0, None), "has x = None"), (at(2, -1), "has v = -1"), (at(2, True), "has v = True"), (at(1, [1]), r"y = \[1\]"),
    ({"bbox": [1, 2, 3]}, r"'bbox' must be x, y, width, height in px, got \[1, 2, 3\]"),
    ({"bbox": [1, 2, -3, 4]}, "'bbox' must be"), ({"bbox": [1, 2, 3, float("nan")]}, "'bbox' must be"),
    ({"bbox": "1 2 3 4"}, "'bbox' must be"), ({"bbox": [1, 2, 3, "4"]}, "'bbox' must be"),
    ({"image_id": 99}, "'image_id' 99 is no id of 'images'"), ({"image_id": None}, "'image_id' None"),
    ({"image_id": [1]}, r"'image_id' \[1\]"), ({"image_id": 1.0}, r"'image_id' 1\.0"),
    ({"category_id": 3}, "'category_id' 3 is no id of 'categories'"), ({"category_id": {}}, "'category_id' {}"),
    ({"id": 1}, "its id 1 has been seen before"), ({"is_left": 2}, "'is_left' must be 1 left, 0 right .* got 2"),
    ({"is_left": "left"}, "'is_left' must be"), ({"attributes": {"is_left": [1]}}, "'is_left' must be"),
    ({"head_size": -1}, "'head_size' must be a length in px, got -1"), ({"head_size": "72"}, "'head_size'"),
    (at(0, 99999), r"a hand of \d+ x \d+ px in a picture of \d+ x \d+ px; correct the label"),
    ({"keypoints": flat([(7, 9)] * 21)}, r"all 21 visible joints lie in one point, \[7.0, 9.0\]"),
])
def test_a_hand_that_cannot_be_is_named_by_its_number_and_can_be_skipped(tmp_path, fields, said):
    root = write(tmp_path, [annotation(1, 1), annotation(**{"number": 2, "image": 2, **fields})],
                 [picture(1), picture(2)])
    with pytest.raises(BadSample, match=rf"annotations\.json: annotations\[1\].*{said}"):
        coco.read(root)
    labels, problems = coco.read(root, skip_bad=True)
    assert labels.has_hand.sum() == 1 and len(problems) == 1


def test_an_annotation_that_is_no_object_is_named(tmp_path):
    with pytest.raises(BadSample, match=r"annotations\[0\] must be an object, got 'hand'"):
        labels_of(tmp_path, ["hand"])


def test_without_a_category_id_there_must_be_one_category(tmp_path):
    assert labels_of(tmp_path, [annotation(category_id=None)]).num_hands == 1
    two = [{"id": number, "name": "hand", "keypoints": list(HAND.names)} for number in (1, 2)]
    with pytest.raises(BadSample, match=r"annotations\[0\]: no 'category_id', and 2 categories"):
        labels_of(tmp_path, [annotation(category_id=None)], categories=two)


def test_nothing_but_bad_samples_is_an_error_even_when_they_are_skipped(tmp_path):
    with pytest.raises(ValueError, match=r"all 1 samples are bad; the first: .*annotations\[0\]"):
        datasets.read("coco", write(tmp_path, [annotation(keypoints=[])]), skip_bad=True)


@pytest.mark.parametrize(("annotations", "images"), [
    ([], []), ([annotation(keypoints=flat(v=0))], None), ([annotation(iscrowd=1)], None)])
def test_a_file_without_anything_labelled_is_an_error_and_no_crash(tmp_path, annotations, images):
    with pytest.raises(ValueError, match="no hand with a labelled joint and no picture without a hand"):
        datasets.read("coco", write(tmp_path, annotations, images))


def test_a_picture_that_is_listed_twice_is_not_one_without_a_hand(tmp_path):
    labels = labels_of(tmp_path, images=[picture(), picture(2, file_name="1.jpg")])
    assert labels.has_hand.tolist() == [True]


def test_a_size_that_is_not_given_is_the_files(tmp_path):
    assert labels_of(tmp_path, images=[picture(width=None, height=None)]).num_hands == 1


# The command line

def test_verify_recognises_the_set_one_level_down_and_finds_what_a_header_does_not_show(tmp_path):
    images = [picture(1), picture(2, width=200, height=200)]
    root = write(tmp_path / "own", [annotation(1, 1), annotation(2, 2)], images)
    write_grey(root / "images" / "2.jpg", 200, 200)
    data = (root / "images" / "2.jpg").read_bytes()
    (root / "images" / "2.jpg").write_bytes(data[:len(data) * 3 // 4])
    for where in (tmp_path, root / "annotations.json"):
        out = datasets_command("verify", where)
        assert out.returncode == 1 and ": coco, 2 samples" in out.stdout
        assert "2.jpg: the picture is cut short" in out.stdout and "Traceback" not in out.stderr


def test_preview_draws_a_coco_file(tmp_path):
    labels = write(tmp_path / "own") / "annotations.json"
    out = datasets_command("preview", labels, f"--output={tmp_path / 'sheet.png'}")
    assert out.returncode == 0 and "1 of 1 hands" in out.stdout
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert (sheet.max(-1) - sheet.min(-1) > 100).any()  # colours, on a grey picture: the fingers


# Real pictures

@pytest.mark.parametrize("name, hands, labelled", [("coco_gestures", 1946, 40841), ("varied", 197, 4137)])
def test_the_real_sets_are_read_whole(real_data, name, hands, labelled):
    labels, problems = datasets.read("coco", real_data / name)
    assert problems == [] and labels.skeleton == HAND
    assert (labels.num_hands, labels.visible.sum(), labels.has_hand.all()) == (hands, labelled, True)
    assert len(set(labels.groups)) == hands and 0 < validation_mask(labels.groups, 0.1).mean() < 0.2


def test_a_real_joint_lies_where_the_file_says(real_data):
    data = json.loads((real_data / "varied" / "annotations.json").read_text())
    item = data["annotations"][3]
    file = next(entry["file_name"] for entry in data["images"] if entry["id"] == item["image_id"])
    labels, _ = coco.read(real_data / "varied")
    row = [pathlib.Path(path).name for path in labels.paths].index(file)
    np.testing.assert_allclose(labels.keypoints[row, 8], item["keypoints"][24:26], rtol=1e-6)  # the index finger's tip
