"""One labelled picture: background, hand, what is held or in front, and the camera's faults."""

import functools
import math
from typing import NamedTuple

import cv2
import numba
import numpy as np

from cpm_hand import geometry, images
from cpm_hand.rendering import backgrounds, hands, poses, sensor, skin, thermal, things

LOOKS = ("colour", "thermal")  # the cameras there are


class Options(NamedTuple):
    """What all scenes of a set have in common.

    Attributes:
        size: width and height, px.
        hand_px: least and most of the tight joint box's longer side, px; None is 35-90 % of the shorter side.
        empty_share: share of scenes without a hand.
        cut_share: share of hands that the border may cut off, with up to half of their joints.
        backgrounds: folder of pictures to stand behind the hands; None paints them.
        depth: keep the hand's depth.
        mask: keep its silhouette.
        realism: strength of the camera's faults; 0 is a perfect camera.
        pose_weights: relative share of each class of poses, see `poses.WEIGHTS`.
        tone_weights: relative shares of the six classes of skin, very light to dark.
        second_share: share of scenes with another hand, which is not labelled.
        look: one of `LOOKS`; the scenes and their labels are the same in all of them.
    """

    size: tuple[int, int] = (368, 368)
    hand_px: tuple[float, float] | None = None
    empty_share: float = 0.0
    cut_share: float = 0.1
    backgrounds: str | None = None
    depth: bool = False
    mask: bool = False
    realism: float = 1.0
    pose_weights: dict[str, float] = poses.WEIGHTS
    tone_weights: tuple[float, ...] = skin.TONE_WEIGHTS
    second_share: float = 0.13
    look: str = LOOKS[0]


class Picture(NamedTuple):
    """A rendered picture with its truth.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        label: what goes into the JSON file; `hand_pts` [[x, y, 1], …] in px, or `has_hand` False.
        jpeg_quality: to store it with.
        depth_mm: uint16 [H, W], 0 where there is no hand; None unless asked for.
        mask: uint8 [H, W], 255 the visible hand, 128 hidden behind something; None unless asked for.
    """

    image: np.ndarray
    label: dict
    jpeg_quality: int
    depth_mm: np.ndarray | None
    mask: np.ndarray | None


IN_FRONT = 0.5      # share of second hands that lie before the labelled one
COVERS = 0.35       # the most of the labelled hand that another one may cover
HELD = 0.75         # share of gripping hands that hold something one can see
NEAR_THING = 0.12   # share of other hands with something before or behind them
OCCLUDER = 0.06     # share of scenes with something before everything


def check(options: Options) -> None:
    """Refuse impossible scenes.

    Raises:
        ValueError: a size, range, share or look that cannot be, or a folder of backgrounds without pictures.
    """
    width, height = options.size
    if not (32 <= min(width, height) and max(width, height) <= 8192):
        raise ValueError(f"--size={width}x{height}: sides must be 32 to 8192 px.")
    if options.hand_px is not None:
        least, most = options.hand_px
        if not 8 <= least <= most <= 4 * max(width, height):
            raise ValueError(f"--hand_px={least:g},{most:g}: expected MIN,MAX with 8 <= MIN <= MAX <= "
                             f"{4 * max(width, height)}, four times the picture's longer side, in px.")
    for name in ("empty_share", "cut_share", "second_share"):
        if not 0 <= getattr(options, name) <= 1:
            raise ValueError(f"--{name} must be between 0 and 1, got {getattr(options, name)}.")
    if options.look not in LOOKS:
        raise ValueError(f"--look={options.look}: expected {' or '.join(LOOKS)}.")
    if not (math.isfinite(options.realism) and options.realism >= 0):
        raise ValueError(f"realism must be 0 or more, got {options.realism}.")
    poses.class_shares(options.pose_weights)
    skin.tone_shares(options.tone_weights)
    if options.backgrounds is not None:
        _folder(options.backgrounds)


@functools.lru_cache(maxsize=4)
def _folder(path: str) -> list[str]:
    try:
        return backgrounds.from_folder(path)
    except ValueError as error:  # one kind for all that can be wrong with it, which also comes out of other processes
        raise images.BadImage(str(error)) from None


def render(seed: int, number: int, options: Options) -> Picture:
    """Picture `number` of the set of that seed: a pure function of the two and the options."""
    cv2.setNumThreads(1)  # a worker per core already; OpenCV's own threads only spin beside them
    rng = np.random.default_rng([seed, number])
    width, height = options.size
    image = _behind(rng, options)
    quality = sensor.jpeg_quality(rng)
    if rng.random() < options.empty_share:
        if rng.random() < 0.3:
            things.paste(image, things.occluder(rng, width, height))
        return Picture(_expose(rng, image, options), {"has_hand": False}, quality,
                       *_layers(options, np.full((height, width), np.inf), np.zeros((height, width)), None))
    camera = hands.sample_camera(rng, options.size)
    layer = hands.render_hand(rng, camera, options.size, pose_weights=options.pose_weights,
                              tone_weights=options.tone_weights, **_placed(rng, options))
    other = _second(rng, layer, camera, options) if rng.random() < options.second_share else None
    in_front = other is not None and rng.random() < IN_FRONT and _covered(layer.alpha, other.alpha) < COVERS
    if other is not None and not in_front:
        _composite(image, other.rgb, other.alpha, _srgb_table())
    _under_light(image, layer)
    around = _things(rng, layer, camera, options.size)
    for thing, before in around:
        if before is not None:
            things.paste(image, thing)
    _composite(image, layer.rgb, layer.alpha, _srgb_table())
    cover = np.zeros((height, width), np.float32)
    for thing, before in around:
        if before is None or before.any():
            things.paste(image, thing, before)
            _add_cover(cover, thing, before)
    if in_front:
        _under_light(image, other)
        _composite(image, other.rgb, other.alpha, _srgb_table())
        np.maximum(cover, other.alpha, out=cover)
    seen = _seen(layer, other, cover, around, in_front) if options.look == "thermal" else []
    image = _expose(rng, image, options, seen, camera)
    return Picture(image, _label(layer, camera, cover), quality,
                   *_layers(options, layer.depth_mm, layer.alpha, cover))


def _expose(rng, image: np.ndarray, options: Options, seen=(), camera=None) -> np.ndarray:
    """Take the picture: the last draws of a scene, so that all looks have the same labels."""
    if options.look == "thermal":
        return thermal.expose(rng, image, seen, camera, options.realism)
    return sensor.expose(rng, image, options.realism)


def _seen(layer: hands.HandLayer, other, cover: np.ndarray, around: list[tuple], in_front: bool) -> list[tuple]:
    """The hands in the picture, each with the share of every pixel in which nothing hides it: float32 [H, W]."""
    seen = [(layer, layer.alpha * (1 - cover))]
    if other is not None and in_front:
        seen.append((other, other.alpha))
    elif other is not None:
        above = layer.alpha.copy()
        for thing, _ in around:  # those behind the labelled hand lie on this one as well
            _add_cover(above, thing)
        seen.append((other, other.alpha * (1 - above)))
    return seen


def _second(rng, layer: hands.HandLayer, camera: hands.Camera, options: Options) -> hands.HandLayer | None:
    """Another hand near the labelled one and in its light, mostly the same person's other hand.

    Which of the two is labelled must not be a riddle: this one is at most 0.8 times as large, and its centre lies
    farther from the middle of the picture. None where that cannot be had.
    """
    middle, size = (np.array(options.size) - 1) / 2, np.array(options.size)
    centre, side = _box(layer)
    box = side * rng.uniform(0.4, 0.8)
    angle, reach = rng.uniform(0, 2 * math.pi), rng.uniform(0.3, 0.8) * (box + side)
    step = reach * np.array([math.cos(angle), math.sin(angle)])
    if step @ (centre - middle) < 0:
        step = -step
    own, wanted = rng.random() < 0.7, np.clip(centre + step, -0.15 * size, 1.15 * size)
    other = hands.render_hand(rng, camera, options.size, box_px=box, box_centre=(float(wanted[0]), float(wanted[1])),
                              pose_weights=options.pose_weights, tone_weights=options.tone_weights,
                              person=layer.person if own else None, is_left=not layer.is_left if own else None,
                              lighting=layer.lighting)
    other_centre, other_side = _box(other)
    # Far from a wide camera's axis a hand may come out larger than asked for, or elsewhere.
    fits = other_side < 0.82 * side and np.hypot(*(other_centre - middle)) > np.hypot(*(centre - middle)) - 1
    return other if fits else None


def _box(layer: hands.HandLayer) -> tuple[np.ndarray, float]:
    """Centre and longer side of the tight joint box, px."""
    low, high = layer.keypoints.min(0), layer.keypoints.max(0)
    return (low + high) / 2, float((high - low).max())


def _covered(below: np.ndarray, above: np.ndarray) -> float:
    """Share of one silhouette that lies under another."""
    return float(((below > 0.5) & (above > 0.5)).sum() / max((below > 0.5).sum(), 1))


def _behind(rng, options: Options) -> np.ndarray:
    width, height = options.size
    if options.backgrounds is None:
        return backgrounds.background(rng, width, height)
    paths = _folder(options.backgrounds)
    return backgrounds.crop_of(rng, backgrounds.read_once(paths[int(rng.integers(len(paths)))]), width, height)


def _placed(rng, options: Options) -> dict:
    """Size and place of the tight joint box: inside the picture, or with its centre near the border."""
    size = np.array(options.size, float)
    least, most = options.hand_px or (0.35 * size.min(), 0.9 * size.min())
    box = rng.uniform(least, most)
    room = np.maximum(size - 1.06 * box, 0) / 2
    if rng.random() < options.cut_share:
        room = np.maximum(size / 2 - 0.15 * box, room)
    centre = (size - 1) / 2 + rng.uniform(-1, 1, 2) * room
    return {"box_px": float(box), "box_centre": (float(centre[0]), float(centre[1]))}


def _under_light(image: np.ndarray, layer: hands.HandLayer) -> None:
    """A soft dark edge behind the hand, in place: what is near it lies a little in its shade."""
    height, width = layer.alpha.shape
    small = cv2.resize(layer.alpha, (max(width // 4, 1), max(height // 4, 1)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(height / 240, 0.5))
    _darken(image, cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


@numba.njit(cache=True, nogil=True)
def _darken(image, shade):
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            left = np.float32(1) - np.float32(0.25) * shade[row, column]
            if left < 1:
                for c in range(3):
                    image[row, column, c] = np.uint8(image[row, column, c] * left)


def _things(rng, layer: hands.HandLayer, camera: hands.Camera, size) -> list[tuple[things.Layer, np.ndarray | None]]:
    """What is held (through the fist or on the palm's side), beside the hand, or before everything.

    Returns:
        Each thing, and where it lies before the hand: uint8 [H, W], 255 or 0; None is before all of it.
    """
    width, height = size
    found = []
    if layer.held is not None and rng.random() < HELD:
        ends = layer.held.ends
        if (ends[:, 2] > 60).all():
            start, end = camera.project(ends)
            thick = 2 * layer.held.radius * camera.focal_px / ends[:, 2].mean()
            held = things.hold(rng, start, end, width, height, thickness=float(max(thick, 3.0)))
            found.append((held, _before(layer, camera)))
    elif rng.random() < NEAR_THING:
        one, other = layer.keypoints[rng.choice([4, 8, 12])], layer.keypoints[rng.choice([0, 5, 17])]
        away = (one - other) * rng.uniform(0.3, 1.2)
        before = None if rng.random() < 0.4 else np.zeros((height, width), np.uint8)
        found.append((things.hold(rng, other + 0.2 * away, one + away, width, height), before))
    if rng.random() < OCCLUDER:
        found.append((things.occluder(rng, width, height), None))
    return found


def _before(layer: hands.HandLayer, camera: hands.Camera) -> np.ndarray:
    """Where the rod that the fingers close around is nearer to the camera than the hand: uint8 [H, W], 255 or 0.

    So the palm lies behind what is held and the fingers before it, or the other way round. What is painted along the
    rod may be thicker than it: beyond its silhouette the rod is taken to be as near as where a ray comes closest.
    """
    height, width = layer.alpha.shape
    (start, end), radius = layer.held.ends, layer.held.radius
    axis = (end - start) / max(np.linalg.norm(end - start), 1e-9)  # of a ball 0, which the same formula is right for
    x, y = np.meshgrid((np.arange(width) - camera.centre_px[0]) / camera.focal_px,
                       (np.arange(height) - camera.centre_px[1]) / camera.focal_px)
    # A point of the ray (x, y, 1) * depth on an endless cylinder: a depth^2 - 2 b depth + c = 0.
    along = x * axis[0] + y * axis[1] + axis[2]
    a = x * x + y * y + 1 - along * along
    b = x * start[0] + y * start[1] + start[2] - along * (start @ axis)
    c = start @ start - (start @ axis) ** 2 - radius * radius
    depth = (b - np.sqrt(np.maximum(b * b - a * c, 0))) / np.maximum(a, 1e-9)
    depth = np.clip(depth, min(start[2], end[2]) - radius, max(start[2], end[2]) + radius)
    return np.where((layer.alpha > 0) & (depth < layer.depth_mm), np.uint8(255), np.uint8(0))


@functools.cache
def _srgb_table() -> np.ndarray:
    """sRGB values 0 .. 255 of linear light 0 .. 1 in steps of its square root, which suits the dark: float32 [2049]."""
    return np.float32(255 * sensor.to_srgb(np.linspace(0, 1, 2049) ** 2))


@numba.njit(cache=True, nogil=True)
def _composite(image, rgb, alpha, table):
    """Linear light with coverage over sRGB, in place."""
    steps, one, half = np.float32(len(table) - 1), np.float32(1), np.float32(0.5)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            share = alpha[row, column]
            if share > 0:
                for c in range(3):
                    light = math.sqrt(min(max(rgb[row, column, c], np.float32(0)), one))
                    value = table[np.uint32(light * steps + half)]
                    image[row, column, c] = np.uint8(image[row, column, c] * (one - share) + value * share + half)


def _add_cover(cover: np.ndarray, thing: things.Layer, where: np.ndarray | None = None) -> None:
    height, width = thing.alpha.shape
    window = slice(thing.y, thing.y + height), slice(thing.x, thing.x + width)
    share = thing.alpha / np.float32(255)
    np.maximum(cover[window], share if where is None else share * (where[window] > 0), out=cover[window])


def _label(layer: hands.HandLayer, camera: hands.Camera, cover: np.ndarray) -> dict:
    """CMU's keys, and more: 3D joints, camera, occlusion, pose class, skin tone."""
    height, width = cover.shape
    cell = np.round(layer.keypoints).astype(int)
    inside = geometry.inside(layer.keypoints, width, height)
    x, y = np.clip(cell[:, 0], 0, width - 1), np.clip(cell[:, 1], 0, height - 1)
    # A joint lies inside the flesh: it is hidden where the nearest skin is clearly nearer than its own.
    nearer = layer.joints_mm[:, 2] - layer.depth_mm[y, x] > 2.2 * layer.half_widths_mm + 4
    occluded = inside & (nearer | (cover[y, x] > 0.5))
    return {
        "hand_pts": [[round(float(px), 4), round(float(py), 4), 1.0] for px, py in layer.keypoints],
        "is_left": int(layer.is_left), "has_hand": True,
        "joints_mm": [[round(float(value), 6) for value in joint] for joint in layer.joints_mm],
        "camera": [[camera.focal_px, 0, camera.centre_px[0]], [0, camera.focal_px, camera.centre_px[1]], [0, 0, 1]],
        "occluded": [bool(value) for value in occluded],
        "pose_class": layer.pose_class, "skin_tone": int(layer.skin_tone)}


def _layers(options: Options, depth_mm: np.ndarray, alpha: np.ndarray, cover) -> tuple:
    depth = mask = None
    if options.depth:
        depth = np.where(np.isfinite(depth_mm), np.clip(np.round(depth_mm), 1, 65535), 0).astype(np.uint16)
    if options.mask:
        hidden = np.zeros(alpha.shape, bool) if cover is None else cover > 0.5
        mask = np.where(alpha > 0.5, np.where(hidden, 128, 255), 0).astype(np.uint8)
    return depth, mask

