"""The bank of textures that painted backgrounds are made from, built once per process from a fixed seed.

A texture is a grey tile, uint8 [512, 512], that repeats without a seam (nearly so for rows of drawn things); its
values stand for places on a colour ramp, not for light. A sheet is a map of labels, uint8 (see `shapes`), whose shapes
get their colours later. Nothing here draws from a picture's generator: the bank is the same in every process, so a
picture stays a pure function of its seed.

Sources: 1/f amplitude spectra of natural images: Field 1987, JOSA A 4(12). Dead leaves with sizes as r^-3: Lee,
Mumford and Huang 2001, IJCV 41; as training pictures: Baradad et al. 2021, "Learning to See by Looking at Noise".
"""

import functools
import math
from typing import NamedTuple

import cv2
import numpy as np

from cpm_hand.rendering import heads, shapes

SIDE = 512  # px, a power of two, so that repeating is one bit operation
HEADS = 24  # tiles of people's heads
LEVELS = 5  # each half as large as the one before, for far and small surfaces


class Bank(NamedTuple):
    """What `bank` makes."""

    atlas: np.ndarray  # uint8, flat: all T tiles of level 0, each SIDE x SIDE, then of level 1, half as large, …
    starts: np.ndarray  # int64 [LEVELS], where each level begins
    rows: dict  # name -> indices into T, one for each variant
    sheets: dict  # name -> uint8 [variants, shapes.SHEET_SIDE, shapes.SHEET_SIDE]
    heads: list  # heads.Head, whose tiles are rows["head"]


@functools.cache
def bank() -> Bank:
    """All textures and sheets; about a second on the first call, then the same object."""
    rng = np.random.default_rng(20261121)
    tiles, rows = [], {}
    for name, (make, count) in TEXTURES.items():
        rows[name] = np.arange(len(tiles), len(tiles) + count)
        tiles += [_as_bytes(make(rng)) for _ in range(count)]
    faces = [heads.head(rng, SIDE) for _ in range(HEADS)]
    rows["head"] = np.arange(len(tiles), len(tiles) + HEADS)
    tiles += [tile for tile, _ in faces]
    levels = [np.stack(tiles)]
    for _ in range(LEVELS - 1):
        half = levels[-1].shape[1] // 2
        levels.append(np.stack([cv2.resize(tile, (half, half), interpolation=cv2.INTER_AREA) for tile in levels[-1]]))
    sheets = {name: np.stack([make(rng) for _ in range(count)]) for name, (make, count) in SHEETS.items()}
    starts = np.cumsum([0] + [level.size for level in levels[:-1]])
    return Bank(np.concatenate([level.ravel() for level in levels]), starts, rows, sheets,
                [outlines for _, outlines in faces])


def _as_bytes(tile: np.ndarray) -> np.ndarray:
    return tile if tile.dtype == np.uint8 else np.uint8(np.clip(tile, 0, 1) * 255)


def fractal(rng, slope: float, stretch: float = 1.0) -> np.ndarray:
    """Noise whose amplitude falls as f^-slope, float32 [SIDE, SIDE] around 0.5 with deviation 0.2; it repeats.

    Args:
        rng: NumPy generator.
        slope: 1 as in natural images; 0 white, 2 smooth.
        stretch: how much longer than high its structures are.
    """
    fy, fx = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]
    frequency = np.hypot(fx * stretch, fy)
    frequency[0, 0] = np.inf
    phases = np.exp(2j * np.pi * rng.random(frequency.shape))
    noise = np.fft.irfft2(phases * frequency**-slope, (SIDE, SIDE))
    return (0.5 + 0.2 * (noise - noise.mean()) / noise.std()).astype(np.float32)


def _warped(rng, image: np.ndarray, px: float) -> np.ndarray:
    """Bend a tile by smooth noise, without breaking its repeat."""
    y, x = np.indices((SIDE, SIDE), np.float32)
    dx, dy = (fractal(rng, 2.0) - 0.5 for _ in range(2))
    return cv2.remap(image, (x + px * 5 * dx) % SIDE, (y + px * 5 * dy) % SIDE, cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_WRAP)


def _wood(rng):
    grain = _warped(rng, fractal(rng, 1.0, 14.0), 8)
    rings = 0.5 + 0.5 * np.sin(14 * np.pi * _warped(rng, fractal(rng, 2.0, 8.0), 6))
    boards = np.repeat(rng.uniform(-0.12, 0.12, 8), SIDE // 8)[:, None]
    tile = 0.55 * grain + 0.25 * rings + 0.12 + boards
    tile[::SIDE // 8] -= 0.35
    return tile


def _weave(rng):
    period = int(rng.choice([4, 8, 16]))
    y, x = np.indices((SIDE, SIDE))
    over = (x // period + y // period) % 2
    wave = np.where(over, np.sin(np.pi * ((x % period) + 0.5) / period), np.sin(np.pi * ((y % period) + 0.5) / period))
    return 0.2 + 0.4 * wave + 0.3 * fractal(rng, 1.0)


def _stripes(rng):
    """Stripes or, crossed, a plaid."""
    widths = rng.choice([4, 8, 16, 32, 64], 16)
    line = np.repeat(rng.random(16) * np.tile([0.3, 1.0], 8), widths)
    line = np.tile(line, SIDE // len(line) + 1)[:SIDE]
    crossed = rng.random() < 0.5
    tile = 0.5 * (line[None] + line[:, None]) if crossed else np.broadcast_to(line[None], (SIDE, SIDE))
    return 0.9 * tile + 0.15 * (fractal(rng, 0.5) - 0.5)


def _folds(rng):
    """Cloth: long soft ridges, as sleeves and curtains have them."""
    base = _warped(rng, fractal(rng, 1.6, 1 / rng.uniform(2, 5)), 14)
    ridge = np.abs(base - 0.5) ** rng.uniform(0.5, 0.8)
    light = np.gradient(cv2.GaussianBlur(base, (0, 0), 3), axis=1)
    return 0.85 - 0.8 * ridge + 0.12 * light / light.std() + 0.12 * (fractal(rng, 0.4) - 0.5)


def _bricks(rng):
    """Bricks, tiles or parquet: cells of their own tone between joints."""
    width, height = int(rng.choice([32, 64, 128])), int(rng.choice([16, 32, 64]))
    shift = int(rng.choice([0, width // 2]))
    y, x = np.indices((SIDE, SIDE))
    row = y // height
    column = ((x + shift * (row % 2)) % SIDE) // width
    tone = rng.uniform(0.35, 0.75, (SIDE // height, SIDE // width))[row, column]
    joint = (y % height < 2) | ((x + shift * (row % 2)) % width < 2)
    return np.where(joint, rng.choice([0.05, 0.95]), tone + 0.5 * (fractal(rng, 1.0) - 0.5))


def _motif(rng):
    """Wallpaper: one small drawing, turned and repeated."""
    cell = int(rng.choice([32, 64, 128]))
    tile = np.full((cell, cell), 60, np.uint8)
    for _ in range(int(rng.integers(2, 7))):
        centre = tuple(int(v) for v in rng.integers(0, cell, 2))
        axes = tuple(int(v) for v in rng.integers(2, cell // 2, 2))
        width = int(rng.choice([-1, 1, 2, 4]))
        cv2.ellipse(tile, centre, axes, float(rng.uniform(0, 180)), 0, float(rng.choice([180, 360])),
                    int(rng.integers(0, 256)), width, cv2.LINE_AA)
    if rng.random() < 0.6:
        tile = np.maximum(tile, tile[:, ::-1])
    return np.tile(tile, (SIDE // cell, SIDE // cell))


def _glyph(rng, tile, x, y, height, weight):
    if rng.random() < 0.5:
        letter = chr(int(rng.integers(33, 123)))
        cv2.putText(tile, letter, (x, y), int(rng.integers(0, 5)), height / 22, 20, weight, cv2.LINE_AA)
    else:
        strokes = rng.integers(0, height, (int(rng.integers(2, 5)), 2)) * [0.7, -1.0] + [x, y]
        cv2.polylines(tile, [np.int32(strokes)], False, 20, weight, cv2.LINE_AA)


def _page(rng):
    """Lines of glyphs on a light ground; some lines are headings, some places are left empty."""
    tile, y = np.full((SIDE, SIDE), 215, np.uint8), 8
    while y < SIDE - 12:
        height = int(rng.choice([9, 12, 16, 28, 60], p=[0.4, 0.25, 0.15, 0.12, 0.08]))
        x, y = int(rng.integers(4, 60)), y + height
        end = SIDE - int(rng.integers(4, 200))
        while x < end:
            if rng.random() > 0.16:
                _glyph(rng, tile, x, y, height, max(height // 9, 1))
            x += int(height * 0.75) + 1
        y += int(height * rng.uniform(0.25, 0.9)) + 2
    return tile


def _keys(rng):
    """A grid of keys, buttons or windows, each with a bevel and a sign."""
    width, height = int(rng.choice([32, 64])), int(rng.choice([32, 64]))
    tile = np.full((SIDE, SIDE), 25, np.uint8)
    for y in range(0, SIDE, height):
        for x in range(0, SIDE, width):
            tone = int(rng.integers(110, 190))
            cv2.rectangle(tile, (x + 3, y + 3), (x + width - 3, y + height - 4), tone - 30, -1)
            cv2.rectangle(tile, (x + 5, y + 4), (x + width - 5, y + height - 8), tone, -1)
            _glyph(rng, tile, x + width // 3, y + 2 * height // 3, height // 2, 1)
    return tile


def _facade(rng):
    """Windows in rows, with frames, sills and what they mirror, in a wall that has seen weather."""
    cell, tile = int(rng.choice([64, 128])), 0.72 + 0.25 * (fractal(rng, 1.1) - 0.5)
    x0, x1, y0, y1 = (int(cell * share) for share in rng.uniform([0.1, 0.6, 0.1, 0.65], [0.35, 0.9, 0.3, 0.92]))
    glass, bars = fractal(rng, 1.6), int(rng.integers(1, 4))
    for y in range(0, SIDE, cell):
        for x in range(0, SIDE, cell):
            tile[y + y0 - 3:y + y1 + 5, x + x0 - 4:x + x1 + 4] = rng.choice([0.95, 0.5])
            pane = glass[y + y0:y + y1, x + x0:x + x1] * 0.5 - 0.05 + rng.uniform(-0.08, 0.15)
            pane[:, ::max((x1 - x0) // bars, 6)] = 0.85
            pane[(y1 - y0) // 3] = 0.85
            tile[y + y0:y + y1, x + x0:x + x1] = pane
            tile[y + y1 + 5:y + y1 + 9, x + x0 - 3:x + x1 + 3] -= 0.3
    return tile


def _holes(rng):
    """A plate with slots or holes, or a mesh."""
    cell, tile = int(rng.choice([16, 32, 64])), np.full((SIDE, SIDE), 170, np.uint8)
    a, b = int(cell * rng.uniform(0.15, 0.4)), int(cell * rng.uniform(0.15, 0.4))
    for y in range(0, SIDE, cell):
        for x in range(0, SIDE, cell):
            cv2.ellipse(tile, (x + cell // 2, y + cell // 2), (a, b), 0, 0, 360, 15, -1, cv2.LINE_AA)
    return np.float32(tile) / 255 + 0.3 * (fractal(rng, 1.2) - 0.5)


def _blades(rng):
    """Grass, carpet or hair: many thin strokes of one main direction, later ones lighter."""
    tile, wild = np.full((SIDE, SIDE), 40, np.uint8), rng.uniform(0.08, 0.7)
    count = 2600
    angle = math.pi / 2 + wild * rng.standard_normal(count)
    start = rng.uniform(0, SIDE, (count, 2))
    step = rng.uniform(8, 45, count)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    tones = np.clip(rng.normal(np.linspace(50, 190, count), 35), 0, 255)
    for a, b, tone in zip(start, start + step, tones):
        cv2.line(tile, tuple(map(int, a)), tuple(map(int, b)), int(tone), int(tone) % 2 + 1, cv2.LINE_AA)
    return tile


def _leaf_tones(rng):
    return shapes.dead_leaves(rng)[::2, ::2][:SIDE, :SIDE].copy()


TEXTURES = {  # name -> (what makes one variant, how many)
    "smooth": (lambda rng: fractal(rng, 1.9), 3),
    "natural": (lambda rng: fractal(rng, 1.2), 3),
    "rough": (lambda rng: fractal(rng, 0.8), 2),
    "brushed": (lambda rng: fractal(rng, 0.8, 20.0), 2),
    "veined": (lambda rng: 1 - 2 * np.abs(_warped(rng, fractal(rng, 1.4), 10) - 0.5), 2),
    "wood": (_wood, 3), "weave": (_weave, 3), "stripes": (_stripes, 5), "folds": (_folds, 4), "bricks": (_bricks, 6),
    "motif": (_motif, 8), "page": (_page, 5), "keys": (_keys, 3), "holes": (_holes, 3), "blades": (_blades, 3),
    "shapes": (_leaf_tones, 2), "facade": (_facade, 5),
}
SHEETS = {"leaves": (shapes.dead_leaves, 3), "foliage": (shapes.foliage, 2), "pebbles": (shapes.pebbles, 2)}
