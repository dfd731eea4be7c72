"""One hand as a layer of pixels: colour, coverage, depth, and where its joints are.

The camera's frame is x right, y down, z forward, millimetres; a point lands on the pixel
`focal_px * (x, y) / z + centre_px`, and (0, 0) is the centre of the top-left pixel.
"""

import math
from typing import NamedTuple

import numba
import numpy as np

from cpm_hand.rendering import arms, bending, kinematics, poses, raster, shade, skin, surface
from cpm_hand.rendering.contacts import Held

_SHADOW_SIZE = {surface.FINE_MM: 160, surface.COARSE_MM: 112}  # side of the shadow maps, by the triangles' size
_COARSE_PX_PER_MM = 1.1  # where the hand is smaller, coarse triangles do
_VIEW_TRIES = 8  # so that views whose forearm hides the hand from close by are rare


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
    """A rotation from the hand's frame to the camera's, uniform over all: float64 [3, 3].

    `render_hand` draws again where the forearm would hide the hand, so that the camera sees the back of 21 %, the palm
    of 29 % and the edge of half of all hands, and fingers that point away from it are rarer than those towards it.
    """
    quaternion = rng.normal(size=4)
    return kinematics.rotations(quaternion / np.linalg.norm(quaternion))


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
    shift = np.empty(3)
    _place(np.ascontiguousarray(joints), camera.focal_px, np.array(camera.centre_px, np.float64), float(box_px),
           np.array(box_centre, np.float64), shift)
    return shift


@numba.njit(cache=True, nogil=True)
def _place(joints, focal, axis, box_px, box_centre, shift):
    """`place` into shift [3]: proportional steps towards the box, which perspective bends a little."""
    low, high = np.empty(3), np.empty(3)
    for k in range(3):
        low[k], high[k] = joints[:, k].min(), joints[:, k].max()
        shift[k] = -0.5 * (low[k] + high[k])
    middle, nearest = -shift[2], 120.0 - low[2]
    shift[2] = max(focal * max(high[0] - low[0], high[1] - low[1], 30.0) / box_px - middle, nearest)
    for _ in range(24):
        shift[2] = max(shift[2], nearest)
        for k in range(2):
            low[k], high[k] = np.inf, -np.inf
            for j in range(21):
                place = focal * (joints[j, k] + shift[k]) / (joints[j, 2] + shift[2]) + axis[k]
                low[k], high[k] = min(low[k], place), max(high[k], place)
        depth, ratio = shift[2] + middle, max(high[0] - low[0], high[1] - low[1], 1.0) / box_px
        off_x, off_y = box_centre[0] - 0.5 * (low[0] + high[0]), box_centre[1] - 0.5 * (low[1] + high[1])
        if abs(ratio - 1) < 2e-3 and max(abs(off_x), abs(off_y)) < 0.05:
            break
        shift[0] += off_x * depth / focal
        shift[1] += off_y * depth / focal
        shift[2] = max(shift[2] + 0.9 * depth * (ratio - 1), nearest)


def render_hand(rng: np.random.Generator, camera: Camera, size_wh: tuple[int, int], *, box_px: float | None = None,
                box_centre: tuple[float, float] | None = None, is_left: bool | None = None,
                view: np.ndarray | None = None, pose_weights: dict[str, float] | None = None,
                tone_weights: tuple[float, ...] = skin.TONE_WEIGHTS, person: Person | None = None,
                lighting: skin.Lighting | None = None) -> HandLayer:
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
        tone_weights: see `skin.sample_look`.
        person: whose hand.
        lighting: the light.

    Raises:
        ValueError: a size, a box or a focal length that is not positive, or weights that cannot be.
    """
    if min(size_wh) < 1 or camera.focal_px <= 0 or (box_px is not None and box_px <= 0):
        raise ValueError(f"a hand needs a picture, a focal length and a box of positive size, got size {size_wh}, "
                         f"focal_px={camera.focal_px}, box_px={box_px}.")
    left_draw, share = rng.random() < 0.5, rng.uniform(0.35, 0.9)
    is_left = bool(left_draw if is_left is None else is_left)
    box_px = share * min(size_wh) if box_px is None else box_px
    box_centre = ((size_wh[0] - 1) / 2, (size_wh[1] - 1) / 2) if box_centre is None else box_centre
    drawn_person = Person(kinematics.sample_shape(rng), skin.sample_look(rng, tone_weights))
    person = drawn_person if person is None else person
    drawn_light = skin.sample_lighting(rng)
    lighting = drawn_light if lighting is None else lighting
    sample = poses.sample_pose(rng, person.shape, pose_weights)

    joints, frames = kinematics.forward(person.shape, sample.pose)
    forearm, box, axis = frames[0, :, :3], np.array([box_px, *box_centre], np.float64), np.float64(camera.centre_px)
    for _ in range(_VIEW_TRIES):
        drawn_view = sample_view(rng) if view is None else np.asarray(view, np.float64)
        turn = drawn_view * ((-1.0 if is_left else 1.0), 1.0, 1.0)  # a left hand's x runs the other way
        shift = place(joints @ turn.T, camera, box_px, box_centre)
        if view is not None or not arms.hides(turn @ forearm, shift, camera.focal_px, axis, box):
            break
    elbow = arms.sample_elbow(rng, turn @ forearm, shift, bending.arm_scale(person.shape), camera.focal_px, axis,
                              np.float64(size_wh), box)
    joints = joints @ turn.T
    joints += shift
    is_small = camera.focal_px / joints[:, 2].mean() < _COARSE_PX_PER_MM
    cell_mm = surface.COARSE_MM if is_small else surface.FINE_MM
    template = surface.template(cell_mm)
    vertices = bending.bend_skin(template, person.shape, person.look, frames, elbow)
    vertices = np.ascontiguousarray(vertices @ np.float32(turn.T) + np.float32(shift))
    rgb, alpha, depth = _draw(template, vertices, camera, size_wh, person.look, lighting, is_left,
                              _SHADOW_SIZE[cell_mm])
    held = sample.held and Held(sample.held.ends @ turn.T + shift, sample.held.radius)
    return HandLayer(rgb, alpha, depth, joints, camera.project(joints), person.shape.half_widths, is_left, sample.name,
                     person.look.tone, held, person, lighting)


@numba.njit(cache=True, nogil=True)
def _project(vertices, focal, centre_x, centre_y, points, near):
    """Fill points [V, 2] px and near [V], 1 / mm, NaN behind the near plane; returns left, top, right, bottom."""
    left = top = np.inf
    right = bottom = -np.inf
    for v in range(len(vertices)):
        if vertices[v, 2] > arms.NEAR_MM:
            near[v] = 1 / vertices[v, 2]
            x, y = focal * vertices[v, 0] * near[v] + centre_x, focal * vertices[v, 1] * near[v] + centre_y
            points[v, 0], points[v, 1] = x, y
            left, top, right, bottom = min(left, x), min(top, y), max(right, x), max(bottom, y)
        else:
            near[v] = points[v, 0] = points[v, 1] = np.nan
    return left, top, right, bottom


def _draw(template, vertices, camera, size_wh, look, lighting, is_left, shadow_size):
    """rgb, alpha and depth of `HandLayer`."""
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
    points = 2 * (points - np.float32(low)) + np.float32(0.5)  # sample s of a pixel lies at s / 2 - 1/4 from its centre
    number, nearest = raster.rasterise(points, near, template.triangles, (2 * size[0], 2 * size[1]), clockwise=is_left)
    part = (slice(low[1], high[1]), slice(low[0], high[0]))
    part_depth, part_alpha = np.empty(size[::-1], np.float32), np.empty(size[::-1], np.float32)
    shade.gather(number, nearest, part_depth, part_alpha)
    scale = camera.focal_px / float(vertices[template.hand, 2].mean())
    occlusion = raster.ambient_occlusion(part_depth, part_alpha > 0, scale)
    attributes = _attributes(template, vertices, look, is_left)
    attributes[:, shade.SCREEN:shade.NEAR], attributes[:, shade.NEAR] = points, near
    shadows = [raster.shadow_map(vertices, template.casters, direction.astype(np.float64), shadow_size,
                                 clockwise=is_left, frame_on=template.hand) for direction in lighting.directions]
    parameters = shade.pack(look, lighting, np.stack([matrix for matrix, _ in shadows]), scale)
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
