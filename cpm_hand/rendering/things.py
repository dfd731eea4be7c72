"""Things in or before a hand: pen, phone, cup, ball, stick, book; each a small painted layer with its alpha.

A thing is laid out along a line from `start` to `end` in px of the picture (from thumb tip to index tip, or across the
palm), and the caller says by the order of pasting, and by a mask, what covers what.
"""

import math
from typing import NamedTuple

import cv2
import numba
import numpy as np

from cpm_hand.rendering import people
from cpm_hand.rendering.canvas import Canvas
from cpm_hand.rendering.paint import LIGHT, LIGHT_X, LIGHT_Y
from cpm_hand.rendering.scenes import some_materials


class Layer(NamedTuple):
    """A rectangle of paint to be laid over a picture."""

    rgb: np.ndarray  # uint8 [h, w, 3], sRGB
    alpha: np.ndarray  # uint8 [h, w], 255 where it covers
    x: int  # of its left column, px of the picture
    y: int  # of its top row


def _pen(canvas, a, b, thick):
    pen, tip = some_materials(canvas, 2, ("smooth", "natural", "wood"))
    canvas.rounded(pen, a, b, thick / 2, 0.6, 80 * (canvas.rng.random() < 0.6))
    canvas.capsule(a, b, thick / 2, pen)
    canvas.capsule(b, b + (b - a) * 0.08, thick / 5, tip)
    if canvas.rng.random() < 0.5:
        canvas.capsule(a, a + (b - a) * canvas.rng.uniform(0.1, 0.4), thick * 0.55, int(canvas.copies(pen, 1, 0.5)[0]))


def _stick(canvas, a, b, thick):
    stick = some_materials(canvas, 1, ("wood", "brushed", "natural", "stripes"))[0]
    canvas.rounded(stick, a, b, thick / 2, 0.7, 60 * (canvas.rng.random() < 0.4))
    canvas.capsule(a, b, thick / 2, stick)


def _box(a, b, thick):
    """The rectangle about a line: float [4, 2]."""
    along = b - a
    across = np.array([-along[1], along[0]]) / max(math.hypot(*along), 1e-6) * thick / 2
    return np.array([a - across, b - across, b + across, a + across])


def _phone(canvas, a, b, thick):
    body, bezel, screen = some_materials(canvas, 3, ("smooth", "natural"))
    shape, middle = _box(a, b, thick), (a + b) / 2
    canvas.polygon((shape - middle) * 0.98 + middle + 0.05 * thick * np.array([0.5, 1]), bezel)
    canvas.polygon(shape, body)
    if canvas.rng.random() < 0.6:
        screen = some_materials(canvas, 1, ("page", "keys", "shapes", "smooth", "natural"))[0]
        canvas.polygon((shape - middle) * 0.9 + middle, screen)
    else:
        canvas.disc(middle + 0.36 * (b - a), thick * 0.09, thick * 0.09, screen)


def _book(canvas, a, b, thick):
    cover, pages, title = some_materials(canvas, 3, ("page", "motif", "natural", "shapes"))
    shape = _box(a, b, thick)
    canvas.polygon(shape + 0.08 * thick * canvas.rng.uniform(-1, 1, 2), pages)
    canvas.polygon(shape, cover)
    middle = (a + b) / 2
    canvas.polygon((shape - middle) * canvas.rng.uniform(0.3, 0.8, 2) + middle, title)


def _cup(canvas, a, b, thick):
    cup, inside = some_materials(canvas, 2, ("smooth", "motif", "page", "natural", "stripes"))
    shape, angle = _box(a, b, thick), math.atan2(*(b - a)[::-1])
    middle = (a + b) / 2
    canvas.rounded(cup, a, b, thick / 2, 0.7, 90 * (canvas.rng.random() < 0.7))
    if canvas.rng.random() < 0.5:  # a handle
        across = (shape[2] - shape[1]) / 2
        turn = np.linspace(-1.4, 1.4, 12)[:, None]
        canvas.curve(middle + across * (0.9 + 0.7 * np.cos(turn)) + 0.3 * (b - a) * np.sin(turn), thick * 0.12, cup)
    taper = canvas.rng.uniform(0.7, 1.0)
    shape[[0, 3]] = a + (shape[[0, 3]] - a) * taper
    canvas.polygon(shape, cup)
    rim = canvas.rng.uniform(0.06, 0.25) * thick
    canvas.disc(a, rim * taper, thick * taper / 2, cup, angle)
    canvas.disc(b, rim, thick / 2, cup, angle)
    canvas.disc(b, rim * 0.85, thick * 0.46, inside, angle)


def _ball(canvas, a, b, thick):
    """A sphere as eleven discs that shrink towards the light."""
    skin = some_materials(canvas, 1, ("natural", "smooth", "veined", "stripes", "weave"))[0]
    middle, radius = (a + b) / 2, max(math.hypot(*(b - a)), thick) / 2
    angle = canvas.rng.uniform(0, 2 * math.pi)
    to_light = radius * 0.4 * np.array([math.cos(angle), math.sin(angle)])
    base = canvas.materials[skin].copy()
    for share in np.linspace(0, 0.9, 11):
        label = int(canvas.copies(skin, 1, 0)[0])
        canvas.materials[label] = base
        canvas.materials[label, [LIGHT, LIGHT_X, LIGHT_Y]] *= 0.55 + 0.7 * math.sqrt(share)
        canvas.disc(middle + to_light * share, radius * (1 - share), radius * (1 - share), label)


THINGS = {  # name -> (draw(canvas, start, end, thickness), (least, most) of the thickness over the length)
    "pen": (_pen, (0.04, 0.09)), "stick": (_stick, (0.05, 0.15)), "phone": (_phone, (0.45, 0.55)),
    "book": (_book, (0.55, 0.85)), "cup": (_cup, (0.6, 1.0)), "ball": (_ball, (1.0, 1.0)),
}


def hold(rng: np.random.Generator, start, end, width: int, height: int, kind: str | None = None,
         thickness: float | None = None) -> Layer:
    """Paint a thing along a line.

    Args:
        rng: NumPy generator.
        start: x, y in px of the picture.
        end: x, y; the length of a ball's line is its diameter.
        width: of the picture, px; what lies outside is cut off.
        height: of the picture, px.
        kind: one of `THINGS`; None draws one.
        thickness: px, across the line; None draws what is usual for the kind.

    Returns:
        A Layer, which is 1 x 1 and clear if the thing lies outside the picture.

    Raises:
        ValueError: no such kind.
    """
    kind = list(THINGS)[int(rng.integers(len(THINGS)))] if kind is None else kind
    if kind not in THINGS:
        raise ValueError(f"no such thing to hold: {kind}; there are {', '.join(THINGS)}.")
    start, end = np.asarray(start, float), np.asarray(end, float)
    draw, (least, most) = THINGS[kind]
    length = math.hypot(*(end - start))
    thickness = max(length * rng.uniform(least, most), 2.0) if thickness is None else thickness
    reach = 0.75 * thickness + 0.12 * length + 3
    low = np.floor(np.minimum(start, end) - reach)
    high = np.ceil(np.maximum(start, end) + reach)
    return _layer(rng, low, high, (width, height),
                  lambda canvas, origin: draw(canvas, start - origin, end - origin, thickness))


def occluder(rng: np.random.Generator, width: int, height: int) -> Layer:
    """Something before everything: a bar, a stranger's arm, a thing at the picture's edge; a Layer."""
    side = math.sqrt(width * height)
    border = np.array([[0, rng.uniform(0, height)], [width, rng.uniform(0, height)], [rng.uniform(0, width), 0],
                       [rng.uniform(0, width), height]])[int(rng.integers(4))]
    inward = np.array([width / 2, height / 2]) + rng.normal(0, 0.3, 2) * (width, height) - border
    inward /= max(math.hypot(*inward), 1e-6)
    start, end = border - 0.15 * side * inward, border + rng.uniform(0.05, 0.45) * side * inward
    if rng.random() < 0.35:
        tone, radius = people.skin_colour(rng), side * rng.uniform(0.03, 0.12)
        return _layer(rng, (0, 0), (width, height), (width, height),
                      lambda canvas, origin: people.arm(canvas, start - origin, end - origin, radius, tone))
    return hold(rng, start, end, width, height)


def _layer(rng, low, high, size, draw):
    low, high = np.clip(low, 0, size).astype(int), np.clip(high, 0, size).astype(int)
    if (high <= low).any():
        return Layer(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8), 0, 0)
    canvas = Canvas(rng, *(int(v) for v in high - low))
    draw(canvas, low)
    canvas.materials[0] = canvas.materials[1]  # edges must not fade to black
    alpha = cv2.resize(np.uint8(255) * (canvas.labels > 0), (canvas.width, canvas.height), interpolation=cv2.INTER_AREA)
    return Layer(canvas.paint(), alpha, int(low[0]), int(low[1]))


def paste(image: np.ndarray, layer: Layer, mask: np.ndarray | None = None) -> None:
    """Lay a layer over a picture, in place.

    Args:
        image: uint8 [H, W, 3].
        layer: what `hold` or `occluder` gave for a picture of that size.
        mask: uint8 [H, W], 255 where the layer may show; None for everywhere.
    """
    h, w = layer.alpha.shape
    window = slice(layer.y, layer.y + h), slice(layer.x, layer.x + w)
    alpha = layer.alpha if mask is None else cv2.multiply(layer.alpha, mask[window], scale=1 / 255)
    _blend(image[window], layer.rgb, alpha)


@numba.njit(cache=True, nogil=True)
def _blend(image, rgb, alpha):
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            a = np.int32(alpha[y, x])
            if a:
                for c in range(3):
                    image[y, x, c] = (np.int32(rgb[y, x, c]) * a + np.int32(image[y, x, c]) * (255 - a) + 127) // 255
