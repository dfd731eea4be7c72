"""Check a folder of hand data, look at it, or turn it into a COCO keypoint file.

  python -m cpm_hand.datasets verify DIR [--data=NAME]
      counts the hands of every folder, reads all labels, decodes all pictures and prints what is wrong;
      exit status 0 where nothing is, 1 otherwise.

  python -m cpm_hand.datasets preview DIR --output=sheet.png [--count=32] [--seed=0] [--data=NAME]
      draws the skeletons of some hands, drawn by lot, over the crops that a net is trained on.

  python -m cpm_hand.datasets coco DIR --output=FILE.json [--joints=wrist,thumb_tip,index_tip] [--data=NAME]
      writes all labels as one COCO keypoint file, of all joints or of some, in that order. It names its pictures from
      its own folder on: put it into DIR, or above where DIR itself holds pictures with a .json each.

DIR is a data set, one folder of it, the folder around several, or a COCO file. Its layout tells which data set it is;
where it does not, --data=NAME does.
"""

import os

import numpy as np
from absl import app, flags

from cpm_hand import datasets, draw, geometry, images
from cpm_hand.cli import command
from cpm_hand.datasets import coco_writer
from cpm_hand.labels import Labels, concatenate

CELL_PX = 184
COLUMNS = 8
_PICTURES = (".jpg", ".jpeg", ".png")


def verify(root, data: str | None = None) -> int:
    """Read every label and decode every picture below a folder; print counts and what is wrong.

    Args:
        root: folder of one or several data sets.
        data: row of `DATASETS`; None recognises it.

    Returns:
        the number of problems. A folder whose count is not that of the published set is one; a folder that is
        missing altogether is only named, since the readers do without it.
    """
    problems, hands, samples = [], 0, 0
    for folder in datasets.find(root, data):
        if not folder.path.exists():
            print(f"{folder.path}: not here; the published set has {folder.expected} samples in it")
            continue
        try:
            labels, unread = datasets.DATASETS[folder.data](folder.path, True)
        except ValueError as error:  # nothing of this folder can be read; the others are still to be seen
            print(f"{folder.path}: {folder.data}, cannot be read")
            problems.append(str(error))
            continue
        count = labels.num_hands + len(unread)
        found = [*unread, *_undecodable(folder.path, labels)]
        print(f"{folder.path}: {folder.data}, {count} samples"
              + ("" if folder.expected is None else f", published are {folder.expected}"))
        if folder.expected not in (None, count):
            found.append(f"{folder.path}: {count} samples, the published set has {folder.expected}; unpack "
                         f"or download it again.")
        problems += dict.fromkeys(found)  # a picture can be found out twice
        hands, samples = hands + labels.num_hands, samples + count
    for problem in problems:
        print(problem)
    print(f"{samples} samples, {hands} with a label that can be read; {len(problems)} problems.")
    return len(problems)


def _undecodable(folder, labels: Labels) -> list[str]:
    """What is wrong with the labelled pictures, and with those in the folder whose label is bad."""
    here = {os.path.join(folder, name) for name in (os.listdir(folder) if os.path.isdir(folder) else ())
            if name.lower().endswith(_PICTURES) and not name.startswith(".")}
    return [*images.unreadable(sorted(here | set(labels.paths.tolist()))).values()]


def preview(root, output, *, count: int = 32, seed: int = 0, data: str | None = None) -> None:
    """Write a contact sheet of crops with their skeletons, as training sees them before augmentation.

    Args:
        root: folder of one or several data sets.
        output: the picture to write, .png or .jpg.
        count: how many hands at most, drawn by lot from all folders.
        seed: of the lot.
        data: row of `DATASETS`; None recognises it.

    Raises:
        ValueError: no hands, or a picture that is drawn cannot be decoded.
        OSError: the output cannot be written.
    """
    command.check_picture("output", output)
    labels, unread = _read(root, data)
    count = min(count, labels.num_hands)
    rows = np.sort(np.random.default_rng(seed).choice(labels.num_hands, count, replace=False))
    cells = [_crop(labels, row) for row in rows]
    images.write(output, draw.contact_sheet(cells, columns=min(COLUMNS, count), cell_px=CELL_PX))
    print(f"{output}: {count} of {labels.num_hands} hands{unread}")


def coco(root, output, *, joints: list[str] | None = None, data: str | None = None) -> None:
    """Write all labels as one COCO keypoint file, whole or not at all.

    Args:
        root: folder of one or several data sets of one skeleton.
        output: the .json file to write, which must not be there.
        joints: names of those to keep, in this order; None keeps all.
        data: row of `DATASETS`; None recognises it.

    Raises:
        ValueError: nothing can be read, a picture cannot be named from the file's folder, or no such joint.
        OSError: the output cannot be written.
    """
    coco_writer.check_output(output)
    labels, unread = _read(root, data, once=True)
    joints = None if joints is None else coco_writer.joints_named(joints, labels.skeleton)
    coco_writer.write(labels, output, joints)
    print(f"{output}: {labels.has_hand.sum()} hands in {len(np.unique(labels.paths))} pictures, "
          f"{(~labels.has_hand).sum()} of them without a hand{unread}")


def _read(root, data: str | None, once: bool = False) -> tuple[Labels, str]:
    """Labels of all folders below root, and a remark on the samples that are not among them.

    `once` refuses pictures that two data sets label, as one and what was written from it do.
    """
    parts, owners, num_bad = [], {}, 0
    for folder in datasets.find(root, data):
        if not folder.path.exists():
            continue
        part, bad = datasets.read(folder.data, folder.path, skip_bad=True)
        for path in part.paths.tolist() if once else ():
            if owners.setdefault(path, folder) is not folder:
                raise ValueError(f"{path}: has labels in {owners[path].path} ({owners[path].data}) and in "
                                 f"{folder.path} ({folder.data}); say which are meant with --data=NAME.")
        parts.append(part)
        num_bad += len(bad)
    return concatenate(parts), f"; {num_bad} samples cannot be read, `verify` says why" if num_bad else ""


def _crop(labels: Labels, row: int) -> np.ndarray:
    """uint8 [CELL_PX, CELL_PX, 3]: one hand's box with its skeleton."""
    matrix = geometry.crop_matrix(labels.boxes[row], CELL_PX)
    picture = images.warp(images.read(labels.paths[row]), matrix, CELL_PX)
    points = geometry.apply(matrix, np.float64(labels.keypoints[row]))
    return draw.skeleton(picture, points, skeleton=labels.skeleton, visible=labels.visible[row])


def run() -> None:
    """The command line."""
    # Defined here and not at the top, so that importing this file leaves other scripts' flags alone.
    data = flags.DEFINE_enum("data", None, sorted(datasets.DATASETS), "Data set; recognised when not given.")
    output = flags.DEFINE_string("output", None, "What to write: preview's .png or .jpg, coco's .json.")
    joints = flags.DEFINE_list("joints", None, "coco: the joints to keep, in this order; all when not given.")
    count = flags.DEFINE_integer("count", 32, "preview: number of hands.", lower_bound=1, upper_bound=1000)
    seed = flags.DEFINE_integer("seed", 0, "preview: which hands are drawn by lot.", lower_bound=0)

    def main(argv):
        if len(argv) != 3 or argv[1] not in ("verify", "preview", "coco"):
            raise app.UsageError("expected `verify DIR`, `preview DIR` or `coco DIR`, got "
                                 f"{argv[1:] or 'no arguments'}")
        if argv[1] == "verify":
            return 1 if verify(argv[2], data.value) else 0
        if output.value is None:
            raise app.UsageError(f"{argv[1]} needs --output=FILE{'.png' if argv[1] == 'preview' else '.json'}")
        if argv[1] == "coco":
            return coco(argv[2], output.value, joints=joints.value, data=data.value)
        return preview(argv[2], output.value, count=count.value, seed=seed.value, data=data.value)

    command.run_main(main)


if __name__ == "__main__":
    run()
