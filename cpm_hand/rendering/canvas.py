"""A sheet of labels that scenes draw shapes on, and what the labels are made of.

A scene draws each shape once, in one colourless pass of OpenCV, on a label map of twice the picture's resolution;
`Canvas.paint` then looks up what each label is made of, four labels to a pixel, so that edges come out smooth.
"""

import math

import cv2
import numpy as np

from cpm_hand.rendering import paint as kernel
from cpm_hand.rendering import shapes, textures
from cpm_hand.rendering.paint import ACROSS, GLINT, GLINT_AT, GLINT_WIDTH, LABELS, LIGHT, LIGHT_X, LIGHT_Y, ROUND

BROWN = {"wood": (1.2, 0.95, 0.62), "bricks": (1.1, 1.0, 0.88)}  # what a texture makes of a grey, in part


class Canvas:
    """Labels, what they are made of, and where the camera looks; shapes are drawn over what is there.

    Args:
        rng: NumPy generator; everything random about the picture comes from it.
        width: of the picture, px.
        height: of the picture, px.
    """

    def __init__(self, rng: np.random.Generator, width: int, height: int):
        self.rng, self.width, self.height = rng, width, height
        self.side = math.hypot(width, height) / math.sqrt(2)  # px, the unit of sizes
        self.bank = textures.bank()
        self.labels = np.zeros((2 * height, 2 * width), np.uint8)
        self.materials = np.zeros((LABELS, kernel.WIDTH), np.float32)
        self.used = 0
        self.stock = np.empty((0, 3))
        self.hues = rng.vonmises(0.6, 8.0, 3)  # red 0, yellow 1, green 2.1, blue 4.2: rooms are mostly warm
        self.hues[1] = rng.vonmises(3.7, 6.0) if rng.random() < 0.6 else rng.uniform(0, 4.5)  # magenta is rare
        self.colourful = 0.02 + rng.gamma(2.0, 0.04)  # mean chroma over lightness: real rooms are muted
        self.brightness = rng.beta(2.2, 2.0)

    def colours(self, count: int, light=None, vivid: float = 0.08) -> np.ndarray:
        """Colours that belong to this scene: float [count, 3], sRGB 0..255.

        Args:
            count: how many.
            light: lightness 0..1, or an array [count]; by default spread around the scene's own.
            vivid: share of strong colours, of any hue; large surfaces want fewer.
        """
        rng = self.rng
        if light is None and count == 1 and vivid == 0.08:  # one by one is slow: they come from a stock
            if not len(self.stock):
                self.stock = self.colours(24)
            colour, self.stock = self.stock[:1], self.stock[1:]
            return colour
        if light is None:
            light = np.clip(0.05 + 0.95 * (0.3 * self.brightness + 0.7 * rng.beta(0.75, 0.85, count)), 0.03, 1)
        hue = self.hues[rng.integers(0, 3, count)] + 0.25 * rng.standard_normal(count)
        chroma = self.colourful * rng.gamma(1.5, 0.67, count)
        vivid = rng.random(count) < vivid
        chroma = np.minimum(np.where(vivid, rng.uniform(0.2, 0.75, count), chroma), 1.0)
        hue = np.where(vivid, rng.uniform(-0.3, 4.5, count), hue)
        wheel = np.cos(hue[:, None] - np.array([0, 2.0944, 4.1888]))
        return np.clip(255 * np.reshape(light, (-1, 1)) * (1 + chroma[:, None] * wheel), 0, 255)

    def material(self, colour, texture: str = "natural", contrast: float = 0.2, scale: float = 1.0,
                 angle: float | None = None, shade: str = "smooth", shade_by: float = 0.15, matrix=None) -> int:
        """Describe what shapes are made of.

        Args:
            colour: RGB 0..255 [3] in the middle of the texture's ramp, or [3, 3] for its beginning, middle, end.
            texture: a name in `textures.TEXTURES`; a variant of it is drawn.
            contrast: how far the ramp goes to both sides of one colour, 0..1.
            scale: px per texel.
            angle: of the texture, radians; None draws one.
            shade: the texture that darkens and lightens the whole.
            shade_by: how much, 0..1.
            matrix: float [3, 3], px of the picture to texels, instead of scale and angle.

        Returns:
            The label to draw with; one that exists already where all are used up.
        """
        if self.used == LABELS - 1:
            return int(self.rng.integers(1, LABELS))
        self.used += 1
        draw, rows = self.rng.random(8).tolist(), self.bank.rows
        ramp = _ramp(np.asarray(colour, float), texture, contrast, draw)
        foot = 1 / scale
        if matrix is None:
            angle = 2 * math.pi * draw[5] if angle is None else angle
            a, b = math.cos(angle) * foot, math.sin(angle) * foot
            place = [a, b, 512 * draw[6], -b, a, 512 * draw[7], 0.0, 0.0, 1.0]
        else:
            place = matrix.ravel().tolist()
            foot = math.sqrt(abs(place[0] * place[4] - place[1] * place[3]))
        texture, shade = (rows[name][int(d * len(rows[name]))] for name, d in ((texture, draw[3]), (shade, draw[4])))
        stretch = 512 / self.side * (0.3 + 0.7 * draw[7])
        slope = stretch * math.cos(9 * draw[6]), stretch * math.sin(9 * draw[6])
        self.materials[self.used, :GLINT] = (*ramp, texture, foot, *place, shade, *slope, 512 * draw[5], 512 * draw[3],
                                             shade_by, 1, 0, 0, 0, 0, 0, 0, 0, 0)
        self.materials[self.used, GLINT:] = 0, 1
        return self.used

    def copies(self, label: int, count: int, spread: float = 0.15) -> np.ndarray:
        """Materials like one, each a little lighter, darker or shifted: labels [count]."""
        count = min(count, LABELS - 1 - self.used)
        if count <= 0:
            return np.array([label])
        new = slice(self.used + 1, self.used + 1 + count)
        self.materials[new] = self.materials[label]
        self.materials[new, LIGHT] *= np.exp(spread * self.rng.standard_normal(count))
        self.materials[new, kernel.MAP.start + 2] += self.rng.uniform(0, 512, count)
        self.used += count
        return np.arange(new.start, new.stop)

    def gradient(self, label: int, start, end, low: float, high: float) -> None:
        """Let the light on a material change from low at one point (x, y) to high at another."""
        start, delta = np.asarray(start, float), np.subtract(end, start)
        slope = (high - low) * delta / max(delta @ delta, 1e-6)
        self.materials[label, [LIGHT, LIGHT_X, LIGHT_Y]] = low - slope @ start, *slope

    def rounded(self, label: int, axis_start, axis_end, radius: float, depth: float = 0.6, glint: float = 0.0) -> None:
        """Shade a material as a cylinder about the line between two points (x, y), radius in px."""
        along = np.subtract(axis_end, axis_start)
        normal = np.array([-along[1], along[0]]) / (max(math.hypot(*along), 1e-6) * max(radius, 0.5))
        row = self.materials[label]
        row[ACROSS] = -normal @ axis_start, *normal
        row[ROUND], row[GLINT] = depth, glint
        row[GLINT_AT], row[GLINT_WIDTH] = self.rng.uniform(-0.6, 0.6), self.rng.uniform(1.5, 6)

    def polygon(self, points, label: int) -> None:
        """Fill a polygon, float [K, 2] in px; it may lie outside the picture in part."""
        points = np.maximum(np.minimum(2 * np.asarray(points) + 0.5, 30000), -30000)
        cv2.fillPoly(self.labels, [np.int32(points * 16)], int(label), shift=4)

    def capsule(self, start, end, radius: float, label: int) -> None:
        """A thick line with round ends."""
        ends = [tuple(int(v) for v in np.clip(2 * np.asarray(p) + 0.5, -15000, 15000)) for p in (start, end)]
        cv2.line(self.labels, *ends, int(label), max(int(round(4 * radius)), 1))

    def curve(self, points, thickness: float, label: int) -> None:
        """An open line through points [K, 2]; thickness in px."""
        points = np.clip(2 * np.asarray(points) + 0.5, -30000, 30000)
        cv2.polylines(self.labels, [np.int32(points)], False, int(label), max(int(round(2 * thickness)), 1))

    def disc(self, centre, radius_x: float, radius_y: float, label: int, angle: float = 0.0) -> None:
        """Fill an ellipse; angle in radians."""
        turn = np.linspace(0, 2 * math.pi, 32, endpoint=False)
        shape = np.stack([radius_x * np.cos(turn), radius_y * np.sin(turn)], 1)
        c, s = math.cos(angle), math.sin(angle)
        self.polygon(shape @ np.array([[c, s], [-s, c]]) + centre, label)

    def sheet(self, name: str, first: int, scale: float, angle: float, squeeze: float = 1.0, within=None) -> None:
        """Cover everything, or a polygon, with a sheet of shapes whose labels begin at `first`, in the sheet's order.

        Args:
            name: in `textures.SHEETS`.
            first: label of the sheet's 0; as many labels as have been made after it are spread over its 256.
            scale: px per two texels.
            angle: radians.
            squeeze: how much shorter it is across, as if lying down.
            within: float [K, 2] in px, the polygon; None for everything.
        """
        variants = self.bank.sheets[name]
        tile = variants[self.rng.integers(len(variants))]
        turn = math.cos(angle) / scale, math.sin(angle) / scale
        start = squeeze, *self.rng.uniform(0, shapes.SHEET_SIDE, 2).tolist()
        table = np.uint8(first + np.arange(256) * (self.used + 1 - first) // 256)
        if within is None:
            kernel.cover(tile, turn, start, table, self.labels)
            return
        within, whole = 2 * np.asarray(within), self.labels.shape[::-1]
        low, high = (np.clip(corner, 0, whole).astype(int) for corner in (within.min(0), within.max(0) + 1))
        window = self.labels[low[1]:high[1], low[0]:high[0]]
        if window.size:
            leaves, mask = np.empty(window.shape, np.uint8), np.zeros(window.shape, np.uint8)
            kernel.cover(tile, turn, start, table, leaves)
            cv2.fillPoly(mask, [np.int32(np.clip(within - low, -15000, 15000))], 1)
            cv2.copyTo(leaves, mask, window)

    def shadows(self, light: np.ndarray, shift, blur: float, depth: float) -> None:
        """Darken a light, in place, where something that was described later lies over one's neighbour.

        A shape's label tells what is nearer: one that is made later mostly is. It costs no more with many shapes.

        Args:
            light: float32 [H, W].
            shift: x, y in px, from a thing to the end of its shadow.
            blur: sigma of the shadow's edge, px.
            depth: the share of light that is lost, 0..1.
        """
        step = 8 if blur > 4 else 4  # label px; soft shadows need no more
        small = np.ascontiguousarray(self.labels[::step, ::step])
        over, px = small, step / 2
        for share in (0.4, 1.0):
            move = np.array([[1, 0, -shift[0] / px * share], [0, 1, -shift[1] / px * share]])
            moved = cv2.warpAffine(small, move, small.shape[::-1], flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
                                   borderMode=cv2.BORDER_REPLICATE)
            over = cv2.max(over, moved)
        shade = np.maximum(cv2.compare(over, small, cv2.CMP_EQ), np.uint8(255 * (1 - depth)))
        shade = cv2.resize(cv2.GaussianBlur(shade, (0, 0), max(blur / px, 0.8)), light.shape[::-1])
        cv2.multiply(light, shade, light, 1 / 255, cv2.CV_32F)

    def paint(self, light: np.ndarray | None = None) -> np.ndarray:
        """The picture, uint8 [H, W, 3]; light float32 [H, W] multiplies what is lit."""
        if light is None:
            light = np.ones((self.height, self.width), np.float32)
        out = np.empty((self.height, self.width, 3), np.uint8)
        kernel.paint(self.labels, self.materials, self.bank.atlas, self.bank.starts, light, out)
        return out


def _ramp(colour, texture, contrast, draw):
    """RGB at the beginning, middle and end of a texture's values, nine numbers, from one colour or from three."""
    if colour.ndim == 2:
        return colour.ravel().tolist()
    middle = colour.tolist()
    if texture in BROWN:
        middle = [c * (1 - draw[2] + draw[2] * tint) for c, tint in zip(middle, BROWN[texture])]
    low = [c * (1 - contrast) * (1 + 0.12 * contrast * (d - 0.5)) for c, d in zip(middle, draw)]
    return low + middle + [min(c * (1 + contrast), 262) for c in middle]
