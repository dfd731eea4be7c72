"""Belief maps against the loops a reader would write, and there and back again."""

import numpy as np
import pytest
import tensorflow as tf

from cpm_hand.targets import BeliefMaps, bicubic_matrix

CODEC = BeliefMaps(stride=8, sigma_px=7.0)
GATHERED = BeliefMaps(stride=4, sigma_px=5.0, reach_px=15.0)
each_codec = pytest.mark.parametrize("codec", [CODEC, GATHERED], ids=["highest cell", "most belief around"])


def encode(keypoints, visible=None, size=368, codec=CODEC) -> np.ndarray:
    keypoints = np.asarray(keypoints, np.float32)
    visible = np.ones(keypoints.shape[:-1], bool) if visible is None else np.asarray(visible)
    return np.asarray(codec.encode(keypoints, visible, size))


def decode(maps, codec=CODEC) -> np.ndarray:
    return np.asarray(codec.decode(maps))


def test_a_joint_at_a_cell_centre_has_belief_one_there():
    assert encode([[83.5, 163.5]])[20, 10, 0] == pytest.approx(1.0)


def test_rows_are_y_and_columns_are_x():
    row, column = np.unravel_index(encode([[300, 40]])[..., 0].argmax(), (46, 46))
    assert (row, column) == (5, 37)


def test_sigma_is_measured_in_input_pixels():
    codec = BeliefMaps(stride=8, sigma_px=16.0)
    assert encode([[83.5, 83.5]], codec=codec)[10, 12, 0] == pytest.approx(np.exp(-0.5))
    codec = BeliefMaps(stride=4, sigma_px=16.0)
    assert encode([[81.5, 81.5]], codec=codec)[20, 24, 0] == pytest.approx(np.exp(-0.5))


@pytest.mark.parametrize("size, stride, background", [(48, 8, True), (64, 4, True), (96, 16, False)])
def test_encode_agrees_with_the_two_loops_a_reader_would_write(size, stride, background):
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(-10, size + 10, (3, 21, 2))
    visible = rng.random((3, 21)) < 0.8
    codec = BeliefMaps(stride, 7.0, background)
    maps = encode(keypoints, visible, size, codec)
    expected = np.zeros((3, size // stride, size // stride, 21))
    for hand, joint in np.ndindex(3, 21):
        x, y = keypoints[hand, joint]
        if visible[hand, joint] and -0.5 <= x < size - 0.5 and -0.5 <= y < size - 0.5:
            for row, column in np.ndindex(size // stride, size // stride):
                squared = (x - (column + 0.5) * stride + 0.5) ** 2 + (y - (row + 0.5) * stride + 0.5) ** 2
                expected[hand, row, column, joint] = np.exp(-squared / (2 * 7.0**2))
    np.testing.assert_allclose(maps[..., :21], expected, atol=1e-6)
    if background:
        np.testing.assert_allclose(maps[..., 21], 1 - expected.max(-1), atol=1e-6)
    assert maps.shape[-1] == 21 + background


@pytest.mark.parametrize("where", [[100, 100], [np.nan, np.nan], [np.inf, 3], [-1000, -1000]])
def test_an_invisible_joint_leaves_no_trace_whatever_it_holds(where):
    maps = encode([where], [False])
    assert maps[..., 0].max() == 0 and maps[..., 1].min() == 1


@pytest.mark.parametrize("where", [[-0.6, 100], [367.6, 100], [100, -0.6], [100, 367.6]])
def test_a_joint_outside_the_input_has_an_empty_map(where):
    assert encode([where])[..., 0].max() == 0


def test_a_size_the_cells_do_not_tile_is_refused():
    with pytest.raises(ValueError, match="size=370; the nearest valid size is 368"):
        encode([[0, 0]], size=370)


@each_codec
def test_decode_undoes_encode_to_a_hundredth_of_a_cell(codec):
    points = np.random.default_rng(1).uniform(12, 367 - 12, (50, 20, 2)).astype(np.float32)
    decoded = decode(encode(points, codec=codec), codec)
    assert np.abs(decoded[..., :2] - points).max() < (0.04 if codec.reach_px else 0.02)
    np.testing.assert_allclose(decoded[..., 2], 1, atol=1e-3)


@each_codec
def test_decode_undoes_encode_up_to_the_border(codec):
    edge = np.float32([[x, y] for x in (0, 1.2, 3.5, 9, 14, 367, 365) for y in (0, 5.9, 11, 181.3, 367)])[None]
    decoded = decode(encode(edge, codec=codec), codec)
    # The offset is at most half a cell, so the outermost pixels come back on the border of their cell.
    assert np.abs(decoded[..., :2] - edge).max() < 0.05


@pytest.mark.parametrize("where", [[103.5 + 4, 83.5], [103.5, 83.5 + 4], [103.5 + 4, 83.5 + 4]])
def test_a_joint_between_two_or_four_cells_is_found_there(where):
    assert np.abs(decode(encode([[where]]))[0, 0, :2] - where).max() < 0.02


def test_the_score_is_the_height_at_any_place_within_a_cell():
    places = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), -1).reshape(1, 64, 2) + 100
    for height in (1.0, 0.4):
        np.testing.assert_allclose(decode(height * encode(places))[..., 2], height, rtol=2e-3)


@each_codec
def test_the_score_is_at_most_one(codec):
    assert decode(3 * encode([[[100, 100]]], codec=codec), codec)[0, 0, 2] == 1


@each_codec
def test_a_map_without_a_peak_has_score_zero(codec):
    assert decode(np.zeros((1, 46, 46, 3), np.float32), codec)[..., 2].max() == 0
    assert decode(np.full((1, 46, 46, 3), -0.2, np.float32), codec)[..., 2].max() == 0


@each_codec
def test_a_weaker_map_decodes_to_the_same_place(codec):
    places = np.random.default_rng(2).uniform(20, 340, (1, 21, 2)).astype(np.float32)
    maps = encode(places, codec=codec)
    assert np.abs(decode(0.3 * maps, codec) - decode(maps, codec))[..., :2].max() < 0.02


def test_two_places_side_by_side_outweigh_a_higher_one_alone_where_belief_is_gathered():
    maps = encode([[[54, 60], [66, 60], [20, 100]]], size=128, codec=GATHERED)
    torn = maps[..., :3] @ np.float32([[0.3, 0], [0.3, 0], [0.4, 1]])  # and a background, which is left out
    np.testing.assert_allclose(decode(torn, GATHERED)[0, 0, :2], [60, 60], atol=0.05)
    np.testing.assert_allclose(decode(torn, GATHERED._replace(reach_px=0.0))[0, 0, :2], [20, 100], atol=0.05)


@pytest.mark.parametrize("row", [2, 125], ids=["upper", "lower"])
def test_two_places_side_by_side_outweigh_a_higher_one_alone_at_the_border_too(row):
    maps = encode([[[54, row], [66, row], [12, row]]], size=128, codec=GATHERED)
    torn = maps[..., :3] @ np.float32([[0.3, 0], [0.3, 0], [0.4, 1]])
    x, y, _ = decode(torn, GATHERED)[0, 0]
    assert x == pytest.approx(60, abs=0.05) and y == pytest.approx(row, abs=GATHERED.sigma_px)
    assert decode(torn, GATHERED._replace(reach_px=0.0))[0, 0, 0] == pytest.approx(12, abs=0.05)


def test_the_place_with_the_most_belief_around_is_that_of_the_loops_a_reader_would_write():
    maps = np.zeros((2, 16, 20, 3), np.float32)
    maps[:, 4:-4, 4:-4] = np.random.default_rng(0).random((2, 8, 12, 3))
    decoded = decode(maps, GATHERED._replace(background=False))
    for hand, joint in np.ndindex(2, 3):
        around = np.zeros((16, 20))
        for row, column, y, x in np.ndindex(16, 20, 16, 20):
            far = np.abs([y - row, x - column]) * 4.0 / 15.0
            around[row, column] += maps[hand, y, x, joint] * np.exp(-np.sum(far**3))
        row, column = np.unravel_index(around.argmax(), around.shape)
        assert np.abs((decoded[hand, joint, :2] + 0.5) / 4 - 0.5 - (column, row)).max() <= 0.501


def test_presence_is_the_mean_score():
    keypoints = np.float32([[[0, 0, 0.5], [0, 0, 1.0]], [[0, 0, 0], [0, 0, 0]]])
    np.testing.assert_allclose(CODEC.presence(keypoints), [0.75, 0])


# TensorFlow looks its weights up in a table of 1024 offsets, exact at factors that are powers of two.
@pytest.mark.parametrize("cells, size", [(6, 48), (46, 368), (8, 8), (12, 48), (5, 80)])
def test_upsample_is_tensorflows_bicubic(cells, size):
    maps = np.random.default_rng(3).normal(size=(2, cells, cells, 3)).astype(np.float32)
    expected = tf.image.resize(maps, (size, size), "bicubic")
    np.testing.assert_allclose(CODEC.upsample(maps, size), expected, atol=1e-5)


def test_every_row_of_the_bicubic_matrix_sums_to_one():
    np.testing.assert_allclose(bicubic_matrix(46, 368).sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("name", ["encode", "decode", "upsample"])
def test_the_same_numbers_inside_a_dataset_map(name):
    rng = np.random.default_rng(4)
    keypoints, visible = rng.uniform(0, 64, (5, 2, 21, 2)).astype(np.float32), rng.random((5, 2, 21)) < 0.7
    maps = encode(keypoints, visible, 64)
    if name == "encode":
        data, function = (keypoints, visible), lambda k, v: CODEC.encode(k, v, 64)
    else:
        data, function = (maps,), CODEC.decode if name == "decode" else lambda m: CODEC.upsample(m, 64)
    mapped = list(tf.data.Dataset.from_tensor_slices(data).map(function).as_numpy_iterator())
    for got, row in zip(mapped, zip(*data)):
        np.testing.assert_allclose(got, function(*row), atol=1e-6)
