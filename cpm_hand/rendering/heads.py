"""Heads as people have them behind hands: one soft solid, seen from every side, with hair, beard and glasses.

A head is a sphere pushed in and out along its radii; its points are thrown onto a small picture, the nearest last. It
comes out as a grey tile for the bank of textures and as outlines, so that a canvas draws it like any other shape.
Frame: x right, y down, z towards the camera; the unit is half the height of the head.
"""

from typing import NamedTuple

import cv2
import numpy as np

REACH = 1.4  # half the side of a tile, in units
SMALL = 176  # px, side of the picture that points are thrown onto
SKIN, HAIR, LIPS = 1, 2, 3


class Head(NamedTuple):
    """One head from one side. Outlines are lists of float [K, 2], x and y in units from its middle."""

    skin: list
    hair: list
    lips: list
    glasses: list  # the two rims and the temples, open lines; empty where there are none
    yaw: float  # radians, 0 looks at the camera, positive to the right


def head(rng: np.random.Generator, side: int) -> tuple[np.ndarray, Head]:
    """Draw a person and a direction: a grey tile, uint8 [side, side], 127 lit skin, and the outlines."""
    yaw = rng.choice([rng.normal(0, 0.25), rng.uniform(-1.7, 1.7), rng.uniform(-3.1, 3.1)], p=[0.4, 0.5, 0.1])
    turn = _turn(yaw, 0.2 * rng.standard_normal())
    lon, lat = np.meshgrid(np.linspace(-np.pi, np.pi, 440, dtype=np.float32),
                           np.linspace(-1.55, 1.55, 250, dtype=np.float32))
    points, tone, kind = _solid(rng, lon, lat)
    points = points @ np.float32(turn).T
    normals = np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
    normals /= -np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    light = rng.standard_normal(3) * [0.8, 0.4, 0.3] + [0, -0.5, 0.7]
    light /= np.linalg.norm(light)
    lit = np.clip(normals @ light, 0, None) ** 0.9
    lit = rng.uniform(0.3, 0.65) + rng.uniform(0.45, 0.8) * lit + 0.1 * normals[..., 2]
    front = np.flatnonzero(normals[..., 2].ravel() > -0.1)
    front = front[np.argsort(points[..., 2].ravel()[front], kind="stable")]  # the nearest are written last
    cells = np.int64((points[..., :2].reshape(-1, 2)[front] / REACH + 1) * (SMALL / 2))
    small, labels = np.zeros((SMALL, SMALL), np.float32), np.zeros((SMALL, SMALL), np.uint8)
    small[cells[:, 1], cells[:, 0]] = (lit * tone).ravel()[front]
    labels[cells[:, 1], cells[:, 0]] = kind.ravel()[front]
    small, labels = cv2.medianBlur(np.uint8(np.clip(124 * small, 1, 255)) * (labels > 0), 5), cv2.medianBlur(labels, 5)
    inside = np.uint8(labels > 0)
    spread = cv2.dilate(small, np.ones((9, 9)))  # edges must not fade to black
    tile = cv2.resize(np.where(cv2.erode(inside, np.ones((3, 3))), small, spread), (side, side),
                      interpolation=cv2.INTER_CUBIC)
    outlines = [_outlines(np.uint8(mask)) for mask in (inside, labels == HAIR, labels == LIPS)]
    return tile, Head(*outlines, _glasses(rng, turn) if rng.random() < 0.3 else [], float(yaw))


def _turn(yaw, pitch):
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    return np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])


def _solid(rng, lon, lat):
    """Places [..., 3], tones and kinds of points in these directions; longitude 0 is the nose, latitude 1 the chin."""
    def bump(x, y, wide, high):
        fall = np.exp(-((lat - y) / high) ** 2)
        spot = np.exp(-((lon - x) / wide) ** 2)
        return fall * (spot + np.exp(-((lon + x) / wide) ** 2) if x else spot)

    spread = rng.normal(0, 1, 5) * [0.04, 0.03, 0.04, 0.02, 0.03]
    nose, brow, jaw, eye, mouth = (spread + [0.24, 0.04, 0.08, -0.05, 0.56]).tolist()
    out = 1 + nose * (bump(0, 0.3, 0.13, 0.11) + 0.4 * bump(0, 0.1, 0.1, 0.2) + 0.1 * bump(0.17, 0.35, 0.1, 0.07))
    out += brow * bump(0.4, eye - 0.2, 0.32, 0.08) - 0.07 * bump(0.42, eye, 0.22, 0.12)
    out += 0.03 * bump(0.42, eye, 0.1, 0.06) + jaw * bump(0, 1.0, 0.6, 0.25)
    out += 0.05 * (bump(0, mouth - 0.05, 0.22, 0.05) + bump(0, mouth + 0.08, 0.2, 0.05))
    out += 0.04 * bump(0.65, 0.3, 0.3, 0.25) + 0.16 * bump(1.62, 0.1, 0.1, 0.2) + 0.13 * bump(0, 0.75, 1.2, 0.35)
    tone = 1 - 0.55 * bump(0.42, eye - 0.2, 0.2, 0.035) - 0.2 * bump(0.42, eye, 0.24, 0.1)
    opened = float(rng.uniform(0.02, 0.05))
    for x in (-0.42, 0.42):
        white = ((lon - x) / 0.14) ** 2 + ((lat - eye) / opened) ** 2 < 1
        tone = np.where(white, 1.5, tone)
        tone = np.where(white & (np.hypot(lon - x - 0.03, lat - eye) < 0.06), 0.1, tone)
        tone = np.where((np.abs(lon - x) < 0.16) & (np.abs(lat - eye + opened) < 0.014), 0.35, tone)
    tone = tone - 0.4 * bump(0.1, 0.4, 0.05, 0.025) - 0.5 * bump(0, mouth + 0.015, 0.24, 0.016)
    lips = np.abs(lat - mouth - 0.02) < 0.085 * (1 - (lon / 0.3) ** 2)
    beard = np.clip(3 * (lat - 0.75 + 0.5 * np.abs(lon)), 0, 1) + bump(0, mouth - 0.11, 0.3, 0.05)
    beard = beard * np.clip(5 - 4 * np.abs(lon), 0, 1) * ~lips * float(rng.choice([0, 0, 0, 0.25, 0.55, 0.8]))
    grain = rng.random(lon.shape, np.float32) - 0.5
    tone = tone * (1 - np.clip(beard, 0, 0.9) * (1 + 0.5 * grain)) + 0.04 * grain
    line = np.interp(np.abs(lon), [0, 0.6, 1.0, 1.25, 1.45, 1.75, 2.1, 3.2],
                     np.array([-0.72, -0.68, -0.5, -0.1, -0.3, -0.25, 0.6, 0.85]) + 0.07 * rng.standard_normal())
    thick, style = rng.random(2).tolist()
    fringe = 0.35 * (np.abs(lon + float(rng.uniform(-0.4, 0.4))) < 0.9) * (style > 0.75)
    hair = lat < line + fringe + 0.05 * np.sin(lon * float(rng.uniform(3, 20)) + float(rng.uniform(0, 6)))
    if style < 0.12:  # bald, or only around the ears
        hair &= (lat > -0.4) & (style < 0.06)
    many = rng.uniform(4, 20, 2).tolist()
    waves = 1 + 0.2 * np.sin(many[0] * lon + 3 * np.sin(4 * lat)) * np.sin(many[1] * lat)
    full = (0.05 + 0.25 * thick**2) * waves * np.clip(4 * (line + 0.15 - lat), 0.15, 1)
    out = np.where(hair, np.maximum(out, 1) + full, out)
    width, taper = rng.uniform([0.7, 0.0], [0.8, 0.2]).tolist()
    width = width * (1 - taper * np.clip(np.sin(lat), 0, 1) ** 2)
    deep, flat = np.where(np.abs(lon) > np.pi / 2, 0.98, 0.88), np.cos(lat)
    places = np.stack([width * np.sin(lon) * flat, 0.98 * np.sin(lat), deep * np.cos(lon) * flat], -1, dtype=np.float32)
    return places * np.minimum(out, 1.32)[..., None], tone, np.where(hair, HAIR, np.where(lips, LIPS, SKIN))


def _outlines(mask):
    large = cv2.GaussianBlur(cv2.resize(255 * mask, None, fx=4, fy=4), (0, 0), 5)
    found, _ = cv2.findContours(large // 128, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    shapes = [cv2.approxPolyDP(shape, 0.8, True)[:, 0] for shape in found if cv2.contourArea(shape) > 160]
    return [((shape + 0.5) / (2 * SMALL) - 1) * REACH for shape in shapes]


def _glasses(rng, turn):
    """Two rims before the eyes, a bridge, and temples that end at the ears; what is behind the head is left out."""
    angle = np.linspace(0, 2 * np.pi, 20)
    wide, high, corner = rng.uniform(0.2, 0.27), rng.uniform(0.12, 0.22), rng.choice([1.0, 0.5])
    rim = np.stack([wide * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** corner,
                    high * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** corner, 0 * angle], 1)
    lines = [rim + [side * 0.32, 0.0, 0.84] for side in (-1, 1)]
    lines += [np.array([[-0.1, -0.03, 0.9], [0.1, -0.03, 0.9]])]
    lines += [np.array([[side * 0.57, -0.03, 0.84], [side * 0.72, -0.03, 0.45], [side * 0.76, 0.02, 0.05]])
              for side in (-1, 1)]
    seen = [line @ turn.T for line in lines]
    return [line[:, :2] for line in seen if line[:, 2].mean() > 0.15]
