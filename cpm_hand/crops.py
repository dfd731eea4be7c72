"""From a square of a picture to what a net is shown of it: as it is, as in a mirror, or turned."""

import math

import numpy as np

from cpm_hand import geometry, images


def matrix(square, mirrored: bool, size: int, degrees: float = 0.0) -> np.ndarray:
    """Picture to input.

    Args:
        square: x, y, w, h in px of the picture; w == h.
        mirrored: whether the input shows the mirror image.
        size: side of the input, px.
        degrees: how far the input is turned about its centre, clockwise on a screen.

    Returns:
        float64 [2, 3].

    >>> matrix((0, 0, 10, 10), mirrored=True, size=20).tolist()
    [[-2.0, 0.0, 18.5], [0.0, 2.0, 0.5]]
    """
    to_input = geometry.crop_matrix(square, size)
    if mirrored:
        to_input = geometry.compose(geometry.mirror(size), to_input)
    if degrees:
        to_input = geometry.compose(geometry.rotate_scale_shift(size, degrees=degrees), to_input)
    return to_input


def cut(picture: np.ndarray, square, mirrored: bool, size: int, degrees: float = 0.0) -> np.ndarray:
    """What a net is shown of a square: `images.warp` of the part that counts, so that large pictures cost no more.

    Args:
        picture: uint8 [H, W, 3].
        square: x, y, w, h in px of the picture; what lies outside the picture is `images.BORDER`.
        mirrored: show the mirror image.
        size: side of the input, px.
        degrees: turn it, as `matrix` does.

    Returns:
        uint8 [size, size, 3].
    """
    to_input, side, angle = matrix(square, mirrored, size, degrees), float(square[2]), math.radians(degrees)
    corners = side * (abs(math.cos(angle)) + abs(math.sin(angle)) - 1) / 2     # how far a turned one's stand out
    rows, columns = (_span(float(start) - corners, side + 2 * corners, size / side, length)
                     for start, length in zip(square[1::-1], picture.shape))
    part = picture[rows, columns]
    if 0 in part.shape:  # the square lies beside the picture
        return images.warp(picture, to_input, size)
    from_part = np.array([[1.0, 0, columns.start], [0, 1, rows.start]])
    return images.warp(part, geometry.compose(to_input, from_part), size)


def _span(start: float, side: float, scale: float, length: int) -> slice:
    """The pixels that a square covers along one axis, and two input pixels more on each side for the sampling.

    Their number is a multiple of what `images.warp` shrinks by, where that is fastest.
    """
    margin, (step, _) = 2 + 2 / scale, images.reduction(scale)
    first, last = max(int(start - margin), 0), min(math.ceil(start + side + margin), length)
    count = math.ceil(max(last - first, 0) / step) * step
    first = max(min(first, length - count), 0)
    return slice(first, min(first + count, length))
