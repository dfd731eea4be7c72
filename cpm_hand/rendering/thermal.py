"""The same scene as a thermal camera shows it: how warm things are, in grey.

Skin has nearly the same emissivity whatever its colour, so its picture is its temperature: the palm near 33 degrees,
fingertips cooler and each a little different, and less where skin is seen edge-on and mirrors the room instead. The
room spans a few degrees. A microbolometer has few pixels and stripes; its gain follows whatever is in the picture.
"""

import math
from collections.abc import Sequence

import cv2
import numba
import numpy as np

from cpm_hand.hand import HAND
from cpm_hand.rendering.hands import Camera, HandLayer

COLD_HANDS = 0.2   # share of people whose fingers are nearly as cool as the room
BLACK_HOT = 0.12   # share of pictures in which warm is dark
LAMPS = 0.4        # hot spots per picture, on average
PEOPLE = 0.12      # share of rooms with a person in the background
_COOLED = np.float32([0.0] + [0.05, 0.3, 0.65, 1.0] + 4 * [0.2, 0.5, 0.8, 1.0])  # of the tips' cooling, at each joint


def expose(rng: np.random.Generator, image: np.ndarray, hands: Sequence[tuple[HandLayer, np.ndarray]],
           camera: Camera | None, strength: float = 1.0) -> np.ndarray:
    """Take a thermal picture of a painted scene.

    Args:
        rng: NumPy generator; the same state gives the same bytes.
        image: uint8 [H, W, 3], the scene in colour, in which only the room's and the things' brightness is looked at.
        hands: each with float32 [H, W], the share of every pixel in which it is seen.
        camera: that the hands were drawn with; None without any.
        strength: 0 for a sharp camera without noise, 1 for the spread of hand-held ones.

    Returns:
        uint8 [H, W, 3], three equal channels.
    """
    room_c = rng.uniform(14, 26)
    palm_c = max(rng.normal(33, 1.2), room_c + 5)
    drop_c = rng.uniform(5, 11) if rng.random() < COLD_HANDS else rng.uniform(0, 5)
    skin = np.max([seen for _, seen in hands], 0) if hands else np.zeros(image.shape[:2], np.float32)
    warmth = _room(rng, image, 1 - skin, room_c)
    for layer, seen in hands:
        warmth += seen * (_hand(rng, layer, camera, room_c, palm_c, drop_c) - warmth)
    return _picture(rng, warmth, strength)


def _room(rng, image, open_share, room_c) -> np.ndarray:
    """Degrees of all but the hands, float32 [H, W]: the picture's brightness in a narrow range, and hot spots."""
    height, width = open_share.shape
    side = math.sqrt(width * height)
    blur = (0, 0), side * rng.uniform(0.004, 0.02)  # print and weave are as warm as what they are on
    light = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) * (open_share / 255)  # without the hands' own, or they had a halo
    light = cv2.GaussianBlur(light, *blur) / (cv2.GaussianBlur(open_share, *blur) + 1e-3)
    warmth = np.float32(room_c) + np.float32(rng.uniform(1, 7)) * (light - np.float32(0.5))
    spots = np.zeros_like(warmth)
    for _ in range(rng.poisson(LAMPS)):
        place, axes = rng.uniform(0, 1, 2) * (width, height), side * rng.uniform(0.01, 0.07, 2)
        _ellipse(spots, place, axes, rng.uniform(4, 16))
    if rng.random() < PEOPLE:
        head = side * rng.uniform(0.05, 0.16)
        place = rng.uniform(0, 1, 2) * (width, height)
        _ellipse(spots, place + (0, 4.2 * head), head * np.array([2.0, 3.0]), rng.uniform(2, 5))  # clothes
        _ellipse(spots, place, head * np.array([0.8, 1.1]), max(33 - room_c, 3))
    return np.maximum(warmth, room_c + cv2.GaussianBlur(spots, *blur)) if spots.any() else warmth


def _ellipse(picture, centre, axes, value) -> None:
    centre, axes = (tuple(int(round(v)) for v in pair) for pair in (centre, np.maximum(axes, 1)))
    cv2.ellipse(picture, centre, axes, 0, 0, 360, float(value), -1)


def _hand(rng, layer, camera, room_c, palm_c, drop_c) -> np.ndarray:
    """Degrees of the skin, of a sleeve, of a glove: float32 [H, W], `room_c` where there is no hand."""
    fingers = np.repeat(rng.normal(1, 0.25, 6), (1, 4, 4, 4, 4, 4))
    joints_c = np.maximum(palm_c - drop_c * _COOLED * fingers + rng.normal(0, 0.4, 21), room_c + 1.5)
    cover = layer.person.look.cover
    cloth_c = room_c + rng.uniform(0.2, 0.5) * (palm_c - room_c)
    if cover[2]:  # a glove
        joints_c = room_c + rng.uniform(0.3, 0.6) * (joints_c - room_c)
    out = np.full(layer.depth_mm.shape, room_c, np.float32)
    patches = cv2.resize(np.float32(rng.normal(0, 0.35, (9, 9))), out.shape[::-1], interpolation=cv2.INTER_CUBIC)
    _glow(layer.depth_mm, camera.focal_px, *camera.centre_px, np.float32(layer.joints_mm), np.array(HAND.bones),
          np.float32(joints_c), np.float32(-cover[0]), np.float32(cloth_c), patches, np.float32(room_c), out)
    return out


@numba.njit(cache=True, nogil=True)
def _glow(depth, focal, centre_x, centre_y, joints, bones, joints_c, sleeve_mm, cloth_c, patches, room_c, out):
    """Temperatures of the joints carried to the skin: by distance from the bones, less where it is seen edge-on."""
    for y in range(depth.shape[0]):
        for x in range(depth.shape[1]):
            z = depth[y, x]
            if not z < np.inf:
                continue
            px, py = (x - centre_x) * z / focal, (y - centre_y) * z / focal
            total, warm = 0.0, 0.0
            for a, b in bones:
                ux, uy, uz = joints[b, 0] - joints[a, 0], joints[b, 1] - joints[a, 1], joints[b, 2] - joints[a, 2]
                vx, vy, vz = px - joints[a, 0], py - joints[a, 1], z - joints[a, 2]
                t = min(max((ux * vx + uy * vy + uz * vz) / (ux * ux + uy * uy + uz * uz + 1e-6), 0.0), 1.0)
                far = (vx - t * ux) ** 2 + (vy - t * uy) ** 2 + (vz - t * uz) ** 2 + 4
                weight = 1 / (far * far * far)  # the nearest bone's, but for those of the palm
                total += weight
                warm += weight * (joints_c[a] + t * (joints_c[b] - joints_c[a]))
            warm = warm / total + patches[y, x]
            behind = ((px - joints[0, 0]) * (joints[0, 0] - joints[9, 0]) + (py - joints[0, 1])
                      * (joints[0, 1] - joints[9, 1]) + (z - joints[0, 2]) * (joints[0, 2] - joints[9, 2]))
            wrist = math.sqrt((px - joints[0, 0]) ** 2 + (py - joints[0, 1]) ** 2 + (z - joints[0, 2]) ** 2)
            if behind > 0 and wrist > sleeve_mm:
                warm = cloth_c + patches[y, x]
            slope = 0.0  # squared, from the steeper side of each axis
            for dy, dx in ((0, 1), (1, 0)):
                steep = 0.0
                for sign in (-1, 1):
                    j = min(max(y + sign * dy, 0), depth.shape[0] - 1)
                    i = min(max(x + sign * dx, 0), depth.shape[1] - 1)
                    steep = max(steep, min(abs(depth[j, i] - z) * focal / z, 4.0))
                slope += steep * steep
            grazing = 1 - 1 / math.sqrt(1 + slope)
            out[y, x] = room_c + (warm - room_c) * (1 - 0.6 * grazing * grazing)


def _picture(rng, warmth, strength) -> np.ndarray:
    """What the camera makes of temperatures: few pixels, noise, stripes, gain and polarity; uint8 [H, W, 3]."""
    height, width = warmth.shape
    shrink = 1 + strength * rng.uniform(0.2, 2.4)
    low = cv2.resize(warmth, (max(round(width / shrink), 8), max(round(height / shrink), 8)),
                     interpolation=cv2.INTER_AREA)
    low = cv2.GaussianBlur(low, (0, 0), strength * rng.uniform(0.3, 0.9)) if strength else low  # of the lens
    noise_c = strength * rng.uniform(0.03, 0.14)
    low = low + noise_c * (rng.standard_normal(low.shape) + rng.uniform(0, 0.7) * rng.standard_normal(low.shape[1])
                           + rng.uniform(0, 0.4) * rng.standard_normal((low.shape[0], 1)))
    low += strength * cv2.resize(rng.normal(0, 0.3, (3, 3)), low.shape[::-1], interpolation=cv2.INTER_CUBIC)
    levels = np.quantile(low, np.linspace(0.002, 0.998, 65))
    bottom, span = levels[0] - rng.uniform(0, 2), max(levels[-1] - levels[0] + rng.uniform(1, 6), 6)
    grey = (low - bottom) / span
    equal = rng.uniform(0, 0.5)  # every camera gives the common temperatures more than their share of the greys
    grey += equal * (np.interp(low, levels, np.linspace(0, 1, 65)) - grey)
    grey = 1 - grey if rng.random() < BLACK_HOT else grey
    grey = cv2.resize(np.float32(np.clip(grey, 0, 1)), (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.cvtColor(np.uint8(np.clip(245 * grey + 5.5, 0, 255)), cv2.COLOR_GRAY2RGB)
