"""The bones of a hand in millimetres: how long, how wide, how they turn.

Frame of the hand: wrist at the origin, x towards the little finger, y towards the fingers, z out of the back. This is
a right hand; the left one is its mirror in x. Frame k belongs to the bone that ends in joint k and starts at that
bone's inner joint, y along the bone, z to its back; frame 0 is the forearm's, which runs along its own -y.

Sources: bone lengths, their spread and the soft tip are the means over adult hands of Buryanov & Kotiuk, "Proportions
of hand segments", Int. J. Morphol. 28(3), 2010; sizes of men and women and the widths of fingers, palm and wrist are
rounded from Garrett, "The adult human hand: some anthropometric and biomechanical considerations", Human Factors 13,
1971, and Greiner, "Hand anthropometry of U.S. Army personnel", Natick TR-92/011, 1991. The limits of joints are the
usual clinical ranges of motion.
"""

import math
from typing import NamedTuple

import numba
import numpy as np

PARENTS = np.array([-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19])

# One angle per line: name, lowest, highest, in degrees. Abduction is positive towards the thumb; flexion towards the
# palm; `thumb_out` turns the thumb away from the index finger in the palm's plane, `thumb_front` out of that plane,
# `thumb_roll` about its own bone (0 would have its nail face like the other nails, 90 outwards: opposition).
_FINGER_RANGE = {"index": (-12, 24), "middle": (-14, 14), "ring": (-20, 10), "little": (-32, 10)}
LIMITS_DEGREES = {
    "thumb_out": (-8, 62), "thumb_front": (-2, 62), "thumb_roll": (35, 130), "thumb_mcp": (-8, 58),
    "thumb_ip": (-18, 82),
    **{f"{finger}_{joint}": limits for finger, side in _FINGER_RANGE.items() for joint, limits in (
        ("flexion", (-22, 92)), ("abduction", side), ("pip", (-4, 110)), ("dip", (-8, 80)))},
    "wrist_flexion": (-58, 62), "wrist_deviation": (-24, 20)}
ANGLES = tuple(LIMITS_DEGREES)
LIMITS = np.radians(np.array(list(LIMITS_DEGREES.values()), np.float64))  # [23, 2]
DIP_PER_PIP = 2 / 3  # the two are pulled by one tendon
DIP_FREEDOM = math.radians(24)  # how far DIP may lie from its share of PIP
SPREAD_LEFT_AT_90 = 0.25  # share of the abduction range that is left when the MCP is bent by 90 degrees

_FAN = np.radians([0.0, 4.0, 0.5, -3.5, -9.0])  # where the fingers point at zero abduction
_CUP = np.radians([0.0, 0.0, 0.0, 5.0, 11.0])  # how far a metacarpal follows its bent finger
_BASES = np.array([(-20, 24, -9), (-25.5, 88, 2), (-4.5, 90, 5), (15, 83.5, 3), (32, 75, -3)], np.float64)
_PHALANGES = np.array([(46.2, 31.6, 21.7), (39.8, 22.4, 15.8), (44.6, 26.3, 17.4), (41.4, 25.7, 17.3),
                       (32.7, 18.1, 16.0)])
_SPREADS = np.array([(3.5, 3.0, 2.0), (4.0, 2.5, 1.8), (4.5, 3.0, 1.9), (4.0, 3.2, 1.9), (3.5, 2.6, 1.8)])
_HALF_WIDTHS = np.array([(14.0, 11.2, 10.0, 7.6), (10.6, 9.2, 7.9, 6.2), (10.8, 9.4, 8.1, 6.4),
                         (10.3, 8.8, 7.6, 6.1), (9.3, 7.8, 6.7, 5.4)])  # CMC or MCP, then outwards
_WRIST_HALF_WIDTH = 28.0
_MEN, _WOMEN, _SIZE_SPREAD = 1.045, 0.955, 0.045  # relative to the mean over both


class Shape(NamedTuple):
    """One person's hand.

    Attributes:
        bases: float64 [5, 3] mm, the thumb's CMC and the fingers' MCP joints in the hand's frame, unbent.
        lengths: float64 [21] mm, of the bone that ends in joint k; 0 for the wrist.
        half_widths: float64 [21] mm at each joint.
        depth: thickness over width, relative to the mean.
    """

    bases: np.ndarray
    lengths: np.ndarray
    half_widths: np.ndarray
    depth: float


class Pose(NamedTuple):
    """Joint angles: float64 [23], radians, in the order of ANGLES."""

    angles: np.ndarray


def mean_shape() -> Shape:
    """The mean adult hand.

    >>> shape = mean_shape()
    >>> round(float(shape.lengths[9:13].sum()))              # wrist to the end of the middle finger's bones, mm
    179
    """
    return _shape(_BASES, _PHALANGES, np.append(_WRIST_HALF_WIDTH, _HALF_WIDTHS), 1.0)


def _shape(bases, phalanges, half_widths, depth) -> Shape:
    outward = np.hstack([np.linalg.norm(bases, axis=1, keepdims=True), phalanges])
    return Shape(np.array(bases), np.append(0.0, outward), half_widths, depth)


def sample_shape(rng: np.random.Generator) -> Shape:
    """A person: man or woman alike, a size, a plumpness, and every bone on its own."""
    size = (_MEN if rng.random() < 0.5 else _WOMEN) * math.exp(rng.normal(0, _SIZE_SPREAD))
    # Half of the published spread of a bone is the person's size; the other half is the bone's own.
    phalanges = _PHALANGES + 0.6 * _SPREADS * np.clip(rng.normal(size=(5, 3)), -2.2, 2.2)
    palm = np.exp(rng.normal(0, (0.045, 0.03, 0.06)))
    bases = _BASES * palm + np.clip(rng.normal(0, 1.2, (5, 3)), -2.5, 2.5)
    plump = math.exp(rng.normal(0, 0.065))
    widths = np.append(_WRIST_HALF_WIDTH, _HALF_WIDTHS) * plump * np.exp(np.clip(rng.normal(0, 0.03, 21), -0.07, 0.07))
    return _shape(bases * size, phalanges * size, widths * size, math.exp(np.clip(rng.normal(0, 0.05), -0.1, 0.1)))


def clip_pose(angles: np.ndarray) -> np.ndarray:
    """The nearest angles within the limits and couplings: DIP follows PIP, spread shrinks with flexion.

    Args:
        angles: float [23], radians, order of ANGLES.

    Returns:
        float64 [23].
    """
    clipped = np.array(angles, np.float64)
    clip_kernel(clipped, LIMITS)
    return clipped


@numba.njit(cache=True, nogil=True)
def clip_kernel(angles, limits):
    """`clip_pose`, in place."""
    for number in range(23):
        angles[number] = min(max(angles[number], limits[number, 0]), limits[number, 1])
    for finger in range(4):
        at = 5 + 4 * finger
        left = 1 - (1 - SPREAD_LEFT_AT_90) * min(max(angles[at] / (math.pi / 2), 0.0), 1.0)
        angles[at + 1] = min(max(angles[at + 1], limits[at + 1, 0] * left), limits[at + 1, 1] * left)
        follow = DIP_PER_PIP * angles[at + 2]
        low = max(limits[at + 3, 0], follow - DIP_FREEDOM)
        angles[at + 3] = min(max(angles[at + 3], low), min(limits[at + 3, 1], follow + DIP_FREEDOM))


def rotations(quaternions: np.ndarray) -> np.ndarray:
    """Unit quaternions w, x, y, z [..., 4] to rotations [..., 3, 3].

    >>> rotations(np.array([0.0, 0.0, 0.0, 1.0])).tolist()              # half a turn about z
    [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    w, x, y, z = np.moveaxis(quaternions, -1, 0)
    rows = [[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def forward(shape: Shape, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Where the joints are.

    Returns:
        joints: float64 [21, 3] mm in the hand's frame, the wrist at the origin.
        frames: float64 [21, 3, 4], rotation and origin of each bone.

    >>> joints, frames = forward(mean_shape(), Pose(np.zeros(23)))
    >>> bool(np.allclose(frames[8, :, :3] @ (0, mean_shape().lengths[8], 0) + frames[8, :, 3], joints[8]))
    True
    """
    joints, frames = np.zeros((21, 3)), np.zeros((21, 3, 4))
    forward_kernel(np.asarray(pose.angles, np.float64), shape.bases, shape.lengths, joints, frames)
    return joints, frames


@numba.njit(cache=True, nogil=True)
def _straighten(rotation):
    """No turn at all, in place."""
    for row in range(3):
        for column in range(3):
            rotation[row, column] = 1.0 if row == column else 0.0


@numba.njit(cache=True, nogil=True)
def _turn(rotation, axis, angle):
    """Multiply a [3, 3] rotation from the right by a turn about its own axis, in place."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    c, s = math.cos(angle), math.sin(angle)
    for row in range(3):
        a, b = rotation[row, i], rotation[row, j]
        rotation[row, i] = c * a + s * b
        rotation[row, j] = c * b - s * a


@numba.njit(cache=True, nogil=True)
def _extend(joints, frames, rotation, number, length):
    """Set bone `number`: its frame at the inner joint, its outer joint `length` further along y."""
    inner = number - 1
    for row in range(3):
        for column in range(3):
            frames[number, row, column] = rotation[row, column]
        frames[number, row, 3] = joints[inner, row]
        joints[number, row] = joints[inner, row] + rotation[row, 1] * length


@numba.njit(cache=True, nogil=True)
def _base(joints, frames, number, base, cup):
    """Set a bone that starts at the wrist: along `base`, lowered by `cup` towards the palm."""
    c, s = math.cos(-cup), math.sin(-cup)
    x, y, z = base[0], c * base[1] - s * base[2], s * base[1] + c * base[2]
    joints[number, 0], joints[number, 1], joints[number, 2] = x, y, z
    length, flat = math.sqrt(x * x + y * y + z * z), math.sqrt(x * x + y * y)
    frames[number, 0, 0], frames[number, 1, 0], frames[number, 2, 0] = y / flat, -x / flat, 0.0
    frames[number, 0, 1], frames[number, 1, 1], frames[number, 2, 1] = x / length, y / length, z / length
    frames[number, 0, 2] = -x * z / (flat * length)
    frames[number, 1, 2] = -y * z / (flat * length)
    frames[number, 2, 2] = flat / length


@numba.njit(cache=True, nogil=True)
def forward_kernel(angles, bases, lengths, joints, frames):
    """`forward` into given arrays; frames must be zero at first."""
    rotation = np.empty((3, 3))
    _straighten(rotation)
    _turn(rotation, 2, angles[22])
    _turn(rotation, 0, angles[21])
    frames[0, :, :3] = rotation
    joints[0, :] = 0.0
    for finger in range(5):
        finger_kernel(finger, angles, bases, lengths, joints, frames, rotation)


@numba.njit(cache=True, nogil=True)
def finger_kernel(finger, angles, bases, lengths, joints, frames, rotation):
    """The rows of one finger (0 is the thumb) of `forward_kernel`; rotation is room [3, 3] to work in."""
    at = number = 1 + 4 * finger
    _straighten(rotation)
    if finger == 0:
        _base(joints, frames, 1, bases[0], 0.0)
        _turn(rotation, 2, angles[0])
        _turn(rotation, 0, -angles[1])
        _turn(rotation, 1, -angles[2])
        _extend(joints, frames, rotation, 2, lengths[2])
        _turn(rotation, 0, -angles[3])
        _extend(joints, frames, rotation, 3, lengths[3])
        _turn(rotation, 0, -angles[4])
        _extend(joints, frames, rotation, 4, lengths[4])
        return
    cup = _CUP[finger] * min(max(angles[at] / (math.pi / 2), 0.0), 1.0)
    _base(joints, frames, number, bases[finger], cup)
    _turn(rotation, 0, -cup)
    _turn(rotation, 2, _FAN[finger] + angles[at + 1])
    _turn(rotation, 0, -angles[at])
    _extend(joints, frames, rotation, number + 1, lengths[number + 1])
    _turn(rotation, 0, -angles[at + 2])
    _extend(joints, frames, rotation, number + 2, lengths[number + 2])
    _turn(rotation, 0, -angles[at + 3])
    _extend(joints, frames, rotation, number + 3, lengths[number + 3])
