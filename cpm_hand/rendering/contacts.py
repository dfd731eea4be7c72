"""Fingers that touch, hold and do not pass through each other: overlaps of rods, and a small search over the angles."""

import math
from typing import NamedTuple

import numba
import numpy as np

from cpm_hand.rendering.kinematics import DIP_PER_PIP, LIMITS, PARENTS, Pose, Shape, clip_kernel, forward_kernel

MAX_OVERLAP_MM = 3.0  # how deep the rods of two fingers, or of a finger and the palm, may lie in each other
_AIM_MM = 1.5  # what the search aims at
_ROD, _PALM_ROD_MM = 0.92, 8.0  # radius of a finger's rod over its half-width; of the palm's rods
_FROM = 0.3  # the webs hide the inner part of the first bone: its rod starts here
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
    """
    pairs = np.array(contacts, np.int64).reshape(-1, 2)
    thing = _NO_THING if held is None else np.array([1.0, *held.ends.ravel(), held.radius])
    angles = np.array(pose.angles, np.float64)
    _settle(angles, shape.bases, shape.lengths, shape.half_widths, LIMITS, pairs, thing)
    return Pose(angles)


def overlap(shape: Shape, pose: Pose) -> float:
    """The deepest overlap of different fingers, or of a finger's outer bones and the palm, in mm; 0 if none."""
    joints, frames = np.zeros((21, 3)), np.zeros((21, 3, 4))
    forward_kernel(np.asarray(pose.angles, np.float64), shape.bases, shape.lengths, joints, frames)
    return float(_overlaps(joints, shape.half_widths)[0])


@numba.njit(cache=True, nogil=True)
def _segments(p, q, r, s):
    """Nearest points of the segments p-q and r-s: their squared distance and places 0-1 on both."""
    a = e = f = b = c = 0.0
    for k in range(3):
        u, v, w = q[k] - p[k], s[k] - r[k], p[k] - r[k]
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
        d = p[k] + t * (q[k] - p[k]) - r[k] - w * (s[k] - r[k])
        square += d * d
    return square, t, w


@numba.njit(cache=True, nogil=True)
def _overlaps(joints, widths):
    """Deepest overlap in mm, and the sum of squares beyond the aim."""
    starts, worst, total = joints.copy(), 0.0, 0.0
    for finger in range(1, 5):
        base = 1 + 4 * finger
        for k in range(3):  # outer part of the first bone
            starts[base + 1, k] = joints[base, k] + _FROM * (joints[base + 1, k] - joints[base, k])
            starts[base + 2, k], starts[base + 3, k] = joints[base + 1, k], joints[base + 2, k]
    for bone in range(3, 5):
        starts[bone] = joints[bone - 1]
    for k in range(3):
        starts[2, k] = joints[1, k] + 0.5 * (joints[2, k] - joints[1, k])
    low = np.empty((2, 3))
    for one in range(2, 21):
        if one % 4 == 1:
            continue
        for two in range(one + 1, 21):
            if two % 4 == 1 or (one - 1) // 4 == (two - 1) // 4:
                continue
            square, t, w = _segments(starts[one], joints[one], starts[two], joints[two])
            depth = _ROD * (widths[one - 1] + t * (widths[one] - widths[one - 1])
                            + widths[two - 1] + w * (widths[two] - widths[two - 1])) - math.sqrt(square)
            worst = max(worst, depth)
            total += max(depth - _AIM_MM, 0.0) ** 2
        if one in (2, 3) or one % 4 == 2:
            continue
        for base in (5, 9, 13, 17):
            for k in range(3):
                low[0, k], low[1, k] = 0.3 * joints[base, k], joints[base, k]
            low[0, 2] -= 2.0
            low[1, 2] -= 2.0
            square, t, _ = _segments(starts[one], joints[one], low[0], low[1])
            depth = (_ROD * (widths[one - 1] + t * (widths[one] - widths[one - 1]))
                     + _PALM_ROD_MM * widths[9] / 10.8 - math.sqrt(square))
            if one % 4 == 3 and t < 1e-6:
                continue  # the finger's own knuckle
            worst = max(worst, depth)
            total += max(depth - _AIM_MM, 0.0) ** 2
    return worst, total


@numba.njit(cache=True, nogil=True)
def _wishes(joints, widths, pairs, thing):
    """Cost of missed contacts and of a thing that fingers cut or do not reach."""
    total = 0.0
    for n in range(len(pairs)):
        i, j = pairs[n]
        square = 0.0
        for k in range(3):
            square += (joints[i, k] - joints[j, k]) ** 2
        total += 0.6 * (math.sqrt(square) - 0.92 * (widths[i] + widths[j])) ** 2
    if thing[0] > 0:
        for bone in range(2, 21):
            if bone % 4 == 1:
                continue
            inner = joints[PARENTS[bone]]
            square, t, _ = _segments(inner, joints[bone], thing[1:4], thing[4:7])
            gap = math.sqrt(square) - thing[7] - 0.95 * (widths[bone - 1] + t * (widths[bone] - widths[bone - 1]))
            total += 2.0 * gap * gap if gap < 0 else (0.12 if bone > 2 else 0.0) * min(gap, 25.0) ** 2
    return total


@numba.njit(cache=True, nogil=True)
def _cost(angles, start, bases, lengths, widths, pairs, thing, joints, frames):
    frames[:] = 0.0
    forward_kernel(angles, bases, lengths, joints, frames)
    _, total = _overlaps(joints, widths)
    stray = 0.0
    for k in range(21):
        stray += (angles[k] - start[k]) ** 2
    return 4.0 * total + _wishes(joints, widths, pairs, thing) + 14.0 * stray


@numba.njit(cache=True, nogil=True)
def _settle(angles, bases, lengths, widths, limits, pairs, thing):
    """Search one angle at a time, with steps that shrink; in place."""
    joints, frames = np.zeros((21, 3)), np.zeros((21, 3, 4))
    start, trial = angles.copy(), angles.copy()
    best = _cost(angles, start, bases, lengths, widths, pairs, thing, joints, frames)
    step = 0.16
    for _ in range(16):
        if best < 1e-6 or step < 0.012:
            break
        before = best
        for k in range(21):
            for sign in (1.0, -1.0):
                trial[:] = angles
                trial[k] += sign * step
                if k >= 5 and (k - 5) % 4 == 2:
                    trial[k + 1] += sign * step * DIP_PER_PIP
                clip_kernel(trial, limits)
                cost = _cost(trial, start, bases, lengths, widths, pairs, thing, joints, frames)
                if cost < best:
                    best = cost
                    angles[:] = trial
                    break
        if best > 0.93 * before:
            step *= 0.5
