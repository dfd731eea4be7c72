"""Triangles to pixels: a z-buffer kernel that serves the picture and the shadow map alike, and ambient occlusion.

Buffers hold `near`, a number that is affine in screen space and larger for what is nearer: 1 / depth under perspective,
minus the distance along the light for a shadow map. Sample (row, column) of a buffer lies at x = column, y = row.
"""

import math

import cv2
import numba
import numpy as np

NOTHING = -1  # triangle number where there is none
FAR = np.float32(-1e30)


def rasterise(points: np.ndarray, near: np.ndarray, triangles: np.ndarray, size_wh: tuple[int, int], *,
              clockwise: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Which triangle is nearest at each sample.

    Args:
        points: float32 [V, 2], x and y in samples.
        near: float32 [V], larger is nearer, affine in screen space; a triangle with a NaN corner is left out.
        triangles: uint32 [T, 3].
        size_wh: samples across and down.
        clockwise: keep triangles that turn clockwise on the screen (x right, y down), drop the others.

    Returns:
        number: int32 [h, w], the triangle, or NOTHING.
        nearest: float32 [h, w], its `near`, or FAR.
    """
    width, height = size_wh
    number = np.full((height, width), NOTHING, np.int32)
    nearest = np.full((height, width), FAR, np.float32)
    rasterise_kernel(points, near, triangles, 1.0 if clockwise else -1.0, number, nearest)
    return number, nearest


@numba.njit(cache=True, nogil=True, error_model="numpy")
def rasterise_kernel(points, near, triangles, turn, number, nearest):
    """`rasterise` into given buffers."""
    height, width = number.shape
    low, high = np.float32(-1e-6), np.float32(1.000001)
    for t in range(len(triangles)):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = (points[i, 0], points[i, 1], points[j, 0], points[j, 1], points[k, 0], points[k, 1])
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if not area * turn > 1e-9:
            continue
        left, right = max(int(math.ceil(min(x0, x1, x2))), 0), min(int(math.floor(max(x0, x1, x2))), width - 1)
        top, bottom = max(int(math.ceil(min(y0, y1, y2))), 0), min(int(math.floor(max(y0, y1, y2))), height - 1)
        if left > right or top > bottom:
            continue
        scale = np.float32(1.0) / area
        n0, n1, n2 = near[i], near[j] - near[i], near[k] - near[i]
        # Barycentric weights of corners 1 and 2 are affine in x and y.
        b1x, b1y = (y2 - y0) * scale, (x0 - x2) * scale
        b2x, b2y = (y0 - y1) * scale, (x1 - x0) * scale
        dx = np.float32(left) - x0
        for row in range(top, bottom + 1):
            dy = np.float32(row) - y0
            b1, b2 = b1x * dx + b1y * dy, b2x * dx + b2y * dy
            for column in range(left, right + 1):
                if b1 >= low and b2 >= low and b1 + b2 <= high:
                    value = n0 + b1 * n1 + b2 * n2
                    if value > nearest[row, column]:
                        nearest[row, column] = value
                        number[row, column] = t
                b1 += b1x
                b2 += b2x


def shadow_map(vertices: np.ndarray, triangles: np.ndarray, direction: np.ndarray, size: int, *,
               clockwise: bool = True, frame_on: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """What a far light sees.

    Args:
        vertices: float32 [V, 3] mm.
        triangles: uint32 [T, 3].
        direction: float [3], unit, from the scene towards the light.
        size: side of the map, samples.
        clockwise: as for `rasterise`.
        frame_on: int [N], the vertices that the map must hold; all by default.

    Returns:
        matrix: float32 [3, 4]; vertex to x, y in samples of the map and nearness to the light in mm.
        nearest: float32 [size, size], nearness in mm, or FAR.
    """
    helper = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < 0.8 else np.array([1.0, 0.0, 0.0])
    right = np.cross(helper, direction)
    right /= np.linalg.norm(right)
    matrix = np.zeros((3, 4), np.float32)
    matrix[:, :3] = right, -np.cross(direction, right), direction
    points, near = np.empty((len(vertices), 2), np.float32), np.empty(len(vertices), np.float32)
    _look_along(vertices, np.arange(len(vertices)) if frame_on is None else frame_on, size, matrix, points, near)
    return matrix, rasterise(points, near, triangles, (size, size), clockwise=clockwise)[1]


@numba.njit(cache=True, nogil=True)
def _look_along(vertices, frame_on, size, matrix, points, near):
    """Scale and shift the first two rows of matrix so that the framed vertices fill the map; then apply it to all."""
    left = top = np.float32(1e30)
    right = bottom = np.float32(-1e30)
    for v in range(len(vertices)):
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        points[v, 0] = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z
        points[v, 1] = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z
        near[v] = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z
    for n in range(len(frame_on)):
        x, y = points[frame_on[n], 0], points[frame_on[n], 1]
        left, right, top, bottom = min(left, x), max(right, x), min(top, y), max(bottom, y)
    scale = np.float32(size - 3) / max(right - left, bottom - top, np.float32(1e-6))
    for k in range(3):
        matrix[0, k] *= scale
        matrix[1, k] *= scale
    matrix[0, 3], matrix[1, 3] = 1 - left * scale, 1 - top * scale
    for v in range(len(vertices)):
        points[v, 0] = points[v, 0] * scale + matrix[0, 3]
        points[v, 1] = points[v, 1] * scale + matrix[1, 3]


@numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def lit(p, at, maps, n, x, y, z, bias):
    """Share of light n that reaches a point (mm): four taps of its shadow map, each softened over 1.5 mm.

    The light's matrix (see `shadow_map`) is p[at:at + 12], its map maps[n]; bias in mm.
   """
    u = p[at] * x + p[at + 1] * y + p[at + 2] * z + p[at + 3]
    v = p[at + 4] * x + p[at + 5] * y + p[at + 6] * z + p[at + 7]
    w = p[at + 8] * x + p[at + 9] * y + p[at + 10] * z + bias
    size = maps.shape[1]
    column, row = int(np.floor(u)), int(np.floor(v))
    if column < 0 or row < 0 or column >= size - 1 or row >= size - 1:
        return np.float32(1.0)
    fu, fv = u - column, v - row
    total = np.float32(0.0)
    for dv in range(2):
        for du in range(2):
            weight = (fu if du else 1 - fu) * (fv if dv else 1 - fv)
            over = maps[n, row + dv, column + du] - w
            total += weight * min(max(1.0 - over / 1.5, 0.0), 1.0)
    return np.float32(total)


def ambient_occlusion(depth: np.ndarray, covered: np.ndarray, px_per_mm: float) -> np.ndarray:
    """How open a pixel lies to its surroundings, from depth alone.

    Args:
        depth: float32 [H, W] mm; anything where not covered.
        covered: bool [H, W].
        px_per_mm: pixels per millimetre at the hand.

    Returns:
        float32 [H, W] in 0.35 .. 1: a pixel that lies behind the mean of its neighbourhood (6 and 18 mm) is darker.
    """
    height, width = depth.shape
    mask, filled = covered.astype(np.float32), np.where(covered, depth, np.float32(0))
    halved = px_per_mm > 0.6
    if halved:  # it is smooth: half the pixels will do
        small = ((width + 1) // 2, (height + 1) // 2)
        mask = cv2.resize(mask, small, interpolation=cv2.INTER_AREA)
        filled = cv2.resize(filled, small, interpolation=cv2.INTER_AREA)
        px_per_mm /= 2
    own = filled / np.maximum(mask, 1e-6)
    open_share = np.ones_like(filled)
    for radius_mm, strength in ((5.0, 0.075), (15.0, 0.03)):
        side = 2 * max(int(round(radius_mm * px_per_mm)), 1) + 1
        weight, mean = cv2.blur(mask, (side, side)), cv2.blur(filled, (side, side))
        behind = own - mean / np.maximum(weight, 1e-6)
        open_share -= strength * np.clip(behind * weight, 0, 14)
    np.maximum(open_share, np.float32(0.35), out=open_share)
    return cv2.resize(open_share, (width, height), interpolation=cv2.INTER_LINEAR) if halved else open_share
