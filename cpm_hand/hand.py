"""The 21 joints of a hand: names, order, bones, fingers, colours.

The order is that of CMU's data and of the published networks: 0 is the wrist, then thumb, index, middle,
ring and little finger, each from its base to its tip. Belief map k belongs to joint k; the background, where
a net has it, is the map after the last joint.

Source: https://github.com/CMU-Perceptual-Computing-Lab/openpose (hand/handParameters.hpp) for order and colours.
"""

from typing import NamedTuple

import numpy as np


class Skeleton(NamedTuple):
    """What the joints of a dataset are called and how they hang together.

    Attributes:
        names: one per joint, in channel order.
        bones: pairs of joint indices, nearer the wrist first.
        groups: (name, joint indices) of the parts that reports speak of: here the fingers.
    """

    names: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    groups: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def num_joints(self) -> int:
        """Number of joints J.

        >>> HAND.num_joints
        21
        """
        return len(self.names)

    def to_json(self) -> dict:
        """Plain lists, as they travel inside checkpoints and artefacts."""
        return {"names": list(self.names), "bones": [list(bone) for bone in self.bones],
                "groups": [[name, list(joints)] for name, joints in self.groups]}

    @classmethod
    def from_json(cls, data: dict) -> "Skeleton":
        """The inverse of `to_json`.

        >>> Skeleton.from_json(HAND.to_json()) == HAND
        True
        """
        return cls(names=tuple(data["names"]), bones=tuple((a, b) for a, b in data["bones"]),
                   groups=tuple((name, tuple(joints)) for name, joints in data["groups"]))


FINGERS = ("thumb", "index", "middle", "ring", "little")
_THUMB_JOINTS = ("cmc", "mcp", "ip", "tip")
_FINGER_JOINTS = ("mcp", "pip", "dip", "tip")


def _finger(number: int) -> tuple[int, ...]:
    """Joint indices of finger 0-4 from base to tip."""
    return tuple(range(1 + 4 * number, 5 + 4 * number))


def difference(theirs: tuple[str, ...], ours: tuple[str, ...]) -> str | None:
    """How two orders of joints differ, for people; None where they do not.

    >>> difference(("wrist", "tip"), ("wrist", "tip", "nose"))
    "2 joints against 3, and joint 2 is nothing against 'nose'"
    """
    if theirs == ours:
        return None
    joint = next((joint for joint, (a, b) in enumerate(zip(theirs, ours)) if a != b), min(len(theirs), len(ours)))
    one, other = (repr(names[joint]) if joint < len(names) else "nothing" for names in (theirs, ours))
    return f"{len(theirs)} joints against {len(ours)}, and joint {joint} is {one} against {other}"


HAND = Skeleton(
    names=("wrist",) + tuple(
        f"{finger}_{joint}" for number, finger in enumerate(FINGERS)
        for joint in (_THUMB_JOINTS if number == 0 else _FINGER_JOINTS)),
    bones=tuple(bone for number in range(5) for bone in zip((0, *_finger(number)), _finger(number))),
    groups=(("wrist", (0,)),) + tuple((finger, _finger(number)) for number, finger in enumerate(FINGERS)),
)


def _colours() -> np.ndarray:
    tips = np.array([(255, 0, 0), (255, 255, 0), (0, 255, 125), (0, 125, 255), (255, 0, 255)])
    # Fingers brighten from base to tip: 100, 150, 200, 255 of 255, the half-strength channels alike.
    steps = {255: (100, 150, 200, 255), 125: (50, 75, 100, 125), 0: (0, 0, 0, 0)}
    fingers = [[steps[channel][joint] for channel in tip] for tip in tips for joint in range(4)]
    return np.array([(100, 100, 100), *fingers], np.uint8)


COLOURS = _colours()  # uint8 [21, 3], RGB; a bone has the colour of its outer joint


def colours(skeleton: Skeleton) -> np.ndarray:
    """One RGB colour per joint.

    Returns:
        uint8 [J, 3]: the published palette for a hand, hues spread evenly over any other skeleton.

    >>> colours(HAND)[8].tolist()            # the tip of the index finger
    [255, 255, 0]
    """
    if skeleton == HAND:
        return COLOURS
    hue = np.arange(skeleton.num_joints)[:, None] / skeleton.num_joints
    return np.uint8(np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1) * 255)
