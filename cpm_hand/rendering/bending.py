"""From the template to a person's hand in a pose: scaled in the bones' frames, bent with them, dressed."""

import numba
import numpy as np

from cpm_hand.rendering import arms, kinematics, skin, surface

_THICK_FROM_MM = -250.0  # a sleeve that ends beyond, on the upper arm, is only painted


def bend_skin(template: surface.Template, shape: kinematics.Shape, look: skin.Look, frames: np.ndarray,
              elbow: arms.Elbow = arms.STRAIGHT) -> np.ndarray:
    """A person's skin in a pose.

    Args:
        template: the mesh, fine or coarse.
        shape: whose hand.
        look: for its sleeve or glove.
        frames: float64 [21, 3, 4] of the pose.
        elbow: of the arm.

    Returns:
        float32 [V, 3] mm, the hand's frame.
    """
    scales = _scales(shape)
    transforms = np.float32(surface.add_half_frames(frames)) * np.float32(scales)[:, None]
    vertices = np.empty_like(template.rest)
    _skin(template.local, template.owners, template.weights, transforms, vertices)
    arms.bend(vertices, template.rest, np.float32(frames[0, :, :3]), np.float32(scales[0, 1]), *elbow)
    cover = look.cover
    if cover[0] > _THICK_FROM_MM or cover[2] > 0:
        normals = surface.vertex_normals(vertices, template.triangles)
        _dress(vertices, normals, template.rest, cover, look.offset)
    return vertices


def arm_scale(shape: kinematics.Shape) -> float:
    """How much longer and thicker the person's arm is than the template's."""
    return float(shape.half_widths[0] / kinematics.mean_shape().half_widths[0])


def _scales(shape: kinematics.Shape) -> np.ndarray:
    """Per frame [41, 4]: how much wider, longer, deeper the person's part is than the template's, and 1."""
    mean = kinematics.mean_shape()
    lengths = np.append(1.0, shape.lengths[1:] / mean.lengths[1:])
    widths = shape.half_widths / mean.half_widths
    palm = np.linalg.norm(shape.bases[1] - shape.bases[4]) / np.linalg.norm(mean.bases[1] - mean.bases[4])
    lengths[0] = widths[0]  # as in `arm_scale`
    scales = np.ones((41, 4))
    for bone in range(21):
        across = 0.5 * (widths[bone] + widths[kinematics.PARENTS[bone]]) if bone else widths[0]
        if bone in (1, 5, 9, 13, 17):
            across = 0.5 * (across + palm)
        scales[bone, :3] = across, lengths[bone], across * shape.depth
    for bone in range(1, 21):
        scales[20 + bone] = 0.5 * (scales[bone] + scales[kinematics.PARENTS[bone]])
    return scales


@numba.njit(cache=True, nogil=True)
def _skin(local, owners, weights, m, vertices):
    for v in range(len(vertices)):
        x = y = z = np.float32(0)
        for k in range(owners.shape[1]):
            w = weights[v, k]
            if w > 0:
                f, a, b, c = owners[v, k], local[v, k, 0], local[v, k, 1], local[v, k, 2]
                x += w * (m[f, 0, 0] * a + m[f, 0, 1] * b + m[f, 0, 2] * c + m[f, 0, 3])
                y += w * (m[f, 1, 0] * a + m[f, 1, 1] * b + m[f, 1, 2] * c + m[f, 1, 3])
                z += w * (m[f, 2, 0] * a + m[f, 2, 1] * b + m[f, 2, 2] * c + m[f, 2, 3])
        vertices[v, 0], vertices[v, 1], vertices[v, 2] = x, y, z


@numba.njit(cache=True, nogil=True)
def _dress(vertices, normals, rest, cover, offset):
    """Push the skin out under a sleeve, with folds, and a little under a glove."""
    for v in range(len(vertices)):
        out = np.float32(0)
        if rest[v, 1] < cover[0]:
            folds = skin.noise((rest[v, 0] + offset[0] + 1000) * 0.05, (rest[v, 1] + offset[1] + 1000) * 0.09,
                               (rest[v, 2] + offset[2] + 1000) * 0.05)
            out = cover[1] * (0.5 + 1.3 * folds)
        elif cover[2] > 0 and rest[v, 1] > -35:
            out = np.float32(1.2)
        for k in range(3):
            vertices[v, k] += out * normals[v, k]
