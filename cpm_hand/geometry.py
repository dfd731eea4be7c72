"""The pixel convention, and everything that moves points between image, input and map.

Points are (x, y), float; the centre of the top-left pixel is (0, 0). A box is (x, y, w, h) in pixels and covers
the pixels x .. x + w - 1, so a whole picture is (0, 0, W, H) and its centre is ((W - 1) / 2, (H - 1) / 2). Map
cell i is centred on pixel (i + 0.5) * stride - 0.5. An affine map is a float64 [2, 3] matrix that takes a point
to `matrix[:, :2] @ point + matrix[:, 2]`. Nobody outside this file multiplies by a stride.
"""

import math

import numpy as np

CROP_FACTOR = 2.2  # side of the crop over the longer side of the tight joint box (protocol G)
LARGEST = 100      # times a picture's longer side: a box beyond that is a mistake


def to_map(points, stride: int):
    """Input pixels to map cells; any array or tensor of coordinates.

    >>> to_map(83.5, stride=8)
    10.0
    """
    return (points + 0.5) / stride - 0.5


def from_map(cells, stride: int):
    """Map cells to input pixels, the inverse of `to_map`.

    >>> from_map(0, stride=8)                # the centre of the first cell
    3.5
    """
    return (cells + 0.5) * stride - 0.5


def check_size(size: int, stride: int) -> None:
    """Refuse an input size that the cells do not tile.

    Raises:
        ValueError: size is not a positive multiple of stride.
    """
    if size < stride or size % stride:
        nearest = max(round(size / stride), 1) * stride
        raise ValueError(f"size must be a positive multiple of {stride} so that the map cells tile the input, "
                         f"got size={size}; the nearest valid size is {nearest}.")


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Move points by an affine map.

    Args:
        matrix: float [2, 3], or [..., 2, 3] with the leading axes of points before its last two.
        points: float [..., J, 2].

    Returns:
        [..., J, 2], in the dtype that NumPy gives the product.

    >>> apply(mirror(100), np.array([[0.0, 5.0]])).tolist()
    [[99.0, 5.0]]
    """
    return points @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]


def compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The map that does `first`, then `second`; both float [2, 3]."""
    return np.hstack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2:] + second[:, 2:]])


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse of an affine map, float [2, 3].

    Raises:
        ValueError: the map squashes the plane to a line.
    """
    if abs(np.linalg.det(matrix[:, :2])) < 1e-12:
        raise ValueError(f"an affine map of zero area has no inverse, got {matrix.tolist()}.")
    linear = np.linalg.inv(matrix[:, :2])
    return np.hstack([linear, -linear @ matrix[:, 2:]])


def mirror(width: float) -> np.ndarray:
    """Left-right mirror of a picture of that width: x becomes width - 1 - x."""
    return np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])


def rotate_scale_shift(size: int, *, degrees: float = 0.0, scale: float = 1.0,
                       shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Turn and scale about the centre of a square input, then shift.

    Args:
        size: side of the square, px.
        degrees: positive turns the picture from the x axis towards the y axis, clockwise on a screen.
        scale: above 1 makes the hand larger.
        shift: x, y in px.
    """
    centre = np.full(2, (size - 1) / 2)
    angle = math.radians(degrees)
    linear = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.hstack([linear, (centre - linear @ centre + shift)[:, None]])


def crop_matrix(box, size: int) -> np.ndarray:
    """Image to input: the square box fills the size x size input.

    Args:
        box: x, y, w, h in image px; w == h.
        size: side of the input, px.

    Returns:
        float [2, 3]. Pixel edges fall on pixel edges, so a whole picture of the input's size is left as it is.

    Raises:
        ValueError: the box is not a square of positive size.

    >>> crop_matrix((0, 0, 184, 184), 368).tolist()
    [[2.0, 0.0, 0.5], [0.0, 2.0, 0.5]]
    """
    x, y, w, h = (float(value) for value in box)
    if not (w > 0 and math.isfinite(w) and math.isclose(w, h, rel_tol=1e-4)):
        raise ValueError(f"a crop must be a square of positive size, got box x={x:g} y={y:g} w={w:g} h={h:g}.")
    scale = size / w
    return np.array([[scale, 0.0, (0.5 - x) * scale - 0.5], [0.0, scale, (0.5 - y) * scale - 0.5]])


def square_box(centre, side: float) -> np.ndarray:
    """The square of that side around a centre: float32 [4], x, y, w, h."""
    x, y = np.asarray(centre, np.float64) - (side - 1) / 2
    return np.array([x, y, side, side], np.float32)


def tight_box(keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """The smallest box over the visible joints' pixels, as the PCK metrics use it.

    Args:
        keypoints: float [..., J, 2], px.
        visible: bool [..., J].

    Returns:
        float32 [..., 4]: x, y, w, h with w = max - min + 1; zeros where no joint is visible.

    >>> tight_box(np.array([[10.0, 20.0], [19.0, 24.0]]), np.array([True, True])).tolist()
    [10.0, 20.0, 10.0, 5.0]
    """
    mask = np.asarray(visible, bool)[..., None]
    low = np.where(mask, keypoints, np.inf).min(-2)
    high = np.where(mask, keypoints, -np.inf).max(-2)
    any_visible = mask.any(-2)
    box = np.concatenate([np.where(any_visible, low, 0), np.where(any_visible, high - low + 1, 0)], -1)
    return box.astype(np.float32)


def widen(box, factor: float = CROP_FACTOR) -> np.ndarray:
    """The square around a box whose side is factor times the box's longer side.

    >>> widen((10, 20, 10, 5), factor=2.0).tolist()
    [5.0, 12.5, 20.0, 20.0]
    """
    x, y, w, h = (float(value) for value in box)
    return square_box((x + (w - 1) / 2, y + (h - 1) / 2), max(w, h) * factor)


def whole_picture_box(width: int, height: int) -> np.ndarray:
    """The square that holds a whole picture, centred on it; it sticks out where the picture is not square."""
    return square_box(((width - 1) / 2, (height - 1) / 2), max(width, height))


def touches(box, width: int, height: int) -> bool:
    """Whether a box holds a part of a picture.

    >>> touches((-5, 0, 10, 10), 100, 50), touches((100, 0, 10, 10), 100, 50)
    (True, False)
    """
    x, y, w, h = box
    return bool(x < width and y < height and x + w > 0 and y + h > 0)


def box_from_body(wrist, elbow, shoulder) -> np.ndarray:
    """The published hand box from three body joints.

    The centre lies a third of the forearm beyond the wrist; the side is 1.5 times the longer of the forearm and
    0.9 of the upper arm.

    Args:
        wrist: x, y in image px; elbow and shoulder likewise.
        elbow: x, y.
        shoulder: x, y.

    Returns:
        float32 [4]: x, y, w, h, a square.

    Source: OpenPose, hand/handDetector.cpp.

    >>> box_from_body(wrist=(100, 100), elbow=(0, 100), shoulder=(0, 0)).tolist()
    [58.5, 25.5, 150.0, 150.0]
    """
    wrist, elbow, shoulder = (np.asarray(point, np.float64) for point in (wrist, elbow, shoulder))
    side = 1.5 * max(np.linalg.norm(wrist - elbow), 0.9 * np.linalg.norm(elbow - shoulder))
    return square_box(wrist + 0.33 * (wrist - elbow), side)


def inside(keypoints: np.ndarray, width: float, height: float) -> np.ndarray:
    """Which points lie on the pixels of a picture: bool [...] for points [..., 2]."""
    x, y = keypoints[..., 0], keypoints[..., 1]
    return (x >= -0.5) & (y >= -0.5) & (x < width - 0.5) & (y < height - 0.5)
