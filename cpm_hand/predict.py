"""From any picture to keypoints in that picture's own pixels."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from cpm_hand import draw, geometry, images, runtimes


class Outputs(NamedTuple):
    """What the net saw and said about one crop.

    Attributes:
        input: uint8 [size, size, 3], RGB.
        belief_maps: float32 [size, size, C], the last stage upsampled to the input's pixels.
        stages: float32 [S, h, w, C].
    """

    input: np.ndarray
    belief_maps: np.ndarray
    stages: np.ndarray


class Hand(NamedTuple):
    """One hand found in a picture.

    Attributes:
        keypoints: float32 [J, 3]: x and y in the picture's pixels, and the score, 0 to 1.
        presence: how sure the net is that there is a hand, 0 to 1.
        box: float32 [4]: x, y, w, h in the picture's pixels of the square that the net saw.
        outputs: the net's own output, where it was asked for.
    """

    keypoints: np.ndarray
    presence: float
    box: np.ndarray
    outputs: Outputs | None


class Predictor:
    """Find the keypoints of hands.

    Args:
        artefact: a path that `runtimes.load` takes, or what it returns.

    Raises:
        BadArtefact: the path holds nothing that can be run.
    """

    def __init__(self, artefact: str | pathlib.Path | runtimes.Artefact | Callable):
        self.artefact = artefact if callable(artefact) else runtimes.load(artefact)

    def __call__(self, image, boxes=None, outputs: bool = False) -> list[Hand]:
        """Find one hand in each box.

        Args:
            image: uint8 [H, W, 3] RGB of any size, or a picture file, which is turned as its EXIF data say.
            boxes: float [N, 4]: x, y, w, h in px, tight around each hand; the context that the net needs is
                added here. None: the whole picture is one hand's crop.
            outputs: keep belief maps, stages and input of each hand.

        Returns:
            One Hand per box, in the order of the boxes.

        Raises:
            BadImage: the file is not a picture.
            ValueError: not a picture of uint8 RGB, or a box that holds nothing of it.
        """
        image = _picture(image)
        height, width = image.shape[:2]
        if boxes is None:
            crops = [geometry.whole_picture_box(width, height)]
        else:
            crops = [geometry.widen(box) for box in _checked(boxes, width, height)]
        if not crops:
            return []
        size = self.artefact.size
        matrices = [geometry.crop_matrix(crop, size) for crop in crops]
        inputs = np.stack([images.warp(image, matrix, size) for matrix in matrices])
        result = self.artefact(inputs)
        hands = []
        for index, (crop, matrix) in enumerate(zip(crops, matrices)):
            keypoints = np.array(result["keypoints"][index], np.float32)
            keypoints[:, :2] = geometry.apply(geometry.invert(matrix), keypoints[:, :2])
            kept = Outputs(inputs[index], result["belief_maps"][index], result["stages"][index])
            hands.append(Hand(keypoints, float(result["presence"][index]), crop, kept if outputs else None))
        return hands


def belief_on_picture(hand: Hand, width: int, height: int, background: bool = True) -> np.ndarray:
    """The strongest belief of a hand's joints, moved from its crop to where it lies in the whole picture.

    Args:
        hand: predicted with `outputs=True`.
        width: of the picture, px.
        height: of the picture, px.
        background: whether the last map is the background, which is left out.

    Returns:
        float32 [H, W, 1]: one map for `draw.belief_overlay(…, background=False)`; 0 outside the crop.
    """
    belief = draw.strongest(hand.outputs.belief_maps, background)
    matrix = geometry.crop_matrix(hand.box, len(belief))
    return cv2.warpAffine(belief, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                          borderMode=cv2.BORDER_CONSTANT, borderValue=0)[..., None]


def _picture(image) -> np.ndarray:
    if isinstance(image, (str, pathlib.Path)):
        return images.read(image, honour_exif=True)
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"an image is uint8 RGB [H, W, 3] or the path of a picture, got "
                         f"{image.dtype} {list(image.shape)}. Repeat a grey one, scale and cast a float one.")
    return image


def _checked(boxes, width: int, height: int) -> np.ndarray:
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
        if x >= width or y >= height or x + w <= 0 or y + h <= 0:
            raise ValueError(f"{text} lies outside the picture of {width} x {height} px.")
        if max(w, h) > 100 * max(width, height):
            raise ValueError(f"{text} is more than 100 times the picture of {width} x {height} px.")
    return boxes
