"""Hands of a report's galleries: the part of the picture around each, with the labels and what was found."""

import base64
import math
import pathlib

import cv2
import numpy as np

from cpm_hand import crops, geometry, images, plots
from cpm_hand import report_content as content
from cpm_hand.markup import Element, element

_SIDE = 256      # px of a hand's picture
_QUALITY = 80    # of its JPEG
_MARGIN = 1.25   # side of what it shows over that of the points in it
_LEAST = 24.0    # px of the picture that are shown at least


def figure(evaluation, each: content.Tile, all_: list, before: str = "") -> Element:
    """A hand of a gallery: its picture with the labels and what was found, and what is said of it.

    Args:
        evaluation: `evaluation.Evaluation`.
        each: of its hands.
        all_: evaluations of the same labels; the part of the picture that is shown holds what each found of the hand.
        before: begins the caption.

    Returns:
        An element whose picture is data; where it cannot be read any more, the error is in its place.
    """
    path, labels = str(evaluation.labels.paths[each.row]), evaluation.labels
    if math.isfinite(each.error):
        said = f"error {each.error:.3f}, {each.near} of {each.labelled} near"
    elif each.labelled:
        said = "not found"
    else:
        said = f"presence {evaluation.presence[each.row]:.2f}"
    truth = np.where(evaluation.mask[each.row][:, None], labels.keypoints[each.row], np.nan)
    try:
        picture = images.read(path)
    except images.BadImage as error:
        shown = element("div", str(error), class_="unreadable")
    else:
        square = _view(picture, [truth, *[other.predicted[each.row] for other in all_]])
        matrix = geometry.crop_matrix(square, _SIDE)
        found = evaluation.predicted[each.row].astype(np.float64)
        found[:, :2] = geometry.apply(matrix, found[:, :2])
        shown = plots.hand_picture(_data_uri(crops.cut(picture, square, False, _SIDE)), _SIDE, labels.skeleton,
                                   geometry.apply(matrix, truth), found, f"{path}: {said}")
    return element("figure", shown, element("figcaption", element("b", before) if before else None, said,
                                            element("div", pathlib.PurePath(path).name, class_="soft")), title=path)


def _view(picture: np.ndarray, points: list[np.ndarray]) -> np.ndarray:
    """The square that holds all these points, as far as they lie in the picture: float32 [4], x, y, w, h."""
    height, width = picture.shape[:2]
    xy = np.concatenate([each[:, :2] for each in points]).astype(np.float64)
    xy = np.clip(xy[np.isfinite(xy).all(1)], 0, (width - 1, height - 1))
    if not len(xy):
        return geometry.whole_picture_box(width, height)
    square = geometry.widen(geometry.tight_box(xy, np.ones(len(xy), bool)), _MARGIN)
    return geometry.square_box(square[:2] + (square[2] - 1) / 2, max(float(square[2]), _LEAST))


def _data_uri(picture: np.ndarray) -> str:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
