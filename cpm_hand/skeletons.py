"""From a list of joint names to a skeleton: a hand's in whatever order and spelling, or any other.

Spellings are those of COCO-WholeBody, mmpose, FreiHAND, InterHand, MediaPipe and `hand.HAND`: the finger, then its
joint by number from the base (1-4) or by name (cmc, mcp, pip, dip, ip, tip), with or without "left" or "right".
"""

import re

import numpy as np

from cpm_hand.hand import HAND, Skeleton

_JOINT = re.compile(r"(?:left|right|l|r)?(?:hand)?(thumb|index|fore|pointer|middle|ring|little|pinky|pinkie)"
                    r"(?:finger)?(?:([1-4])?(cmc|mcp|pip|dip|ip|fingertip|tip|knuckles?)|([1-4]))")
_WRIST = re.compile(r"(?:left|right|l|r)?(?:hand)?(?:wrist|root)")
_FINGERS = {"fore": "index", "pointer": "index", "pinky": "little", "pinkie": "little"}
_SEGMENTS = {"fingertip": "tip", "knuckle": "mcp", "knuckles": "mcp"}
_SIDE = re.compile(r"(?<![a-z])(left|right)(?=[^a-z]|hand|$)")


def joint_of(name: str) -> int | None:
    """The joint of `hand.HAND` that a name stands for, None if it is none of a hand's.

    >>> [joint_of(name) for name in ("WRIST", "INDEX_FINGER_TIP", "left_forefinger4", "pinky_finger1", "nose")]
    [0, 8, 8, 17, None]
    """
    name = re.sub(r"[\W_]", "", name.lower())
    if _WRIST.fullmatch(name):
        return 0
    found = _JOINT.fullmatch(name)
    if not found:
        return None
    finger = _FINGERS.get(found[1], found[1])
    number, segment = found[2] or found[4], _SEGMENTS.get(found[3], found[3])
    if number:
        return HAND.names.index(f"{finger}_tip") - 4 + int(number)
    joint = f"{finger}_{segment}"
    return HAND.names.index(joint) if joint in HAND.names else None


def from_names(names: list[str], bones: tuple[tuple[int, int], ...]) -> tuple[np.ndarray, Skeleton]:
    """The skeleton of joints with these names, and the order that brings them into it.

    Args:
        names: one per joint, all different. 21 that are a hand's give `hand.HAND`, and so do the numbers 0 to 20 or
            1 to 21, which say no more than the published order.
        bones: pairs of indices into names, for joints that are not a hand's.

    Returns:
        int [J]: entry k is the place in names of the skeleton's joint k; and the Skeleton. Joints of another kind keep
        their order, and those whose names differ by a number at the end are a group.

    >>> order, skeleton = from_names(["tail1", "tail2", "nose"], ((0, 1),))
    >>> order.tolist(), skeleton.groups
    ([0, 1, 2], (('tail', (0, 1)), ('nose', (2,))))
    """
    hand = list(range(HAND.num_joints))
    joints = [joint_of(name) for name in names]
    if names in ([str(joint) for joint in hand], [str(joint + 1) for joint in hand]):
        joints = hand
    if None not in joints and sorted(joints) == hand:
        return np.argsort(joints), HAND
    return np.arange(len(names)), Skeleton(tuple(names), bones, _groups(names))


def is_left(names: list[str]) -> int:
    """Handedness that names speak of: 1 left, 0 right, -1 none or both.

    >>> is_left(["left_hand"]), is_left(["right_thumb1", "right_thumb2"]), is_left(["hand"])
    (1, 0, -1)
    """
    sides = {side for name in names for side in _SIDE.findall(name.lower())}
    return int(sides == {"left"}) if len(sides) == 1 else -1


def _groups(names: list[str]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    stems = [re.sub(r"[\W_]*\d+$", "", name) or name for name in names]
    if len(set(stems)) == len(names):
        return (("all joints", tuple(range(len(names)))),)
    groups = {stem: tuple(joint for joint, other in enumerate(stems) if other == stem) for stem in stems}
    # A group is not called like one of its joints, for numbers of both are told apart by name.
    return tuple((f"{stem} joints" if len(joints) > 1 and stem in names else stem, joints)
                 for stem, joints in groups.items())
