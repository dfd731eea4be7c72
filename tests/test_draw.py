"""The pictures: where things are painted, and what is left out."""

import numpy as np
import pytest

from cpm_hand import draw
from cpm_hand.hand import COLOURS, HAND, Skeleton

WHITE = np.full((200, 300, 3), 255, np.uint8)
PAIR = Skeleton(names=("a", "b"), bones=((0, 1),), groups=(("all", (0, 1)),))


def spread():
    """21 joints far apart, on even pixels."""
    return np.array([(x, y) for y in (40.0, 100.0, 160.0) for x in range(30, 310, 40)])


def is_touched(picture, x, y, background=255):
    return bool((picture[round(y), round(x)] != background).any())


def one_hot(channels=3, row=2, column=5, channel=1, size=8):
    maps = np.zeros((size, size, channels), np.float32)
    maps[row, column, channel] = 1
    return maps


def test_each_joint_has_its_colour_at_its_place():
    keypoints = spread()
    picture = draw.skeleton(WHITE, keypoints)
    for (x, y), colour in zip(keypoints.astype(int), COLOURS):
        assert picture[y, x].tolist() == colour.tolist()


def test_a_bone_has_the_colour_of_its_outer_joint():
    wrist, thumb = np.full((21, 2), np.nan), (150.0, 100.0)
    wrist[0], wrist[1] = (50, 100), thumb
    assert draw.skeleton(WHITE, wrist)[100, 100].tolist() == COLOURS[1].tolist()


def test_a_hidden_joint_and_its_bones_are_left_out():
    keypoints, visible = spread(), np.ones(21, bool)
    visible[20] = False
    tip, before = keypoints[20], keypoints[19]
    picture = draw.skeleton(WHITE, keypoints, visible=visible)
    assert not is_touched(picture, *tip) and not is_touched(picture, *(tip + before) / 2)
    assert is_touched(picture, *before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_a_joint_without_a_place_is_left_out(bad):
    keypoints = spread()
    keypoints[20, 0] = bad
    expected = draw.skeleton(WHITE, spread(), visible=np.arange(21) < 20)
    np.testing.assert_array_equal(draw.skeleton(WHITE, keypoints), expected)


def test_no_joint_at_all_leaves_the_picture_as_it_is():
    np.testing.assert_array_equal(draw.skeleton(WHITE, np.full((21, 3), np.nan)), WHITE)


def test_low_scores_are_fainter_than_high_ones_but_there():
    keypoints = np.array([[50, 100, 1.0], [150, 100, 0.1]])
    x, y = 150, 100
    sure = draw.skeleton(WHITE, keypoints[:, :2], PAIR)
    faint = draw.skeleton(WHITE, keypoints, PAIR, threshold=0.2)
    distance = [np.abs(picture[y, x].astype(int) - 255).sum() for picture in (sure, faint)]
    assert 0 < distance[1] < 0.5 * distance[0]
    np.testing.assert_array_equal(draw.skeleton(WHITE, keypoints, PAIR, threshold=0.05), sure)


def test_scores_may_come_beside_the_keypoints():
    keypoints = np.array([[50, 100, 1.0], [150, 100, 0.1]])
    np.testing.assert_array_equal(draw.skeleton(WHITE, keypoints, PAIR),
                                  draw.skeleton(WHITE, keypoints[:, :2], PAIR, scores=keypoints[:, 2]))


def test_half_a_pixel_can_be_seen():
    """The centre of mass of the ink moves with the joint, by as much."""
    def centre(x):
        ink = 255.0 - draw.skeleton(WHITE, [[x, 60.25], [np.nan, 0]], PAIR).mean(-1)
        return ink.sum(0) @ np.arange(300) / ink.sum(), ink.sum(1) @ np.arange(200) / ink.sum()

    assert centre(80.5) == pytest.approx((80.5, 60.25), abs=0.1)
    assert centre(81.0)[0] - centre(80.5)[0] == pytest.approx(0.5, abs=0.1)


def test_a_larger_hand_gets_thicker_bones():
    def thickness(scale):
        canvas = np.full((800, 800, 3), 255, np.uint8)
        picture = draw.skeleton(canvas, np.array([[100.0, 100.0], [100.0 + scale, 100.0]]), PAIR)
        return (picture[:, 100 + scale // 2] != 255).any(-1).sum()

    assert thickness(600) > 1.5 * thickness(100)


@pytest.mark.parametrize("hand_px", [60, 128, 300, 800])
@pytest.mark.parametrize("grey", [0, 40, 128, 200, 255])
def test_every_bone_stands_out_from_any_background(grey, hand_px):
    """Across the middle of each bone there is a pixel far lighter or far darker than what lies around."""
    points = np.array([(0.5, 0.95), *[(0.12 + 0.19 * finger, 0.7 - 0.2 * joint) for finger in range(5)
                                      for joint in range(4)]]) * hand_px + 20
    canvas = np.full((hand_px + 40, hand_px + 40, 3), grey, np.uint8)
    light = draw.skeleton(canvas, points).astype(float) @ (0.299, 0.587, 0.114)
    for inner, outer in HAND.bones:
        middle, along = (points[inner] + points[outer]) / 2, points[outer] - points[inner]
        across = np.array([-along[1], along[0]]) / np.linalg.norm(along)
        reach = max(hand_px / 50, 1) * 2 + 2
        line = np.round(middle + across * np.linspace(-reach, reach, 41)[:, None]).astype(int)
        assert np.abs(light[line[:, 1], line[:, 0]] - grey).max() > 70


def test_the_skeleton_of_a_small_hand_leaves_the_hand_to_be_seen():
    points = np.array([(0.5, 0.95), *[(0.12 + 0.19 * finger, 0.7 - 0.2 * joint) for finger in range(5)
                                      for joint in range(4)]]) * 100 + 20
    picture = draw.skeleton(np.full((140, 140, 3), 128, np.uint8), points)
    covered = (picture != 128).any(-1)[20:120, 20:120].mean()
    assert covered < 0.5


def test_the_argument_is_never_painted_on():
    image, maps = WHITE.copy(), one_hot()
    draw.skeleton(image, spread())
    draw.belief_overlay(image, maps)
    draw.belief_grid(maps, "abc", image)
    draw.stage_strip(image, maps[None])
    np.testing.assert_array_equal(image, WHITE)


def test_the_overlay_shows_the_belief_at_its_place_and_nothing_elsewhere():
    picture = draw.belief_overlay(np.zeros((80, 80, 3), np.uint8), one_hot(row=2, column=5))
    assert is_touched(picture, x=55, y=25, background=0)       # the centre of cell (2, 5)
    assert not is_touched(picture, x=25, y=55, background=0)


def test_the_overlay_leaves_the_background_map_out():
    image, maps = np.full((8, 8, 3), 90, np.uint8), np.zeros((8, 8, 3), np.float32)
    maps[..., -1] = 1
    np.testing.assert_array_equal(draw.belief_overlay(image, maps), image)
    assert (draw.belief_overlay(image, maps, background=False) != image).any()


def test_the_strongest_belief_is_the_largest_over_the_joints():
    maps = np.random.default_rng(0).random((4, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(draw.strongest(maps), np.maximum(maps[..., 0], maps[..., 1]))
    with pytest.raises(ValueError, match=r"got shape \[4, 5, 1\]"):
        draw.strongest(maps[..., :1])


def test_a_belief_that_is_no_number_is_not_painted():
    image = np.full((8, 8, 3), 90, np.uint8)
    np.testing.assert_array_equal(draw.belief_overlay(image, np.full((8, 8, 2), np.nan)), image)


@pytest.mark.parametrize(("maps", "columns", "cells"), [(22, 6, (4, 6)), (3, 6, (1, 3)), (4, 2, (2, 2))])
def test_the_grid_has_as_many_rows_as_the_maps_need(maps, columns, cells):
    page = draw.belief_grid(np.zeros((8, 8, maps)), ["x"] * maps, columns=columns, panel_px=100)
    assert page.shape == (cells[0] * (100 + 20 + 4) + 4, cells[1] * (100 + 4) + 4, 3)


def test_the_grid_wants_a_name_for_each_map():
    with pytest.raises(ValueError, match="and 2 names"):
        draw.belief_grid(np.zeros((8, 8, 3)), ["a", "b"])


def test_the_grid_shows_each_map_in_its_own_panel():
    page = draw.belief_grid(one_hot(channel=1), "abc", columns=3, panel_px=80)
    panels = [page[24:104, 4 + 84 * k:84 + 84 * k] for k in range(3)]
    assert [bool(panel.any()) for panel in panels] == [False, True, False]


def test_the_strip_has_one_panel_per_stage():
    stages = np.stack([one_hot() * strength for strength in (0.0, 0.5, 1.0)])
    image = np.zeros((40, 80, 3), np.uint8)
    strip = draw.stage_strip(image, stages, panel_px=80)
    assert strip.shape == (40 + 20 + 8, 3 * 84 + 4, 3)
    panels = [strip[24:64, 4 + 84 * number:84 + 84 * number].astype(int) for number in range(3)]
    assert not panels[0].any() and 0 < panels[1].sum() < panels[2].sum()
    assert draw.stage_strip(image, stages, columns=2, panel_px=80).shape == (2 * 64 + 4, 2 * 84 + 4, 3)


def test_the_sheet_scales_each_picture_into_its_cell():
    pictures = [np.full((h, w, 3), 200, np.uint8) for h, w in ((10, 20), (50, 20), (1, 1))]
    page = draw.contact_sheet(pictures, columns=2, cell_px=40)
    assert page.shape == (2 * 44 + 4, 2 * 44 + 4, 3)
    assert page[4 + 20, 4:44].min() == 200                             # the wide one fills its width
    assert page[4 + 2, 4 + 20].max() < 200                             # and leaves a band above
    assert page[48:88, 4:44].min() == 200 and page[48:, 48:].max() < 200


@pytest.mark.parametrize("image", [np.zeros((8, 8)), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)])
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(ValueError, match=r"a picture is uint8 \[H, W, 3\] RGB, got"):
        draw.skeleton(image, spread())


def test_keypoints_of_another_skeleton_are_refused():
    with pytest.raises(ValueError, match=r"must be \[21, 2\] or \[21, 3\].* got shape \[2, 2\]"):
        draw.skeleton(WHITE, np.zeros((2, 2)), HAND)
