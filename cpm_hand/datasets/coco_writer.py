"""Any labels as one COCO keypoint file, for other programs and for a net of fewer joints.

Coordinates stay as they are: the centre of the top-left pixel is (0, 0), as our reader takes COCO's.
"""

import json
import os
import pathlib

import numpy as np

from cpm_hand import geometry, images, skeletons
from cpm_hand.hand import HAND, Skeleton
from cpm_hand.labels import Labels, showable

_DECIMALS = 4  # of a px


def check_output(output) -> None:
    """Refuse a name that cannot be written, before anything is read for it.

    Raises:
        ValueError: it does not end in .json, its folder is not there, or it is: a label file is not replaced.
    """
    output = pathlib.Path(output)
    if output.suffix != ".json":
        raise ValueError(f"--output must end in .json, got '{output}'.")
    if not output.parent.is_dir():
        raise ValueError(f"{output}: there is no folder {output.parent}; make it, or write to another one.")
    if output.exists():
        raise ValueError(f"{output}: is there already, and labels are not overwritten; remove it or write to another "
                         f"name.")


def joints_named(names: list[str], skeleton: Skeleton) -> list[int]:
    """Joints of a skeleton by name; a hand's in any spelling that `skeletons.joint_of` knows.

    Raises:
        ValueError: a name is none of the skeleton's (the text lists those), is given twice, or there is only one.

    >>> joints_named(["wrist", "thumb_tip", "index4"], HAND)
    [0, 4, 8]
    """
    known = {name: joint for joint, name in enumerate(skeleton.names)}
    joints = [known.get(name, skeletons.joint_of(name) if skeleton == HAND else None) for name in names]
    if None in joints:
        raise ValueError(f"--joints: no joint '{names[joints.index(None)]}'; there are {', '.join(skeleton.names)}.")
    if len(set(joints)) < len(joints):
        double = next(joint for joint in joints if joints.count(joint) > 1)
        raise ValueError(f"--joints: {skeleton.names[double]} is named twice.")
    if len(joints) < 2:
        raise ValueError(f"--joints={','.join(names)}: name two joints or more; a box around a single one has no size.")
    return joints


def write(labels: Labels, output, joints: list[int] | None = None) -> None:
    """Write the file, whole or not at all.

    Args:
        labels: of pictures that lie in the file's folder or below it.
        output: the .json file. In a folder `annotations/`, names of pictures start from the folder around that one.
        joints: those to keep, in this order, with the bones among them; None keeps all.

    Raises:
        ValueError: a picture cannot be named from there, or its header cannot be read any more.
        OSError: the file cannot be written.
    """
    data = encode(labels, output, joints)
    images.write_bytes(output, (json.dumps(data, allow_nan=False) + "\n").encode())


def encode(labels: Labels, output, joints: list[int] | None = None) -> dict:
    """What `write` writes: "images", "annotations" and one category.

    A hand that none of the joints is labelled of has num_keypoints 0. `v` is 2 where a joint is labelled: labels do
    not tell whether it is hidden. `bbox` is the hand's, whichever joints are kept: tight around all of them, and
    enlarged by what the crop holds beyond the labelled ones where some are not. Our reader goes by it where a joint
    is not labelled, and so finds the same crop if all joints are kept; where some are left out and all others are
    labelled, it crops around those. Pictures that are cropped already (synth2, synth3, rendered ones) were whole.
    Beyond COCO: `is_left`, `head_size`, and `source` of a picture, by which it is split as before.
    """
    joints = list(range(labels.skeleton.num_joints)) if joints is None else joints
    numbers, pictures, annotations = {}, [], []
    for row, path in enumerate(labels.paths.tolist()):
        if path not in numbers:
            numbers[path] = len(numbers) + 1
            width, height = images.read_size(path)
            pictures.append({"id": numbers[path], "file_name": _file_name(path, output), "width": width,
                             "height": height, "source": str(labels.groups[row])})
        if labels.has_hand[row]:
            annotations.append({"id": len(annotations) + 1, "image_id": numbers[path], "category_id": 1,
                                **_annotation(labels, row, joints)})
    return {"images": pictures, "annotations": annotations, "categories": [_category(labels.skeleton, joints)]}


def _annotation(labels: Labels, row: int, joints: list[int]) -> dict:
    points, visible = np.float64(labels.keypoints[row]), labels.visible[row]
    box = np.float64(geometry.tight_box(points, visible))
    if not visible.all():  # the reader takes in `bbox` then, and the crop may reach beyond what is labelled
        inner = np.float64(geometry.widen(labels.boxes[row], 1 / geometry.CROP_FACTOR))
        low = np.minimum(box[:2], inner[:2])
        box = np.concatenate([low, np.maximum(box[:2] + box[2:], inner[:2] + inner[2:]) - low])
    table = np.column_stack([points, np.full(len(points), 2)])
    table = np.where(visible[:, None], table, 0)[joints].round(_DECIMALS)  # COCO has 0, 0, 0 where there is no label
    x, y, width, height = box.round(_DECIMALS).tolist()
    fields = {"keypoints": [value for px, py, v in table.tolist() for value in (px, py, int(v))],
              "num_keypoints": int(visible[joints].sum()), "bbox": [x, y, width, height],
              "area": round(width * height, _DECIMALS), "iscrowd": 0, "is_left": int(labels.is_left[row])}
    head_size = float(labels.head_size[row])
    return {**fields, "head_size": head_size} if head_size > 0 else fields


def _category(skeleton: Skeleton, joints: list[int]) -> dict:
    place = {joint: number for number, joint in enumerate(joints, 1)}
    bones = [[place[a], place[b]] for a, b in skeleton.bones if a in place and b in place]
    return {"id": 1, "name": "hand" if skeleton == HAND else "object",
            "keypoints": [skeleton.names[joint] for joint in joints], "skeleton": bones}


def _file_name(path: str, output) -> str:
    """A picture's path from the label file's folder, with "/" on every system."""
    folder = pathlib.Path(os.path.abspath(output)).parent
    folder = folder.parent if folder.name == "annotations" else folder
    for place in (os.path.abspath, os.path.realpath):  # links lead elsewhere only where nothing else does
        file = pathlib.Path(place(path))
        if file.is_relative_to(place(folder)):
            name = file.relative_to(place(folder)).as_posix()
            break
    else:
        raise ValueError(f"{path}: does not lie below {folder}, and a COCO file names its pictures from its own "
                         f"folder on; write it to {file.parent.parent}, or copy the pictures to where it is to be.")
    if file.parent == pathlib.Path(place(output)).parent and file.with_suffix(".json").is_file():
        raise ValueError(f"{output}: among pictures with a .json each it would be taken for one of those; write it a "
                         f"folder higher: {folder.parent / pathlib.Path(output).name}.")
    shadow = folder / "images" / name  # where readers look first
    if shadow.is_file() and not shadow.samefile(file):
        raise ValueError(f"{path}: there is another picture {shadow}, which would be found in its place; write the "
                         f"file to another folder.")
    if not showable(name):
        raise ValueError(f"{ascii(path)}: the name has control characters or broken text in it; rename the picture.")
    return name
