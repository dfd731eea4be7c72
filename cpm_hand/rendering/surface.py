"""One smooth skin over the bones: a template mesh made once per process, then bent and scaled to a person's pose.

The template is the zero level of a smooth union of tapered rods and ellipsoids (`flesh`), found by surface nets on a
rectilinear grid (Gibson, "Constrained elastic surface nets", MICCAI 1998) and drawn onto the level by Newton steps.
Each vertex hangs on the bone frames with weights that have been diffused over the skin itself, so that they never leak
from finger to finger. A joint's own frame, half way between its two bones, keeps the volume where linear blending
alone would fold the skin like a tube.
"""

import functools
import math
from typing import NamedTuple

import numba
import numpy as np
import scipy.sparse

from cpm_hand.rendering import flesh, kinematics, palm_lines

REST = np.radians([38, 24, 66, 4, 6, *(0, 8, 2, 2), *(0, 1.5, 2, 2), *(0, -5, 2, 2), *(0, -12, 2, 2), 0, 0])
FINE_MM, COARSE_MM = 3.2, 4.2  # about the sides of the triangles; coarse ones for hands that are small in the picture
ARM_MM = 860.0  # how far the arm goes on behind the wrist
_CASTS_FROM_Y = -70.0
_WRIST_HALF = 0.55


class Template(NamedTuple):
    """The skin in the rest pose of the mean hand.

    Attributes:
        rest: float32 [V, 3] mm, positions in the hand's frame.
        triangles: uint32 [T, 3], anticlockwise seen from outside.
        local: float32 [V, K, 4], position (and 1) in each frame that the vertex hangs on.
        owners: uint16 [V, K] frames 0-20 of the bones, 21 + (joint - 1) of the half frames; weight 0 pads.
        weights: float32 [V, K], sums to 1.
        along: float32 [V], place along the finger: 0 its MCP (thumb: CMC), 1 the next joint, 3 the tip; the palm < 0.
        side: float32 [V], across the finger, in half-widths; positive towards the little finger.
        up: float32 [V], above the bone, in half-widths; positive on the nail's side.
        palm: float32 [V], 1 where the skin is a palm's, 0 where it is a back's.
        finger: int8 [V], 0 thumb to 4 little.
        places: float32 [V, 7], rest, along, side, up and palm side by side.
        hand: int64 [N], the vertices but for those of the forearm, which throws no shadow on the hand.
        casters: uint32 [M, 3], the triangles of those vertices.
        lines: float32 [h, w], depth of the palm's lines over x, y of the rest position (see `palm_lines`).
    """

    rest: np.ndarray
    triangles: np.ndarray
    local: np.ndarray
    owners: np.ndarray
    weights: np.ndarray
    along: np.ndarray
    side: np.ndarray
    up: np.ndarray
    palm: np.ndarray
    finger: np.ndarray
    places: np.ndarray
    hand: np.ndarray
    casters: np.ndarray
    lines: np.ndarray


@functools.cache
def template(cell_mm: float = FINE_MM) -> Template:
    """Make the skin from triangles of about that side; about a second, the same bytes every time."""
    shape = kinematics.mean_shape()
    joints, frames = kinematics.forward(shape, kinematics.Pose(REST))
    primitives = flesh.primitives(shape, joints, frames)
    rest, triangles = _extract(primitives, cell_mm)
    bones = _nearest_bones(rest, joints, shape)
    weights = _diffuse(rest, triangles, bones, (FINE_MM / cell_mm) ** 2)
    owners, weights = _with_half_frames(weights)
    all_frames = add_half_frames(frames)
    turned = all_frames[owners]  # [V, K, 3, 4]
    local = np.einsum("vkij,vki->vkj", turned[..., :3], rest[:, None] - turned[..., 3])
    local = np.concatenate([local, np.ones_like(local[..., :1])], -1)
    normals = vertex_normals(np.float32(rest), triangles)
    attributes = _finger_places(rest, normals, frames, shape)
    places = np.concatenate([np.float32(rest), np.stack(attributes[:4], 1)], 1)
    on_hand = rest[:, 1] > _CASTS_FROM_Y
    # Unsigned: compiled code then need not ask whether an index counts from the end.
    unsigned = triangles.astype(np.uint32)
    return Template(np.float32(rest), unsigned, np.float32(local), owners.astype(np.uint16), np.float32(weights),
                    *attributes, places, np.flatnonzero(on_hand), unsigned[on_hand[triangles].all(1)],
                    palm_lines.draw())


def _extract(primitives, cell_mm) -> tuple[np.ndarray, np.ndarray]:
    xs, zs = np.arange(-84, 72, cell_mm), np.arange(-72, 52, cell_mm)
    rings = round(36 * FINE_MM / cell_mm)
    ys = np.concatenate([[-ARM_MM - 60, -ARM_MM], -np.linspace(ARM_MM - 90, 380, 5),
                         -np.geomspace(350, 26, rings), np.arange(-23, 194, cell_mm)])
    values = flesh.sample_grid(primitives, xs, ys, zs)
    rest, triangles = _surface_nets(values, xs, ys, zs)
    neighbours = _adjacency(len(rest), triangles)
    for _ in range(4):  # even out the triangles, then back onto the level
        rest = rest + 0.5 * (neighbours @ rest - rest)
        for _ in range(2):
            value, gradient = flesh.value_and_gradient(primitives, rest)
            step = value / np.maximum((gradient**2).sum(1), 0.05)
            rest = rest - np.clip(step, -1.5, 1.5)[:, None] * gradient
    return rest, triangles


def _surface_nets(values, xs, ys, zs) -> tuple[np.ndarray, np.ndarray]:
    """Vertices in the cells that the level crosses, quads (two triangles) across the edges that it crosses."""
    inside = values < 0
    shape = np.array(values.shape) - 1
    total, count = np.zeros((*shape, 3)), np.zeros(shape)
    axes = (xs, ys, zs)
    quads = []
    for axis in range(3):
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        a, b = values[tuple(low)], values[tuple(high)]
        where = np.argwhere(inside[tuple(low)] != inside[tuple(high)])
        va, vb = a[tuple(where.T)], b[tuple(where.T)]
        point = np.stack([axes[k][where[:, k]] for k in range(3)], 1)
        point[:, axis] += va / (va - vb) * (axes[axis][where[:, axis] + 1] - axes[axis][where[:, axis]])
        u, v = (axis + 1) % 3, (axis + 2) % 3
        corners = []
        for du, dv in ((0, 0), (-1, 0), (-1, -1), (0, -1)):
            cell = where.copy()
            cell[:, u] += du
            cell[:, v] += dv
            np.add.at(total, tuple(cell.T), point)
            np.add.at(count, tuple(cell.T), 1)
            corners.append(cell)
        flip = (va > 0)[:, None, None]
        quad = np.stack(corners, 1)
        quads.append(np.where(flip, quad[:, ::-1], quad))
    quads = np.concatenate(quads)
    index = np.full(shape, -1)
    used = np.argwhere(count > 0)
    index[tuple(used.T)] = np.arange(len(used))
    rest = total[tuple(used.T)] / count[tuple(used.T)][:, None]
    corner = index[tuple(np.moveaxis(quads, -1, 0))]  # [Q, 4]
    return rest, np.int32(np.concatenate([corner[:, [0, 1, 2]], corner[:, [0, 2, 3]]]))


def _adjacency(num, triangles) -> scipy.sparse.csr_matrix:
    """Mean over the neighbours of each vertex."""
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    pairs = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)
    matrix = scipy.sparse.csr_matrix((np.ones(len(pairs)), pairs.T), (num, num))
    return scipy.sparse.diags(1 / np.asarray(matrix.sum(1)).ravel()) @ matrix


def _nearest_bones(rest, joints, shape) -> np.ndarray:
    """Index of the bone whose flesh each vertex is."""
    distance = np.full((len(rest), 21), np.inf)
    for bone in range(21):
        a, b = (joints[kinematics.PARENTS[bone]], joints[bone]) if bone else (np.array([0, -ARM_MM, 0]), joints[0])
        width = shape.half_widths[bone] if bone else 24
        if bone in (5, 9, 13, 17, 1):
            width = 11.0
        t = np.clip(((rest - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
        distance[:, bone] = np.linalg.norm(rest - a - t[:, None] * (b - a), axis=1) - width
    return distance.argmin(1)


def _diffuse(rest, triangles, bones, pace) -> np.ndarray:
    """Weights [V, 21]: the nearest bones' labels, spread over the skin; further on the palm than on fingers.

    A step reaches as far as the triangles are long; `pace` times the steps make up for it.
    """
    neighbours = _adjacency(len(rest), triangles)
    weights = np.eye(21)[bones]
    palm = np.isin(bones, (0, 1, 2, 5, 9, 13, 17)).astype(float)
    for _ in range(round(6 * pace)):
        palm = 0.5 * palm + 0.5 * (neighbours @ palm)
    for step in range(round(34 * pace)):
        rate = (0.55 if step < 9 * pace else 0.6 * np.clip(2 * palm - 0.6, 0, 1)[:, None])
        weights += rate * (neighbours @ weights - weights)
    return weights / weights.sum(1, keepdims=True)


def _with_half_frames(weights) -> tuple[np.ndarray, np.ndarray]:
    """Move what two joined bones share to the frame of their joint; keep the six largest weights."""
    wide = np.concatenate([weights, np.zeros((len(weights), 20))], 1)
    for child in range(1, 21):
        parent = kinematics.PARENTS[child]
        shared = np.minimum(wide[:, child], wide[:, parent])
        if parent == 0:  # at the wrist all of it would stand out as a bump
            shared = _WRIST_HALF * shared
        wide[:, 20 + child] = 2 * shared
        wide[:, child] -= shared
        wide[:, parent] -= shared
    owners = np.argsort(-wide, axis=1, kind="stable")[:, :6]
    kept = np.take_along_axis(wide, owners, 1)
    return np.int16(owners), kept / kept.sum(1, keepdims=True)


def add_half_frames(frames: np.ndarray) -> np.ndarray:
    """Bone frames [21, 3, 4] and, after them, one per joint half way between its bones: [41, 3, 4].

    Half frame 20 + k sits at the inner joint of bone k, turned half way between bone k and the bone before it.
    """
    before, after = frames[kinematics.PARENTS[1:], :, :3], frames[1:, :, :3]
    halves = np.empty((20, 3, 4))
    halves[:, :, :3] = before @ _half_turns(before.transpose(0, 2, 1) @ after)
    halves[:, :, 3] = frames[1:, :, 3]
    return np.concatenate([frames, halves])


def _half_turns(turns: np.ndarray) -> np.ndarray:
    """Rotations [N, 3, 3] by half the angle, about the same axes; through quaternions, whose half is q + 1."""
    w = 0.5 * np.sqrt(np.maximum(1 + np.trace(turns, axis1=1, axis2=2), 1e-12))
    quaternions = np.empty((len(turns), 4))
    quaternions[:, 0] = w + 1
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        quaternions[:, 1 + k] = (turns[:, j, i] - turns[:, i, j]) / (4 * w)
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    return kinematics.rotations(quaternions)


def _finger_places(rest, normals, frames, shape):
    """Attributes along, side, up, palm, finger of `Template`."""
    best = np.full(len(rest), np.inf)
    along, side, up = np.zeros(len(rest)), np.zeros(len(rest)), np.zeros(len(rest))
    facing, finger_of = np.zeros(len(rest)), np.zeros(len(rest), np.int8)
    for finger in range(5):
        for part in range(4):
            bone = 1 + 4 * finger + part
            local = (rest - frames[bone, :, 3]) @ frames[bone, :, :3]
            t = local[:, 1] / shape.lengths[bone]
            width = shape.half_widths[bone] * np.clip(t, 0, 1) + shape.half_widths[
                kinematics.PARENTS[bone] or bone] * np.clip(1 - t, 0, 1)
            beyond = local[:, 1] - np.clip(local[:, 1], 0, shape.lengths[bone])
            distance = np.sqrt(local[:, 0]**2 + local[:, 2]**2 + beyond**2) - width
            better = distance < best
            best = np.where(better, distance, best)
            along = np.where(better, part - 1 + (t if part == 3 else np.clip(t, 0, 1)), along)
            side = np.where(better, local[:, 0] / width, side)
            up = np.where(better, local[:, 2] / width, up)
            facing = np.where(better, normals @ frames[bone, :, 2], facing)
            finger_of = np.where(better, finger, finger_of).astype(np.int8)
    palm = np.clip(0.42 - 0.85 * facing, 0, 1) * np.clip((rest[:, 1] + 12) / 14, 0, 1)
    return np.float32(along), np.float32(side), np.float32(up), np.float32(palm), finger_of


def vertex_normals(positions: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Smooth unit normals: float32 [V, 3] from positions float32 [V, 3] and triangles uint32 [T, 3]."""
    normals = np.zeros_like(positions)
    _add_normals(positions, triangles, normals)
    return normals


@numba.njit(cache=True, nogil=True)
def _add_normals(positions, triangles, normals):
    for t in range(len(triangles)):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x, y, z = positions[i, 0], positions[i, 1], positions[i, 2]
        ax, ay, az = positions[j, 0] - x, positions[j, 1] - y, positions[j, 2] - z
        bx, by, bz = positions[k, 0] - x, positions[k, 1] - y, positions[k, 2] - z
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        normals[i, 0] += nx
        normals[i, 1] += ny
        normals[i, 2] += nz
        normals[j, 0] += nx
        normals[j, 1] += ny
        normals[j, 2] += nz
        normals[k, 0] += nx
        normals[k, 1] += ny
        normals[k, 2] += nz
    for v in range(len(normals)):
        scale = np.float32(1) / (math.sqrt(normals[v, 0]**2 + normals[v, 1]**2 + normals[v, 2]**2) + np.float32(1e-12))
        for axis in range(3):
            normals[v, axis] *= scale
