"""Fingers that touch, hold and do not pass through each other: overlaps of rods, and a small search over the angles."""

import math
from typing import NamedTuple

import numba
import numpy as np

from cpm_hand.rendering.kinematics import (
    DIP_PER_PIP,
    LIMITS,
    Pose,
    Shape,
    clip_kernel,
    finger_kernel,
    forward,
    forward_kernel,
)

MAX_OVERLAP_MM = 3.0  # how deep the rods of two fingers, or of a finger and the palm, may lie in each other
_AIM_MM = 1.5  # what the search aims at
_ROD, _PALM_ROD_MM = 0.92, 8.0  # radius of a finger's rod over its half-width; of the palm's rods
_FROM = 0.3  # where the rod of a finger's first bone starts
_NO_THING = np.zeros(8)


class Held(NamedTuple):
    """A thing in the hand: a rod with round ends, a ball where both ends are the same point.

    Attributes:
        ends: float64 [2, 3] mm, in the frame of the hand (or of the camera, in a `HandLayer`).
        radius: mm.
    """

    ends: np.ndarray
    radius: float


def settle(shape: Shape, pose: Pose, contacts=(), held: Held | None = None) -> Pose:
    """Move angles a little until fingers leave each other, touch where they should, and lie on what they hold.

    Args:
        shape: whose hand.
        pose: where to start; the result stays near it.
        contacts: pairs of joints whose skins should touch.
        held: what the fingers close around.

    Raises:
        ValueError: a contact of a joint that does not exist.
    """
    pairs = np.array(contacts, np.int64).reshape(-1, 2)
    if ((pairs < 0) | (pairs > 20)).any():  # compiled code would read whatever lies there
        raise ValueError(f"contacts are pairs of joints 0 to 20, got {list(contacts)}.")
    thing = _NO_THING if held is None else np.array([1.0, *held.ends.ravel(), held.radius])
    angles = np.array(pose.angles, np.float64)
    _settle(angles, shape.bases, shape.lengths, shape.half_widths, LIMITS, pairs, thing)
    return Pose(angles)


def overlap(shape: Shape, pose: Pose) -> float:
    """The deepest overlap of different fingers, or of a finger's outer bones and the palm, in mm; 0 if none."""
    joints, _ = forward(shape, pose)
    return float(_overlaps(joints, shape.half_widths, np.empty((26, 12)))[0])


@numba.njit(cache=True, nogil=True)
def _lay(rods, row, joints, inner, outer, share, drop, radius, end_radius):
    """Rod `row` from `share` of the way between two joints to the outer one, `drop` mm towards the palm.

    Columns: start, end, middle (3 each), half the length, radius at the start and at the end.
    """
    square = 0.0
    for k in range(3):
        rods[row, k] = joints[inner, k] + share * (joints[outer, k] - joints[inner, k]) - (drop if k == 2 else 0.0)
        rods[row, 3 + k] = joints[outer, k] - (drop if k == 2 else 0.0)
        rods[row, 6 + k] = 0.5 * (rods[row, k] + rods[row, 3 + k])
        square += (rods[row, 3 + k] - rods[row, k]) ** 2
    rods[row, 9], rods[row, 10], rods[row, 11] = 0.5 * math.sqrt(square), radius, end_radius


@numba.njit(cache=True, nogil=True)
def _overlap(rods, i, j):
    """How deep two rods lie in each other, mm, and where along the first, 0-1; (0, 0) if they are clearly apart."""
    square, reach = 0.0, rods[i, 9] + rods[j, 9] + max(rods[i, 10], rods[i, 11]) + max(rods[j, 10], rods[j, 11])
    for k in range(6, 9):
        square += (rods[i, k] - rods[j, k]) ** 2
    if square > reach * reach:  # most pairs: their enclosing balls do not meet
        return 0.0, 0.0
    square, t, w = _nearest(rods, i, j)
    return (rods[i, 10] + t * (rods[i, 11] - rods[i, 10]) + rods[j, 10] + w * (rods[j, 11] - rods[j, 10])
            - math.sqrt(square)), t


@numba.njit(cache=True, nogil=True)
def _nearest(rods, i, j):
    """Nearest points of the middle lines of two rods: their squared distance and places 0-1 on both."""
    a = e = f = b = c = 0.0
    for k in range(3):
        u, v, w = rods[i, 3 + k] - rods[i, k], rods[j, 3 + k] - rods[j, k], rods[i, k] - rods[j, k]
        a += u * u
        e += v * v
        f += v * w
        b += u * v
        c += u * w
    denominator = a * e - b * b
    t = min(max((b * f - c * e) / denominator, 0.0), 1.0) if denominator > 1e-9 else 0.0
    w = (b * t + f) / max(e, 1e-9)
    if w < 0.0:
        w, t = 0.0, min(max(-c / max(a, 1e-9), 0.0), 1.0)
    elif w > 1.0:
        w, t = 1.0, min(max((b - c) / max(a, 1e-9), 0.0), 1.0)
    square = 0.0
    for k in range(3):
        d = (rods[i, k] + t * (rods[i, 3 + k] - rods[i, k]) - rods[j, k] - w * (rods[j, 3 + k] - rods[j, k]))
        square += d * d
    return square, t, w


@numba.njit(cache=True, nogil=True)
def _overlaps(joints, widths, rods):
    """Deepest overlap in mm, and the sum of squares beyond the aim; rods is room [26, 12] to work in."""
    worst, total = 0.0, 0.0
    for bone in range(2, 21):
        if bone % 4 != 1:  # the webs hide the inner part of the first bone
            share = 0.5 if bone == 2 else _FROM if bone % 4 == 2 else 0.0
            _lay(rods, bone, joints, bone - 1, bone, share, 0.0, _ROD * widths[bone - 1], _ROD * widths[bone])
    palm = _PALM_ROD_MM * widths[9] / 10.8
    for finger in range(1, 5):
        _lay(rods, 20 + finger, joints, 0, 1 + 4 * finger, 0.3, 2.0, palm, palm)
    for one in range(2, 21):
        if one % 4 == 1:
            continue
        for two in range(4 * ((one - 1) // 4) + 6, 21):  # the bones of later fingers
            if two % 4 != 1:
                depth, _ = _overlap(rods, one, two)
                worst = max(worst, depth)
                total += max(depth - _AIM_MM, 0.0) ** 2
        if one == 3 or one % 4 == 2:
            continue
        for two in range(21, 25):
            depth, t = _overlap(rods, one, two)
            if one % 4 == 3 and t < 1e-6:
                continue  # the finger's own knuckle
            worst = max(worst, depth)
            total += max(depth - _AIM_MM, 0.0) ** 2
    return worst, total


@numba.njit(cache=True, nogil=True)
def _wishes(joints, widths, pairs, thing, rods):
    """Cost of missed contacts and of a thing that fingers cut or do not reach."""
    total = 0.0
    for n in range(len(pairs)):
        i, j = pairs[n]
        square = 0.0
        for k in range(3):
            square += (joints[i, k] - joints[j, k]) ** 2
        total += 0.6 * (math.sqrt(square) - 0.92 * (widths[i] + widths[j])) ** 2
    if thing[0] > 0:
        for k in range(6):
            rods[25, k] = thing[1 + k]
        for bone in range(2, 21):
            if bone % 4 == 1:
                continue
            _lay(rods, bone, joints, bone - 1, bone, 0.0, 0.0, 0.95 * widths[bone - 1], 0.95 * widths[bone])
            square, t, _ = _nearest(rods, bone, 25)
            gap = math.sqrt(square) - thing[7] - rods[bone, 10] - t * (rods[bone, 11] - rods[bone, 10])
            total += 2.0 * gap * gap if gap < 0 else (0.12 if bone > 2 else 0.0) * min(gap, 25.0) ** 2
    return total


@numba.njit(cache=True, nogil=True)
def _cost(angles, start, joints, widths, pairs, thing, rods):
    _, total = _overlaps(joints, widths, rods)
    stray = 0.0
    for k in range(21):
        stray += (angles[k] - start[k]) ** 2
    return 4.0 * total + _wishes(joints, widths, pairs, thing, rods) + 14.0 * stray


@numba.njit(cache=True, nogil=True)
def _settle(angles, bases, lengths, widths, limits, pairs, thing):
    """Search one angle at a time, with steps that shrink; in place. An angle moves the joints of its finger alone."""
    joints, frames, rotation, rods = np.zeros((21, 3)), np.zeros((21, 3, 4)), np.empty((3, 3)), np.empty((26, 12))
    start, trial = angles.copy(), angles.copy()
    forward_kernel(angles, bases, lengths, joints, frames)
    best = _cost(angles, start, joints, widths, pairs, thing, rods)
    step = 0.16
    for _ in range(16):
        if best < 1e-6 or step < 0.012:
            break
        before = best
        for k in range(21):
            finger = 0 if k < 5 else (k - 1) // 4
            for sign in (1.0, -1.0):
                trial[k] += sign * step
                if k >= 5 and (k - 5) % 4 == 2:
                    trial[k + 1] += sign * step * DIP_PER_PIP
                clip_kernel(trial, limits)
                finger_kernel(finger, trial, bases, lengths, joints, frames, rotation)
                cost = _cost(trial, start, joints, widths, pairs, thing, rods)
                if cost < best:
                    best = cost
                    angles[:] = trial
                    break
                trial[:] = angles
            finger_kernel(finger, angles, bases, lengths, joints, frames, rotation)
        if best > 0.93 * before:
            step *= 0.5
