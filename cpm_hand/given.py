"""What a Predictor is given, pictures and boxes, and what is wrong with it."""

import itertools
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np

from cpm_hand import geometry, images

_MISSING = object()


def checked(pictures: Iterable, boxes: Iterable | None,
            crop_factor: float = geometry.CROP_FACTOR) -> Iterator[tuple[np.ndarray, list | None]]:
    """Each picture with the squares around its boxes, read and checked as they are asked for.

    Args:
        pictures: uint8 [H, W, 3] RGB of any size, or picture files.
        boxes: for each picture float [N, 4], x, y, w, h in px, tight around each hand; None: no picture has any.
        crop_factor: side of a square over the longer side of its box.

    Yields:
        The picture, uint8 [H, W, 3], and its squares with the context that the net needs, each float32 [4], x, y, w,
        h in px; None where no boxes are given.

    Raises:
        images.BadImage: a file is not a picture.
        ValueError: not a picture of uint8 RGB, a box that holds nothing of it, or not as many boxes as pictures.
    """
    if boxes is None:
        yield from ((_picture(picture), None) for picture in pictures)
        return
    for number, (picture, around) in enumerate(itertools.zip_longest(pictures, boxes, fillvalue=_MISSING)):
        if picture is _MISSING or around is _MISSING:
            raise ValueError(f"each picture needs its boxes, but there are {number} "
                             f"{'pictures and more boxes' if picture is _MISSING else 'boxes and more pictures'}.")
        pixels = _picture(picture)
        try:
            squares = [geometry.widen(box, crop_factor) for box in _boxes(around, pixels.shape[1], pixels.shape[0])]
        except ValueError as error:
            raise ValueError(f"{picture}: {error}" if isinstance(picture, (str, pathlib.Path)) else error) from None
        yield pixels, squares


def _picture(image) -> np.ndarray:
    if isinstance(image, (str, pathlib.Path)):
        return images.read(image, honour_exif=True)
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"an image is uint8 RGB [H, W, 3] or the path of a picture, got "
                         f"{image.dtype} {list(image.shape)}. Repeat a grey one, scale and cast a float one.")
    return image


def _boxes(boxes, width: int, height: int) -> np.ndarray:
    """Boxes as float64 [N, 4], each of which holds a part of the picture."""
    boxes = np.asarray(boxes, np.float64)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be [N, 4], rows of x, y, w, h in px, got shape {list(boxes.shape)}.")
    for box in boxes:
        x, y, w, h = box
        text = f"box x={x:g} y={y:g} w={w:g} h={h:g}"
        if not (np.isfinite(box).all() and w > 0 and h > 0):
            raise ValueError(f"a box needs finite x and y and a width and height above 0 px, got {text}.")
        if max(w, h) < 1:
            raise ValueError(f"{text} is smaller than a pixel; boxes are in pixels, not in fractions.")
        if not geometry.touches(box, width, height):
            raise ValueError(f"{text} lies outside the picture of {width} x {height} px.")
        if max(w, h) > geometry.LARGEST * max(width, height):
            raise ValueError(f"{text} is more than {geometry.LARGEST} times the picture of {width} x {height} px.")
    return boxes
