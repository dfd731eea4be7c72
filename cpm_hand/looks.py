"""Looks at a hand: what the net saw in one, and what several say together."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cpm_hand import search

AGREE = 0.2      # sigma, as a share of the hand's size, of the bell by which looks at a joint count for each other
SHIFTS = 50      # steps at most from where a look sees a joint to where the looks agree on it
SETTLED_PX = 0.01  # a step as short as that is the last


class Outputs(NamedTuple):
    """What the net saw and said in one look; as the crop lies in the picture, never mirrored.

    Attributes:
        input: uint8 [size, size, 3], RGB.
        belief_maps: float32 [size, size, C], the last stage upsampled to the input's pixels.
        stages: float32 [S, h, w, C].
    """

    input: np.ndarray
    belief_maps: np.ndarray
    stages: np.ndarray


class Hand(NamedTuple):
    """One hand found in a picture.

    Attributes:
        keypoints: float32 [J, 3]: x and y in the picture's pixels, and the score, 0 to 1; of several looks, what
            they agree on.
        presence: how sure the net is that there is a hand, 0 to 1: the mean score.
        box: float32 [4]: x, y, w, h in the picture's pixels of the square that the net saw in the surest look.
        outputs: the net's own output in that look, where it was asked for; then that look is none of a turned square.
        is_left: 1 left, 0 right, -1 unknown.
    """

    keypoints: np.ndarray
    presence: float
    box: np.ndarray
    outputs: Outputs | None = None
    is_left: int = -1


def joined(looks: Sequence[Hand]) -> Hand:
    """What several looks at one hand say together, as one.

    Args:
        looks: one at least.

    Returns:
        The surest look (of those that have outputs, where any has) with the keypoints on which they agree and the
        mean of their scores as presence; one look comes back as it is.
    """
    if len(looks) == 1:
        return looks[0]
    # Of looks that disagree on whether it is a left or a right hand, those that are surer together count.
    sure_of = {side: sum(look.presence for look in looks if look.is_left == side)
               for side in sorted({look.is_left for look in looks})}
    side = max(sure_of, key=sure_of.get)
    alike = [look for look in looks if look.is_left == side]
    keypoints = agreed(alike)
    surest = max(looks, key=lambda look: (look.outputs is not None, look.is_left == side, look.presence))
    return surest._replace(keypoints=keypoints, presence=float(keypoints[:, 2].mean()), is_left=side)


def agreed(looks: Sequence[Hand]) -> np.ndarray:
    """What several looks at one hand say together: each joint is where most of them see it.

    A look counts as much as it is sure of the hand and of the joint. From the look that the others support most a
    mean shift climbs to the top of a density with one bell per look: looks near each other meet in their middle, and
    one that is far from the others hardly moves them.

    Args:
        looks: one at least, each with keypoints [J, 3] in px of the picture and presence, 0 to 1.

    Returns:
        float32 [J, 3]: x, y in px of the picture, and the score: the looks' scores, weighed by their presence and by
        how near they see the joint to that place. One look says what it saw.
    """
    seen = np.stack([look.keypoints for look in looks]).astype(np.float64)                   # [L, J, 3]
    points, scores = seen[..., :2], seen[..., 2]
    trust = np.maximum([look.presence for look in looks], 1e-9)[:, None]                     # [L, 1]
    # A look that sees a joint far off sees a large hand, one that sees nothing a point: the median by trust is neither.
    sizes = [search.joint_box(look)[2:].max() for look in seen]
    sigma = AGREE * np.quantile(sizes, 0.5, weights=trust[:, 0], method="inverted_cdf")

    def weights(places):                                                                     # [J, 2] -> [L, J]
        return trust * scores * np.exp(-0.5 * np.sum(np.square((points - places) / sigma), axis=-1))

    support = [weights(places).sum(0) for places in points]                                  # of each look's, [L, J]
    places = np.take_along_axis(points, np.argmax(support, axis=0)[None, :, None], axis=0)[0]
    for _ in range(SHIFTS):
        weight = weights(places)
        total = weight.sum(0)[:, None]
        before, middle = places, np.einsum("lj,ljc->jc", weight, points)
        places = np.where(total > 0, middle / np.where(total > 0, total, 1), places)
        if np.abs(places - before).max() < SETTLED_PX:
            break
    return np.column_stack([places, weights(places).sum(0) / trust.sum()]).astype(np.float32)
