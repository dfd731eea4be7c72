"""The data sets: one file each, one row each in `DATASETS`, and how they are read and recognised."""

import pathlib
from typing import NamedTuple

from cpm_hand.datasets import cmu, coco
from cpm_hand.labels import BadSample as BadSample
from cpm_hand.labels import Labels

# name for --data=NAME=DIR -> (root, skip_bad) -> (Labels, one text per sample left out)
DATASETS = {
    "cmu_synth": cmu.read_synth,
    "cmu_manual": cmu.read_manual,
    "cmu_panoptic": cmu.read_panoptic,
    "coco": coco.read,
}

# root -> (name, folder, expected number of samples or None), for those layouts that can be told from outside
FINDERS = (cmu.find, coco.find)


class Folder(NamedTuple):
    """A folder that one reader can read.

    Attributes:
        data: row of `DATASETS`.
        path: the folder, or a COCO file; it does not exist where a known data set lacks one of its parts.
        expected: how many samples the published set has there, None where nobody knows.
    """

    data: str
    path: pathlib.Path
    expected: int | None


def read(name: str, root, skip_bad: bool = False) -> tuple[Labels, list[str]]:
    """Labels of one data set.

    Args:
        name: row of `DATASETS`.
        root: its folder or file; the reader's docstring says which folders it takes.
        skip_bad: leave bad samples out and report them, instead of raising at the first.

    Returns:
        Labels of at least one hand, and one text per sample left out (none without skip_bad).

    Raises:
        BadSample: a picture or label cannot be used, and skip_bad is False.
        ValueError: no data set of that name, no such folder, no hands in it, or every sample is bad.
    """
    check_name(name)
    labels, problems = DATASETS[name](root, skip_bad)
    if not labels.num_hands and not problems:
        raise ValueError(f"{root}: no hand with a labelled joint and no picture without a hand; label some joints.")
    if not labels.num_hands:
        raise ValueError(f"{root}: all {len(problems)} samples are bad; the first: {problems[0]}")
    return labels, problems


def check_name(name: str) -> None:
    """Refuse a name that is not in `DATASETS`.

    Raises:
        ValueError: the text lists the names there are.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown data set '{name}'; the data sets are {', '.join(sorted(DATASETS))}.")


def find(root, name: str | None = None) -> list[Folder]:
    """All folders of pictures in a folder, whatever a reader takes of them by default.

    Args:
        root: a folder that holds one data set or several, or a COCO file.
        name: only those that this row of `DATASETS` reads; root itself where its layout tells nothing.

    Returns:
        at least one Folder; those that do not exist are parts that a known data set lacks.

    Raises:
        ValueError: no such folder, nothing is recognised, or no data set of that name.
    """
    if name is not None:
        check_name(name)
    finders = (coco.find,) if pathlib.Path(root).expanduser().is_file() else FINDERS  # one file is nobody else's
    folders = [Folder(*found) for finder in finders for found in finder(root)]
    if name is not None:
        named = [folder for folder in folders if folder.data == name]
        return named or [Folder(name, pathlib.Path(root).expanduser(), None)]
    if not folders:
        raise ValueError(f"{root}: no known data set (NAME.jpg with NAME.json, here or one folder below, "
                         f"{cmu.PANOPTIC_JSON}, or COCO's {coco.FILES[0]}). Say which it is with --data=NAME, one of "
                         f"{', '.join(sorted(DATASETS))}. CMU's hand data: {cmu.ORIGIN}")
    return folders
