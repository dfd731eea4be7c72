"""From triangles per sample to linear light per pixel: materials by rest position, lights, shadows.

A picture is rasterised at 2 x 2 samples per pixel. Where the four samples lie on one surface it is shaded once; at
inner edges, where a finger passes before another, every sample is shaded.
"""

import math

import numba
import numpy as np

from cpm_hand.rendering.raster import lit
from cpm_hand.rendering.skin import CLOTH, METAL, NAIL, SKIN, Lighting, Look, noise

# Columns of the attributes per vertex.
NORMAL, REST, ALONG, SIDE, UP, PALM, RED, VEIN, BLOTCH, PLACE, NUM_ATTRIBUTES = 0, 3, 6, 7, 8, 9, 10, 11, 12, 13, 16
SCREEN, NEAR, FINGER, NUM_COLUMNS = 16, 18, 19, 20  # after what is interpolated
COLOUR, LIGHT = NUM_ATTRIBUTES, NUM_ATTRIBUTES + 3  # of the scratch row, after the attributes
# Of the packed parameters, after the colours.
TEXTURE, COVER, OFFSET, ROOM, DETAIL, LAMPS, LAMP = 24, 33, 41, 44, 53, 54, 18
_SAME_SURFACE_MM = 3.0
_WRAP = (0.34, 0.16, 0.11)  # how far light creeps around, per colour: red goes deepest into skin


def pack(look: Look, lighting: Lighting, matrices: np.ndarray, px_per_mm: float) -> np.ndarray:
    """Look, lights and their shadow maps' matrices [L, 3, 4] in one float32 row.

    Pores, fine lines and hairs fade in between 0.7 and 1.5 px per mm; below they would only flicker.

    Few arrays, because numba counts the references to every array that an inner function is given: as two dozen
    separate ones they took as long as the shading itself.
    """
    lamps = np.concatenate([lighting.directions, lighting.colours, matrices.reshape(-1, 12)], 1)
    detail = min(max((px_per_mm - 0.7) / 0.8, 0.0), 1.0)
    return np.concatenate([look.colours.ravel(), look.texture, look.cover, look.offset, lighting.up, lighting.sky,
                           lighting.ground, [detail], lamps.ravel()]).astype(np.float32)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def gather(number, nearest, depth, alpha):
    """Samples [2H, 2W] to pixels: nearest depth in mm (0 where nothing) and the share that is covered."""
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            count, best = 0, np.float32(0)
            for s in range(4):
                r, c = 2 * row + (s >> 1), 2 * column + (s & 1)
                if number[r, c] >= 0:
                    count += 1
                    best = max(best, nearest[r, c])
            alpha[row, column] = count * np.float32(0.25)
            depth[row, column] = 1 / best if count else np.float32(0)


@numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _bump(value, centre, width):
    """1 at the centre, 0 beyond the width, smooth."""
    t = min(abs(value - centre) / width, 1.0)
    return (1 - t * t) ** 2


@numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _material(a, finger, lines, p):
    """Reflectance at a point with interpolated attributes: fills a[COLOUR:], returns kind, gloss, darkening, relief."""
    x, y, z = a[REST], a[REST + 1], a[REST + 2]
    ox, oy, oz = x + p[OFFSET + 0] + 1000, y + p[OFFSET + 1] + 1000, z + p[OFFSET + 2] + 1000
    along, side, up, palm = a[ALONG], a[SIDE], a[UP], a[PALM]
    grain = noise(ox * 0.75, oy * 0.75, oz * 0.75) - np.float32(0.5)
    if y < p[COVER + 0] or (p[COVER + 2] > 0 and y > -35):
        second = p[COVER + 3] > 0 and math.sin(y * p[COVER + 3]) > 0.2
        for c in range(3):
            a[COLOUR + c] = p[3 * (5 if second else 4) + c] * (1 + 0.35 * grain)
        return CLOTH, np.float32(0.05), np.float32(1.0), grain
    if abs(y - p[COVER + 6]) < p[COVER + 7] * 0.5:
        face = p[COVER + 7] > 14 and z > 6 and abs(x) < 15
        for c in range(3):
            a[COLOUR + c] = p[3 * (6 if face else 7) + c]
        return METAL if (face or p[COVER + 7] < 7) else CLOTH, np.float32(0.7), np.float32(1.0), grain * 0
    if finger == int(p[COVER + 4]) and abs(along - p[COVER + 5]) < 0.055:
        for c in range(3):
            a[COLOUR + c] = p[18 + c]
        return METAL, np.float32(0.9), np.float32(1.0), grain * 0
    for c in range(3):
        base = p[0 + c] + (p[3 + c] - p[0 + c]) * palm
        base += (p[6 + c] - base) * 0.8 * a[RED]
        a[COLOUR + c] = base * (1 + 0.1 * p[TEXTURE] * a[BLOTCH] + 0.14 * p[TEXTURE + 2] * grain)
    a[COLOUR] *= 1 - 0.2 * p[TEXTURE + 1] * a[VEIN]
    a[COLOUR + 1] *= 1 - 0.08 * p[TEXTURE + 1] * a[VEIN]
    if p[DETAIL] > 0:
        pores = noise(ox * np.float32(1.9), oy * np.float32(1.9), oz * np.float32(1.9)) - np.float32(0.5)
        lines_left = 1 - 0.13 * p[DETAIL] * (1 - palm) * max(1 - abs(pores) * 9, 0.0)
        if y < 15 and palm < 0.5 and p[TEXTURE + 8] > 0:  # hairs lie along the arm, and on its back
            strand = noise(ox * np.float32(1.1) + 0.02 * oy, oy * np.float32(0.13), oz * np.float32(1.1))
            lines_left -= p[DETAIL] * p[TEXTURE + 8] * min(max((strand - 0.58) * 5, 0.0), 1.0) * min((15 - y) / 30, 1.0)
        for c in range(3):
            a[COLOUR + c] *= (1 + 0.12 * p[DETAIL] * pores) * lines_left
        grain += np.float32(0.6) * p[DETAIL] * pores
    # Nail: a rounded rectangle on the back of the last bone, its lunula paler, its free edge white.
    first, last = (2.34, 2.94) if finger == 0 else (2.36, 2.96)
    s = (along - (first + last) / 2) / ((last - first) / 2)
    t = side / 0.8
    if up > 0.15 and s * s * s * s + abs(t * t * t) < 1:
        edge = min(max((s - 0.86 + 0.16 * p[TEXTURE + 7]) * 9, 0.0), 1.0) * (1 if t * t < 0.8 else 0)
        moon = 0.25 * max(1 - (s + 1) * 2.4 - t * t, 0.0)
        pale = min(0.55 * edge + moon, 1.0)
        rim = min(max((s * s * s * s + abs(t * t * t) - 0.72) * 3.5, 0.0), 1.0)
        for c in range(3):
            a[COLOUR + c] = (p[9 + c] + (0.8 - p[9 + c]) * pale) * (1 - 0.3 * rim)
        return NAIL, np.float32(0.75), np.float32(1 - 0.1 * rim), grain * 0
    return SKIN, p[TEXTURE + 6], _folds(along, side, up, palm, x, y, finger, lines, p, grain), grain


@numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _folds(along, side, up, palm, x, y, finger, lines, p, grain):
    """How much light the creases of joints and palm leave."""
    left = np.float32(1.0)
    if along > 0.1:
        wobble = 0.03 * grain + 0.012 * side
        front = min(max(-up * 1.6 + 0.1, 0.0), 1.0)
        back = min(max(up * 1.6 - 0.2, 0.0), 1.0)
        if finger > 0:
            left -= 0.28 * p[TEXTURE + 4] * front * _bump(along + wobble, 0.47, 0.035)
        left -= 0.3 * p[TEXTURE + 4] * front * (_bump(along + wobble, 1.0, 0.05) + _bump(along + wobble, 2.0, 0.05))
        for joint in range(1, 3):
            for fold in range(3):
                left -= 0.16 * p[TEXTURE + 3] * back * _bump(along + wobble, joint - 0.085 + 0.085 * fold, 0.032)
    if palm > 0.3:
        u, v = (x + 60) * 1.5, (y + 20) * 1.5
        i, j = int(u), int(v)
        if 0 <= i < lines.shape[1] - 1 and 0 <= j < lines.shape[0] - 1:
            fu, fv = u - i, v - j
            depth = ((lines[j, i] * (1 - fu) + lines[j, i + 1] * fu) * (1 - fv)
                     + (lines[j + 1, i] * (1 - fu) + lines[j + 1, i + 1] * fu) * fv)
            left -= 0.42 * p[TEXTURE + 4] * depth * min((palm - 0.3) * 2.5, 1.0)
    return max(left, np.float32(0.35))


@numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _shade(number, x, y, triangles, attributes, lines, p, maps, open_share, a):
    """Light from one sample towards the camera, added to a[LIGHT:]."""
    i, j, k = triangles[number, 0], triangles[number, 1], triangles[number, 2]
    x0, y0 = attributes[i, SCREEN], attributes[i, SCREEN + 1]
    ax, ay = attributes[j, SCREEN] - x0, attributes[j, SCREEN + 1] - y0
    bx, by = attributes[k, SCREEN] - x0, attributes[k, SCREEN + 1] - y0
    area = ax * by - bx * ay
    b1 = ((x - x0) * by - bx * (y - y0)) / area
    b2 = (ax * (y - y0) - (x - x0) * ay) / area
    w0, w1, w2 = (1 - b1 - b2) * attributes[i, NEAR], b1 * attributes[j, NEAR], b2 * attributes[k, NEAR]
    scale = 1 / (w0 + w1 + w2)  # weights that are right under perspective
    w0, w1, w2 = np.float32(w0 * scale), np.float32(w1 * scale), np.float32(w2 * scale)
    for c in range(NUM_ATTRIBUTES):
        a[c] = w0 * attributes[i, c] + w1 * attributes[j, c] + w2 * attributes[k, c]
    px, py, pz = a[PLACE], a[PLACE + 1], a[PLACE + 2]
    kind, gloss, left, grain = _material(a, int(attributes[i, FINGER]), lines, p)
    relief = 0.22 * p[TEXTURE + 5] * grain
    nx, ny, nz = a[0] + relief, a[1] - relief * 0.7, a[2] + relief * 0.5
    scale = 1 / math.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    nx, ny, nz = nx * scale, ny * scale, nz * scale
    away = 1 / math.sqrt(px * px + py * py + pz * pz)
    vx, vy, vz = -px * away, -py * away, -pz * away
    sky = 0.5 + 0.5 * (nx * p[ROOM] + ny * p[ROOM + 1] + nz * p[ROOM + 2])
    facing = max(nx * vx + ny * vy + nz * vz, 0.0)
    fresnel = (1 - facing) ** 4
    soft = kind == SKIN or kind == NAIL
    for c in range(3):
        ambient = (p[ROOM + 6 + c] + (p[ROOM + 3 + c] - p[ROOM + 6 + c]) * sky) * open_share * left
        if soft:  # dark places of skin stay red
            ambient *= 1 + (0.16, -0.04, -0.08)[c] * (1 - open_share)
        a[LIGHT + c] += a[COLOUR + c] * ambient + ambient * fresnel * gloss * 0.12
    shaded = min(max((a[REST + 1] + 65) / 30, 0.0), 1.0)  # the maps end on the forearm
    for n in range(len(maps)):
        at = LAMPS + LAMP * n
        lx, ly, lz = p[at], p[at + 1], p[at + 2]
        cosine = nx * lx + ny * ly + nz * lz
        if cosine < -0.35:
            continue
        share = 1 - shaded * (1 - lit(p, at + 6, maps, n, px + 1.6 * a[0], py + 1.6 * a[1], pz + 1.6 * a[2], 0.5))
        hx, hy, hz = lx + vx, ly + vy, lz + vz
        half = max((nx * hx + ny * hy + nz * hz) / math.sqrt(hx * hx + hy * hy + hz * hz + 1e-9), 0.0)
        if kind == METAL:
            shine = 1.6 * half**40 * gloss
        elif kind == NAIL:
            shine = 0.5 * half**60 + 0.05 * half**8
        elif kind == CLOTH:
            shine = 0.0
        else:
            shine = gloss * (0.12 * half**22 + 0.05 * half**6) * (0.9 + 0.8 * grain)
        shine *= (0.35 + fresnel) * share * (1 if cosine > 0 else 0)
        for c in range(3):
            wrap = _WRAP[c] if soft else 0.0
            diffuse = max((cosine + wrap) / (1 + wrap), 0.0)
            reach = share + (0.25 * wrap * share * (1 - share) * 4 if soft else 0.0)
            a[LIGHT + c] += p[at + 3 + c] * (a[COLOUR + c] * diffuse * reach * left * (0.6 + 0.4 * open_share) + shine)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def shade(number, nearest, triangles, attributes, lines, parameters, maps, occlusion, rgb):
    """Light per pixel.

    Args:
        number: int32 [2H, 2W], triangle per sample (see `raster.rasterise`).
        nearest: float32 [2H, 2W], 1 / mm.
        triangles: uint32 [T, 3].
        attributes: float32 [V, NUM_COLUMNS]: what is interpolated, then x and y in samples, 1 / depth, finger.
        lines: float32 [h, w], as in the template.
        parameters: float32 [P], see `pack`.
        maps: float32 [L, S, S] shadow maps.
        occlusion: float32 [H, W].
        rgb: float32 [H, W, 3], filled with linear light, the mean over the covered samples; 0 where none.
    """
    p, a = parameters, np.zeros(NUM_ATTRIBUTES + 6, np.float32)
    for row in range(rgb.shape[0]):
        for column in range(rgb.shape[1]):
            low, high, count = np.float32(1e30), np.float32(0), 0
            for s in range(4):
                r, c = 2 * row + (s >> 1), 2 * column + (s & 1)
                if number[r, c] >= 0:
                    count += 1
                    low, high = min(low, nearest[r, c]), max(high, nearest[r, c])
            if count == 0:
                continue
            once = 1 / low - 1 / high < _SAME_SURFACE_MM
            a[LIGHT] = a[LIGHT + 1] = a[LIGHT + 2] = 0
            used = 0
            for s in range(4):
                r, c = 2 * row + (s >> 1), 2 * column + (s & 1)
                if number[r, c] < 0:
                    continue
                _shade(number[r, c], np.float32(c), np.float32(r), triangles, attributes, lines, p, maps,
                       occlusion[row, column], a)
                used += 1
                if once:
                    break
            for c in range(3):
                rgb[row, column, c] = a[LIGHT + c] / used
