"""One hand as a layer of pixels: colour, coverage, depth, and where its joints are.

The camera's frame is x right, y down, z forward, millimetres; a point lands on the pixel
`focal_px * (x, y) / z + centre_px`, and (0, 0) is the centre of the top-left pixel.
"""

import math
from typing import NamedTuple

import numba
import numpy as np

from cpm_hand.rendering import bending, kinematics, poses, raster, shade, skin, surface
from cpm_hand.rendering.contacts import Held

_NEAR_MM = 40.0  # nothing is drawn nearer to the camera
_SHADOW_SIZE = 160
_ARM_MM, _ARM_ROOM, _VIEW_TRIES = 280.0, 0.5, 8  # views whose forearm hides the hand from close by are rare


class Camera(NamedTuple):
    """A pinhole camera with square pixels.

    Attributes:
        focal_px: focal length.
        centre_px: x, y where the optical axis meets the picture.
    """

    focal_px: float
    centre_px: tuple[float, float]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Camera-frame points [..., 3] mm to [..., 2] px.

        >>> Camera(100.0, (50.0, 40.0)).project(np.array([10.0, 20.0, 200.0])).tolist()
        [55.0, 50.0]
        """
        return self.focal_px * points[..., :2] / points[..., 2:] + self.centre_px


class Person(NamedTuple):
    """Whose hand: `kinematics.Shape` and `skin.Look`."""

    shape: kinematics.Shape
    look: skin.Look


class HandLayer(NamedTuple):
    """What `render_hand` gives.

    Attributes:
        rgb: float32 [H, W, 3], linear light, not multiplied by alpha; 0 where there is no hand.
        alpha: float32 [H, W], covered share of the pixel in steps of 1/4: the hand's whole silhouette.
        depth_mm: float32 [H, W], z of the nearest skin; inf where there is none.
        joints_mm: float64 [21, 3], camera's frame.
        keypoints: float64 [21, 2], px.
        half_widths_mm: float64 [21], about how far the skin lies from each joint.
        is_left: bool.
        pose_class: a key of `poses.WEIGHTS`.
        skin_tone: ITA class 1-6.
        held: what the fingers close around, in the camera's frame, or None. It is not drawn.
        person: to draw another picture of the same hand.
        lighting: to light other things alike.
    """

    rgb: np.ndarray
    alpha: np.ndarray
    depth_mm: np.ndarray
    joints_mm: np.ndarray
    keypoints: np.ndarray
    half_widths_mm: np.ndarray
    is_left: bool
    pose_class: str
    skin_tone: int
    held: Held | None
    person: Person
    lighting: skin.Lighting


def sample_camera(rng: np.random.Generator, size_wh: tuple[int, int]) -> Camera:
    """A camera whose longer side sees 22 to 75 degrees; its axis meets the middle of the picture."""
    angle = math.radians(rng.uniform(22, 75))
    return Camera(max(size_wh) / 2 / math.tan(angle / 2), ((size_wh[0] - 1) / 2, (size_wh[1] - 1) / 2))


def sample_view(rng: np.random.Generator) -> np.ndarray:
    """A rotation from the hand's frame to the camera's, uniform over all: float64 [3, 3]."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                     [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                     [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])


def place(joints: np.ndarray, camera: Camera, box_px: float, box_centre: tuple[float, float]) -> np.ndarray:
    """Where the hand must be so that the tight joint box has that longer side and centre.

    Args:
        joints: float [21, 3] mm, already turned into the camera's frame, anywhere.
        camera: the camera.
        box_px: longer side of the box over the projected joints.
        box_centre: its centre, px.

    Returns:
        float64 [3], to be added to the joints; the nearest joint stays at least 120 mm away.
    """
    middle = (joints.min(0) + joints.max(0)) / 2
    shift = -middle
    size = max(np.ptp(joints[:, 0]), np.ptp(joints[:, 1]), 30.0)
    shift[2] = camera.focal_px * size / box_px - middle[2]
    nearest = 120.0 - joints[:, 2].min()
    for _ in range(12):
        shift[2] = max(shift[2], nearest)
        box = camera.project(joints + shift)
        low, high = box.min(0), box.max(0)
        depth, ratio = shift[2] + middle[2], max((high - low).max(), 1.0) / box_px
        off = np.asarray(box_centre) - (low + high) / 2
        if abs(ratio - 1) < 2e-3 and np.abs(off).max() < 0.05:
            break
        shift[:2] += off * depth / camera.focal_px
        shift[2] += 0.9 * depth * (ratio - 1)
    shift[2] = max(shift[2], nearest)
    return shift


def render_hand(rng: np.random.Generator, camera: Camera, size_wh: tuple[int, int], *, box_px: float | None = None,
                box_centre: tuple[float, float] | None = None, is_left: bool | None = None,
                view: np.ndarray | None = None, pose_weights: dict[str, float] | None = None,
                person: Person | None = None, lighting: skin.Lighting | None = None) -> HandLayer:
    """Draw a hand; whatever is not given comes from the generator, and the layer depends on nothing else.

    Args:
        rng: where all chance comes from.
        camera: the camera.
        size_wh: width and height of the picture, px.
        box_px: longer side of the tight joint box; by default 35-90 % of the shorter side.
        box_centre: its centre, px; by default the picture's.
        is_left: which hand; the left one is the right one's mirror in 3D.
        view: float [3, 3], hand's frame to camera's; by default anything, uniformly.
        pose_weights: see `poses.sample_pose`.
        person: whose hand.
        lighting: the light.

    Raises:
        ValueError: a size, a box or a focal length that is not positive.
    """
    if min(size_wh) < 1 or camera.focal_px <= 0 or (box_px is not None and box_px <= 0):
        raise ValueError(f"a hand needs a picture, a focal length and a box of positive size, got size {size_wh}, "
                         f"focal_px={camera.focal_px}, box_px={box_px}.")
    left_draw, share = rng.random() < 0.5, rng.uniform(0.35, 0.9)
    is_left = bool(left_draw if is_left is None else is_left)
    box_px = share * min(size_wh) if box_px is None else box_px
    box_centre = ((size_wh[0] - 1) / 2, (size_wh[1] - 1) / 2) if box_centre is None else box_centre
    drawn_person = Person(kinematics.sample_shape(rng), skin.sample_look(rng))
    person = drawn_person if person is None else person
    drawn_light = skin.sample_lighting(rng)
    lighting = drawn_light if lighting is None else lighting
    sample = poses.sample_pose(rng, person.shape, pose_weights)

    joints, frames = kinematics.forward(person.shape, sample.pose)
    elbow = frames[0, :, :3] @ (0, -_ARM_MM, 0)
    for _ in range(_VIEW_TRIES):
        drawn_view = sample_view(rng) if view is None else np.asarray(view, np.float64)
        turn = drawn_view * ((-1.0 if is_left else 1.0), 1.0, 1.0)  # a left hand's x runs the other way
        shift = place(joints @ turn.T, camera, box_px, box_centre)
        if view is not None or (turn @ elbow + shift)[2] > _ARM_ROOM * shift[2]:
            break
    joints = joints @ turn.T
    joints += shift
    vertices = bending.bend_skin(person.shape, person.look, frames)
    vertices = np.ascontiguousarray(vertices @ np.float32(turn.T) + np.float32(shift))
    rgb, alpha, depth = _draw(vertices, camera, size_wh, person.look, lighting, is_left)
    held = sample.held and Held(sample.held.ends @ turn.T + shift, sample.held.radius)
    return HandLayer(rgb, alpha, depth, joints, camera.project(joints), person.shape.half_widths, is_left, sample.name,
                     person.look.tone, held, person, lighting)


@numba.njit(cache=True, nogil=True)
def _project(vertices, focal, centre_x, centre_y, points, near):
    """Fill points [V, 2] px and near [V], 1 / mm, NaN behind the near plane; returns left, top, right, bottom."""
    left = top = np.inf
    right = bottom = -np.inf
    for v in range(len(vertices)):
        if vertices[v, 2] > _NEAR_MM:
            near[v] = 1 / vertices[v, 2]
            x, y = focal * vertices[v, 0] * near[v] + centre_x, focal * vertices[v, 1] * near[v] + centre_y
            points[v, 0], points[v, 1] = x, y
            left, top, right, bottom = min(left, x), min(top, y), max(right, x), max(bottom, y)
        else:
            near[v] = points[v, 0] = points[v, 1] = np.nan
    return left, top, right, bottom


def _draw(vertices, camera, size_wh, look, lighting, is_left):
    """rgb, alpha and depth of `HandLayer`."""
    template = surface.template()
    width, height = size_wh
    rgb = np.zeros((height, width, 3), np.float32)
    alpha, depth = np.zeros((height, width), np.float32), np.full((height, width), np.inf, np.float32)
    points, near = np.empty((len(vertices), 2), np.float32), np.empty(len(vertices), np.float32)
    corners = np.array(_project(vertices, camera.focal_px, *camera.centre_px, points, near))
    low = np.clip(np.floor(corners[:2]) - 1, 0, (width, height)).astype(int)
    high = np.clip(np.ceil(corners[2:]) + 2, 0, (width, height)).astype(int)
    if (high <= low).any():
        return rgb, alpha, depth
    size = high - low
    points -= np.float32(low)
    points *= np.float32(2)  # sample s of a pixel lies at s / 2 - 1/4 from its centre
    points += np.float32(0.5)
    number, nearest = raster.rasterise(points, near, template.triangles, (2 * size[0], 2 * size[1]), clockwise=is_left)
    part = (slice(low[1], high[1]), slice(low[0], high[0]))
    part_depth, part_alpha = np.empty(size[::-1], np.float32), np.empty(size[::-1], np.float32)
    shade.gather(number, nearest, part_depth, part_alpha)
    scale = camera.focal_px / float(vertices[:, 2].mean())
    occlusion = raster.ambient_occlusion(part_depth, part_alpha > 0, scale)
    attributes = _attributes(template, vertices, look, is_left)
    attributes[:, shade.SCREEN:shade.NEAR], attributes[:, shade.NEAR] = points, near
    shadows = [raster.shadow_map(vertices, template.casters, direction.astype(np.float64), _SHADOW_SIZE,
                                 clockwise=is_left, frame_on=template.hand) for direction in lighting.directions]
    parameters = shade.pack(look, lighting, np.stack([matrix for matrix, _ in shadows]))
    part_rgb = np.zeros((*size[::-1], 3), np.float32)
    shade.shade(number, nearest, template.triangles, attributes, template.lines, parameters,
                np.stack([nearness for _, nearness in shadows]), occlusion, part_rgb)
    rgb[part], alpha[part] = part_rgb, part_alpha
    depth[part] = np.where(part_alpha > 0, part_depth, np.inf)
    return rgb, alpha, depth


def _attributes(template, vertices, look, is_left) -> np.ndarray:
    """The columns of `shade.shade`'s attributes, but for those of the screen: float32 [V, NUM_COLUMNS]."""
    normals = surface.vertex_normals(vertices, template.triangles)
    attributes = np.empty((len(vertices), shade.NUM_COLUMNS), np.float32)
    attributes[:, :3] = -normals if is_left else normals
    attributes[:, 3:10] = template.places
    skin.tints(template.rest, template.along, template.up, template.palm, look.offset,
               attributes[:, shade.RED:shade.PLACE])
    attributes[:, shade.PLACE:shade.SCREEN] = vertices
    attributes[:, shade.FINGER] = template.finger
    return attributes
