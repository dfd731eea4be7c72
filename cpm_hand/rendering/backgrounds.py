"""What is behind a hand: painted pictures of many kinds, or crops from the user's own.

Every picture is a pure function of the generator passed in and of its size; the textures behind it come from a bank
that is the same in every process.
"""

import functools
import math
import os
import pathlib

import cv2
import numpy as np

from cpm_hand import images
from cpm_hand.rendering import people, places, scenes
from cpm_hand.rendering.canvas import Canvas

LONGEST = 1600  # px, of a user's picture as it is kept


def _people(canvas):
    BASES[int(canvas.rng.integers(len(BASES)))](canvas)
    for _ in range(int(canvas.rng.choice([1, 1, 2]))):
        people.person(canvas)


def _skin(canvas):
    BASES[int(canvas.rng.integers(len(BASES)))](canvas)
    people.skin(canvas)


BASES = (scenes.plain, scenes.plain, places.room, places.room, places.room, scenes.wallpaper, places.outdoors,
         scenes.shelf, scenes.leaves)  # what stands behind people
KINDS = {  # name -> scene(canvas)
    "plain": scenes.plain, "noise": scenes.noise, "leaves": scenes.leaves, "room": places.room, "desk": places.desk,
    "shelf": scenes.shelf, "text": scenes.text, "wallpaper": scenes.wallpaper, "foliage": scenes.foliage,
    "litter": scenes.litter, "machine": scenes.machine, "outdoors": places.outdoors, "people": _people, "skin": _skin,
}
WEIGHTS = {
    "plain": 0.15, "noise": 0.02, "leaves": 0.10, "room": 0.17, "desk": 0.08, "shelf": 0.06, "text": 0.03,
    "wallpaper": 0.05, "foliage": 0.03, "litter": 0.04, "machine": 0.07, "outdoors": 0.06, "people": 0.14, "skin": 0.04,
}
OVERLAYS = {  # name -> (what may come over any kind, how often)
    "clutter": (scenes.clutter, 0.06), "beams": (scenes.beams, 0.05), "person": (people.person, 0.14),
    "skin": (people.skin, 0.06), "cables": (scenes.cables, 0.05),
}


def background(rng: np.random.Generator, width: int, height: int, weights: dict | None = None) -> np.ndarray:
    """Paint one background.

    Args:
        rng: NumPy generator; the same state gives the same bytes.
        width: px.
        height: px.
        weights: share of each of `KINDS`, which need not sum to 1; None for `WEIGHTS`.

    Returns:
        uint8 [height, width, 3], sRGB.

    Raises:
        ValueError: a kind that does not exist, or weights that are negative or all zero.
    """
    weights = WEIGHTS if weights is None else weights
    unknown = set(weights) - set(KINDS)
    if unknown:
        raise ValueError(f"no such kind of background: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}.")
    shares = np.array(list(weights.values()), float)
    if not (np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
        raise ValueError(f"weights must be finite, at least 0 and not all 0, got {weights}.")
    kind = list(weights)[np.searchsorted(np.cumsum(shares) / shares.sum(), rng.random(), side="right")]
    shrink, blur = _focus(rng, width, height)
    canvas = Canvas(rng, math.ceil(width / shrink), math.ceil(height / shrink))
    KINDS[kind](canvas)
    if kind != "plain":
        for overlay, share in OVERLAYS.values():
            if rng.random() < share:
                overlay(canvas)
    light = _light(rng, canvas.width, canvas.height)
    angle, reach = rng.normal(math.pi / 2, 0.9), canvas.side * math.exp(rng.uniform(-5, -3))
    canvas.shadows(light, (reach * math.cos(angle), reach * math.sin(angle)), reach * rng.uniform(0.1, 0.6),
                   rng.uniform(0, 0.65))
    image = canvas.paint(light)
    if shrink > 1:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    if blur > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    return _frame(rng, image)


def _focus(rng, width, height):
    """How blurred the ground is, sigma in px; what is very blurred is painted small: (shrink, blur)."""
    side = math.sqrt(width * height) / 368
    blur = side * (rng.uniform(0.0, 0.5) if rng.random() < 0.82 else math.exp(rng.uniform(-0.5, 1.5)))
    if min(width, height) < 64:
        return 1.0, blur
    shrink = 1.0 if blur < 0.42 else 1.25 if blur < 0.9 else 1.5 if blur < 1.5 else 2.0 if blur < 3.5 else 3.0
    return shrink, math.sqrt(max(blur**2 - (0.35 * shrink) ** 2, 0)) if shrink > 1 else blur


def _light(rng, width, height):
    """Uneven light: a slope, soft patches, sometimes the hard edge of a shadow; float32 [height, width]."""
    small = np.exp(rng.uniform(0, 0.12) * rng.standard_normal((4, 4)))
    slope = rng.uniform(0, 0.35) * rng.standard_normal(2)
    small = np.float32(small * np.exp(np.add.outer(*(k * np.linspace(-1, 1, 4) for k in slope))))
    if rng.random() < 0.25:
        fine = cv2.resize(small, (max(width // 4, 4), max(height // 4, 4)), interpolation=cv2.INTER_CUBIC)
        for _ in range(int(rng.integers(1, 4))):
            centre, angle = rng.random(2) * fine.shape[::-1], rng.uniform(0, 6.3)
            a, b = rng.uniform(0.1, 1, 2) * max(fine.shape)
            shade = np.zeros(fine.shape, np.float32)
            cv2.fillPoly(shade, [np.int32(cv2.boxPoints((tuple(centre), (a, b), math.degrees(angle))))], 1.0)
            shade = cv2.GaussianBlur(shade, (0, 0), rng.uniform(0.5, 8))
            fine *= 1 - rng.uniform(0.15, 0.6) * shade
        small = fine
    else:
        small = cv2.resize(small, (24, 24), interpolation=cv2.INTER_CUBIC)
    light = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return light / max(float(light.mean()), 0.2) * np.float32(rng.normal(1.0, 0.1))


def _frame(rng, image):
    """Now and then a black, white or grey border, straight or slanted, as turned and padded pictures have it."""
    if rng.random() > 0.08:
        return image
    height, width = image.shape[:2]
    cut, slant = rng.uniform(0.03, 0.3), 0.06 * rng.standard_normal()
    colour = tuple(int(v) for v in np.full(3, rng.choice([0, 0, 0, 255, 128])))
    edges = np.array([[[-1, -1], [2, -1], [2, cut + slant], [-1, cut - slant]],
                      [[-1, 2], [2, 2], [2, 1 - cut + slant], [-1, 1 - cut - slant]]])
    if rng.random() < 0.5:
        edges = edges[..., ::-1]
    chosen = edges if rng.random() < 0.5 else edges[:1] if rng.random() < 0.5 else edges[1:]
    for edge in chosen:
        cv2.fillPoly(image, [np.int32(edge * (width, height))], colour)
    return image


def from_folder(folder) -> list[str]:
    """The user's own background pictures, sorted; sub-folders are searched too, and every file is looked at once.

    Args:
        folder: with JPEG, PNG, BMP, WebP or TIFF pictures.

    Raises:
        ValueError: no such folder, no picture in it, or one that cannot be read, which is named.
    """
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise ValueError(f"{folder}: no such folder of background pictures.")
    paths = sorted(os.path.join(where, name) for where, _, names in os.walk(root) for name in names
                   if name.lower().endswith(images.SUFFIXES) and not name.startswith("."))
    if not paths:
        raise ValueError(f"{folder}: no pictures in this folder; expected files that end in "
                         f"{', '.join(images.SUFFIXES)}.")
    for path in paths:
        try:
            images.read(path)
        except images.BadImage as error:
            raise ValueError(f"{error} Repair it or take it out of {folder}.") from None
    return paths


@functools.lru_cache(maxsize=32)
def read_once(path: str) -> np.ndarray:
    """A background picture, uint8 [H, W, 3], kept while it is among the last 32; do not write into it.

    Large pictures are scaled down to LONGEST px, so that those kept take at most some 250 MB.
    """
    image = images.read(path, honour_exif=True)
    scale = LONGEST / max(image.shape[:2])
    if scale >= 1:
        return image
    width, height = (max(round(side * scale), 1) for side in image.shape[1::-1])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def crop_of(rng: np.random.Generator, image: np.ndarray, width: int, height: int) -> np.ndarray:
    """A random part of a picture, mirrored half of the time, scaled to fill width x height px.

    Args:
        rng: NumPy generator.
        image: uint8 [H, W, 3] of any size.
        width: px.
        height: px.

    Returns:
        uint8 [height, width, 3], a new array.
    """
    rows, columns = image.shape[:2]
    largest = min(columns / width, rows / height)  # picture px per px of the crop
    step = largest * math.exp(rng.uniform(math.log(0.35), 0))
    w, h = max(int(width * step), 1), max(int(height * step), 1)
    x, y = int(rng.integers(0, columns - w + 1)), int(rng.integers(0, rows - h + 1))
    part = image[y:y + h, x:x + w]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    how = cv2.INTER_AREA if step > 1 else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=how)
