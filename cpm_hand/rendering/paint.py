"""The kernel that turns a map of labels into a picture of textured, lit materials.

Four labels make a pixel; where they agree, as they mostly do, whole spans of a row are evaluated at once. Colours are
sRGB values 0..255 and light is multiplied onto them as they are: cheap, and what looks right here.
"""

import numba
import numpy as np

from cpm_hand.rendering import textures

# Columns of the material table. Positions are px of the picture; texture positions are texels of level 0.
COLOURS = slice(0, 9)  # RGB at texture values 0, 0.5 and 1
TEXTURE, FOOT, MAP = 9, 10, slice(11, 20)  # index; texels per px where the denominator is 1; homography px -> texel
SHADE, SHADE_MAP = 20, slice(21, 25)  # second texture, which multiplies: index; a, b, x, y of a similarity
SHADE_BY = 25  # how much the second texture matters
LIGHT, LIGHT_X, LIGHT_Y = 26, 27, 28  # gain at the origin, and its change per px
ACROSS = slice(29, 32)  # s = a + b x + c y, -1..1 across a round thing
ROUND, GLINT_AT, GLINT_WIDTH, GLINT = 32, 33, 34, 35  # darkening by s^2; highlight: position, width, strength
LIT = 36  # 1 takes part in the scene's light and shade, 0 shines by itself
WIDTH = 37
LABELS = 256
NEAR = 0.1  # m; what is nearer to the camera is cut off


@numba.njit(cache=True, nogil=True, inline="always")
def _texel(atlas, first, side, u, v):
    """Bilinear value 0..255 of the repeating tile that begins at `first`."""
    iu, iv = np.int32(u), np.int32(v)  # towards zero; one less where that is above
    iu, iv = iu - np.int32(u < np.float32(iu)), iv - np.int32(v < np.float32(iv))
    du, dv, one, mask = u - np.float32(iu), v - np.float32(iv), np.int32(1), np.int32(side - 1)
    x0, y0 = iu & mask, iv & mask
    x1, y1 = (x0 + one) & mask, first + ((y0 + one) & mask) * np.int32(side)
    y0 = first + y0 * np.int32(side)
    p, q, r, s = (np.float32(atlas[np.uint32(y0 + x0)]), np.float32(atlas[np.uint32(y0 + x1)]),
                  np.float32(atlas[np.uint32(y1 + x0)]), np.float32(atlas[np.uint32(y1 + x1)]))
    top, bottom = p + (q - p) * du, r + (s - r) * du
    return top + (bottom - top) * dv


@numba.njit(cache=True, nogil=True)
def _gains(m, y, start, stop, atlas, light, gains, brights):
    """Light and highlight of one material on the pixels start..stop of row y."""
    zero, one = np.float32(0), np.float32(1)
    base, slope, lit = m[LIGHT] + m[LIGHT_Y] * y, m[LIGHT_X], m[LIT]
    for x in range(start, stop):
        gains[x], brights[x] = base + slope * np.float32(x), zero
    if m[SHADE_BY] != zero:
        first = np.int32(m[SHADE]) * np.int32(textures.SIDE**2)
        c, s, by = m[21], m[22], m[SHADE_BY]
        u, v = s * y + m[23], c * y + m[24]
        for x in range(start, stop):
            column = np.int32(c * np.float32(x) + u) & np.int32(textures.SIDE - 1)  # nearest: it is smooth
            row = np.int32(v - s * np.float32(x)) & np.int32(textures.SIDE - 1)
            shade = np.float32(atlas[np.uint32(first + row * np.int32(textures.SIDE) + column)])
            gains[x] *= one + by * (shade * np.float32(1 / 127.5) - one)
    if m[ROUND] != zero or m[GLINT] != zero:
        s0 = m[29] + m[31] * y
        for x in range(start, stop):
            s = s0 + m[30] * np.float32(x)
            gains[x] *= max(one - m[ROUND] * s * s, np.float32(0.15))
            d = (s - m[GLINT_AT]) * m[GLINT_WIDTH]
            d = max(one - d * d, zero)
            brights[x] = m[GLINT] * d * d
    for x in range(start, stop):
        gains[x] = max(gains[x], np.float32(0.03)) * (one + lit * (light[x] - one))


@numba.njit(cache=True, nogil=True)
def _span(m, y, start, stop, atlas, starts, light, rows):
    """Red, green and blue, 0..255, of one material on the pixels start..stop of row y, into rows[:3]."""
    zero, one, top = np.float32(0), np.float32(1), np.float32(255)
    _gains(m, y, start, stop, atlas, light, rows[3], rows[4])
    middle = np.float32((start + stop) // 2)
    foot = m[FOOT] / max(m[17] * middle + m[18] * y + m[19], np.float32(1e-3))
    level, side, shrink = 0, textures.SIDE, one
    while foot > np.float32(1.4) and level < textures.LEVELS - 1:
        foot, shrink, level, side = foot * np.float32(0.5), shrink * np.float32(0.5), level + 1, side >> 1
    first = np.int32(starts[level] + int(m[TEXTURE]) * side * side)
    a, b, c = m[11], m[14], m[17]
    u0, v0, w0 = m[12] * y + m[13], m[15] * y + m[16], m[18] * y + m[19]
    r0, g0, b0, r1, g1, b1 = m[0], m[1], m[2], m[3] - m[0], m[4] - m[1], m[5] - m[2]
    r2, g2, b2 = m[6] - m[3], m[7] - m[4], m[8] - m[5]
    for x in range(start, stop):
        px = np.float32(x)
        w = shrink / max(c * px + w0, np.float32(1e-3))
        t = _texel(atlas, first, side, (a * px + u0) * w, (b * px + v0) * w) * np.float32(2.0 / 255.0)
        low, high, gain, bright = min(t, one), max(t - one, zero), rows[3, x], rows[4, x]
        rows[0, x] = min(max((r0 + r1 * low + r2 * high) * gain + bright, zero), top)
        rows[1, x] = min(max((g0 + g1 * low + g2 * high) * gain + bright, zero), top)
        rows[2, x] = min(max((b0 + b1 * low + b2 * high) * gain + bright, zero), top)


@numba.njit(cache=True, nogil=True)
def _mix(k, b, c, d, materials, y, x, atlas, starts, light, rows):
    """Mix the first label's colour, which is in rows, with that of the label that differs; a third counts as it."""
    other = b if b != k else c if c != k else d
    share = np.float32(0.25) * (np.float32(1) + np.float32(b == k) + np.float32(c == k) + np.float32(d == k))
    red, green, blue = rows[0, x], rows[1, x], rows[2, x]
    _span(materials[other], y, x, x + 1, atlas, starts, light, rows)
    rows[0, x] += share * (red - rows[0, x])
    rows[1, x] += share * (green - rows[1, x])
    rows[2, x] += share * (blue - rows[2, x])


@numba.njit(cache=True, nogil=True)
def paint(labels, materials, atlas, starts, light, out):
    """Fill a picture.

    Args:
        labels: uint8 [2 H, 2 W].
        materials: float32 [LABELS, WIDTH], the columns above.
        atlas: `textures.Bank`'s.
        starts: likewise.
        light: float32 [H, W].
        out: uint8 [H, W, 3], written.
    """
    height, width = out.shape[:2]
    rows = np.empty((5, width), np.float32)
    for y in range(height):
        upper, lower, x = labels[2 * y], labels[2 * y + 1], 0
        while x < width:
            k, stop = upper[2 * x], x
            while (stop < width and upper[2 * stop] == k and upper[2 * stop + 1] == k and lower[2 * stop] == k
                   and lower[2 * stop + 1] == k):
                stop += 1
            mixed = stop < width and upper[2 * stop] == k  # the span ends on a pixel that is this label's in part
            _span(materials[k], np.float32(y), x, stop + mixed, atlas, starts, light[y], rows)
            if mixed:
                b, c, d = upper[2 * stop + 1], lower[2 * stop], lower[2 * stop + 1]
                _mix(k, b, c, d, materials, np.float32(y), stop, atlas, starts, light[y], rows)
            x = stop + mixed
        for x in range(width):
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = np.uint8(rows[0, x]), np.uint8(rows[1, x]), np.uint8(rows[2, x])


@numba.njit(cache=True, nogil=True)
def cover(sheet, turn, start, table, labels):
    """Fill a window of a label map from a sheet that repeats.

    Args:
        sheet: uint8 [N, N], N a power of two.
        turn: a and b; texel = (a x - b y, b x + a y) for the window's x and y.
        start: squeeze of the second, and the texel of the window's first corner: three numbers.
        table: uint8 [256], labels for the sheet's values.
        labels: uint8 [h, w], written.
    """
    mask, one = np.int64(sheet.shape[0] - 1), 65536.0
    du, dv = np.int64(one * turn[0]), np.int64(one * turn[1] / start[0])
    for y in range(labels.shape[0]):
        u = np.int64(one * (start[1] - turn[1] * y))
        v = np.int64(one * (start[2] + turn[0] * y / start[0]))
        for x in range(labels.shape[1]):
            labels[y, x] = table[sheet[(v >> 16) & mask, (u >> 16) & mask]]
            u += du
            v += dv


@numba.njit(cache=True, nogil=True)
def _texels(camera, corner, u, v, per_metre):
    """The homography and depth of `lay`; depth 0 if the plane is seen edge on."""
    plane = np.empty((3, 3))
    length_u, length_v = np.sqrt((u * u).sum()) * per_metre, np.sqrt((v * v).sum()) * per_metre
    for i in range(3):
        plane[i, 0] = (camera[i] * u).sum() / length_u
        plane[i, 1] = (camera[i] * v).sum() / length_v
        plane[i, 2] = (camera[i] * corner).sum()
    depth = max((camera[2] * (corner + (u + v) * 0.5)).sum(), NEAR)
    if abs(np.linalg.det(plane)) * per_metre**2 < 1e-3:
        return plane, 0.0
    return depth * np.linalg.inv(plane), depth


@numba.njit(cache=True, nogil=True)
def project(points, camera):
    """Corners of a polygon in space [K, 3], m, as px [K', 2]; what is nearer than NEAR is cut off."""
    count, found = len(points), 0
    seen, out = np.empty((count, 3)), np.empty((2 * count, 2))
    for k in range(count):
        for i in range(3):
            seen[k, i] = camera[i, 0] * points[k, 0] + camera[i, 1] * points[k, 1] + camera[i, 2] * points[k, 2]
    for k in range(count):
        a, b = seen[k], seen[(k + 1) % count]
        if a[2] > NEAR:
            out[found] = a[:2] / a[2]
            found += 1
        if (a[2] > NEAR) != (b[2] > NEAR):
            share = (NEAR - a[2]) / (b[2] - a[2])
            out[found] = (a[:2] + share * (b[:2] - a[:2])) / NEAR
            found += 1
    return out[:found]


@numba.njit(cache=True, nogil=True)
def lay(camera, corner, u, v, per_metre, width, height):
    """A parallelogram in space as it is seen, and how its texture lies.

    Args:
        camera: float64 [3, 3], metres to homogeneous px.
        corner: float64 [3], m; texel (0, 0) lies there.
        u: float64 [3], an edge, m.
        v: float64 [3], the other edge, m.
        per_metre: texels per metre.
        width: of the picture, px.
        height: of the picture, px.

    Returns:
        The outline, float64 [K, 2], px; the homography, float64 [3, 3], px to texels, with denominator 1 at the
        parallelogram's middle; and the depth there in m, 0 where it is seen edge on or nothing of it lies in the
        picture.
    """
    points = np.empty((4, 3))
    points[0], points[1], points[2], points[3] = corner, corner + u, corner + u + v, corner + v
    shape, nothing = project(points, camera), np.empty((3, 3))
    if len(shape) < 3:
        return shape, nothing, 0.0
    left, right = shape[:, 0].min(), shape[:, 0].max()
    top, bottom = shape[:, 1].min(), shape[:, 1].max()
    if right < 0 or bottom < 0 or left > width or top > height:
        return shape, nothing, 0.0
    matrix, depth = _texels(camera, corner, u, v, per_metre)
    return shape, matrix, depth
