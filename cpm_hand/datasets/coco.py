"""COCO keypoint files: the format of people's own labels, one JSON for all pictures.

Names of joints in the category decide the order: 21 joints that are a hand's, in whatever order and in any of the
common spellings (COCO-WholeBody, mmpose, FreiHAND, InterHand, MediaPipe, ours), come out in the order of `hand.HAND`;
21 joints without names are in that order already; any other joints become a skeleton of their own.

Source: https://cocodataset.org/#format-data; the format's hands are those of COCO-WholeBody, arXiv:2007.11858.
"""

import os
import pathlib
import re
import reprlib
from collections import Counter
from typing import NamedTuple

import numpy as np

from cpm_hand import geometry, images, skeletons
from cpm_hand.hand import HAND, Skeleton
from cpm_hand.labels import (
    FARTHEST,
    BadSample,
    Labels,
    check_extent,
    from_rows,
    is_number,
    load_json,
    read_head_size,
    showable,
)

FILES = ("annotations.json", "_annotations.coco.json", "*.json", "annotations/*.json")  # the first that is there

# How groups of labels that came from another of our readers begin (`coco_writer` wrote them): these stay as they are.
GROUPS = ("cmu_synth:", "cmu_manual:", "cmu_panoptic:", "coco:")

_MOST_JOINTS = 1000
_LONGEST_NAME = 200


class Category(NamedTuple):
    """What the file says of one kind of thing with joints.

    Attributes:
        order: [J] int; entry k is the place of the skeleton's joint k in the file's rows.
        is_left: handedness where its name or its joints' names tell, -1 otherwise.
    """

    order: np.ndarray
    is_left: int


class Picture(NamedTuple):
    """An entry of "images" whose file is there: its place among them, path, size in px, and group."""

    number: int
    path: str
    width: int
    height: int
    group: str


def read(root, skip_bad: bool = False) -> tuple[Labels, list[str]]:
    """Labels of one COCO keypoint file.

    A joint is visible where its third number is above 0. Crowds and hands without a labelled joint are left out. A
    picture to which the file has no annotation (of something with joints) is one without a hand; a picture whose
    hands were left out is not, and gives no row. Handedness comes from `is_left`, `handedness`, `hand_type` or `side`
    of an annotation or its `attributes`, else from names ("left_hand"). A group is a picture, or what the `video`
    or `source` of its entry says; in a copy that `coco_writer` made, the group that it had, so that both are split
    alike.

    Args:
        root: the .json file, or its folder: annotations.json, the only .json in it, or the only one in annotations/.
            Pictures lie beside it, in images/, or in a folder that the file is named after (train2017).
        skip_bad: leave bad samples out and report them, instead of raising at the first.

    Returns:
        Labels in the order of the pictures, and one text per sample left out. A box is 2.2 times the tight box of the
        visible joints, enlarged to hold `bbox` where some joints are not labelled; the whole picture without a hand.

    Raises:
        BadSample: a picture or annotation cannot be used, and skip_bad is False; or the file as a whole cannot.
        ValueError: there is no such file or folder, or more than one file that it could be.
    """
    path = _file(root)
    data = load_json(path)
    for key in ("images", "annotations"):
        if not isinstance(data.get(key), list):
            raise BadSample(f"{path}: '{key}' must be a list, got {reprlib.repr(data.get(key))}; expected COCO's "
                            f"keypoint format with 'images', 'annotations' and 'categories'.")
    categories, others, skeleton = _categories(path, data)
    problems, pictures, rows = [], {}, []

    def attempt(function, *arguments):
        try:
            return function(*arguments)
        except BadSample as error:
            if not skip_bad:
                raise
            problems.append(str(error))
            return None

    folders = _picture_folders(path)
    times = Counter(repr(entry.get("id")) for entry in data["images"] if isinstance(entry, dict))
    for number, entry in enumerate(data["images"]):
        picture = attempt(_picture, path, number, entry, times, folders)
        if picture or isinstance(entry, dict) and type(entry.get("id")) in (int, str):
            pictures[entry["id"]] = picture  # None: a bad picture, reported here and not once more with each hand
    seen = set()
    for number, item in enumerate(data["annotations"]):
        where = f"{path}: annotations[{number}]"
        picture, category = attempt(_lookup, where, item, pictures, categories, others, seen) or (None, None)
        hand = picture and attempt(_hand, f"{where} ({picture.path})", item, category, picture)
        if hand:
            rows.append((picture.number, hand))
    # Whatever is wrong with an annotation, there is something in its picture.
    taken = {repr(item.get("image_id")) for item in data["annotations"]
             if isinstance(item, dict) and item.get("category_id") not in others}
    full = {picture.path for name, picture in pictures.items() if picture and repr(name) in taken}
    rows += [(picture.number, _no_hand(picture, skeleton)) for picture in pictures.values()
             if picture and picture.path not in full]
    rows.sort(key=lambda row: row[0])
    return from_rows([row for _, row in rows], skeleton), problems


def find(root) -> list[tuple[str, pathlib.Path, int | None]]:
    """Where COCO files lie under one of their usual names: in a folder or one level below it; or root is one itself.

    Returns:
        ("coco", folder or file, None) each. A .json file of another name in a folder is not guessed at.
    """
    root = pathlib.Path(root).expanduser()
    if root.is_file():
        return [("coco", root, None)] if root.suffix == ".json" else []
    usual = [pattern for pattern in FILES if pattern != "*.json"]
    bases = [root] + ([folder for folder in sorted(root.iterdir()) if folder.is_dir()] if root.is_dir() else [])
    return [("coco", base, None) for base in bases
            if base.name != "annotations" and any(next(base.glob(pattern), None) for pattern in usual)]


def _file(root) -> pathlib.Path:
    root = pathlib.Path(root).expanduser()
    if root.is_file():
        return root
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder or file; expected a COCO keypoint file or the folder around it.")
    for pattern in FILES:
        found = sorted(file for file in root.glob(pattern) if file.is_file() and not file.name.startswith("."))
        if len(found) > 1:  # usually splits, and reading all would train on what is to be evaluated
            raise ValueError(f"{root}: {len(found)} files match {pattern} ({', '.join(f.name for f in found[:4])}"
                             f"{', …' if len(found) > 4 else ''}); name one: --data=coco={found[0]}. "
                             f"(Folders of NAME.jpg with NAME.json are read by --data=cmu_manual=DIR.)")
        if found:
            return found[0]
    raise ValueError(f"{root}: no COCO keypoint file here; looked for {', '.join(FILES)}.")


def _picture_folders(path: pathlib.Path) -> list[pathlib.Path]:
    """Where pictures may lie, in the order in which they are looked for."""
    base = path.parent.parent if path.parent.name == "annotations" else path.parent
    folders = [base / "images", base, path.parent]
    named = [folder for around in (base, base / "images") if around.is_dir() for folder in sorted(around.iterdir())
             if f"_{path.stem}".endswith(f"_{folder.name}")]
    return [folder for folder in dict.fromkeys(folders + named) if folder.is_dir()]


def _categories(path, data: dict) -> tuple[dict, list, Skeleton]:
    """Categories with joints by id, the ids of those without, and the skeleton that all of them share."""
    entries = data.get("categories", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and type(entry.get("id")) in (int, str)
                                                for entry in entries):
        raise BadSample(f"{path}: 'categories' must be a list of objects with an 'id', got {reprlib.repr(entries)}.")
    if len({entry["id"] for entry in entries}) < len(entries):
        raise BadSample(f"{path}: two categories have the same id; give each its own.")
    jointed = [entry for entry in entries if entry.get("keypoints")]
    if not jointed:  # nameless joints: then every category is taken for a hand, and so is none at all
        jointed, entries = entries or [{"id": None}], []
    read_ones = [(entry, *_category(f"{path}: category {reprlib.repr(entry.get('name', entry['id']))}", entry))
                 for entry in jointed]
    skeleton = read_ones[0][2]
    if any(other != skeleton for *_, other in read_ones):
        names = ", ".join(f"{reprlib.repr(entry.get('name'))} ({len(category.order)} joints)"
                          for entry, category, _ in read_ones)
        raise BadSample(f"{path}: the categories {names} have different joints, and one net finds one kind; keep one "
                        f"of them in the file.")
    categories = {entry["id"]: category for entry, category, _ in read_ones}
    return categories, [entry["id"] for entry in entries if entry["id"] not in categories], skeleton


def _category(where: str, entry: dict) -> tuple[Category, Skeleton]:
    names = entry.get("keypoints") or [str(number) for number in range(HAND.num_joints)]
    if not isinstance(names, list) or not 0 < len(names) <= _MOST_JOINTS or not all(
            type(name) in (str, int) for name in names):
        raise BadSample(f"{where}: 'keypoints' must be a list of names, got {reprlib.repr(names)}.")
    names = [str(name) for name in names]
    if any(len(name) > _LONGEST_NAME or not showable(name) for name in names):
        raise BadSample(f"{where}: names of 'keypoints' are at most {_LONGEST_NAME} characters and no control "
                        f"characters, got {ascii(names):.80}.")
    if len(set(names)) < len(names):
        double = Counter(names).most_common(1)[0][0]
        raise BadSample(f"{where}: two of its keypoints are called {reprlib.repr(double)}; give each its own name.")
    order, skeleton = skeletons.from_names(names, _bones(where, entry.get("skeleton") or [], len(names)))
    return Category(order, skeletons.is_left([str(entry.get("name", "")), *names])), skeleton


def _bones(where: str, pairs, num_joints: int) -> tuple[tuple[int, int], ...]:
    """Pairs of 0-based joints from COCO's, which count from 1."""
    good = isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and pair[0] != pair[1]
        and all(type(joint) is int and 1 <= joint <= num_joints for joint in pair) for pair in pairs)
    if not good:
        raise BadSample(f"{where}: 'skeleton' must be pairs of different joints, counted from 1 to {num_joints}, got "
                        f"{reprlib.repr(pairs)}.")
    return tuple((a - 1, b - 1) for a, b in pairs)


def _picture(path, number: int, entry, times: Counter, folders: list[pathlib.Path]) -> Picture:
    where = f"{path}: images[{number}]"
    if not isinstance(entry, dict) or type(entry.get("id")) not in (int, str):
        raise BadSample(f"{where} must be an object with an 'id', a number or text, got {reprlib.repr(entry)}.")
    if times[repr(entry["id"])] > 1:
        raise BadSample(f"{where}: {times[repr(entry['id'])]} pictures have the id {reprlib.repr(entry['id'])}, so "
                        f"that nobody knows whose its annotations are; give each its own.")
    name = entry.get("file_name")
    if not isinstance(name, str) or not name or os.path.isabs(name) or ".." in re.split(r"[/\\]", name):
        raise BadSample(f"{where}: 'file_name' must name a picture below {path.parent}, got {ascii(name):.80}.")
    if not showable(name):
        raise BadSample(f"{where}: 'file_name' has control characters or broken text in it, {ascii(name):.80}; rename "
                        f"the picture.")
    file = next((folder / name for folder in folders if os.path.isfile(folder / name)), None)
    if file is None:
        raise BadSample(f"{where}: no picture {name}; looked in {', '.join(str(folder) for folder in folders)}.")
    try:
        size = images.read_size(file)
    except images.BadImage as error:
        raise BadSample(str(error)) from None
    labelled = tuple(side if entry.get(key) is None else entry[key] for key, side in zip(("width", "height"), size))
    if labelled != size:
        advice = "save it turned as its EXIF data say, and label that" if labelled == size[::-1] else \
            "bring the picture that was labelled"
        raise BadSample(f"{where}: {file} is {size[0]} x {size[1]} px, and was labelled at "
                        f"{reprlib.repr(labelled[0])} x {reprlib.repr(labelled[1])}; {advice}.")
    source = next((str(entry[key]) for key in ("video", "source") if type(entry.get(key)) in (int, str)), name)
    group = source if source.startswith(GROUPS) else f"coco:{path.parent.resolve().name}/{source}"
    return Picture(number, str(file), *size, group)


def _lookup(where: str, item, pictures: dict, categories: dict, others: list, seen: set):
    """(Picture, Category) of an annotation; None where its picture is bad or its category has no joints."""
    if not isinstance(item, dict):
        raise BadSample(f"{where} must be an object, got {reprlib.repr(item)}.")
    number, image = item.get("id"), item.get("image_id")
    kind = None if None in categories else item.get("category_id")  # a file without categories has one kind
    if type(image) not in (int, str) or image not in pictures:
        raise BadSample(f"{where}: 'image_id' {reprlib.repr(image)} is no id of 'images'.")
    if type(kind) not in (int, str, type(None)) or kind not in categories and kind not in others and kind is not None:
        raise BadSample(f"{where}: 'category_id' {reprlib.repr(kind)} is no id of 'categories'.")
    if kind is None and len(categories) > 1:
        raise BadSample(f"{where}: no 'category_id', and {len(categories)} categories that it could be.")
    if number is not None and repr(number) in seen:
        raise BadSample(f"{where}: its id {reprlib.repr(number)} has been seen before; remove the copy, or give each "
                        f"annotation its own.")
    seen.add(repr(number))
    if pictures[image] is None or kind in others:
        return None
    return pictures[image], categories[kind] if kind in categories else next(iter(categories.values()))


def _hand(where: str, item: dict, category: Category, picture: Picture) -> dict | None:
    """One row for `labels.from_rows`; None for a crowd and where no joint is labelled."""
    if item.get("iscrowd") or item.get("keypoints") is None:
        return None
    keypoints, visible = _keypoints(where, item["keypoints"], category.order)
    if not visible.any():
        return None
    head_size = read_head_size(where, item.get("head_size") or 0)
    box = geometry.tight_box(keypoints, visible)
    given = _bbox(where, item.get("bbox"))
    if given is not None and not visible.all():
        low = np.minimum(box[:2], given[:2])
        box = np.concatenate([low, np.maximum(box[:2] + box[2:], given[:2] + given[2:]) - low])
    check_extent(where, box, picture.width, picture.height)
    if box[2:].max() <= 1:
        raise BadSample(f"{where}: all {visible.sum()} visible joints lie in one point, "
                        f"{keypoints[visible][0].tolist()}, and a box around them has no size; correct the label, or "
                        f"give it a 'bbox'.")
    return {"path": picture.path, "keypoints": keypoints, "visible": visible, "box": geometry.widen(box),
            "is_left": _is_left(where, item, category), "head_size": head_size, "group": picture.group}


def _no_hand(picture: Picture, skeleton: Skeleton) -> dict:
    joints = skeleton.num_joints
    return {"path": picture.path, "keypoints": np.zeros((joints, 2)), "visible": np.zeros(joints, bool),
            "box": geometry.whole_picture_box(picture.width, picture.height), "has_hand": False,
            "group": picture.group}


def _keypoints(where: str, values, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 [J, 2] and bool [J] from COCO's flat x, y, v, x, y, v, …"""
    expected = f"expected {3 * len(order)} numbers, x, y, v for each of {len(order)} joints"
    if not isinstance(values, list) or len(values) != 3 * len(order):
        found = f"{len(values)} entries" if isinstance(values, list) else reprlib.repr(values)
        raise BadSample(f"{where}: 'keypoints' is {found}; {expected}.")
    for place, value in enumerate(values):
        if not is_number(value) or (place % 3 == 2 and value < 0):
            raise BadSample(f"{where}: 'keypoints' has {'xyv'[place % 3]} = {reprlib.repr(value)} at its joint "
                            f"{place // 3 + 1}; {expected}, all finite and at most {FARTHEST:g}, v 0, 1 or 2.")
    table = np.array(values, np.float64).reshape(-1, 3)[order]
    return table[:, :2], table[:, 2] > 0


def _bbox(where: str, bbox) -> np.ndarray | None:
    """float64 [4]: x, y, w, h; None where it is absent or empty, as some programs write it."""
    if bbox is None or bbox == []:
        return None
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(is_number, bbox)) or min(bbox[2:]) < 0:
        raise BadSample(f"{where}: 'bbox' must be x, y, width, height in px, got {reprlib.repr(bbox)}.")
    return np.array(bbox, np.float64) if min(bbox[2:]) > 0 else None


def _is_left(where: str, item: dict, category: Category) -> int:
    attributes = item.get("attributes")
    for fields in (item, attributes if isinstance(attributes, dict) else {}):
        if "is_left" in fields:
            value = fields["is_left"]
            if type(value) not in (bool, int, float) or value not in (0, 1, -1):
                raise BadSample(f"{where}: 'is_left' must be 1 left, 0 right or -1 unknown, got {reprlib.repr(value)}.")
            return int(value)
        for key in ("handedness", "hand_type", "side"):
            side = str(fields.get(key)).lower()
            if side in ("left", "right"):
                return int(side == "left")
    return category.is_left
