"""What skin, nails, cloth and metal look like, and which light falls on them. Colours are linear RGB reflectances.

Skin tones follow the individual typology angle (ITA) with its six classes: Chardon, Cretois & Hourseau, "Skin colour
typology and suntanning pathways", Int. J. Cosmetic Science 13, 1991. Chroma along the scale is rounded from Xiao et
al., "Characterising the variations in ethnic skin colours", Skin Research and Technology 23, 2017.
"""

import math
from typing import NamedTuple

import numba
import numpy as np

ITA_CLASSES = (55.0, 41.0, 28.0, 10.0, -30.0)  # class 1 lies above the first, class 6 below the last
ITA_RANGE = (62.0, -55.0)
TONE_WEIGHTS = (0.13, 0.24, 0.21, 0.17, 0.15, 0.10)  # of the classes: all are seen, the median is an ITA of 33 degrees
_ITA_ANCHORS = np.array([-62.0, -40.0, -10.0, 19.0, 34.0, 48.0, 62.0])
_A_STAR = np.array([8.0, 10.5, 12.5, 12.0, 11.5, 11.0, 10.0])
_B_STAR = np.array([10.0, 14.5, 19.0, 19.0, 17.5, 15.5, 13.5])

SKIN, NAIL, CLOTH, METAL = 0, 1, 2, 3  # kinds of surface
HARSH = (0.12, 0.2, 0.28)  # cumulative shares of side light, back light and no key light
BADLY_EXPOSED = 0.1  # share of hands that are too bright or too dark for the rest of the picture


class Look(NamedTuple):
    """How one hand looks; arrays are float32.

    Attributes:
        colours: [8, 3] back, palm, red (knuckles, tips), nail, cloth, second cloth, metal, band.
        texture: [9] strength of blotches, veins, fine grain, dorsal wrinkles, palm lines, bump, gloss of skin 0-1,
            length of the nail's free edge 0-1, hairs on the arm 0-1.
        cover: [8] sleeve up to this y of the rest pose (mm; below -950 none), its thickness mm, glove 0/1, stripes per
            mm (0 none), finger of the ring (-1 none), its place along that finger, bracelet's y (below -900 none),
            its width mm.
        offset: [3] where in the noise this hand lies.
        tone: ITA class 1-6.
    """

    colours: np.ndarray
    texture: np.ndarray
    cover: np.ndarray
    offset: np.ndarray
    tone: int


class Lighting(NamedTuple):
    """Far lights and the rest of the room, in the camera's frame; float32, linear RGB.

    Attributes:
        directions: [L, 3], unit, from the scene towards each light.
        colours: [L, 3].
        up: [3], unit: where the sky is.
        sky: [3], ambient light from above.
        ground: [3], from below.
    """

    directions: np.ndarray
    colours: np.ndarray
    up: np.ndarray
    sky: np.ndarray
    ground: np.ndarray


def lab_to_linear(lab) -> np.ndarray:
    """CIE L*a*b* (D65) to linear sRGB, clipped to 0.003 .. 1: float64 [..., 3].

    >>> lab_to_linear([100, 0, 0]).round(2).tolist()
    [1.0, 1.0, 1.0]
    """
    lab = np.asarray(lab, np.float64)
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * (0.95047, 1.0, 1.08883)
    matrix = np.array([[3.2404542, -1.5371385, -0.4985314], [-0.969266, 1.8760108, 0.041556],
                       [0.0556434, -0.2040259, 1.0572252]])
    return np.clip(xyz @ matrix.T, 0.003, 1)


def skin_lab(ita: float) -> np.ndarray:
    """L*, a*, b* of the back of a hand with that typology angle, degrees.

    >>> float(skin_lab(50.0)[0]) > float(skin_lab(-50.0)[0])
    True
    """
    a, b = np.interp(ita, _ITA_ANCHORS, _A_STAR), np.interp(ita, _ITA_ANCHORS, _B_STAR)
    return np.array([50 + b * math.tan(math.radians(ita)), a, b])


def ita_class(ita: float) -> int:
    """1 (very light) to 6 (dark).

    >>> ita_class(60.0), ita_class(0.0), ita_class(-50.0)
    (1, 5, 6)
    """
    return 1 + sum(ita <= bound for bound in ITA_CLASSES)


def tone_shares(tone_weights) -> np.ndarray:
    """Shares of the six ITA classes from their weights: float64 [6], sums to 1.

    Raises:
        ValueError: not one weight for each class, or weights that are negative or all 0.
    """
    shares = np.array(tone_weights, np.float64)
    if shares.shape != (6,) or not (np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
        raise ValueError(f"tone_weights must be six numbers from very light to dark, at least 0 and not all 0; "
                         f"got {tone_weights}.")
    return shares / shares.sum()


def sample_ita(rng: np.random.Generator, tone_weights: tuple[float, ...] = TONE_WEIGHTS) -> float:
    """A typology angle in degrees: a class by its weight (see `tone_shares`), and anything within the class alike."""
    bounds = (ITA_RANGE[0], *ITA_CLASSES, ITA_RANGE[1])
    number = int(rng.choice(6, p=tone_shares(tone_weights)))
    return float(rng.uniform(bounds[number + 1], bounds[number]))


def sample_look(rng: np.random.Generator, tone_weights: tuple[float, ...] = TONE_WEIGHTS, *, sleeve: float = 0.4,
                glove: float = 0.02) -> Look:
    """A person's skin and what covers it; 7 % wear a ring, 12 % a bracelet or watch.

    Args:
        rng: where all chance comes from.
        tone_weights: relative shares of the ITA classes, very light to dark.
        sleeve: share of hands with a long sleeve; most others have a short one, on the upper arm.
        glove: share with a glove.
    """
    ita = sample_ita(rng, tone_weights)
    back = skin_lab(ita) + rng.normal(0, (1.5, 1.6, 2.0))
    palm = back * (0.62, 1, 1) + (0.38 * 66, 2.5, -1.5) + rng.normal(0, (1.5, 1.2, 1.0))
    red = back + (-2.5, rng.uniform(3, 8), 0.5)
    nail = palm * 0.6 + back * 0.4 + (rng.uniform(1, 5), 3.0, -3.0)
    skins = lab_to_linear(np.stack([back, palm, red, nail]))
    if rng.random() < 0.07:
        skins[3] = _vivid(rng)  # varnish
    grey = rng.uniform(0.3, 0.75) if rng.random() < 0.5 else 0.0
    metal = np.array([0.75, 0.6, 0.32]) if rng.random() < 0.5 else np.full(3, 0.6)
    colours = np.stack([*skins, _cloth(rng), _cloth(rng), metal, _cloth(rng) if rng.random() < 0.7 else metal])
    texture = [rng.uniform(0.3, 1.0), rng.uniform(0, 1) ** 2, rng.uniform(0.3, 1), rng.uniform(0.3, 1.2),
               rng.uniform(0.4, 1.2), rng.uniform(0.4, 1.2), rng.uniform(0.15, 0.9), rng.uniform(0, 1) ** 2,
               max(rng.uniform(-0.4, 0.5), 0.0)]
    has_sleeve, has_glove = rng.random() < sleeve, rng.random() < glove
    short = rng.uniform(-480, -260) if rng.random() < 0.75 else -999
    cover = [rng.choice([rng.uniform(-20, 14), rng.uniform(-120, -20)], p=(0.6, 0.4)) if has_sleeve else short,
             rng.uniform(1.5, 7), has_glove, grey if rng.random() < 0.25 else 0.0,
             rng.choice([3, 2, 1, 4, 0], p=(0.5, 0.2, 0.15, 0.1, 0.05)) if rng.random() < 0.07 else -1,
             rng.uniform(0.36, 0.62), rng.uniform(-42, -14) if rng.random() < 0.12 else -999, rng.uniform(3, 26)]
    return Look(np.float32(colours), np.float32(texture), np.float32(cover), np.float32(rng.uniform(0, 4000, 3)),
                ita_class(ita))


def _vivid(rng) -> np.ndarray:
    return lab_to_linear([rng.uniform(15, 80), rng.uniform(-30, 60), rng.uniform(-40, 40)])


def _cloth(rng) -> np.ndarray:
    kind = rng.random()
    if kind < 0.3:
        return np.full(3, rng.uniform(0.01, 0.08)) * rng.uniform(0.85, 1.15, 3)  # black, navy
    if kind < 0.5:
        return np.full(3, rng.uniform(0.3, 0.85)) * rng.uniform(0.92, 1.05, 3)  # grey, white
    return _vivid(rng)


def sample_lighting(rng: np.random.Generator) -> Lighting:
    """One to three lights, mostly from above and the camera's side, and a room around them.

    Every light and the room are coloured a little; the key light over the ambient light runs from flat to harsh. Some
    scenes have what good photographs avoid: a hard light from the side, the light behind the hand, no key light at
    all, or a hand that is far brighter or darker than what the camera is set to.
    """
    count = int(rng.choice([1, 2, 3], p=(0.45, 0.35, 0.2)))
    directions = rng.normal(size=(count, 3)) * (1, 0.9, 0.9) + (0, -0.7, -0.55)
    key, ambient = rng.uniform(0.35, 1.15), rng.uniform(0.16, 0.6)
    kind = rng.random()
    if kind < HARSH[0]:
        directions[0] = (rng.choice([-1, 1]), rng.uniform(-0.6, 0.3), rng.uniform(-0.35, 0.35))
        key, ambient = rng.uniform(0.8, 1.6), rng.uniform(0.04, 0.14)
    elif kind < HARSH[1]:
        directions[0] = (rng.normal(0, 0.5), rng.uniform(-1, 0), 1.0)
        key, ambient = rng.uniform(0.8, 2.0), rng.uniform(0.1, 0.3)
    elif kind < HARSH[2]:
        key, ambient = rng.uniform(0.05, 0.2), rng.uniform(0.5, 0.9)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    exposure = math.exp(rng.normal(0, 0.12))
    if rng.random() < BADLY_EXPOSED:
        exposure *= rng.uniform(1.5, 2.4) if rng.random() < 0.5 else rng.uniform(0.25, 0.55)
    powers = exposure * key * np.array([1.0, rng.uniform(0.15, 0.8), rng.uniform(0.1, 0.5)])[:count]
    colours = powers[:, None] * np.stack([_warmth(rng, 0.16) for _ in range(count)])
    up = np.array([0, -1.0, 0]) + rng.normal(0, 0.35, 3)
    sky = exposure * ambient * _warmth(rng, 0.12)
    ground = sky * rng.uniform(0.25, 0.95) * _warmth(rng, 0.1)
    return Lighting(np.float32(directions), np.float32(colours), np.float32(up / np.linalg.norm(up)), np.float32(sky),
                    np.float32(ground))


def _warmth(rng, spread) -> np.ndarray:
    """A light's colour: bluish to yellowish, with a trace of green or magenta; green is near 1."""
    warm, tint = rng.normal(0, spread), rng.normal(0, spread / 5)
    return np.exp([warm + tint, 0, -warm + tint])


@numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _lattice(x, y, z):
    """A hash of a lattice point, 0 .. 1."""
    h = (np.uint32(x) * np.uint32(0x9E3779B1)) ^ (np.uint32(y) * np.uint32(0x85EBCA77)) ^ (
        np.uint32(z) * np.uint32(0xC2B2AE3D))
    h = np.uint32(h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    h = np.uint32(h)
    h = np.uint32(h ^ (h >> np.uint32(12)))
    return np.float32(h & np.uint32(0xFFFFFF)) * np.float32(1 / 16777216.0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def noise(x, y, z):
    """Value noise, 0 .. 1, one lattice cell per unit; coordinates must be above 0."""
    i, j, k = int(x), int(y), int(z)
    two, three = np.float32(2), np.float32(3)
    u, v, w = np.float32(x - i), np.float32(y - j), np.float32(z - k)
    u, v, w = u * u * (three - two * u), v * v * (three - two * v), w * w * (three - two * w)
    a, b, c, d = _lattice(i, j, k), _lattice(i, j + 1, k), _lattice(i, j, k + 1), _lattice(i, j + 1, k + 1)
    a += (_lattice(i + 1, j, k) - a) * u
    b += (_lattice(i + 1, j + 1, k) - b) * u
    c += (_lattice(i + 1, j, k + 1) - c) * u
    d += (_lattice(i + 1, j + 1, k + 1) - d) * u
    a += (b - a) * v
    c += (d - c) * v
    return a + (c - a) * w


@numba.njit(cache=True, nogil=True, error_model="numpy")
def tints(rest, along, up, palm, offset, out):
    """Slow variation of the skin per vertex into out [V, 3]: redness, veins, blotches (-1 .. 1)."""
    for v in range(len(rest)):
        x, y, z = rest[v, 0] + offset[0] + 1000, rest[v, 1] + offset[1] + 1000, rest[v, 2] + offset[2] + 1000
        slow = noise(x * 0.05, y * 0.05, z * 0.05)
        middle = noise(x * 0.13 + 71, y * 0.13, z * 0.13)
        a = along[v]
        red = 0.0
        for joint in range(3):
            red = max(red, 1 - abs(a - joint) * (4.0 if joint else 3.0))
        red *= max(up[v], 0.0) * 0.8
        red = max(red, min(max((a - 2.35) * 1.6, 0.0), 1.0) * 0.75)
        pads = palm[v] * (1.0 if a < 0.15 else 0.3) * max(1.5 * slow - 0.4, 0.0)
        out[v, 0] = min(red * (0.5 + middle) + pads, 1.0)
        out[v, 1] = 0
        if a < 0.25:
            ridge = 1 - abs(2 * noise(x * 0.055 + 13, y * 0.018, z * 0.05) - 1) * 7
            out[v, 1] = max(ridge, 0.0) * (1 - palm[v]) * min((0.25 - a) * 4, 1.0)
        out[v, 2] = (slow - 0.5) * 1.1 + (middle - 0.5) * 0.9
