"""The lines of the palm as a small map over the rest position: a pixel is 2/3 mm, its origin at x = -60, y = -20 mm."""

import cv2
import numpy as np

_PALM_LINES = ((-33, 77, -12, 74, 10, 60, 27, 52), (-33, 72, -14, 64, 2, 56, 22, 40),
               (-32, 70, -16, 60, -9, 40, -11, 14), (-20, 87, -6, 78, 10, 66, 38, 62), (-22, 3, 0, 1, 22, 3))
ORIGIN_MM, PX_PER_MM = np.array([-60.0, -20.0]), 1.5


def draw() -> np.ndarray:
    """Heart, head and life line, the crease before the fingers and that of the wrist: float32 [h, w], 0 .. about 1."""
    scale = PX_PER_MM
    canvas = np.zeros((int(125 * scale), int(115 * scale)), np.float32)
    for number, line in enumerate(_PALM_LINES):
        points = np.array(line, float).reshape(-1, 2)
        t = np.linspace(0, len(points) - 1, 40)
        smooth = np.stack([np.interp(t, np.arange(len(points)), points[:, k]) for k in range(2)], 1)
        smooth = cv2.blur(smooth, (1, 9), borderType=cv2.BORDER_REPLICATE)
        pixels = np.int32(np.round((smooth - ORIGIN_MM) * scale * 16))
        cv2.polylines(canvas, [pixels.reshape(-1, 1, 2)], False, (0.35 if number > 2 else 0.8), 1, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(canvas, (0, 0), 0.9) * 1.6
