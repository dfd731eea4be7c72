"""What was found, as files for other programs: our own JSON, OpenPose's JSON, CSV.

All coordinates are pixels of the picture as people see it, turned as its EXIF data say; the centre of the top-left
pixel is (0, 0). Files are written whole or not at all.
"""

import csv
import io
import json
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import cpm_hand
from cpm_hand import images
from cpm_hand.hand import Skeleton
from cpm_hand.looks import Hand

_SIDES = {1: "left", 0: "right", -1: None}
_NUM_JOINTS = 21  # of a hand in OpenPose's files


class Found(NamedTuple):
    """The hands of one picture.

    Attributes:
        path: the picture's file.
        width: px.
        height: px.
        hands: none, where none was found.
    """

    path: str
    width: int
    height: int
    hands: list[Hand]


def write_json(path, found: Sequence[Found], skeleton: Skeleton, settings: dict, unreadable: dict[str, str]) -> None:
    """Write everything into one JSON file.

    Its keys: `program`, `settings`, `joints` (names), `pictures`, `unreadable` (path to what is wrong). Each picture
    has `path`, `width`, `height` and `hands`; each hand `keypoints` [J, 3] (x, y, score), `side` ("left", "right" or
    null where unknown), `presence` and `box`, the square that the net saw as x, y, w, h.

    Args:
        path: of the file; missing folders are made.
        found: one per picture.
        skeleton: what the joints are called.
        settings: how the hands were looked for, plain values.
        unreadable: what is wrong with pictures that could not be read, by path.

    Raises:
        OSError: the file cannot be written.
    """
    pictures = [{"path": each.path, "width": each.width, "height": each.height,
                 "hands": [{"side": _SIDES[hand.is_left], "presence": _number(hand.presence, 4),
                            "box": _numbers(hand.box, 2), "keypoints": [_row(joint) for joint in hand.keypoints]}
                           for hand in each.hands]} for each in found]
    _dump(path, {"program": f"cpm_hand {cpm_hand.__version__}", "settings": settings,
                 "joints": list(skeleton.names), "pictures": pictures, "unreadable": unreadable})


def check_openpose(num_joints: int) -> None:
    """Refuse hands that OpenPose's files cannot hold.

    Raises:
        ValueError: other joints than OpenPose's 21.
    """
    if num_joints != _NUM_JOINTS:
        raise ValueError(f"OpenPose's files hold hands of {_NUM_JOINTS} joints, this net finds {num_joints}; "
                         f"--write_json takes any.")


def write_openpose_json(folder, name: str, hands: Sequence[Hand], assume_left: bool = False) -> pathlib.Path:
    """Write one picture's hands as `NAME_keypoints.json`, in the layout that OpenPose's tools read.

    Each hand is a person without a body: 21 times x, y, score in `hand_left_keypoints_2d` or
    `hand_right_keypoints_2d`; zeros in the other one, as OpenPose writes a hand that it did not find.

    Args:
        folder: made where it is missing.
        name: of the picture, without its suffix.
        hands: of 21 joints each.
        assume_left: a hand of unknown handedness is written as a left one, else as a right one.

    Returns:
        The file's path.

    Raises:
        ValueError: hands of other joints than OpenPose's 21.
        OSError: the file cannot be written.
    """
    people = []
    for hand in hands:
        check_openpose(len(hand.keypoints))
        is_left = assume_left if hand.is_left == -1 else bool(hand.is_left)
        sides = [[0] * 3 * _NUM_JOINTS, [number for joint in hand.keypoints for number in _row(joint)]]
        people.append({"person_id": [-1], "pose_keypoints_2d": [], "face_keypoints_2d": [],
                       "hand_left_keypoints_2d": sides[is_left], "hand_right_keypoints_2d": sides[not is_left],
                       "pose_keypoints_3d": [], "face_keypoints_3d": [],
                       "hand_left_keypoints_3d": [], "hand_right_keypoints_3d": []})
    path = pathlib.Path(folder) / f"{name}_keypoints.json"
    _dump(path, {"version": 1.3, "people": people})
    return path


def write_csv(path, found: Sequence[Found], skeleton: Skeleton) -> None:
    """Write one line per hand; a picture without a hand has none.

    The columns: `path`, `hand` (0 is the strongest), `side` (empty where unknown), `presence`, `box_x`, `box_y`,
    `box_w`, `box_h`, then `NAME_x`, `NAME_y`, `NAME_score` of each joint.

    Args:
        path: of the file; missing folders are made.
        found: one per picture.
        skeleton: what the joints are called.

    Raises:
        OSError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["path", "hand", "side", "presence", "box_x", "box_y", "box_w", "box_h",
                    *[f"{name}_{what}" for name in skeleton.names for what in ("x", "y", "score")]])
    for each in found:
        for number, hand in enumerate(each.hands):
            table.writerow([each.path, number, _SIDES[hand.is_left] or "", _number(hand.presence, 4),
                            *_numbers(hand.box, 2), *[value for joint in hand.keypoints for value in _row(joint)]])
    # A path may hold bytes that are no text; they come back as they were.
    images.write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"))


def unique_names(paths: Sequence[str | os.PathLike]) -> list[str]:
    """A name for each picture's files: that of the picture, with a number where it has been given already.

    >>> unique_names(["a/1.jpg", "b/1.jpg", "b/2.png"])
    ['1', '1_2', '2']
    """
    stems = [pathlib.Path(path).stem for path in paths]
    taken, numbers, names = set(stems), {}, []  # a number must not make the name of another picture either
    for stem in stems:
        name = stem
        while name in taken and stem in numbers:
            numbers[stem] += 1
            name = f"{stem}_{numbers[stem]}"
        numbers.setdefault(stem, 1)
        taken.add(name)
        names.append(name)
    return names


def _row(joint) -> list[float]:
    """x and y to a hundredth of a pixel, score to a ten-thousandth."""
    x, y, score = joint
    return [_number(x, 2), _number(y, 2), _number(score, 4)]


def _numbers(values, digits: int) -> list[float]:
    return [_number(value, digits) for value in values]


def _number(value, digits: int) -> float:
    return round(float(value), digits)


def _dump(path, content: dict) -> None:
    images.write_bytes(path, (json.dumps(content, allow_nan=False) + "\n").encode())
