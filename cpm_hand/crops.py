"""From a square of a picture to what a net is shown of it, as it is or as in a mirror."""

import math

import numpy as np

from cpm_hand import geometry, images


def matrix(square, mirrored: bool, size: int) -> np.ndarray:
    """Picture to input.

    Args:
        square: x, y, w, h in px of the picture; w == h.
        mirrored: whether the input shows the mirror image.
        size: side of the input, px.

    Returns:
        float64 [2, 3].

    >>> matrix((0, 0, 10, 10), mirrored=True, size=20).tolist()
    [[-2.0, 0.0, 18.5], [0.0, 2.0, 0.5]]
    """
    plain = geometry.crop_matrix(square, size)
    return geometry.compose(geometry.mirror(size), plain) if mirrored else plain


def cut(picture: np.ndarray, square, mirrored: bool, size: int) -> np.ndarray:
    """What a net is shown of a square: `images.warp` of the part that counts, so that large pictures cost no more.

    Args:
        picture: uint8 [H, W, 3].
        square: x, y, w, h in px of the picture; what lies outside the picture is `images.BORDER`.
        mirrored: show the mirror image.
        size: side of the input, px.

    Returns:
        uint8 [size, size, 3].
    """
    to_input, side = matrix(square, mirrored, size), float(square[2])
    rows, columns = (_span(float(start), side, size, length) for start, length in zip(square[1::-1], picture.shape))
    part = picture[rows, columns]
    if 0 in part.shape:  # the square lies beside the picture
        return images.warp(picture, to_input, size)
    from_part = np.array([[1.0, 0, columns.start], [0, 1, rows.start]])
    return images.warp(part, geometry.compose(to_input, from_part), size)


def _span(start: float, side: float, size: int, length: int) -> slice:
    """The pixels that a square covers along one axis, and two input pixels more on each side for the sampling.

    Their number is a multiple of what `images.warp` shrinks by, where that is fastest.
    """
    margin, (step, _) = 2 + 2 * side / size, images.reduction(size / side)
    first, last = max(int(start - margin), 0), min(math.ceil(start + side + margin), length)
    count = math.ceil(max(last - first, 0) / step) * step
    first = max(min(first, length - count), 0)
    return slice(first, min(first + count, length))
