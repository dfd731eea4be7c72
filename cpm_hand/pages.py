"""The pictures that show what was found in a picture, and what the net believed on the way."""

from collections.abc import Sequence

import cv2
import numpy as np

from cpm_hand import draw, geometry
from cpm_hand.hand import Skeleton
from cpm_hand.looks import Hand
from cpm_hand.predict import Predictor


def skeletons(picture: np.ndarray, hands: Sequence[Hand], skeleton: Skeleton) -> np.ndarray:
    """All hands drawn over their picture, the strongest on top: a new uint8 [H, W, 3]."""
    page = picture.copy()
    for hand in reversed(hands):
        page = draw.skeleton(page, hand.keypoints, skeleton)
    return page


def beliefs(predictor: Predictor, picture: np.ndarray, hands: Sequence[Hand]) -> dict[str, np.ndarray]:
    """What the net believed, where it looked last.

    Args:
        predictor: that found the hands.
        picture: uint8 [H, W, 3], RGB.
        hands: found with `outputs=True`, the strongest first. None: what it believes of the whole picture as one crop.

    Returns:
        uint8 [h, w, 3] each: `belief_maps`, all maps of the strongest hand; `overlay`, the strongest belief of all
        hands over the picture; `stages`, what each stage believed of the strongest hand.
    """
    artefact, (height, width) = predictor.artefact, picture.shape[:2]
    if not hands:
        part = max(1 / predictor.crop_factor, 1 / max(width, height))  # a box has a pixel at least
        whole = geometry.widen(geometry.whole_picture_box(width, height), part)
        hands = predictor(picture, [whole], outputs=True)
    background, outputs = artefact.target.background, hands[0].outputs
    belief = np.max([belief_on_picture(hand, width, height, background) for hand in hands], axis=0)
    return {
        "belief_maps": draw.belief_grid(outputs.belief_maps,
                                        [*artefact.skeleton.names, *["background"] * background], outputs.input),
        "overlay": draw.belief_overlay(picture, belief, background=False),
        "stages": draw.stage_strip(outputs.input, outputs.stages, background, columns=3),
    }


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
