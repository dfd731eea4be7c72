"""The Predictor: crops in, coordinates out, in the picture's own pixels."""

import numpy as np
import pytest

from cpm_hand import geometry, images, predict, runtimes
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


@pytest.mark.parametrize(("width", "height"), [(97, 61), (96, 96), (33, 250), (1001, 667)])
def test_a_whole_picture_gives_its_own_pixels(width, height):
    truth = points_in((0, 0, width, height))
    hand, = predict.Predictor(Ideal(truth, [geometry.whole_picture_box(width, height)]))(blank(width, height))
    scale = max(width, height) / SIZE                                  # px of the picture per px of the input
    np.testing.assert_allclose(hand.keypoints[:, :2], truth[0], atol=0.05 * max(scale, 1))
    assert hand.box[2] == max(width, height) and hand.presence > 0.9


@pytest.mark.parametrize("box", [(20.5, 11.25, 31, 17), (-5, 40, 30, 60), (150, 3, 40.7, 40.7), (0, 0, 1, 1)])
def test_boxes_are_tight_of_any_shape_and_give_the_picture_s_pixels(box):
    truth = points_in(box)
    hand, = predict.Predictor(Ideal(truth, [geometry.widen(box)]))(blank(171, 123), boxes=[box])
    np.testing.assert_allclose(hand.keypoints[:, :2], truth[0], atol=0.05)
    np.testing.assert_array_equal(hand.box, geometry.widen(box))


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
    box = geometry.whole_picture_box(97, 61)
    artefact = Ideal(points_in((0, 0, 97, 61)), [box])
    hand, = predict.Predictor(artefact)(picture, outputs=True)
    expected = images.warp(picture, geometry.crop_matrix(box, SIZE), SIZE)
    np.testing.assert_array_equal(artefact.inputs[0], expected)
    np.testing.assert_array_equal(hand.outputs.input, expected)
    assert hand.outputs.belief_maps.shape == (SIZE, SIZE, 22) and hand.outputs.stages.shape == (1, 12, 12, 22)


def test_outputs_are_kept_only_when_asked_for():
    artefact = Ideal(points_in((0, 0, 50, 50)), [geometry.whole_picture_box(50, 50)])
    assert predict.Predictor(artefact)(blank(50, 50))[0].outputs is None


def test_a_picture_of_the_input_s_size_is_shown_as_it_is():
    picture = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    artefact = Ideal(points_in((0, 0, SIZE, SIZE)), [geometry.whole_picture_box(SIZE, SIZE)])
    predict.Predictor(artefact)(picture)
    np.testing.assert_array_equal(artefact.inputs[0], picture)


def test_a_file_gives_what_its_pixels_give(tmp_path):
    picture = np.random.default_rng(1).integers(0, 256, (61, 97, 3), np.uint8)
    images.write(tmp_path / "hand.png", picture)
    artefact = Ideal(points_in((0, 0, 97, 61)), [geometry.whole_picture_box(97, 61)])
    for image in (tmp_path / "hand.png", str(tmp_path / "hand.png")):
        hand, = predict.Predictor(artefact)(image, outputs=True)
        np.testing.assert_array_equal(hand.outputs.input, predict.Predictor(artefact)(
            picture, outputs=True)[0].outputs.input)


def test_the_belief_lies_on_the_picture_where_the_joint_is():
    box, joint = (60.0, 30.0, 40.0, 20.0), np.array([71.0, 42.0])
    artefact = Ideal(np.tile(joint, (1, 21, 1)), [geometry.widen(box)])
    hand, = predict.Predictor(artefact)(blank(171, 123), boxes=[box], outputs=True)
    belief = predict.belief_on_picture(hand, 171, 123)
    assert belief.shape == (123, 171, 1)
    row, column, _ = np.unravel_index(belief.argmax(), belief.shape)
    assert abs(column - 71) <= 1 and abs(row - 42) <= 1
    assert belief[:, :30].max() == 0                                   # left of the crop


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


