"""Pictures of what a net sees: the skeleton, belief maps over the image, all maps or stages side by side.

Everything takes and gives uint8 RGB [H, W, 3] and leaves its arguments alone. A belief is painted on one
fixed scale, 0 to 1, so that two pictures can be compared.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from cpm_hand.hand import HAND, Skeleton, colours

_SHIFT = 4           # OpenCV takes integer coordinates with this many fractional bits
_FAR = 1e6           # px; a joint farther out than this is no place on a picture
_EDGE, _RIM = (20, 20, 20), (245, 245, 245)  # a dark edge and a light rim around it: one of them stands out anywhere
_FAINT = 0.45        # opacity of joints and bones below the score threshold
_PAGE = 24           # grey of gaps and title bars
_GAP = 4             # px between panels
_BAR = 20            # px, height of a title bar
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def skeleton(image: np.ndarray, keypoints: np.ndarray, skeleton: Skeleton = HAND, visible=None, scores=None,
             threshold: float = 0.2) -> np.ndarray:
    """Draw a hand: bones, each in the colour of its outer joint, and the joints on top.

    Widths follow the size of the hand in the picture; a dark edge with a light rim keeps it readable on any
    background and skin.

    Args:
        image: uint8 [H, W, 3], RGB.
        keypoints: float [J, 2] or [J, 3]: x, y in image px, and a score. A joint whose coordinates are not
            finite is left out, and so are the bones that touch it.
        skeleton: names and bones of the J joints.
        visible: bool [J]; the others are left out. All, when not given.
        scores: float [J], instead of a third column of keypoints.
        threshold: joints that score less are drawn faint, and so are their bones.

    Returns:
        uint8 [H, W, 3], a new picture.

    Raises:
        ValueError: not a picture, or not one row per joint.
    """
    canvas = _picture(image)
    keypoints = np.asarray(keypoints, np.float64)
    if keypoints.ndim != 2 or len(keypoints) != skeleton.num_joints or keypoints.shape[1] not in (2, 3):
        raise ValueError(f"keypoints must be [{skeleton.num_joints}, 2] or [{skeleton.num_joints}, 3], one "
                         f"row per joint of the skeleton, got shape {list(keypoints.shape)}.")
    if scores is None:
        scores = keypoints[:, 2] if keypoints.shape[1] == 3 else np.ones(len(keypoints))
    points = keypoints[:, :2]
    drawn = (np.abs(points) < _FAR).all(1)                      # False for NaN and infinity too
    if visible is not None:
        drawn &= np.asarray(visible, bool)
    if not drawn.any():
        return canvas
    sure = drawn & (np.asarray(scores) >= threshold)
    if sure.all() or (sure == drawn).all():
        return _draw_hand(canvas, points, skeleton, drawn, drawn)
    faint = _draw_hand(canvas.copy(), points, skeleton, drawn, drawn)
    canvas = cv2.addWeighted(faint, _FAINT, canvas, 1 - _FAINT, 0)
    return _draw_hand(canvas, points, skeleton, sure, drawn)


def _draw_hand(canvas, points, skeleton, joints, hand) -> np.ndarray:
    """Draw `joints` bool [J] and the bones between them; the width is that of the whole `hand` bool [J]."""
    # The published renderer: a fiftieth of the hand; bones three quarters of it.
    width = float(np.clip(np.ptp(points[hand], axis=0).max() / 50, 1, 250))
    bone_width, radius = max(round(0.75 * width), 1), max(1.1 * width, 1.5)
    edge = max(width / 4, 0.75)
    fixed = np.round(np.where(joints[:, None], points, 0) * 2**_SHIFT).astype(int)
    bones = [bone for bone in skeleton.bones if joints[bone[0]] and joints[bone[1]]]
    palette = colours(skeleton).tolist()

    def strokes(extra: float, paint):
        for inner, outer in bones:
            cv2.line(canvas, fixed[inner].tolist(), fixed[outer].tolist(), paint(outer),
                     round(bone_width + 2 * extra), cv2.LINE_AA, _SHIFT)
        for joint in np.flatnonzero(joints):
            cv2.circle(canvas, fixed[joint].tolist(), round((radius + extra) * 2**_SHIFT), paint(joint),
                       cv2.FILLED, cv2.LINE_AA, _SHIFT)

    strokes(2 * edge, lambda joint: _RIM)
    strokes(edge, lambda joint: _EDGE)
    strokes(0, lambda joint: palette[joint])
    return canvas


def belief_overlay(image: np.ndarray, maps: np.ndarray, background: bool = True) -> np.ndarray:
    """Lay the strongest belief of all joints over the picture it belongs to.

    Args:
        image: uint8 [H, W, 3], RGB.
        maps: float [h, w, C] that cover the whole image, of its size or any other.
        background: whether the last map is the background. It is left out: it would paint all but the hand.

    Returns:
        uint8 [H, W, 3]: the picture where nothing is believed, colours from blue to red where something is.
    """
    return _overlay(_picture(image), strongest(maps, background))


def strongest(maps: np.ndarray, background: bool = True) -> np.ndarray:
    """The highest belief of any joint: float32 [..., h, w] for maps [..., h, w, C], without the background.

    Raises:
        ValueError: no joint's map is left.
    """
    maps = np.asarray(maps, np.float32)
    if maps.ndim < 3 or maps.shape[-1] <= background:
        raise ValueError(f"belief maps are [h, w, C] with a joint's map and "
                         f"{'a' if background else 'no'} background, got shape {list(maps.shape)}.")
    return (maps[..., :-1] if background else maps).max(-1)


def _overlay(image: np.ndarray, belief: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] under belief float [h, w]; opaque from 0.5 up, clear at 0."""
    height, width = image.shape[:2]
    if belief.shape != (height, width):
        belief = cv2.resize(belief, (width, height), interpolation=cv2.INTER_CUBIC)
    levels = np.uint8(np.clip(np.nan_to_num(belief), 0, 1) * 255 + 0.5)
    opacity = cv2.LUT(levels, np.float32(0.8 * np.minimum(np.arange(256) / 128, 1)))[..., None]
    return np.uint8(image + opacity * (_paint(levels).astype(np.float32) - image) + 0.5)


def _paint(levels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)


def belief_grid(maps: np.ndarray, names: Sequence[str], image: np.ndarray | None = None,
                columns: int = 6, panel_px: int = 184) -> np.ndarray:
    """All belief maps side by side, each with its name and its highest value.

    Args:
        maps: float [h, w, C].
        names: C titles, in channel order.
        image: uint8 [H, W, 3]: what the maps belong to, drawn beneath each. None: the maps alone.
        columns: panels per row; the last row ends where the maps end.
        panel_px: longer side of a panel.

    Returns:
        uint8 [h', w', 3].

    Raises:
        ValueError: not one name per map.
    """
    maps = np.asarray(maps, np.float32)
    if maps.ndim != 3 or maps.shape[-1] != len(names):
        raise ValueError(f"belief maps must be [h, w, C] with one name per map, got shape {list(maps.shape)} "
                         f"and {len(names)} names.")
    beneath = np.zeros((*maps.shape[:2], 3), np.uint8) if image is None else _picture(image)
    beneath = scaled(beneath, panel_px)
    return _grid([_titled(_overlay(beneath, maps[..., channel]), name, f"{maps[..., channel].max():.2f}")
                  for channel, name in enumerate(names)], columns)


def stage_strip(image: np.ndarray, stages: np.ndarray, background: bool = True, columns: int | None = None,
                panel_px: int = 368) -> np.ndarray:
    """What each stage believes, side by side: the strongest belief over the picture, one panel per stage.

    Args:
        image: uint8 [H, W, 3], RGB.
        stages: float [S, h, w, C] that cover the whole image.
        background: whether the last map of each stage is the background, which is left out.
        columns: panels per row; all stages in one row when not given.
        panel_px: longer side of a panel.

    Returns:
        uint8 [h', w', 3].
    """
    beneath, beliefs = scaled(_picture(image), panel_px), strongest(stages, background)
    return _grid([_titled(_overlay(beneath, belief), f"stage {number}", f"{belief.max():.2f}")
                  for number, belief in enumerate(beliefs, start=1)], columns or len(beliefs))


def contact_sheet(images: Sequence[np.ndarray], columns: int = 8, cell_px: int = 184,
                  titles: Sequence[tuple[str, str]] | None = None) -> np.ndarray:
    """Many pictures on one: each is scaled into a square cell, row by row.

    Args:
        images: uint8 [H, W, 3] each, of any sizes; at least one.
        columns: cells per row.
        cell_px: side of a cell.
        titles: two short texts over each picture, left and right; None: no bar for them.

    Returns:
        uint8 [h', w', 3].
    """
    cells = []
    for image in images:
        small = scaled(_picture(image), cell_px)
        cell = np.full((cell_px, cell_px, 3), _PAGE, np.uint8)
        top, left = (cell_px - small.shape[0]) // 2, (cell_px - small.shape[1]) // 2
        cell[top:top + small.shape[0], left:left + small.shape[1]] = small
        cells.append(cell)
    return _grid(cells if titles is None else [_titled(*each) for each in zip(cells, *zip(*titles))], columns)


def _picture(image) -> np.ndarray:
    """A copy that OpenCV can draw on."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"a picture is uint8 [H, W, 3] RGB, got {image.dtype} {list(image.shape)}.")
    return image.copy(order="C")


def scaled(image: np.ndarray, longer_px: int) -> np.ndarray:
    """A picture made smaller or larger so that its longer side is `longer_px`: uint8 [h, w, 3]."""
    height, width = image.shape[:2]
    factor = longer_px / max(height, width)
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


def _titled(panel: np.ndarray, title: str, value: str) -> np.ndarray:
    """A bar above the panel with a title on its left and a value on its right, as far as there is room."""
    bar = np.full((_BAR, panel.shape[1], 3), _PAGE, np.uint8)
    (length, _), _ = cv2.getTextSize(value, _FONT, 0.42, 1)
    cv2.putText(bar, title, (4, 14), _FONT, 0.42, (235, 235, 235), 1, cv2.LINE_AA)
    if cv2.getTextSize(title, _FONT, 0.42, 1)[0][0] + length + 16 <= bar.shape[1]:
        cv2.putText(bar, value, (bar.shape[1] - length - 4, 14), _FONT, 0.42, (150, 150, 150), 1, cv2.LINE_AA)
    return np.vstack([bar, panel])


def _grid(panels: list[np.ndarray], columns: int) -> np.ndarray:
    """Panels of one size row by row, with thin gaps around and between them."""
    if not panels or columns < 1:
        raise ValueError(f"a grid needs a picture and a column, got {len(panels)} and {columns}.")
    columns = min(columns, len(panels))
    height, width = panels[0].shape[:2]
    step_y, step_x, rows = height + _GAP, width + _GAP, math.ceil(len(panels) / columns)
    page = np.full((rows * step_y + _GAP, columns * step_x + _GAP, 3), _PAGE, np.uint8)
    for index, panel in enumerate(panels):
        top, left = index // columns * step_y + _GAP, index % columns * step_x + _GAP
        page[top:top + height, left:left + width] = panel
    return page
