"""The Predictor: crops in, coordinates out, in the picture's own pixels."""

import concurrent.futures
import itertools

import cv2
import numpy as np
import psutil
import pytest
from exported import random_checkpoint
from PIL import Image

from cpm_hand import checkpoints, geometry, images, nets, pages, predict, runtimes, search
from cpm_hand.hand import HAND
from cpm_hand.targets import BeliefMaps

SIZE = 96
TARGET = BeliefMaps(stride=8, sigma_px=7.0)


class Ideal:
    """An artefact that knows where the joints are: `truth` float [N, 21, 2] in the picture, one per crop."""

    size, skeleton, target = SIZE, HAND, TARGET

    def __init__(self, truth, crops):
        self.truth, self.crops, self.inputs = truth, crops, None

    def __call__(self, inputs):
        self.inputs = inputs
        points = np.stack([geometry.apply(geometry.crop_matrix(crop, SIZE), truth)
                           for truth, crop in zip(self.truth, self.crops)])
        maps = TARGET.encode(points, np.ones(points.shape[:2], bool), SIZE)
        keypoints = TARGET.decode(maps)
        return {"belief_maps": TARGET.upsample(maps, SIZE).numpy(), "stages": maps.numpy()[:, None],
                "keypoints": keypoints.numpy(), "presence": TARGET.presence(keypoints).numpy()}


def points_in(box, count=1, seed=0):
    x, y, w, h = box
    return np.random.default_rng(seed).uniform((x, y), (x + w - 1, y + h - 1), (count, 21, 2))


def blank(width, height):
    return np.zeros((height, width, 3), np.uint8)


def test_a_net_is_asked_for_maps_only_where_they_are_kept():
    class Asked(Ideal):
        asked = []

        def __call__(self, inputs):
            self.asked.append("maps")
            return super().__call__(inputs)

        def answers(self, inputs):
            self.asked.append("answers")
            whole = super().__call__(inputs)
            return {name: whole[name] for name in ("keypoints", "presence")}

    box = (20, 10, 40, 30)
    truth = points_in(box)
    predictor = predict.Predictor(Asked(truth, [geometry.widen(box)]))
    (brief,), (whole,) = predictor(blank(90, 80), [box]), predictor(blank(90, 80), [box], outputs=True)
    assert Asked.asked == ["answers", "maps"]
    np.testing.assert_array_equal(brief.keypoints, whole.keypoints)
    assert brief.outputs is None and whole.outputs.belief_maps.shape == (SIZE, SIZE, 22)


@pytest.mark.parametrize("box", [(20.5, 11.25, 31, 17), (-5, 40, 30, 60), (150, 3, 40.7, 40.7), (0, 0, 1, 1)])
def test_boxes_are_tight_of_any_shape_and_give_the_picture_s_pixels(box):
    truth = points_in(box)
    hand, = predict.Predictor(Ideal(truth, [geometry.widen(box)]))(blank(171, 123), boxes=[box])
    np.testing.assert_allclose(hand.keypoints[:, :2], truth[0], atol=0.05)
    np.testing.assert_array_equal(hand.box, geometry.widen(box))


@pytest.mark.parametrize("boxes", [[(20.5, 11.25, 31, 17)], None], ids=["in a box", "after a search"])
def test_a_net_is_shown_as_much_around_a_hand_as_it_was_trained_with(boxes):
    truth = points_in((20, 10, 40, 40))
    tight = geometry.tight_box(truth[0], np.ones(21, bool)) if boxes is None else boxes[0]
    shown = []

    class Close(Ideal):
        crop_factor = 1.5

        def __call__(self, inputs):
            self.truth, self.crops = np.repeat(truth, len(inputs), 0), shown[-len(inputs):]
            return super().__call__(inputs)

    predictor, cut = predict.Predictor(Close([], []), scales=(1.0,)), predict.crops.cut
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict.crops, "cut", lambda picture, square, *more: shown.append(square) or cut(
            picture, square, *more))
        predictor(blank(90, 80), boxes)
    # A search comes there from the whole picture, and never looks at less; it leaves a little margin.
    wanted = geometry.widen(tight, 1.5 * search.MARGIN if boxes is None else 1.5)
    np.testing.assert_allclose(min(shown, key=lambda square: square[2]), wanted, atol=0.3)


def test_several_boxes_give_their_hands_in_order():
    boxes = [(10, 10, 30, 30), (60, 20, 40, 25), (5, 60, 20, 30)]
    truth = np.concatenate([points_in(box, seed=seed) for seed, box in enumerate(boxes)])
    artefact = Ideal(truth, [geometry.widen(box) for box in boxes])
    hands = predict.Predictor(artefact)(blank(120, 100), boxes=boxes)
    np.testing.assert_allclose([hand.keypoints[:, :2] for hand in hands], truth, atol=0.05)


def test_no_box_gives_no_hand():
    assert predict.Predictor(Ideal([], []))(blank(50, 50), boxes=np.zeros((0, 4))) == []


def test_the_net_sees_what_the_manual_path_shows_it():
    picture = np.random.default_rng(1).integers(0, 256, (61, 97, 3), np.uint8)
    artefact = Ideal(points_in((0, 0, 97, 61)), [geometry.widen((20, 10, 40, 30))])
    hand, = predict.Predictor(artefact)(picture, boxes=[(20, 10, 40, 30)], outputs=True)
    expected = images.warp(picture, geometry.crop_matrix(hand.box, SIZE), SIZE)
    np.testing.assert_array_equal(artefact.inputs[0], expected)
    np.testing.assert_array_equal(hand.outputs.input, expected)
    assert hand.outputs.belief_maps.shape == (SIZE, SIZE, 22) and hand.outputs.stages.shape == (1, 12, 12, 22)


def test_outputs_are_kept_only_when_asked_for():
    artefact = Ideal(points_in((0, 0, 50, 50)), [geometry.widen((0, 0, 50, 50))])
    assert predict.Predictor(artefact)(blank(50, 50), boxes=[(0, 0, 50, 50)])[0].outputs is None


def test_the_belief_lies_on_the_picture_where_the_joint_is():
    box, joint = (60.0, 30.0, 40.0, 20.0), np.array([71.0, 42.0])
    artefact = Ideal(np.tile(joint, (1, 21, 1)), [geometry.widen(box)])
    hand, = predict.Predictor(artefact)(blank(171, 123), boxes=[box], outputs=True)
    belief = pages.belief_on_picture(hand, 171, 123)
    assert belief.shape == (123, 171, 1)
    row, column, _ = np.unravel_index(belief.argmax(), belief.shape)
    assert abs(column - 71) <= 1 and abs(row - 42) <= 1
    assert belief[:, :30].max() == 0                                   # left of the crop


# Whole pictures, with a net that knows a hand by the colours of its joints

def joint_colours(count=21):
    """Colours of equal brightness whose directions lie as far apart as a greedy choice finds."""
    levels = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 3), -1).reshape(-1, 3)[1:]
    directions = np.unique((levels / np.linalg.norm(levels, axis=1, keepdims=True)).round(6), axis=0)
    directions = directions[np.ptp(directions, axis=1) > 0.35]          # what is grey is no joint
    chosen = [directions[0]]
    while len(chosen) < count:
        chosen.append(directions[np.argmin((directions @ np.transpose(chosen)).max(1))])
    return np.array(chosen)


PALETTE = joint_colours()


def dots(width, height, hands, radius=3.0):
    """Black with a soft dot of its own colour for each joint: uint8 [H, W, 3] for joints [N, 21, 2] in px."""
    rows, columns = np.indices((height, width))
    picture = np.zeros((height, width, 3))
    for points in hands:
        for (x, y), colour in zip(points, PALETTE):
            bell = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
            picture = np.where(bell[..., None] > picture.max(-1, keepdims=True) / 255,
                               255 * bell[..., None] * colour / colour.max(), picture)
    return np.uint8(picture + 0.5)


class ColourNet:
    """Ideal belief maps for dotted pictures: a joint is the middle of what has its colour.

    It sees one hand, of several the one that is nearest to the middle of the input. Like a trained net it knows hands
    of a certain size in its input only, and `mirrored` ones not at all: a hand is a right one where the wrist lies left
    of the tip of the thumb.
    """

    size, skeleton, target = SIZE, HAND, TARGET

    def __init__(self, part=(0.3, 0.95), right_only=False):
        self.part, self.right_only, self.batches = part, right_only, []
        self.hands = "right" if right_only else "both"

    def __call__(self, inputs):
        self.batches.append(len(inputs))
        self.inputs = inputs    # the last ones
        points, seen = map(np.stack, zip(*[self.joints(image) for image in inputs]))
        maps = TARGET.encode(points, seen, SIZE)
        keypoints = TARGET.decode(maps)
        return {"belief_maps": TARGET.upsample(maps, SIZE).numpy(), "stages": maps.numpy()[:, None],
                "keypoints": keypoints.numpy(), "presence": TARGET.presence(keypoints).numpy()}

    def joints(self, image):
        """The joints of the hand nearest to the middle of the input: [21, 2] in px, and bool [21]."""
        rows, columns = np.nonzero(np.ptp(image, axis=2) > 20)
        places, pixels = np.stack([columns, rows], 1).astype(float), image[rows, columns].astype(float)
        bright = np.linalg.norm(pixels, axis=1)
        weights = np.where(pixels @ PALETTE.T > 0.985 * bright[:, None], bright[:, None], 0)     # [pixels, 21]
        seen = weights.any(0)
        if not seen.any():
            return np.zeros((21, 2)), seen
        middle = np.full(2, (SIZE - 1) / 2)
        for _ in range(4):                 # of each joint's dots the nearest: at first they may be of two hands
            outwards = np.linalg.norm(places - middle, axis=1)
            first = places[np.where(weights > 0, outwards[:, None], np.inf).argmin(0)]           # [21, 2]
            middle = np.median(first[seen], axis=0)
        weights = weights * (np.linalg.norm(places[:, None] - first, axis=2) < 9)
        points = weights.T @ places / np.maximum(weights.sum(0), 1e-9)[:, None]
        part = np.ptp(points[seen], axis=0).max() / SIZE
        a_right_one = seen[[0, 4]].all() and points[0, 0] < points[4, 0]
        known = self.part[0] <= part <= self.part[1] and (a_right_one or not self.right_only)
        return points, seen & known


def dotted_hand(x, y, side, left=False, seed=0):
    """Joints [21, 2] apart from each other in a box of that middle and side, the wrist at its left, the thumb's tip at
    its right: there a turn by up to 45 degrees leaves them."""
    grid = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 5), np.linspace(-0.5, 0.5, 5)), -1).reshape(-1, 2)
    points = grid[np.random.default_rng(seed).permutation(25)[:21]]
    for joint, end in ((0, np.argmin), (4, np.argmax)):
        other = end(points[:, 0])
        points[[joint, other]] = points[[other, joint]]
    return points * side * [-1 if left else 1, 1] + (x, y)


def sole(hands):
    hand, = hands
    return hand


def assert_finds(hand, truth, atol):
    np.testing.assert_allclose(hand.keypoints[:, :2], truth, atol=atol)
    assert hand.presence > 0.9


TRUTH = dotted_hand(150.0, 110.0, 100.0)
PICTURE = dots(320, 240, [TRUTH])


@pytest.fixture(scope="module")
def found():
    return sole(predict.Predictor(ColourNet())(PICTURE))


def test_a_hand_somewhere_in_a_picture_is_found_in_the_picture_s_pixels(found):
    assert_finds(found, TRUTH, atol=0.5)
    assert found.is_left == -1 and found.outputs is None


@pytest.mark.parametrize(("name", "change", "back"), [
    ("scaled up", lambda p: cv2.resize(p, None, fx=2, fy=2), lambda xy: (xy - 0.5) / 2),
    ("scaled down", lambda p: cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
     lambda xy: 2 * xy + 0.5),
    ("padded", lambda p: np.pad(p, ((37, 5), (110, 60), (0, 0))), lambda xy: xy - (110, 37)),
    ("cropped", lambda p: p[31:, 83:230], lambda xy: xy + (83, 31)),
    ("flipped", lambda p: p[:, ::-1], lambda xy: (319 - xy[:, :1], xy[:, 1:])),
    ("upside down", lambda p: p[::-1], lambda xy: (xy[:, :1], 239 - xy[:, 1:])),
])
def test_a_changed_picture_gives_the_same_places(name, change, back, found):
    hand = sole(predict.Predictor(ColourNet())(np.ascontiguousarray(change(PICTURE))))
    moved = back(hand.keypoints[:, :2])
    moved = np.hstack(moved) if isinstance(moved, tuple) else moved
    np.testing.assert_allclose(moved, TRUTH, atol=0.5)
    np.testing.assert_allclose(moved, found.keypoints[:, :2], atol=0.5)


def test_the_orientation_in_exif_data_is_honoured(tmp_path, found):
    exif = Image.Exif()
    exif[0x0112] = 6                                                   # stored turned; to be shown clockwise
    Image.fromarray(np.ascontiguousarray(np.rot90(PICTURE))).save(tmp_path / "a.png", exif=exif)
    hand = sole(predict.Predictor(ColourNet())(tmp_path / "a.png"))
    np.testing.assert_allclose(hand.keypoints[:, :2], found.keypoints[:, :2], atol=1e-3)


def test_pixels_a_path_and_its_text_give_the_same(tmp_path, found):
    images.write(tmp_path / "hand.png", PICTURE)
    for image in (tmp_path / "hand.png", str(tmp_path / "hand.png")):
        np.testing.assert_array_equal(sole(predict.Predictor(ColourNet())(image)).keypoints, found.keypoints)


@pytest.mark.parametrize(("name", "mode"), [("a.png", "L"), ("a.png", "RGBA"), ("a.png", "P"), ("a.png", "I;16"),
                                            ("a.jpg", "CMYK"), ("a.webp", "RGB")])
def test_picture_files_of_all_kinds_are_shown_to_the_net_as_they_look(tmp_path, name, mode):
    colours = np.uint8(np.indices((60, 80)).sum(0)[..., None] + (0, 40, 80))
    picture = Image.fromarray(colours.mean(-1).astype(np.uint16) * 256) if mode == "I;16" else (
        Image.fromarray(colours).convert(mode))
    picture.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    grey = mode in ("L", "I;16")
    expected = np.repeat(np.asarray(Image.fromarray(colours).convert("L") if mode == "L" else
                                    colours.mean(-1))[..., None], 3, 2) if grey else colours
    hand = sole(predict.Predictor(ColourNet())(tmp_path / name, [(20, 10, 30, 30)], outputs=True))
    inside = images.warp(np.uint8(expected), geometry.crop_matrix(hand.box, SIZE), SIZE)
    tolerance = {"P": 30, "CMYK": 6}.get(mode, 1)                      # a palette of 216 colours; a JPEG
    assert np.abs(hand.outputs.input.astype(int) - inside).mean() < tolerance


def test_a_small_hand_in_a_large_picture_is_found():
    truth = dotted_hand(1010.0, 480.0, 150.0)
    assert_finds(sole(predict.Predictor(ColourNet())(dots(1280, 720, [truth]))), truth, atol=0.5)


def test_a_picture_without_a_hand_gives_no_hand():
    assert predict.Predictor(ColourNet())(blank(320, 240)) == []


def test_several_hands_are_found_once_each_the_strongest_first():
    truths = [dotted_hand(90, 120, 80), dotted_hand(300, 100, 120, seed=1), dotted_hand(480, 150, 60, seed=2)]
    picture = dots(560, 240, truths)
    hands = predict.Predictor(ColourNet(), max_hands=5)(picture)
    assert len(hands) == 3
    assert [hand.presence for hand in hands] == sorted([hand.presence for hand in hands], reverse=True)
    for truth in truths:
        assert min(np.abs(hand.keypoints[:, :2] - truth).max() for hand in hands) < 0.5
    assert len(predict.Predictor(ColourNet(), max_hands=2)(picture)) == 2


def test_outputs_of_a_search_belong_to_the_hand_that_was_found(found):
    hand = sole(predict.Predictor(ColourNet())(PICTURE, outputs=True))
    np.testing.assert_array_equal(hand.keypoints, found.keypoints)
    expected = images.warp(PICTURE, geometry.crop_matrix(hand.box, SIZE), SIZE)
    assert np.abs(hand.outputs.input.astype(int) - expected).mean() < 0.5
    assert hand.outputs.belief_maps.shape == (SIZE, SIZE, 22)


def test_a_large_picture_is_cut_before_it_is_shrunk_and_the_net_sees_the_same():
    smooth = cv2.resize(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8), (1500, 1000),
                        interpolation=cv2.INTER_CUBIC)
    for box in [(400, 300, 200, 150), (-50, -80, 400, 400), (1300, 700, 300, 600), (10, 10, 1400, 900)]:
        artefact = Ideal(points_in((0, 0, 50, 50)), [geometry.widen(box)])
        hand = sole(predict.Predictor(artefact)(smooth, boxes=[box], outputs=True))
        expected = images.warp(smooth, geometry.crop_matrix(hand.box, SIZE), SIZE)
        difference = np.abs(hand.outputs.input.astype(int) - expected)
        assert difference.mean() < 1.5                                 # averages begin at other pixels


# Left and right

LEFT = dotted_hand(150.0, 110.0, 100.0, left=True)


@pytest.mark.parametrize(("truth", "is_left"), [(TRUTH, 0), (LEFT, 1)])
@pytest.mark.parametrize("with_box", [False, True])
def test_a_net_for_right_hands_tries_the_mirror_image_and_says_which_it_was(truth, is_left, with_box):
    boxes = [geometry.tight_box(truth, np.ones(21, bool))] if with_box else None
    hand = sole(predict.Predictor(ColourNet(right_only=True))(dots(320, 240, [truth]), boxes))
    assert_finds(hand, truth, atol=0.5)
    assert hand.is_left == is_left


@pytest.mark.parametrize(("truth", "handedness"), [(TRUTH, "right"), (LEFT, "left")])
def test_a_known_handedness_needs_one_look_where_auto_needs_two(truth, handedness):
    artefact, box = ColourNet(right_only=True), geometry.tight_box(truth, np.ones(21, bool))
    hand = sole(predict.Predictor(artefact, handedness=handedness)(dots(320, 240, [truth]), [box]))
    assert_finds(hand, truth, atol=0.5)
    assert artefact.batches == [1] and hand.is_left == (handedness == "left")


def test_a_wrong_handedness_finds_nothing():
    assert predict.Predictor(ColourNet(right_only=True), handedness="right")(dots(320, 240, [LEFT])) == []


def test_a_net_for_both_kinds_is_shown_no_mirror_image_and_says_what_it_was_told():
    for handedness, is_left in (("auto", -1), ("left", 1), ("right", 0)):
        artefact = ColourNet()
        hand = sole(predict.Predictor(artefact, handedness=handedness)(PICTURE, [(100, 60, 101, 101)]))
        assert_finds(hand, TRUTH, atol=0.5)
        assert hand.is_left == is_left and artefact.batches == [1]


def test_what_was_seen_in_a_mirror_is_turned_back():
    picture = dots(320, 240, [LEFT])
    predictor = predict.Predictor(ColourNet(right_only=True))
    hand = sole(predictor(picture, [geometry.tight_box(LEFT, np.ones(21, bool))], outputs=True))
    unmirrored = images.warp(picture, geometry.crop_matrix(hand.box, SIZE), SIZE)
    assert np.abs(hand.outputs.input.astype(int) - unmirrored).mean() < 0.2    # OpenCV rounds to 1/32 px
    peaks = [np.unravel_index(hand.outputs.belief_maps[..., joint].argmax(), (SIZE, SIZE)) for joint in range(21)]
    on_picture = geometry.apply(geometry.invert(geometry.crop_matrix(hand.box, SIZE)),
                                np.array(peaks, float)[:, ::-1])
    np.testing.assert_allclose(on_picture, LEFT, atol=4)
    row, column = np.unravel_index(hand.outputs.stages[0, ..., 0].argmax(), (SIZE // 8, SIZE // 8))
    np.testing.assert_allclose(geometry.from_map(np.array([column, row]), 8), np.array(peaks[0])[::-1], atol=5)


def test_hands_overrides_what_the_artefact_says():
    artefact = ColourNet(right_only=True)
    assert predict.Predictor(artefact, hands="both")(dots(320, 240, [LEFT])) == []
    assert sole(predict.Predictor(artefact, hands="right")(dots(320, 240, [LEFT]))).is_left == 1


# Scales, batches, threads

class MovedNet(ColourNet):
    """It sees everything 2 px of its input farther to the right than it is."""

    def __call__(self, inputs):
        result = super().__call__(inputs)
        result["keypoints"] = result["keypoints"] + np.float32([2, 0, 0])
        return result


BOX = geometry.tight_box(TRUTH, np.ones(21, bool))


def assert_same_pixels(one, other):
    assert np.abs(one.astype(int) - other).mean() < 0.2                # OpenCV rounds to 1/32 px
    assert np.abs(one.astype(int) - other[:, ::-1]).mean() > 1         # and these pictures have a side


def test_a_second_look_is_at_the_mirror_image_and_what_is_wrong_to_one_side_cancels_out():
    artefact = MovedNet()
    once = sole(predict.Predictor(artefact)(PICTURE, [BOX]))
    px = once.box[2] / SIZE                                            # of the picture, for one of the input
    np.testing.assert_allclose(once.keypoints[:, 0] - TRUTH[:, 0], 2 * px, atol=0.5)
    twice = sole(predict.Predictor(artefact, scales=(1, 1))(PICTURE, [BOX]))
    assert_finds(twice, TRUTH, atol=0.5)
    assert_same_pixels(artefact.inputs[1], artefact.inputs[0][:, ::-1])


def turned_crop(square, degrees):
    """A square that OpenCV turns about its middle, counter-clockwise as it counts."""
    middle = square[:2] + (square[2] - 1) / 2
    matrix = cv2.getRotationMatrix2D(middle.astype(float).tolist(), degrees, SIZE / square[2])
    matrix[:, 2] += (SIZE - 1) / 2 - middle
    return images.warp(PICTURE, matrix, SIZE)


def test_looks_at_one_size_are_plain_in_the_mirror_and_turned_to_either_side_and_see_the_same_hand():
    artefact = ColourNet()
    hand = sole(predict.Predictor(artefact, scales=(1, 1, 1, 1))(PICTURE, [BOX]))
    assert_finds(hand, TRUTH, atol=0.5)
    assert artefact.batches == [4]
    square = geometry.widen(BOX)
    plain = turned_crop(square, 0)
    for shown, expected in zip(artefact.inputs, (plain, plain[:, ::-1], turned_crop(square, -15),
                                                 turned_crop(square, 15))):
        assert_same_pixels(shown, expected)


def test_each_way_of_looking_finds_the_hand_in_the_picture(monkeypatch):
    for way in predict.WAYS:
        monkeypatch.setattr(predict, "WAYS", (way,))
        assert_finds(sole(predict.Predictor(ColourNet())(PICTURE, [BOX])), TRUTH, atol=0.5)


def test_a_turned_part_of_a_picture_is_that_part_of_the_turned_picture():
    """Corners of a turned square lie outside the upright one; nothing of them may be missing."""
    picture = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    for square, degrees in itertools.product([(50, 40, 80.0, 80.0), (-20.5, 90, 100, 100)], (0, 15, -15, 45, 130)):
        whole = images.warp(picture, predict.crops.matrix(square, False, SIZE, degrees), SIZE)
        np.testing.assert_array_equal(predict.crops.cut(picture, square, False, SIZE, degrees), whole)


def test_a_net_for_right_hands_is_shown_no_mirror_image_and_no_look_twice():
    artefact = MovedNet(right_only=True)
    predict.Predictor(artefact, handedness="right", scales=(1, 0.86, 1, 1, 1, 1))(PICTURE, [BOX])
    assert artefact.batches == [4]                                     # at 1 plain and turned to either side; at 0.86
    smaller = images.warp(PICTURE, geometry.crop_matrix(geometry.widen(geometry.widen(BOX), 0.86), SIZE), SIZE)
    assert_same_pixels(artefact.inputs[3], smaller)


def test_a_hand_in_a_box_is_looked_at_once_and_after_a_search_in_every_way():
    boxed, searched, usual = ColourNet(), ColourNet(), ColourNet()
    predict.Predictor(boxed)(PICTURE, [BOX])
    assert boxed.batches == [1]
    hand = sole(predict.Predictor(searched, scales=(1,))(PICTURE))
    predict.Predictor(usual)(PICTURE)
    assert searched.batches[-1] == 2                                   # the square it was found in, and a wider one
    assert usual.batches == [*searched.batches[:-1], 2 * 4]
    crops = [crop for square in (hand.box, geometry.widen(hand.box, search.WIDER))
             for crop in (turned_crop(square, 0), turned_crop(square, 0)[:, ::-1],
                          turned_crop(square, -15), turned_crop(square, 15))]
    for shown, expected in zip(usual.inputs, crops, strict=True):
        assert_same_pixels(shown, expected)


class UnevenNet(ColourNet):
    """As sure of each square as `share` says of the keypoints [N, 21, 3] that it sees in it: [N], 0 to 1."""

    def __init__(self, share):
        super().__init__()
        self.share = share

    def __call__(self, inputs):
        result = super().__call__(inputs)
        keypoints = result["keypoints"].copy()
        keypoints[..., 2] *= self.share(keypoints)[:, None]
        return {**result, "keypoints": keypoints, "presence": keypoints[..., 2].mean(1)}


def one_sided_net():
    """It is 0.3 sure of a hand as the picture has it, whose wrist lies left of its thumb's tip, and 0.9 of its mirror
    image."""
    return UnevenNet(lambda keypoints: np.where(keypoints[:, 0, 0] > keypoints[:, 4, 0], 0.9, 0.3))


def test_the_threshold_is_for_what_all_looks_say_together():
    artefact = one_sided_net()
    assert predict.Predictor(artefact, scales=(1,), threshold=0.4)(PICTURE) == []
    hand = sole(predict.Predictor(artefact, scales=(1, 1), threshold=0.4)(PICTURE))
    assert_finds(hand._replace(presence=1.0), TRUTH, atol=0.5)
    # Looks weigh by their presence: (0.3 * 0.3 + 0.9 * 0.9) / (0.3 + 0.9).
    assert hand.presence == pytest.approx(0.75, abs=0.03)


def test_what_the_net_saw_in_the_mirror_comes_back_as_the_picture_has_it():
    hand = sole(predict.Predictor(one_sided_net(), scales=(1, 1))(PICTURE, [BOX], outputs=True))
    assert_same_pixels(hand.outputs.input, images.warp(PICTURE, geometry.crop_matrix(hand.box, SIZE), SIZE))
    row, column = np.unravel_index(hand.outputs.belief_maps[..., 8].argmax(), (SIZE, SIZE))
    there = geometry.apply(geometry.invert(geometry.crop_matrix(hand.box, SIZE)), np.array([[column, row]], float))
    np.testing.assert_allclose(there[0], TRUTH[8], atol=4)


def test_the_outputs_are_of_a_look_as_the_picture_lies_even_where_a_turned_one_is_surer():
    wrist_y = geometry.apply(geometry.crop_matrix(geometry.widen(BOX), SIZE), TRUTH[:1])[0, 1]
    artefact = UnevenNet(lambda keypoints: np.where(keypoints[:, 0, 1] > wrist_y + 2, 1.0, 0.5))
    plain, turned = (sole(predict.Predictor(artefact, scales=scales)(PICTURE, [BOX], outputs=True))
                     for scales in ((1,), (1, 1, 1, 1)))
    assert turned.presence > plain.presence + 0.05
    np.testing.assert_array_equal(turned.outputs.belief_maps, plain.outputs.belief_maps)


def test_a_scale_at_which_the_net_knows_no_hand_does_not_count():
    small_hands_only = ColourNet(part=(0.2, 0.3))
    assert sole(predict.Predictor(small_hands_only)(PICTURE, [BOX])).presence < 0.1
    hand = sole(predict.Predictor(small_hands_only, scales=(0.5, 1, 2))(PICTURE, [BOX]))
    assert_finds(hand, TRUTH, atol=1.0)                                # px of the picture, a fifth of the input's
    assert hand.box[2] == pytest.approx(2 * 2.2 * BOX[2], rel=0.01)


def test_a_found_hand_is_looked_at_in_all_scales_too(found):
    artefact = ColourNet()
    hand = sole(predict.Predictor(artefact, scales=(0.9, 1.2))(PICTURE))
    assert_finds(hand, TRUTH, atol=0.5)
    assert artefact.batches[-1] == 2 * 2                               # in two squares


def test_at_other_scales_too_hands_come_the_strongest_first_once_and_above_the_threshold():
    """Scales of which none is the one that the search ended with."""
    truths = [dotted_hand(90, 120, 80), dotted_hand(300, 100, 120, seed=1)]
    picture = dots(480, 240, truths)
    whole = predict.Predictor(ColourNet(), max_hands=3)(picture)
    assert len(whole) == 2
    lost = predict.Predictor(ColourNet(part=(0.4, 0.95)), max_hands=3, scales=(4.0,))(dots(480, 240, truths[:1]))
    assert lost == []                                                  # a hand of 11 % of the input is unknown
    far = predict.Predictor(ColourNet(part=(0.1, 0.95)), max_hands=3, scales=(3.0,), threshold=0.0)(picture)
    assert len(far) == 2
    boxes = [search.joint_box(hand.keypoints) for hand in far]
    assert all(search.overlap(one, other) < search.SAME for one, other in itertools.combinations(boxes, 2))
    assert [hand.presence for hand in far] == sorted([hand.presence for hand in far], reverse=True)


@pytest.mark.parametrize("with_boxes", [False, True])
def test_many_pictures_give_what_each_gives_alone_in_fuller_batches(with_boxes):
    truths = [dotted_hand(60 + 12 * number, 110, 70 + 5 * number, seed=number) for number in range(7)]
    pictures = [dots(320, 240 + number, [truth]) for number, truth in enumerate(truths)]
    boxes = [[geometry.tight_box(truth, np.ones(21, bool))] * (number % 3)
             for number, truth in enumerate(truths)] if with_boxes else None
    artefact = ColourNet()
    predictor = predict.Predictor(artefact, batch_size=16)
    alone = [predictor(picture, boxes and boxes[number]) for number, picture in enumerate(pictures)]
    calls_alone, artefact.batches = len(artefact.batches), []
    together = predictor.many((picture for picture in pictures), boxes)
    assert [len(hands) for hands in together] == [len(hands) for hands in alone]
    for one, other in zip(sum(alone, []), sum(together, [])):
        np.testing.assert_allclose(other.keypoints, one.keypoints, atol=1e-4)
    assert max(artefact.batches) <= 16 and len(artefact.batches) < calls_alone


def test_boxes_of_many_pictures_fill_their_batches():
    artefact = ColourNet()
    predict.Predictor(artefact, batch_size=4).many([PICTURE] * 10, [[(100, 60, 100, 100)]] * 10)
    assert artefact.batches == [4, 4, 2]


def test_a_stream_gives_hands_before_all_pictures_are_read():
    read = []
    pictures = (read.append(number) or PICTURE for number in range(100))
    stream = predict.Predictor(ColourNet(), batch_size=4).stream(pictures, itertools.repeat([(100, 60, 100, 100)], 100))
    next(stream)
    assert len(read) == 4


def test_pictures_without_boxes_do_not_pile_up_in_a_stream():
    read = []
    pictures = (read.append(number) or PICTURE for number in range(100))
    stream = predict.Predictor(ColourNet(), batch_size=4).stream(pictures, itertools.repeat([], 100))
    assert next(stream) == []
    assert len(read) == 4


def test_no_pictures_give_no_hands():
    assert predict.Predictor(ColourNet()).many([]) == []
    assert predict.Predictor(ColourNet()).many([], []) == []


@pytest.mark.parametrize(("pictures", "boxes", "text"), [
    (2, 1, "each picture needs its boxes, but there are 1 boxes and more pictures"),
    (1, 2, "but there are 1 pictures and more boxes")])
def test_each_picture_needs_its_boxes(pictures, boxes, text):
    with pytest.raises(ValueError, match=text):
        predict.Predictor(ColourNet()).many([PICTURE] * pictures, [[(100, 60, 100, 100)]] * boxes)


def test_a_wrong_box_among_many_files_is_named(tmp_path):
    images.write(tmp_path / "a.png", PICTURE)
    with pytest.raises(ValueError, match="a.png: box x=999 .* lies outside the picture of 320 x 240"):
        predict.Predictor(ColourNet()).many([tmp_path / "a.png"], [[(999, 0, 5, 5)]])


def test_threads_may_share_a_predictor():
    truths = [dotted_hand(60 + 25 * number, 110, 80, seed=number) for number in range(8)]
    predictor = predict.Predictor(ColourNet())
    pictures = [dots(320, 240, [truth]) for truth in truths]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for truth, hands in zip(truths, pool.map(predictor, pictures)):
            assert_finds(sole(hands), truth, atol=0.5)


@pytest.mark.slow
def test_ten_thousand_calls_leave_nothing_behind(tmp_path):
    """Of a real net, with boxes, searches and outputs by turns: less than 1 KiB a call after the first 2,000."""
    spec = nets.Spec("cpm", size=64, stages=2, width=1 / 16)
    checkpoints.save(checkpoints.step_path(tmp_path, 0), random_checkpoint(spec))
    predictor, process = predict.Predictor(tmp_path, threshold=0.0), psutil.Process()
    picture = np.random.default_rng(0).integers(0, 256, (60, 64, 3), np.uint8)
    resident = []
    for number in range(10_000):
        predictor(picture, None if number % 10 == 0 else [(20, 20, 20, 20)], outputs=number % 3 == 0)
        if number >= 2000 and number % 100 == 0:
            resident.append(process.memory_info().rss)
    late, early = np.median(resident[-10:]), np.median(resident[:10])
    assert late - early < 8000 * 1024


# The threshold

def test_the_threshold_is_the_given_one_else_the_artefact_s_else_the_usual_one():
    artefact = ColourNet()
    assert predict.Predictor(artefact).threshold == predict.THRESHOLD
    artefact.presence_threshold = 0.0
    assert predict.Predictor(artefact).threshold == 0
    assert predict.Predictor(artefact, threshold=0.7).threshold == 0.7


def test_a_box_gives_its_hand_however_unlikely():
    hand = sole(predict.Predictor(ColourNet(), threshold=1.0)(blank(320, 240), [(10, 10, 50, 50)]))
    assert hand.presence == 0


@pytest.mark.parametrize(("settings", "text"), [
    ({"max_hands": 0}, "max_hands must be at least 1, got 0"),
    ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ({"handedness": "both"}, "handedness is one of auto, left, right, got 'both'"),
    ({"hands": "left"}, "hands is 'both' or 'right' or None, got 'left'"),
    ({"scales": ()}, "one at least"), ({"scales": (1, 0)}, r"got \(1.0, 0.0\)"),
    ({"threshold": 35}, "threshold is a presence, 0 to 1, got 35"),
])
def test_a_setting_that_cannot_be_is_refused(settings, text):
    with pytest.raises(ValueError, match=text):
        predict.Predictor(ColourNet(), **settings)


# What is refused

@pytest.mark.parametrize("boxes", [None, [(100, 60, 100, 100)]])
def test_a_net_with_damaged_weights_is_refused(boxes):
    net = ColourNet()

    class Damaged(ColourNet):
        def __call__(self, inputs):
            return {name: values * np.nan for name, values in net(inputs).items()}

    with pytest.raises(ValueError, match="keypoints that are no numbers: its weights are damaged"):
        predict.Predictor(Damaged())(PICTURE, boxes)


@pytest.mark.parametrize(("boxes", "text"), [
    ((1, 2, 3, 4), r"boxes must be \[N, 4\].* got shape \[4\]"),
    ([(1, 2, 3)], r"got shape \[1, 3\]"),
    ([(1, 2, 0, 4)], "w=0 h=4"),
    ([(1, 2, 5, -4)], "above 0 px, got box x=1 y=2 w=5 h=-4"),
    ([(1, np.nan, 5, 4)], "needs finite x and y"),
    ([(1, 1, np.inf, 4)], "needs finite x and y"),
    ([(0.1, 0.1, 0.5, 0.5)], "smaller than a pixel; boxes are in pixels, not in fractions"),
    ([(2, 2, 5, 5), (100, 2, 5, 5)], "x=100 y=2 w=5 h=5 lies outside the picture of 50 x 40 px"),
    ([(-10, 2, 5, 5)], "lies outside"),
    ([(-1e6, -1e6, 2e6, 2e6)], "more than 100 times the picture"),
])
def test_a_box_that_cannot_be_is_refused(boxes, text):
    with pytest.raises(ValueError, match=text):
        predict.Predictor(Ideal([], []))(blank(50, 40), boxes=boxes)


@pytest.mark.parametrize("image", [np.zeros((5, 5, 3)), np.zeros((5, 5), np.uint8),
                                   np.zeros((5, 5, 4), np.uint8), np.zeros((0, 5, 3), np.uint8)])
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(ValueError, match=r"an image is uint8 RGB \[H, W, 3\] or the path of a picture, got"):
        predict.Predictor(Ideal([], []))(image)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(images.BadImage, match="none.jpg: no such image file"):
        predict.Predictor(Ideal([], []))(tmp_path / "none.jpg")


def test_a_path_is_loaded_as_an_artefact(tmp_path):
    with pytest.raises(runtimes.BadArtefact, match="none.pb: no such file or folder"):
        predict.Predictor(tmp_path / "none.pb")
