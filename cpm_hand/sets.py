"""From `NAME=DIR[:WEIGHT[:CROP_FACTOR]]` to what a run learns from: read, limit, split, mix."""

import logging
import os
from typing import NamedTuple

import numpy as np

from cpm_hand import datasets, geometry, labels
from cpm_hand.augment import AUGMENTATIONS
from cpm_hand.hand import difference
from cpm_hand.labels import Labels
from cpm_hand.pipeline import Data, Loader, Mixture

LOGGER = logging.getLogger("train")
CUT_OFF = 0.01  # share of joints outside the crops beyond which a run says so


class Source(NamedTuple):
    """One set that a person named.

    Attributes:
        name: row of `datasets.DATASETS`.
        folder: where it lies.
        weight: its share of the pictures; None is its size.
        crop_factor: of this set's crops; None is the run's.
    """

    name: str
    folder: str
    weight: float | None
    crop_factor: float | None = None


class Choice(NamedTuple):
    """How sets are turned into a run's data.

    Attributes:
        size: side of the input, px.
        batch_size: of all workers together.
        augmentation: row of `AUGMENTATIONS`.
        hands: "both" or "right".
        crop_factor: side of the crop over the longer side of the tight joint box.
        seed: of order and augmentation.
        skip_bad: leave out and list what cannot be used.
        limit: use only the first so many hands of each training set; 0 is all.
        validation_fraction: share of the groups that is held back.
    """

    size: int
    batch_size: int
    augmentation: str = "default"
    hands: str = "both"
    crop_factor: float = geometry.CROP_FACTOR
    seed: int = 0
    skip_bad: bool = False
    limit: int = 0
    validation_fraction: float = 0.05


def parse(texts: list[str], flag: str = "data", *, weighted: bool = True) -> list[Source]:
    """Read `NAME=DIR`, `NAME=DIR:WEIGHT` or `NAME=DIR:WEIGHT:CROP_FACTOR`.

    A colon that no number follows belongs to the folder.

    Args:
        texts: one for each set.
        flag: whose values they are, for errors.
        weighted: whether numbers behind the folder are taken.

    Raises:
        ValueError: not of that form, an unknown name, a weight that is not positive or not taken, or a crop factor
            outside 1 to 10.

    >>> parse(["cmu_synth=/data/synth:0.5"])
    [Source(name='cmu_synth', folder='/data/synth', weight=0.5, crop_factor=None)]
    """
    sources = []
    for text in texts:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder):
            raise ValueError(f"--{flag}={text}: expected NAME=DIR or NAME=DIR:WEIGHT with NAME one of "
                             f"{', '.join(sorted(datasets.DATASETS))}.")
        if name not in datasets.DATASETS:
            raise ValueError(f"--{flag}={text}: unknown dataset '{name}'; the datasets are "
                             f"{', '.join(sorted(datasets.DATASETS))}.")
        numbers = []
        while len(numbers) < 2 and ":" in folder:
            head, _, tail = folder.rpartition(":")
            try:
                numbers.insert(0, float(tail))
            except ValueError:
                break  # a folder's own colon
            folder = head
        weight, crop_factor = (*numbers, None, None)[:2]
        if not folder:
            raise ValueError(f"--{flag}={text}: no folder between '=' and ':'.")
        if numbers and not weighted:
            raise ValueError(f"--{flag}={text}: takes no :WEIGHT, for each picture is seen once.")
        if weight is not None and not 0 < weight < float("inf"):
            raise ValueError(f"--{flag}={text}: the weight must be a positive number, got {weight:g}.")
        if crop_factor is not None and not 1 <= crop_factor <= 10:
            raise ValueError(f"--{flag}={text}: the crop factor, behind the weight, is 1 to 10, got {crop_factor:g}.")
        sources.append(Source(name, folder, weight, crop_factor))
    return sources


def prepare(training: list[Source], validation: list[Source], choice: Choice) -> Data:
    """Read all sets and make the loaders.

    Args:
        training: at least one set.
        validation: sets of their own; when there are none, a share of the training groups is held back.
        choice: how.

    Raises:
        ValueError: no set, a bad sample (its file is named), or sets that cannot be mixed.
    """
    if not training:
        raise ValueError("no training data: give --datapath=DIR with CMU's hand_labels_synth, or --data=NAME=DIR. "
                         "The README says where the data comes from.")
    given = [source.weight for source in training if source.weight is not None]
    if given and len(given) != len(training):
        raise ValueError("some sets have a :WEIGHT and some have none; give all of them one (1 and 1 show both "
                         "alike), or none for their sizes.")
    parts = [_read(source, choice).take(slice(0, choice.limit or None)) for source in training]
    if validation:
        held_parts, held_sources = [_read(source, choice) for source in validation], validation
    else:
        masks = [labels.validation_mask(part.groups, choice.validation_fraction) for part in parts]
        if np.concatenate(masks).all():
            LOGGER.warning("all %d training pictures are of one source, which the split put into validation; it "
                           "stays in training and nothing is held back. --validation_data names another set.",
                           sum(part.num_hands for part in parts))
            masks = [np.zeros_like(mask) for mask in masks]
        held_parts, held_sources = [part.take(mask) for part, mask in zip(parts, masks)], training
        parts = [part.take(~mask) for part, mask in zip(parts, masks)]
    held_back = labels.concatenate(held_parts)
    if not held_back.num_hands and choice.validation_fraction:
        LOGGER.warning("the validation split is empty (%d sources in the training set): there will be no validation "
                       "loss, error or PCK. --validation_data or a larger --validation_fraction makes one.",
                       len(np.unique(np.concatenate([part.groups for part in parts]))))
    parts, sources = zip(*[(part, source) for part, source in zip(parts, training) if part.num_hands])
    together = labels.concatenate(parts)
    _check_validation(held_back, together)
    weights = [source.weight for source in sources] if given else None
    LOGGER.info("%d training and %d validation pictures.", together.num_hands, held_back.num_hands)
    common = {"hands": choice.hands, "crop_factor": choice.crop_factor, "seed": choice.seed,
              "skip_bad": choice.skip_bad}
    return Data(
        Loader(together, choice.size, augmentation=AUGMENTATIONS[choice.augmentation],
               crop_factors=_crop_factors(parts, sources, choice), **common),
        Mixture([part.num_hands for part in parts], weights, choice.seed),
        Loader(held_back, choice.size, crop_factors=_crop_factors(held_parts, held_sources, choice),
               **common) if held_back.num_hands else None, choice.batch_size)


def _crop_factors(parts: list[Labels], sources: list[Source], choice: Choice) -> np.ndarray:
    """Of each sample of all parts, one after the other: that of its set, or the run's."""
    return np.concatenate([np.full(part.num_hands, source.crop_factor or choice.crop_factor)
                           for part, source in zip(parts, sources)])


def _check_validation(held_back: Labels, together: Labels) -> None:
    """Refuse validation on other joints, and tell of validation on what is trained on."""
    unlike = difference(held_back.skeleton.names, together.skeleton.names)
    if held_back.num_hands and unlike:
        raise ValueError(f"--validation_data has other joints than the training sets: {unlike}; validate on the same "
                         f"joints in the same order, under the same names.")
    trained_on = set(map(os.path.abspath, together.paths.tolist()))
    seen = sum(os.path.abspath(path) in trained_on for path in set(held_back.paths.tolist()))
    if seen:
        LOGGER.warning("%d of the validation pictures are trained on, too, for two of the sets hold them: error and "
                       "PCK will say how well they are remembered. Leave one of the two out.", seen)


def tell_of_joints_cut_off(loader: Loader) -> None:
    """Warn where a net would learn that joints are not there because narrow crops cut them off.

    Of pictures that are cropped already a narrow crop is the middle, which need not hold the hand.
    """
    together = loader.labels

    def inside(boxes):  # [N, 4] -> [N, J]
        corner, side = boxes[:, None, :2] - 0.5, boxes[:, None, 2:]
        return together.visible & ((together.keypoints >= corner) & (together.keypoints <= corner + side)).all(-1)

    factor = loader.crop_factors[:, None] / geometry.CROP_FACTOR
    whole = together.boxes.astype(float)
    middle = np.concatenate([whole[:, :2] + (1 - factor) / 2 * whole[:, 2:], factor * whole[:, 2:]], axis=1)
    shown = inside(whole)
    lost = shown & ~inside(middle)
    for crop_factor in np.unique(loader.crop_factors):  # a small set may be shown as often as a large one
        among = loader.crop_factors == crop_factor
        if lost[among].sum() > CUT_OFF * shown[among].sum():
            LOGGER.warning("--crop_factor=%g cuts off %.0f %% of the joints, in %d hands, and the net learns that they "
                           "are not there: of pictures that are crops already it takes the middle. --crop_factor=%g, "
                           "or NAME=DIR:WEIGHT:%g for one set, shows them whole; `python -m cpm_hand.datasets coco` "
                           "writes labels with a crop around each hand.", crop_factor,
                           100 * lost[among].sum() / shown[among].sum(), lost[among].any(1).sum(),
                           geometry.CROP_FACTOR, geometry.CROP_FACTOR)


def _read(source: Source, choice: Choice) -> Labels:
    read, problems = datasets.read(source.name, source.folder, choice.skip_bad)
    for problem in problems:
        LOGGER.warning("skipped: %s", problem)
    if problems:
        LOGGER.warning("%s=%s: %d bad samples were skipped, %d are left.", source.name, source.folder, len(problems),
                       read.num_hands)
    if not read.num_hands:
        raise ValueError(f"{source.folder}: no usable hand in it.")
    return read
