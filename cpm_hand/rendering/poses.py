"""Which poses hands take: natural classes, each with its own chance."""

import math
from typing import NamedTuple

import numpy as np

from cpm_hand.rendering.contacts import MAX_OVERLAP_MM, Held, overlap, settle
from cpm_hand.rendering.kinematics import ANGLES, DIP_PER_PIP, LIMITS, Pose, Shape, clip_pose

WEIGHTS = {"relaxed": 0.15, "flat": 0.13, "fist": 0.08, "point": 0.09, "pinch": 0.12, "grip": 0.16, "counting": 0.09,
           "sign": 0.09, "thumbs_up": 0.04, "anything": 0.05}


class Sample(NamedTuple):
    """A pose with the name of its class, and what the hand holds, if anything."""

    name: str
    pose: Pose
    held: Held | None


class _Draft:
    """Angles in degrees by name while a class is being written, and the contacts it wants."""

    def __init__(self, rng):
        self.rng, self.angles, self.contacts, self.held = rng, np.zeros(23), [], None
        self.looseness = rng.random()

    def near(self, value, spread):
        return value + spread * min(max(self.rng.normal(), -2.0), 2.0)

    def set(self, **degrees):
        for name, value in degrees.items():
            self.angles[ANGLES.index(name)] = math.radians(value)

    def finger(self, number, flexion, pip, spread=0.0, noise=6.0):
        """Finger 1-4 bent at its MCP and PIP, degrees; DIP follows; spread 0-1."""
        at = 1 + 4 * number
        side = (0.0, 14.0, 1.0, -9.0, -19.0)[number] * spread + self.rng.normal(0, 1.5)
        pip = self.near(pip, noise)
        dip = max(DIP_PER_PIP * pip + self.rng.normal(0, 6), -4)
        self.angles[at:at + 4] = np.radians([self.near(flexion, noise), side, pip, dip])

    def curl(self, number):
        """A finger rolled in: mostly tight, its tip on the palm, sometimes loose."""
        tight = self.looseness < 0.75
        self.finger(number, *((85, 106) if tight else (74, 96)), noise=4)
        if tight:
            self.angles[4 + 4 * number] += math.radians(8)

    def straight(self, number, spread=0.3, lean=0.0):
        self.finger(number, lean + self.near(4, 6), abs(self.near(4, 4)), spread, 3)

    def thumb(self, out, front, roll, mcp, ip, noise=5.0):
        values = [self.near(value, noise) for value in (out, front, roll, mcp, ip)]
        self.angles[:5] = np.radians(values)

    def thumb_over(self, target=None):
        """Thumb across curled fingers, or along the index finger."""
        target = self.rng.choice([6, 7, 10, 11, 10]) if target is None else target
        if target in (6, 7):
            self.thumb(18, 24, 70, 12, 14)
        else:
            self.thumb(4, 41, 88, 14, 24)
        self.contacts.append((4, int(target)))

    def thumb_out(self):
        self.thumb(self.near(46, 9), self.near(12, 8), 62, 2, self.near(-2, 8))


def _relaxed(draft):
    bend, spread = draft.rng.uniform(0.3, 1.25), draft.rng.uniform(0.1, 0.6)
    for number, share in enumerate((0.8, 0.95, 1.05, 1.1), 1):
        draft.finger(number, 26 * bend * share, 36 * bend * share, spread)
    draft.thumb(30, 26, 70, 12, 16, 8)


def _flat(draft):
    spread, lean = draft.rng.uniform(-0.05, 1.1), draft.near(0, 5)
    for number in range(1, 5):
        draft.straight(number, spread, lean)
    if draft.rng.random() < 0.7:
        draft.thumb(draft.rng.uniform(20, 56), draft.near(12, 9), 64, 2, draft.near(0, 9))
    else:
        draft.thumb(10, 10, 66, 12, 12)


def _fist(draft):
    for number in range(1, 5):
        draft.curl(number)
    draft.thumb_over()


def _point(draft):
    _fist(draft)
    draft.straight(1, 0.2)
    draft.contacts.clear()
    if draft.rng.random() < 0.3:
        draft.thumb_out()
    else:
        draft.thumb_over(draft.rng.choice([10, 11]))


def _pinch(draft):
    chosen = int(draft.rng.choice([1, 2, 3, 4], p=(0.68, 0.18, 0.08, 0.06)))
    loose = draft.rng.uniform(0, 1)
    for number in range(1, 5):
        draft.finger(number, 22 + 30 * loose - 4 * number, 12 + 55 * loose, 0.5 * (1 - loose))
    draft.finger(chosen, 52, 46)
    draft.thumb(22 - 7 * chosen, 46, 98 + 4 * chosen, 16, 24)
    draft.contacts.append((4, 4 + 4 * chosen))
    if draft.rng.random() < 0.3:  # three tips meet
        other = chosen + 1 if chosen < 4 else 3
        draft.finger(other, 52, 50)
        draft.contacts.append((4, 4 + 4 * other))


def _grip(draft):
    ball = draft.rng.random() < 0.35
    tips = draft.rng.random() < 0.35  # held by the tips instead of in the palm
    radius = draft.rng.uniform(20, 42) if ball else draft.rng.uniform(6, 38)
    tilt = math.radians(draft.rng.uniform(-20, 40))
    centre = np.array([draft.near(0, 4), 112.0 if tips else draft.near(72, 5), -(15.0 if tips else 13.5) - radius])
    centre[2] -= draft.rng.uniform(6, 26) if tips else 0.0
    half = 0.0 if ball else draft.rng.uniform(50, 90)
    axis = np.array([math.cos(tilt), math.sin(tilt), 0.0])
    draft.held = Held(np.stack([centre - half * axis, centre + half * axis]), radius)
    bend = np.interp(radius, (6, 42), (1.0, 0.45))
    for number in range(1, 5):
        draft.finger(number, 62 * bend, 92 * bend, 0.5 if ball else 0.15)
    draft.thumb(32, 50, 100, 12, 18)


def _counting(draft):
    shown = draft.rng.choice(5)
    straight = ((1,), (1, 2), ((1, 2, 3), (2, 3, 4))[draft.rng.integers(2)], (1, 2, 3, 4), (1, 2, 3, 4))[shown]
    thumb = shown == 4 or (shown in (0, 1) and draft.rng.random() < 0.3)
    for number in range(1, 5):
        if number in straight:
            draft.straight(number, draft.rng.uniform(0.2, 1))
        else:
            draft.curl(number)
    if thumb:
        draft.thumb_out()
    else:
        bent = [number for number in (3, 4, 2) if number not in straight]
        if bent:
            draft.thumb_over(3 + 4 * bent[0])
        else:
            draft.thumb(0, 44, 100, 30, 35)


def _sign(draft):
    kinds = draft.rng.choice(5, 4, p=(0.34, 0.13, 0.1, 0.33, 0.1))
    if draft.rng.random() < 0.4:  # well-known ones: horns, call, L, hooked index, claw, flat fingers bent
        kinds = ((0, 3, 3, 0), (3, 3, 3, 0), (0, 3, 3, 3), (2, 3, 3, 3), (2, 2, 2, 2), (1, 1, 1, 1), (0, 0, 3, 3),
                 (4, 4, 4, 4))[draft.rng.integers(8)]
    for number, kind in enumerate(kinds, 1):
        if kind == 3:
            draft.curl(number)
        else:
            draft.finger(number, *((3, 4), (75, 6), (4, 82), (0, 0), (38, 55))[kind], draft.rng.uniform(0, 0.8))
    if draft.rng.random() < 0.45:
        draft.thumb_out()
    elif kinds[1] == 3:
        draft.thumb_over(10)
    else:
        draft.thumb(18, 36, 85, 16, 20, 10)


def _thumbs_up(draft):
    for number in range(1, 5):
        draft.curl(number)
    draft.thumb(draft.near(46, 6), 6, 60, -2, draft.near(-6, 7))


def _anything(draft):
    draft.angles = draft.rng.uniform(LIMITS[:, 0], LIMITS[:, 1])
    for number in range(1, 5):
        at = 1 + 4 * number
        draft.angles[at + 3] = DIP_PER_PIP * draft.angles[at + 2] + draft.rng.normal(0, 0.15)


_CLASSES = {"relaxed": _relaxed, "flat": _flat, "fist": _fist, "point": _point, "pinch": _pinch, "grip": _grip,
            "counting": _counting, "sign": _sign, "thumbs_up": _thumbs_up, "anything": _anything}


def class_shares(weights: dict[str, float]) -> np.ndarray:
    """Shares of pose classes from their weights: float64 [N], sums to 1.

    Raises:
        ValueError: a class that does not exist, or weights that are negative or all 0.
    """
    shares = np.array(list(weights.values()), np.float64)
    unknown = sorted(set(weights) - set(_CLASSES))
    if unknown or not (np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
        raise ValueError(f"pose weights need classes of {sorted(_CLASSES)} with shares >= 0 and one above 0, "
                         f"got {weights}.")
    return shares / shares.sum()


def sample_pose(rng: np.random.Generator, shape: Shape, weights: dict[str, float] | None = None) -> Sample:
    """A pose of a random class, within the limits and without fingers in each other.

    Args:
        rng: where all chance comes from.
        shape: whose hand; contacts and overlaps depend on its widths.
        weights: class name to relative share; WEIGHTS by default.

    Raises:
        ValueError: a class that does not exist, or weights that are negative or all 0.
    """
    weights = WEIGHTS if weights is None else weights
    name = str(rng.choice(list(weights), p=class_shares(weights)))
    draft = _Draft(rng)
    for _ in range(4):
        draft.angles, draft.contacts, draft.held = np.zeros(23), [], None
        _CLASSES[name](draft)
        draft.set(wrist_flexion=draft.near(-4, 18), wrist_deviation=draft.near(-2, 8))
        pose = settle(shape, Pose(clip_pose(draft.angles)), draft.contacts, draft.held)
        if overlap(shape, pose) <= MAX_OVERLAP_MM:
            return Sample(name, pose, draft.held)
    draft.angles, draft.held = np.zeros(23), None  # an open hand never overlaps
    for number in range(1, 5):
        draft.angles[2 + 4 * number] = math.radians((0, 10, 1, -7, -16)[number])
    draft.set(thumb_out=42, thumb_front=20, thumb_roll=66)
    return Sample("flat", Pose(clip_pose(draft.angles)), None)
