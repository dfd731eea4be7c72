"""The arm behind a hand: which way it turns at the elbow, so that no picture shows where it ends."""

import math
from typing import NamedTuple

import numba
import numpy as np

from cpm_hand.rendering import surface

NEAR_MM = 40.0  # nothing is drawn nearer to the camera
ELBOW_MM, _ARC_MM = 215.0, 110.0  # where behind the wrist the arm begins to turn, and how long it turns
_STRETCHES = np.array([1.0, 1.6, 2.5, 4.0, 8.0])


class Elbow(NamedTuple):
    """How the arm goes on: turned by `bend` radians about the elbow, towards `side` (0 is x, pi / 2 is z).

    Attributes:
        bend: radians, 0 is straight, at most 1.9.
        side: radians about the forearm.
        stretch: length of the upper arm over a person's; above 1 only so that it leaves a wide picture.
    """

    bend: float = 0.0
    side: float = 0.0
    stretch: float = 1.0


STRAIGHT = Elbow()


def sample_elbow(rng: np.random.Generator, turn: np.ndarray, shift: np.ndarray, scale: float, focal: float,
                 axis: np.ndarray, size: np.ndarray, box: np.ndarray) -> Elbow:
    """An elbow such that the picture does not show where the arm ends: mostly little bent, more where it must be.

    Args:
        rng: where all chance comes from.
        turn: float64 [3, 3], the forearm's frame to the camera's.
        shift: float64 [3], the wrist in the camera's frame, mm.
        scale: of the arm, relative to the mean.
        focal: px.
        axis: float64 [2], where the camera's axis meets the picture, px.
        size: float64 [2], width and height, px.
        box: float64 [3], longer side of the joint box, and its centre, px.
    """
    bends = np.append(np.minimum(np.abs(rng.normal(0, 0.5, 3)), 1.9), rng.uniform(0, 1.9, 13))
    sides = rng.uniform(0, 2 * math.pi, 16)
    return Elbow(*_find(turn, shift, scale, focal, axis, size, box, bends, sides, _STRETCHES))


@numba.njit(cache=True, nogil=True)
def arm_at(beyond, angle, stretch):
    """A point of the arm's middle line, `beyond` mm behind the elbow: how far sideways, backwards, and how turned."""
    turned = angle * min(beyond / _ARC_MM, 1.0)
    if angle < 1e-3:
        return 0.0, min(beyond, _ARC_MM) + stretch * max(beyond - _ARC_MM, 0.0), 0.0
    radius, rest = _ARC_MM / angle, stretch * max(beyond - _ARC_MM, 0.0)
    return (radius * (1 - math.cos(turned)) + rest * math.sin(turned),
            radius * math.sin(turned) + rest * math.cos(turned), turned)


@numba.njit(cache=True, nogil=True)
def bend(vertices, rest, forearm, scale, angle, side, stretch):
    """Turn what lies behind the elbow, in place: cross-sections stay flat and at right angles to the middle line."""
    c, s = math.cos(side), math.sin(side)
    local = np.empty(3)
    for v in range(len(vertices)):
        if rest[v, 1] > -0.8 * ELBOW_MM:
            continue
        for k in range(3):
            local[k] = forearm[0, k] * vertices[v, 0] + forearm[1, k] * vertices[v, 1] + forearm[2, k] * vertices[v, 2]
        beyond = -local[1] - ELBOW_MM * scale
        if beyond <= 0:
            continue
        aside, back, turned = arm_at(beyond, angle, stretch)
        u, w = c * local[0] + s * local[2], c * local[2] - s * local[0]
        back -= u * math.sin(turned)
        aside += u * math.cos(turned)
        local[0], local[1], local[2] = c * aside - s * w, -ELBOW_MM * scale - back, s * aside + c * w
        for k in range(3):
            vertices[v, k] = forearm[k, 0] * local[0] + forearm[k, 1] * local[1] + forearm[k, 2] * local[2]


@numba.njit(cache=True, nogil=True)
def hides(turn, shift, focal, axis, box):
    """Whether the forearm comes too near to the camera, or lies before the middle of the hand; see `_leaves`."""
    for back in (100.0, 150.0, ELBOW_MM):
        x, y, z = shift[0] - back * turn[0, 1], shift[1] - back * turn[1, 1], shift[2] - back * turn[2, 1]
        if z < 1.5 * NEAR_MM:
            return True
        px, py = focal * x / z + axis[0], focal * y / z + axis[1]
        if z < shift[2] and max(abs(px - box[1]), abs(py - box[2])) < 0.3 * box[0] + 35.0 * focal / z:
            return True
    return False


@numba.njit(cache=True, nogil=True)
def _leaves(turn, shift, scale, focal, axis, size, box, bend, side, stretch):
    """Whether an arm leaves the picture, and does not pass before the hand on its way.

    Args:
        turn: float64 [3, 3], the forearm's frame to the camera's.
        shift: float64 [3], the wrist in the camera's frame, mm.
        scale: of the forearm.
        focal: px.
        axis: where the camera's axis meets the picture, px.
        size: width and height, px.
        box: longer side of the joint box, and its centre, px.
        bend: see `Elbow`, as for the next two.
        side: radians.
        stretch: of the upper arm.
    """
    place, left = np.empty(3), False
    for step in range(9):
        beyond = (step / 8) * (surface.ARM_MM - ELBOW_MM) * scale
        aside, back, _ = arm_at(beyond, bend, stretch)
        x, y, z = math.cos(side) * aside, -ELBOW_MM * scale - back, math.sin(side) * aside
        for k in range(3):
            place[k] = turn[k, 0] * x + turn[k, 1] * y + turn[k, 2] * z + shift[k]
        if place[2] < 1.5 * NEAR_MM:
            return left
        px, py = focal * place[0] / place[2] + axis[0], focal * place[1] / place[2] + axis[1]
        thick = 60.0 * scale * focal / place[2]
        if place[2] < shift[2] and max(abs(px - box[1]), abs(py - box[2])) < 0.6 * box[0] + thick:
            return False
        left = px < -thick or py < -thick or px > size[0] + thick or py > size[1] + thick  # it may come back
    return left


@numba.njit(cache=True, nogil=True)
def _find(turn, shift, scale, focal, axis, size, box, bends, sides, stretches):
    """The first stretch, and for it the first bend and side, that `_leaves`; the last of all where none does."""
    for stretch in stretches:
        for n in range(len(bends)):
            if _leaves(turn, shift, scale, focal, axis, size, box, bends[n], sides[n], stretch):
                return bends[n], sides[n], stretch
    return bends[-1], sides[-1], stretches[-1]
