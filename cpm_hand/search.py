"""Where to look for hands in a whole picture: everywhere, again around what was found, and at last wider around that.

Nothing here runs a net. `find` and `settle` are generators: they yield squares to look at and are sent what was seen in
each, so that whoever runs the net can put the squares of many pictures into one batch. What was seen is anything with
`keypoints` [J, 3] (x, y in px of the picture, score), `presence` and `box`, such as a `looks.Hand`.
"""

import math
from collections.abc import Generator, Sequence

import numpy as np

from cpm_hand import geometry

FINEST = 4       # the smallest windows have this part of the picture's longer side: hands from a tenth of it on
STEP = 0.5       # from one window to the next, in sides of a window: a hand of half a side lies whole in one of them
CANDIDATES = 4   # places that are looked at again, at least
ROUNDS = 4       # how often they are looked at again, at most
SHRINK = 0.6     # a square has at least this part of the side of the one, or of the window, that was looked at before
LEAST = 0.3      # and of the first: a net that runs after a fingertip ends with a crop of skin
SETTLED = 0.06   # a square that would move or grow by less than this share of its side
SAME = 0.5       # two finds of which one covers this share of the other are one hand
MARGIN = 1.02    # side of squares around finds over those that a net is shown in true boxes: a finger may lie outside
SURE = 0.4       # joints below this share of the better joints' score do not say where the hand is
FAR = 5.0        # nor do those farther from the middle than so many medians of that distance; in hands it is 1.2 to 4.6
WIDER = 1.25     # a find is looked at in a square so much wider as well
SURER = 0.1      # presence that such a look must have more: of wide squares a net is a little surer than it is right


def find(width: int, height: int, input_size: int, *, max_hands: int = 1,
         crop_factor: float = geometry.CROP_FACTOR) -> Generator[np.ndarray, Sequence, list]:
    """Find the hands in a picture.

    First come `windows` of several sizes all over the picture. Around the joints of the strongest finds goes a new
    square each, as much wider than the hand as nets are trained on, which is looked at in turn, until it hardly
    moves. Of what was seen of a hand in these squares, the strongest counts.

    Args:
        width: of the picture, px.
        height: of the picture, px.
        input_size: side of the net's input, px; windows smaller than it would show nothing new.
        max_hands: how many to return at most.
        crop_factor: side of a square that is looked at again over the longer side of the joints' box in it.

    Yields:
        float32 [N, 4]: squares to look at, x, y, w, h in px; to be sent a list of what was seen in each.

    Returns:
        What was seen of each hand, the strongest first; one at least, however unlikely.
    """
    squares = windows(width, height, input_size)
    in_windows = yield squares
    sides = {id(look): square[2] for look, square in zip(in_windows, squares)}
    places = [_Place(look, sides[id(look)], crop_factor)
              for look in strongest(in_windows, max(CANDIDATES, 2 * max_hands))]
    looks = []                 # a window may show half a hand or two: it only says where to look
    for _ in range(ROUNDS):
        moving = [place for place in places if place.moves(width, height)]
        if not moving:
            break
        seen = yield np.stack([place.square for place in moving])
        for place, look in zip(moving, seen):
            place.look = look
        looks += seen
        # Of places that have run into each other, only one is looked at again.
        apart = {id(look) for look in strongest([place.look for place in places], len(places))}
        places = [place for place in moving if id(place.look) in apart]
    # Where all that was seen lies beside the picture, there was nowhere to look again.
    return strongest(looks or in_windows, max_hands)


def settle(hands: Sequence) -> Generator[np.ndarray, Sequence, list]:
    """Look at what was found in a wider square, too.

    A square that cuts off a finger stands still: the net says of the finger that it is not there, and the next square
    lies around the others. The wider square shows it.

    Args:
        hands: what `find` returned.

    Yields:
        float32 [2 N, 4], as `find` does.

    Returns:
        What was seen of each hand in its own square, or in the wider one where that look is clearly surer.
    """
    looks = yield np.stack([geometry.widen(hand.box, times) for hand in hands for times in (1, WIDER)])
    return [wide if wide.presence > own.presence + SURER                 # and it is no other hand, beside this one
            and overlap(joint_box(wide.keypoints), joint_box(own.keypoints)) >= SAME else own
            for own, wide in zip(looks[::2], looks[1::2])]


def _shows(square, width: int, height: int) -> bool:
    """Whether a square shows some of the picture, and not next to nothing but what lies around it."""
    return geometry.touches(square, width, height) and square[2] <= geometry.LARGEST * max(width, height)


class _Place:
    """What was seen last at one place, and the square that it was seen in; None where that was a window."""

    def __init__(self, look, window_side: float, crop_factor: float):
        self.look, self.square, self.side, self.first_side = look, None, window_side, None
        self.crop_factor = crop_factor

    def moves(self, width: int, height: int) -> bool:
        """Put the square around what was seen, and say whether that changes what one sees of the picture."""
        before, side_before = self.square, self.side
        self.square = geometry.widen(joint_box(self.look.keypoints), self.crop_factor)
        if self.square[2] < SHRINK * side_before:
            self.square = geometry.widen(self.square, SHRINK * side_before / self.square[2])
        self.side = side = self.square[2]
        if not _shows(self.square, width, height):
            return False
        if before is None:
            self.first_side = side
            return True
        if side < LEAST * self.first_side:
            return False
        shift = np.abs(self.square[:2] + side / 2 - before[:2] - before[2] / 2).max()
        return max(shift, abs(side - before[2])) > SETTLED * before[2]


def windows(width: int, height: int, input_size: int) -> np.ndarray:
    """Squares that cover a picture: the whole of it, then windows of half its longer side, a quarter, …

    Args:
        width: of the picture, px.
        height: of the picture, px.
        input_size: side of the net's input, px; no window but the first is smaller.

    Returns:
        float32 [N, 4]: x, y, w, h in px. At each size they lie evenly, at most `STEP` of their side apart.

    >>> windows(200, 100, input_size=96).tolist()
    [[0.0, -50.0, 200.0, 200.0], [0.0, 0.0, 100.0, 100.0], [50.0, 0.0, 100.0, 100.0], [100.0, 0.0, 100.0, 100.0]]
    """
    longer, shorter = max(width, height), min(width, height)
    squares, side = [geometry.whole_picture_box(width, height)], longer / 2
    while side >= max(input_size, min(longer / FINEST, shorter / 2)):
        squares += [geometry.square_box((x, y), side) for y in _centres(height, side) for x in _centres(width, side)]
        side /= 2
    return np.stack(squares)


def _centres(length: int, side: float) -> np.ndarray:
    """Centres of windows of that side, evenly from one end of an axis to the other."""
    if side >= length:
        return np.array([(length - 1) / 2])
    count = math.ceil((length - side) / (STEP * side)) + 1
    return np.linspace((side - 1) / 2, length - 1 - (side - 1) / 2, count)


def joint_box(keypoints: np.ndarray) -> np.ndarray:
    """The tight box around the joints that can be trusted to lie on one hand.

    Left out are joints that score far less than the others, and those that lie far from them.

    Args:
        keypoints: float [J, 3], x, y in px and score.

    Returns:
        float32 [4]: x, y, w, h in px.
    """
    points, scores = np.asarray(keypoints[:, :2], np.float64), keypoints[:, 2]
    sure = scores >= SURE * np.quantile(scores, 0.75)
    distance = np.linalg.norm(points - np.median(points[sure], axis=0), axis=1)
    near = distance <= FAR * np.median(distance[sure])
    return geometry.tight_box(points, sure & near)


def strongest(looks: Sequence, count: int) -> list:
    """The looks of highest presence, at most `count`, no two of which cover each other: a hand is found once."""
    kept, boxes = [], []
    for look in sorted(looks, key=lambda each: -each.presence):
        box = joint_box(look.keypoints)
        if all(overlap(box, other) < SAME for other in boxes):
            kept.append(look)
            boxes.append(box)
        if len(kept) == count:
            break
    return kept


def overlap(one, other) -> float:
    """What share of the smaller of two boxes the other one covers.

    >>> overlap((0, 0, 10, 10), (5, 0, 20, 10))
    0.5
    """
    low, high = np.maximum(one[:2], other[:2]), np.minimum(np.add(one[:2], one[2:]), np.add(other[:2], other[2:]))
    width, height = np.maximum(high - low, 0)
    return float(width * height / min(one[2] * one[3], other[2] * other[3]))
