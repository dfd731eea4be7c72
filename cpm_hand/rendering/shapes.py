"""Closed shapes, and sheets of labels that are covered with them.

A sheet is a map of labels, uint8 [SHEET_SIDE, SHEET_SIDE], that repeats; its shapes get their colours later.

Source: sizes as r^-3, from Lee, Mumford and Huang 2001, "Occlusion models for natural images", IJCV 41.
"""

import cv2
import numpy as np

SHEET_SIDE = 1024  # px, a power of two, so that repeating is one bit operation


def _stamp(sheet, shape, label):
    """Fill a polygon, and the parts of it beyond an edge on the opposite side."""
    low, high = shape.min(0), shape.max(0)
    for dx in {0, SHEET_SIDE * int(low[0] < 0), -SHEET_SIDE * int(high[0] >= SHEET_SIDE)}:
        for dy in {0, SHEET_SIDE * int(low[1] < 0), -SHEET_SIDE * int(high[1] >= SHEET_SIDE)}:
            cv2.fillPoly(sheet, [np.int32(shape + (dx, dy))], label)


def outline(rng, kind: int) -> np.ndarray:
    """A closed shape about the origin of radius about 1, float [K, 2]: box, disc, blob, spike ball or leaf."""
    if kind == 0:
        return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [1, rng.uniform(0.15, 1)]
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = np.ones(24)
    if kind == 2:
        waves = rng.standard_normal(3) * [0.22, 0.14, 0.09]
        radius = 1 + sum(a * np.cos(k * turn + p) for a, k, p in zip(waves, (2, 3, 5), rng.uniform(0, 6, 3)))
    elif kind == 3:
        radius = np.where(np.arange(24) % 2, rng.uniform(0.4, 0.9), 1.0) * rng.uniform(0.7, 1.2, 24)
    shape = np.stack([np.cos(turn), np.sin(turn)], 1) * radius[:, None]
    if kind == 4:
        shape[:, 1] *= rng.uniform(0.25, 0.5) * (1 - np.abs(np.cos(turn)) ** 3)
    return shape * ([1, rng.uniform(0.3, 1)] if kind == 1 else [1, 1])


def _scatter(rng, count, smallest, largest, kinds, ordered):
    """Shapes over shapes until nothing is empty; ordered labels grow towards the viewer."""
    sheet = np.full((SHEET_SIDE, SHEET_SIDE), 0, np.uint8)
    u = rng.random(count)
    radii = 1 / np.sqrt(u / smallest**2 + (1 - u) / largest**2)  # density as r^-3 between the two
    for number, radius in enumerate(radii):
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        label = int(255 * number / count) if ordered else int(rng.integers(0, 256))
        _stamp(sheet, radius * outline(rng, int(rng.choice(kinds))) @ turn + rng.uniform(0, SHEET_SIDE, 2), label)
    return sheet


def dead_leaves(rng) -> np.ndarray:
    """Shapes of all sizes, each with a label of its own choice."""
    return _scatter(rng, 1000, 8, 420, (0, 0, 1, 2, 3), ordered=False)


def foliage(rng) -> np.ndarray:
    """Leaves, whose labels grow towards the viewer."""
    return _scatter(rng, 800, 18, 120, (4,), ordered=True)


def pebbles(rng) -> np.ndarray:
    """Stones and dry leaves."""
    return _scatter(rng, 1100, 12, 48, (2, 2, 4, 3), ordered=False)
