"""What stands around a rendered hand: backgrounds, things, the camera."""

import hashlib
import math
import subprocess
import sys
import types

import cv2
import numpy as np
import pytest

from cpm_hand import images
from cpm_hand.rendering import backgrounds, furniture, hands, paint, places, poses, scene, sensor, textures, things
from cpm_hand.rendering.canvas import Canvas
from cpm_hand.rendering.heads import REACH


def spectral_slope(image: np.ndarray) -> float:
    """Exponent of the power spectrum of brightness, over a fiftieth to a third of the sampling rate."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float)
    window = np.outer(np.hanning(grey.shape[0]), np.hanning(grey.shape[1]))
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(grey.shape[0])[:, None], np.fft.fftfreq(grey.shape[1]))
    edges = np.geomspace(0.02, 0.33, 8)
    rings = [power[(frequency >= low) & (frequency < high)].mean() for low, high in zip(edges, edges[1:])]
    return np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), np.log(rings), 1)[0]


@pytest.mark.parametrize("kind", backgrounds.KINDS)
def test_every_kind_paints_pictures_of_any_size(kind):
    for seed in range(3):
        image = backgrounds.background(np.random.default_rng(seed), 123, 77, {kind: 1.0})
        assert image.shape == (77, 123, 3) and image.dtype == np.uint8
        assert image.std() > 0.3


def test_no_two_kinds_paint_the_same():
    painted = {backgrounds.background(np.random.default_rng(0), 64, 48, {kind: 1.0}).tobytes()
               for kind in backgrounds.KINDS}
    assert len(painted) == len(backgrounds.KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", backgrounds.KINDS)
def test_every_kind_paints_wide_pictures(kind):
    image = backgrounds.background(np.random.default_rng(4), 1280, 720, {kind: 1.0})
    assert image.shape == (720, 1280, 3) and image.std() > 0.3


def test_the_same_generator_state_gives_the_same_bytes():
    def everything(seed):
        rng = np.random.default_rng(seed)
        image = backgrounds.background(rng, 96, 96)
        things.paste(image, things.hold(rng, (20, 30), (70, 60), 96, 96))
        things.paste(image, things.occluder(rng, 96, 96))
        return sensor.expose(rng, image)

    for seed in range(12):
        first = everything(seed)
        everything(seed + 100)  # what was painted in between leaves no trace
        np.testing.assert_array_equal(everything(seed), first)
    assert (everything(0) != everything(1)).any()


@pytest.mark.slow
def test_another_process_paints_the_same_bytes():
    code = ("import hashlib, numpy as np; from cpm_hand.rendering import backgrounds, sensor; "
            "rng = np.random.default_rng(7); "
            "print(hashlib.sha256(sensor.expose(rng, backgrounds.background(rng, 90, 80))).hexdigest())")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    rng = np.random.default_rng(7)
    assert hashlib.sha256(sensor.expose(rng, backgrounds.background(rng, 90, 80))).hexdigest() == found


def test_weights_choose_the_kind_and_wrong_ones_are_refused():
    spreads = [np.median([backgrounds.background(np.random.default_rng(seed), 64, 64, weights).std()
                          for seed in range(8)]) for weights in ({"plain": 1, "leaves": 0}, {"plain": 0, "leaves": 1})]
    assert spreads[0] < spreads[1]
    assert set(backgrounds.WEIGHTS) == set(backgrounds.KINDS)
    with pytest.raises(ValueError, match=r"no such kind of background: lava; there are plain, .*skin"):
        backgrounds.background(np.random.default_rng(0), 64, 64, {"lava": 1.0})
    with pytest.raises(ValueError, match="not all 0"):
        backgrounds.background(np.random.default_rng(0), 64, 64, {"plain": 0.0})
    with pytest.raises(ValueError, match="at least 0"):
        backgrounds.background(np.random.default_rng(0), 64, 64, {"plain": 2.0, "room": -1.0})


@pytest.mark.parametrize("kind", ["leaves", "noise", "room", "people"])
def test_the_power_spectrum_falls_as_in_photographs(kind):
    """Photographs have -2 on average (Field 1987); single ones, and ones a little out of focus, are steeper."""
    slopes = [spectral_slope(backgrounds.background(np.random.default_rng([seed, 1]), 160, 160, {kind: 1.0}))
              for seed in range(15)]
    assert -3.6 < np.median(slopes) < -1.6


def test_user_pictures_are_found_sorted_and_cropped(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)
    for name in ("b.png", "deep/a.jpg"):
        images.write(tmp_path / name, picture)
    (tmp_path / "notes.txt").write_text("not a picture")
    paths = backgrounds.from_folder(tmp_path)
    assert [path.rsplit("/", 1)[-1] for path in paths] == ["b.png", "a.jpg"]
    image = backgrounds.read_once(paths[0])
    np.testing.assert_array_equal(image, picture)
    for size in ((32, 32), (123, 77), (200, 40)):
        crop = backgrounds.crop_of(np.random.default_rng(1), image, *size)
        assert crop.shape == (size[1], size[0], 3) and crop.std() > 5


def test_a_long_thin_picture_is_scaled_down_to_one_pixel_and_not_to_none(tmp_path):
    images.write(tmp_path / "thin.png", np.full((2, 8000, 3), 70, np.uint8))
    np.testing.assert_array_equal(backgrounds.read_once(str(tmp_path / "thin.png")),
                                  np.full((1, backgrounds.LONGEST, 3), 70))


def test_a_crop_keeps_proportions():
    disc = cv2.circle(np.zeros((300, 500, 3), np.uint8), (250, 150), 40, (255, 255, 255), -1)
    whole = 0
    for seed in range(40):
        crop = backgrounds.crop_of(np.random.default_rng(seed), disc, 100, 60)[..., 0] > 127
        if crop.any() and not (crop[0].any() or crop[-1].any() or crop[:, 0].any() or crop[:, -1].any()):
            rows, columns = crop.any(1).sum(), crop.any(0).sum()
            assert abs(rows - columns) <= 2 and rows > 10
            whole += 1
    assert whole > 10


def test_bad_folders_are_refused_with_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        backgrounds.from_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no pictures in this folder; expected files that end in \.jpg"):
        backgrounds.from_folder(tmp_path)
    images.write(tmp_path / "good.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 and no more")
    with pytest.raises(ValueError, match=r"broken\.jpg: .*Repair it or take it out"):
        backgrounds.from_folder(tmp_path)


@pytest.mark.parametrize("kind", things.THINGS)
def test_a_thing_lies_where_it_is_held(kind):
    layer = things.hold(np.random.default_rng(3), (40, 50), (90, 60), 160, 120, kind)
    alpha = np.zeros((120, 160), np.uint8)
    alpha[layer.y:layer.y + layer.alpha.shape[0], layer.x:layer.x + layer.alpha.shape[1]] = layer.alpha
    assert alpha[55, 65] == 255  # its middle
    assert alpha[5, 5] == alpha[115, 155] == 0
    assert layer.rgb.shape == (*layer.alpha.shape, 3)


@pytest.mark.parametrize("ends", [((-60, 10, 470), (55, -20, 540)), ((8, -5, 500), (8, -5, 500))], ids=["rod", "ball"])
def test_what_is_held_lies_before_the_hand_where_a_walk_along_the_ray_meets_it_first(ends):
    camera, ends, radius, wall_mm = hands.Camera(90.0, (19.5, 14.5)), np.array(ends, float), 30.0, 487.0
    depth = np.full((30, 40), wall_mm, np.float32)
    depth[:, :5] = np.inf                                        # no hand there
    layer = types.SimpleNamespace(alpha=np.float32(np.isfinite(depth)), depth_mm=depth,
                                  held=poses.Held(ends, radius))
    before = scene._before(layer, camera)
    assert not before[:, :5].any() and before.dtype == np.uint8
    first, last = ends
    checked = {True: 0, False: 0}
    for y in range(30):
        for x in range(5, 40):
            ray = np.array([(x - 19.5) / 90, (y - 14.5) / 90, 1.0])
            points = ray * np.arange(430, 600, 0.25)[:, None]
            share = np.clip((points - first) @ (last - first) / max((last - first) @ (last - first), 1e-9), 0, 1)
            inside = np.linalg.norm(points - first - share[:, None] * (last - first), axis=1) < radius
            met = np.argmax(inside)
            # At the rod's ends the walk meets a round cap, where ours goes on; a tie may go either way.
            if inside.any() and (0 < share[met] < 1 or (first == last).all()) and abs(points[met, 2] - wall_mm) > 0.5:
                assert before[y, x] == 255 * (points[met, 2] < wall_mm), (x, y, points[met, 2])
                checked[bool(before[y, x])] += 1
    assert min(checked.values()) > 10


def test_a_thing_in_a_fist_hides_what_is_behind_it_and_not_the_fingers_before_it(monkeypatch):
    made, plain = [], hands.render_hand

    def keep(rng, camera, *given, **named):
        made.append((plain(rng, camera, *given, **named), camera))
        return made[-1][0]

    monkeypatch.setattr(hands, "render_hand", keep)
    for name, share in (("HELD", 1.0), ("NEAR_THING", 0.0), ("OCCLUDER", 0.0)):
        monkeypatch.setattr(scene, name, share)
    options = scene.Options(size=(96, 96), mask=True, second_share=0.0, pose_weights={"grip": 1.0})
    both = 0
    for number in range(1, 13):
        hidden = scene.render(5, number, options).mask == 128
        layer, camera = made[-1]
        skin = layer.alpha > 0.5
        assert layer.held and not hidden[scene._before(layer, camera) == 0].any()
        both += hidden.sum() > 20 and (skin & ~hidden).sum() > 20
    assert both >= 6


def test_things_outside_the_picture_are_clear_and_masks_hold_them_back():
    rng = np.random.default_rng(0)
    assert not things.hold(rng, (-90, -90), (-60, -80), 64, 64, "pen").alpha.any()
    image = np.full((64, 64, 3), 7, np.uint8)
    layer = things.hold(rng, (10, 30), (50, 30), 64, 64, "stick", thickness=10)
    mask = np.zeros((64, 64), np.uint8)
    things.paste(image, layer, mask)
    assert (image == 7).all()
    mask[:, 32:] = 255
    things.paste(image, layer, mask)
    assert (image[:, :32] == 7).all() and (image[30, 36:45] != 7).any()
    with pytest.raises(ValueError, match="no such thing to hold: sword; there are pen"):
        things.hold(rng, (0, 0), (9, 9), 64, 64, "sword")


def test_a_perfect_camera_gives_the_picture_back():
    image = np.random.default_rng(0).integers(0, 256, (33, 47, 3), np.uint8)
    seen = sensor.expose(np.random.default_rng(1), image, strength=0)
    np.testing.assert_array_equal(seen, image)
    assert not np.shares_memory(seen, image)
    with pytest.raises(ValueError, match="strength must be 0 or more"):
        sensor.draw(np.random.default_rng(0), -1)


def test_noise_has_the_deviation_that_was_asked_for():
    for value, expected in ((0, 6.0), (255, 3.0), (128, math.sqrt((36 + 9) / 2))):
        image = np.full((200, 200, 3), value, np.uint8)
        seen = sensor.apply(np.random.default_rng(5), image, sensor.Exposure(read=6.0, shot=3.0)).astype(float) - value
        spread = np.sqrt((seen**2).mean() * (1 if value == 128 else 2))  # clipped on one side at black and white
        assert spread == pytest.approx(expected, rel=0.06)


def test_one_stop_doubles_linear_light():
    curve = sensor.tone_curves(sensor.Exposure(stops=1.0))
    linear = [((value / 255 + 0.055) / 1.055) ** 2.4 for value in (100, float(curve[100, 0]))]
    assert linear[1] / linear[0] == pytest.approx(2, rel=0.02)


def test_motion_blurs_along_its_direction_only():
    image = np.zeros((41, 41, 3), np.uint8)
    image[20, 20] = 255
    seen = sensor.apply(np.random.default_rng(0), image, sensor.Exposure(motion_px=8, motion_angle=0.0))[..., 0]
    assert (seen[20] > 0).sum() >= 8 and (seen[:, 20] > 0).sum() == 1


def test_qualities_are_those_that_people_use():
    drawn = [sensor.jpeg_quality(np.random.default_rng(seed)) for seed in range(500)]
    assert min(drawn) >= 35 and max(drawn) <= 97 and 78 < np.median(drawn) < 92


def test_heads_are_seen_from_all_sides_and_differ():
    heads = textures.bank().heads
    assert len(heads) == textures.HEADS
    turned = np.abs([head.yaw for head in heads])
    assert (turned < 0.4).any() and (turned > 0.9).any()
    for number, head in enumerate(heads):
        outline = np.concatenate(head.skin)
        wide, high = np.ptp(outline, axis=0)
        assert 1.2 < wide < 2 * REACH and 1.7 < high < 2 * REACH
        for part in head.hair + head.lips:  # drawn over the skin, so they must lie on it
            assert (part > outline.min(0) - 0.02).all() and (part < outline.max(0) + 0.02).all()
        tile = textures.bank().atlas[textures.bank().rows["head"][number] * textures.SIDE**2:][:textures.SIDE**2]
        assert np.percentile(tile, 95) - np.percentile(tile, 5) > 25  # light and dark


def test_a_shadow_falls_beside_a_thing_and_not_on_it():
    canvas = Canvas(np.random.default_rng(0), 80, 60)
    wall, thing = canvas.material([100] * 3), canvas.material([200] * 3)
    canvas.labels[:] = wall
    canvas.polygon([[20, 20], [40, 20], [40, 40], [20, 40]], thing)
    light = np.ones((60, 80), np.float32)
    canvas.shadows(light, (8, 0), 1.0, 0.5)
    assert light[30, 44] < 0.6  # right of it
    assert light[30, 30] > 0.99 and light[30, 14] > 0.99 and light[10, 44] > 0.99
    assert light.min() >= 0.5 - 1e-6 and light.max() <= 1


def test_a_sheet_covers_what_lies_inside_its_polygon_and_repeats():
    canvas = Canvas(np.random.default_rng(0), 80, 60)
    canvas.labels[:] = canvas.material([100] * 3)
    first = [canvas.material([value] * 3) for value in (50, 80, 120, 160)][0]
    canvas.sheet("foliage", first, 0.3, 0.4, within=np.array([[20.0, 10], [60, 10], [60, 50], [20, 50]]))
    inside = np.zeros(canvas.labels.shape, bool)
    inside[20:101, 40:121] = True
    assert (canvas.labels[inside] >= first).all() and (canvas.labels[~inside] == 1).all()
    assert len(np.unique(canvas.labels[inside])) > 2
    canvas.sheet("leaves", first, 1.0, 0.0, within=np.array([[-200.0, -200], [-100, -200], [-100, -100]]))  # unseen


def test_sheets_are_read_as_the_turned_grid_says():
    rng = np.random.default_rng(0)
    sheet, table = rng.integers(0, 256, (16, 16), np.uint8), rng.permutation(256).astype(np.uint8)
    labels = np.zeros((9, 11), np.uint8)
    (a, b), (squeeze, x0, y0) = (0.5, 0.25), (0.5, 3.0, 40.0)  # exact in binary, as the kernel's fixed point is
    paint.cover(sheet, (a, b), (squeeze, x0, y0), table, labels)
    for y in range(9):
        for x in range(11):
            u, v = a * x - b * y + x0, (b * x + a * y) / squeeze + y0
            assert labels[y, x] == table[sheet[math.floor(v) % 16, math.floor(u) % 16]]


@pytest.mark.parametrize("piece", sorted({piece.__name__ for piece in furniture.PIECES}))
def test_every_piece_of_furniture_is_seen_and_may_stand_behind_the_camera(piece):
    draw = getattr(furniture, piece)
    seen = 0
    for seed in range(4):
        canvas = Canvas(np.random.default_rng(seed), 120, 90)
        view = places.View(canvas, 0.1, 0.7)
        draw(view, -0.3, 1.2, 3.0)
        seen += len(np.unique(canvas.labels)) > 1
        draw(view, -0.3, 1.2, -3.0)
        draw(view, -0.3, 1.2, 0.0)
    assert seen >= 3


def test_a_parallelogram_is_laid_where_the_pinhole_sees_it():
    camera = np.array([[100.0, 0, 50], [0, 100, 40], [0, 0, 1]])
    corner, u, v = np.array([-0.2, -0.1, 2.0]), np.array([0.4, 0, 0]), np.array([0, 0.2, 1.0])
    shape, matrix, depth = paint.lay(camera, corner, u, v, 10.0, 100, 80)
    places_ = np.array([corner, corner + u, corner + u + v, corner + v])
    np.testing.assert_allclose(shape, [[100 * x / z + 50, 100 * y / z + 40] for x, y, z in places_])
    assert depth == pytest.approx(2.5)
    texels = np.column_stack([shape, np.ones(4)]) @ matrix.T
    expected = np.array([[0, 0], [4, 0], [4, 10 * np.hypot(0.2, 1)], [0, 10 * np.hypot(0.2, 1)]])
    np.testing.assert_allclose(texels[:, :2] / texels[:, 2:], expected, atol=1e-9)
    assert paint.lay(camera, corner + [9, 0, 0], u, v, 10.0, 100, 80)[2] == 0  # beside the picture
    assert paint.lay(camera, corner - [0, 0, 9], u, v, 10.0, 100, 80)[2] == 0  # behind the camera


def test_what_a_camera_cannot_see_is_known_beforehand():
    canvas = Canvas(np.random.default_rng(2), 120, 90)
    view = places.View(canvas, 0.2, 0.6)
    for middle in np.random.default_rng(0).uniform(-6, 6, (300, 3)):
        corner = middle - [0.3, 0.3, 0]
        _, _, depth = paint.lay(view.matrix, corner, np.array([0.6, 0, 0]), np.array([0, 0.6, 0]), 9.0, 120, 90)
        if depth > 0:
            assert view.may_see(middle, 0.5)
    assert not view.may_see(np.linalg.inv(view.matrix) @ [60.0, 45, 1] * -5, 0.5)  # behind
    assert not view.may_see(np.linalg.inv(view.matrix) @ [600.0, 45, 1] * 5, 0.5)  # beside
