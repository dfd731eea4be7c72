"""The flesh on the bones as a signed distance: rods and ellipsoids in bone frames, joined smoothly.

Fingers join the palm smoothly, which makes the webs, but never each other. Sizes are of the mean hand, mm.
"""

import math
from typing import NamedTuple

import numba
import numpy as np

_PALM = 5  # group number of everything that is not a finger
_FINGER_BLEND, _PALM_BLEND, _WEB_BLEND, _PAD_BLEND = 2.6, 9.0, 5.5, 3.5


class Primitives(NamedTuple):
    """Rods with two radii in their own frames.

    Attributes:
        groups: int64 [P], finger 0-4 or 5 for palm and arm, sorted.
        frames: float64 [P, 3, 4], rotation and origin; the rod runs along y.
        sizes: float64 [P, 6]: length, radius at the origin, radius at the end, scale of x and of z, blend in mm.
    """

    groups: np.ndarray
    frames: np.ndarray
    sizes: np.ndarray


class _Builder:
    def __init__(self):
        self.rows = []

    def rod(self, group, frame, start, length, radii, scale=(1.0, 1.0), blend=_FINGER_BLEND):
        """A rod from `start` (local) along the frame's y."""
        placed = frame.copy()
        placed[:, 3] += frame[:, :3] @ np.asarray(start, float)
        self.rows.append((group, placed, (length, *radii, *scale, blend)))

    def between(self, group, a, b, radii, scale=(1.0, 1.0), blend=_PALM_BLEND):
        """A rod from a to b (hand's frame), its z as near to the hand's as can be."""
        a, b = np.asarray(a, float), np.asarray(b, float)
        y = (b - a) / np.linalg.norm(b - a)
        x = np.cross(y, (0.0, 0.0, 1.0))
        x /= np.linalg.norm(x)
        frame = np.stack([x, y, np.cross(x, y), a], 1)
        self.rows.append((group, frame, (np.linalg.norm(b - a), *radii, *scale, blend)))

    def done(self) -> Primitives:
        rows = sorted(self.rows, key=lambda row: row[0])
        return Primitives(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]),
                          np.array([row[2] for row in rows], np.float64))


def primitives(shape, joints: np.ndarray, frames: np.ndarray) -> Primitives:
    """The mean hand's flesh around given joints [21, 3] and bone frames [21, 3, 4]."""
    build = _Builder()
    for finger in range(1, 5):
        _finger(build, finger, shape, frames)
    _thumb(build, shape, frames)
    _palm(build, joints)
    _arm(build)
    return build.done()


def _finger(build, finger, shape, frames):
    base = 1 + 4 * finger
    widths, lengths = shape.half_widths[base:base + 4], shape.lengths[base:base + 4]
    proximal, middle, distal = frames[base + 1], frames[base + 2], frames[base + 3]
    w0, w1, w2, w3 = widths
    flat = (1.0, 0.97)
    build.rod(finger, proximal, (0, 2, -1.5), lengths[1] - 2, (w0 * 0.95, w1 * 0.93), flat)
    build.rod(finger, middle, (0, 0, -0.2), lengths[2], (w1 * 0.95, w2 * 0.97), flat)
    build.rod(finger, distal, (0, 0, -0.3), lengths[3] - 1.5, (w2 * 0.96, w3 * 0.88), (1.06, 0.88))
    build.rod(finger, distal, (0, lengths[3] - 6.5, -1.0), 4, (w3 * 0.98, w3 * 0.92), (1.08, 0.82))
    # Joint swellings, wider than deep; pads on the palm's side between the creases, the pulp of the tip.
    build.rod(finger, middle, (0, -1.5, 0.5), 3, (w1 * 0.9,) * 2, (1.04, 1.0))
    build.rod(finger, distal, (0, -1, 0.3), 2, (w2 * 0.9,) * 2, (1.04, 0.98))
    build.rod(finger, proximal, (0, lengths[1] * 0.36, -w0 * 0.36), lengths[1] * 0.34, (w0 * 0.78, w1 * 0.74),
              (1.05, 0.85), _PAD_BLEND)
    build.rod(finger, middle, (0, lengths[2] * 0.3, -w1 * 0.32), lengths[2] * 0.4, (w1 * 0.72, w2 * 0.76),
              (1.05, 0.85), _PAD_BLEND)
    build.rod(finger, distal, (0, lengths[3] * 0.3, -w3 * 0.35), lengths[3] * 0.34, (w3 * 0.92, w3 * 0.84),
              (1.08, 0.85), _PAD_BLEND)


def _thumb(build, shape, frames):
    widths, lengths = shape.half_widths[1:5], shape.lengths[1:5]
    carpal, proximal, distal = frames[2], frames[3], frames[4]
    _, w1, w2, w3 = widths
    build.rod(0, carpal, (0, 14, 0), lengths[1] - 14, (11.5, w1 * 0.95), blend=5)
    build.rod(0, proximal, (0, 0, 0), lengths[2], (w1 * 0.95, w2 * 0.92), (1.0, 0.94))
    build.rod(0, distal, (0, 0, 0), lengths[3] - 4, (w2 * 0.95, w3 * 0.94), (1.1, 0.84))
    build.rod(0, distal, (0, lengths[3] - 9, -1.2), 5, (w3 * 1.02, w3 * 0.95), (1.12, 0.8))
    build.rod(0, proximal, (0, -2, 0.5), 4, (w1 * 0.95,) * 2, (1.04, 1.0))
    build.rod(0, distal, (0, -1, 0.2), 2, (w2 * 0.95,) * 2, (1.04, 0.94))
    build.rod(0, proximal, (0, lengths[2] * 0.35, -3.5), lengths[2] * 0.35, (8.6, 8.0), (1.05, 0.85), _PAD_BLEND)
    build.rod(0, distal, (0, lengths[3] * 0.3, -3.0), lengths[3] * 0.34, (w3, w3 * 0.92), (1.12, 0.85), _PAD_BLEND)


def _palm(build, joints):
    # Rays of the metacarpals: a slab about 27 mm thick, arched across.
    for finger, (near, far) in zip(range(1, 5), ((12.5, 11.0), (13.5, 11.2), (13.0, 10.8), (11.5, 10.0))):
        end = joints[1 + 4 * finger]
        start = end * np.array([0.62, 0.13, 0.3]) + (0, 0, -1.5)
        build.between(_PALM, start, end + (0, 0, -3.0), (near, far), (1.0, 0.96))
        build.between(_PALM, end + (0, -7, 3.0), end + (0, 2, 3.0), (6.2, 6.8), blend=7)  # the knuckle
    # Pads before the fingers and the webs between them.
    for finger in range(1, 5):
        end = joints[1 + 4 * finger]
        build.between(_PALM, end + (0, -10, -6.5), end + (0, 9, -6.0), (9.0, 8.2), (1.1, 0.8), blend=7)
    for finger in range(1, 4):
        a, b = joints[1 + 4 * finger], joints[5 + 4 * finger]
        middle = (a + b) / 2
        build.between(_PALM, middle + (0, -6, -3), middle + (0, 13.5, -4.5), (8.5, 4.8), (1.0, 0.9), blend=7)
    # Thenar: the thumb's muscles; hypothenar: the little finger's; the hollow between them is shallow.
    thumb, tip = joints[1], joints[2]
    build.between(_PALM, thumb + (5, -4, -3), tip * 0.75 + thumb * 0.25 + (3, 0, -2), (15.0, 11.5), (1.0, 1.0))
    build.between(_PALM, thumb + (9, 4, -3), thumb + (12, 32, -3), (12.0, 10.5), (1.2, 0.85), blend=14)
    build.between(_PALM, thumb + (0, -12, 5), thumb + (-1, 12, 3), (9.5, 11.5), (1.0, 1.0), blend=12)
    build.between(_PALM, (21, 18, -5), (31, 56, -7), (10.5, 10.5), (0.95, 0.95), blend=12)
    # The skin between thumb and index finger.
    index = joints[5]
    for share, reach, radius in ((0.5, 0.42, 8.5), (0.68, 0.58, 7.0), (0.84, 0.72, 5.0)):
        a = thumb + (tip - thumb) * share
        b = index * reach + np.array([-2.0, 0, -4])
        build.between(_PALM, a, b, (radius, radius + 1.5), (1.0, 0.9), blend=8)


def _arm(build):
    # Elliptical sections; the wrist is the narrowest place, about 57 x 40 mm.
    build.between(_PALM, (0, 24, -1.5), (0, -8, -0.5), (26.0, 24.0), (1.12, 0.8), blend=14)
    build.between(_PALM, (0, -6, -0.5), (3.5, -300, -3.5), (24.0, 40.0), (1.13, 0.84), blend=5)
    build.between(_PALM, (2, -60, -3), (4, -300, -6), (16.0, 36.0), (1.1, 1.0), blend=6)
    build.between(_PALM, (3.5, -300, -3.5), (3.5, -860, -3.5), (40.0, 46.0), (1.1, 0.9), blend=5)  # elbow, upper arm
    build.between(_PALM, (17, -15, 6), (18, -8, 6), (9.0, 8.5), blend=9)  # the head of the ulna


def sample_grid(parts: Primitives, xs, ys, zs) -> np.ndarray:
    """Signed distance, about, on a rectilinear grid: float64 [X, Y, Z], negative inside."""
    out = np.empty((len(xs), len(ys), len(zs)))
    _grid(*parts, np.asarray(xs, float), np.asarray(ys, float), np.asarray(zs, float), out)
    return out


def value_and_gradient(parts: Primitives, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance [N] and its gradient [N, 3] at points [N, 3], by central differences."""
    offsets = np.concatenate([np.zeros((1, 3)), 0.05 * np.eye(3), -0.05 * np.eye(3)])
    values = np.empty((len(points), 7))
    _points(*parts, np.ascontiguousarray(points), offsets, values)
    return values[:, 0], (values[:, 1:4] - values[:, 4:7]) / 0.1


@numba.njit(cache=True, nogil=True)
def _join(a, b, blend):
    """Smooth minimum, polynomial."""
    h = max(blend - abs(a - b), 0.0) / blend
    return min(a, b) - h * h * blend * 0.25


@numba.njit(cache=True, nogil=True)
def _distance(groups, frames, sizes, px, py, pz):
    palm = 1e3
    nearest = np.full(5, 1e3)
    for number in range(len(groups)):
        frame, size = frames[number], sizes[number]
        dx, dy, dz = px - frame[0, 3], py - frame[1, 3], pz - frame[2, 3]
        x = (frame[0, 0] * dx + frame[1, 0] * dy + frame[2, 0] * dz) / size[3]
        y = frame[0, 1] * dx + frame[1, 1] * dy + frame[2, 1] * dz
        z = (frame[0, 2] * dx + frame[1, 2] * dy + frame[2, 2] * dz) / size[4]
        t = min(max(y / max(size[0], 1e-9), 0.0), 1.0)
        beyond = y - t * size[0]
        d = (math.sqrt(x * x + z * z + beyond * beyond) - size[1] - (size[2] - size[1]) * t)
        if groups[number] == _PALM:
            palm = _join(palm, d, size[5])
        else:
            nearest[groups[number]] = _join(nearest[groups[number]], d, size[5])
    best = palm
    for finger in range(5):
        best = min(best, _join(palm, nearest[finger], _WEB_BLEND + (3.0 if finger == 0 else 0.0)))
    return best


@numba.njit(cache=True, nogil=True)
def _grid(groups, frames, sizes, xs, ys, zs, out):
    for i in range(len(xs)):
        for j in range(len(ys)):
            k = 0
            while k < len(zs):
                value = _distance(groups, frames, sizes, xs[i], ys[j], zs[k])
                out[i, j, k] = value
                # Far from the skin its exact distance does not matter: skip ahead.
                skip = int((abs(value) - 12.0) / 3.5)
                while skip > 0 and k + 1 < len(zs):
                    k += 1
                    skip -= 1
                    out[i, j, k] = value
                k += 1


@numba.njit(cache=True, nogil=True)
def _points(groups, frames, sizes, points, offsets, out):
    for n in range(len(points)):
        for o in range(len(offsets)):
            out[n, o] = _distance(groups, frames, sizes, points[n, 0] + offsets[o, 0], points[n, 1] + offsets[o, 1],
                                  points[n, 2] + offsets[o, 2])
