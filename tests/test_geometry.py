"""The pixel convention, with OpenCV and numbers worked by hand as oracles."""

import math

import cv2
import numpy as np
import pytest

from cpm_hand import geometry

RNG_POINTS = np.random.default_rng(0).uniform(-50, 400, (21, 2))


def centre_of_mass(image):
    """x, y of the bright pixels of a grey picture, weighted."""
    y, x = np.indices(image.shape)
    return np.array([(x * image).sum(), (y * image).sum()]) / image.sum()


# Pixels and cells

def test_the_first_cell_is_centred_on_the_first_eight_pixels():
    assert geometry.from_map(0, stride=8) == np.arange(8).mean() == 3.5


@pytest.mark.parametrize("stride", [1, 4, 8, 16])
def test_pixels_to_cells_and_back_is_the_identity(stride):
    back = geometry.from_map(geometry.to_map(RNG_POINTS, stride), stride)
    np.testing.assert_allclose(back, RNG_POINTS, atol=1e-9)


def test_area_averaging_by_eight_puts_a_cell_where_to_map_says():
    image = np.zeros((64, 64), np.float32)
    image[24:32, 40:48] = 1  # centred on x 43.5, y 27.5
    small = cv2.resize(image, (8, 8), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(centre_of_mass(small), geometry.to_map(np.array([43.5, 27.5]), 8), atol=1e-6)


@pytest.mark.parametrize("size, nearest", [(370, 368), (367, 368), (0, 8), (-16, 8), (3, 8)])
def test_a_size_that_the_cells_do_not_tile_is_refused_with_the_nearest_that_they_do(size, nearest):
    with pytest.raises(ValueError, match=f"got size={size}; the nearest valid size is {nearest}"):
        geometry.check_size(size, 8)


# Affine maps

def random_matrix(rng):
    return geometry.rotate_scale_shift(100, degrees=rng.uniform(-180, 180), scale=rng.uniform(0.5, 2),
                                       shift=rng.uniform(-20, 20, 2))


def test_apply_agrees_with_the_sum_a_reader_would_write():
    matrix = random_matrix(np.random.default_rng(1))
    for (x, y), moved in zip(RNG_POINTS, geometry.apply(matrix, RNG_POINTS)):
        assert moved[0] == pytest.approx(matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2])
        assert moved[1] == pytest.approx(matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2])


def test_apply_takes_one_matrix_per_row_of_a_batch():
    matrices = np.stack([geometry.mirror(10), geometry.mirror(20)])
    points = np.array([[[1.0, 2.0]], [[1.0, 2.0]]])
    assert geometry.apply(matrices, points).tolist() == [[[8, 2]], [[18, 2]]]


def test_compose_does_the_first_first():
    rng = np.random.default_rng(2)
    first, second = random_matrix(rng), random_matrix(rng)
    np.testing.assert_allclose(geometry.apply(geometry.compose(second, first), RNG_POINTS),
                               geometry.apply(second, geometry.apply(first, RNG_POINTS)), atol=1e-9)


def test_a_crop_undone_leaves_points_where_they_were():
    matrix = geometry.crop_matrix((-13.25, 40.5, 97.3, 97.3), 368)
    back = geometry.apply(geometry.invert(matrix), geometry.apply(matrix, RNG_POINTS))
    np.testing.assert_allclose(back, RNG_POINTS, atol=1e-9)


def test_a_map_of_no_area_has_no_inverse():
    with pytest.raises(ValueError, match="zero area has no inverse"):
        geometry.invert(np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]]))


def test_a_mirror_swaps_the_first_and_the_last_pixel():
    ends = np.array([[0.0, 7.0], [63.0, 7.0]])
    assert geometry.apply(geometry.mirror(64), ends).tolist() == [[63, 7], [0, 7]]


def test_a_mirror_is_what_reversing_the_columns_does():
    image = np.random.default_rng(3).integers(0, 256, (20, 31), np.uint8)
    np.testing.assert_array_equal(cv2.warpAffine(image, geometry.mirror(31), (31, 20)), image[:, ::-1])


def test_the_mirror_of_a_mirror_is_the_identity():
    twice = geometry.compose(geometry.mirror(77), geometry.mirror(77))
    np.testing.assert_array_equal(twice, [[1, 0, 0], [0, 1, 0]])


def test_positive_degrees_turn_the_x_axis_towards_the_y_axis_about_the_centre():
    matrix = geometry.rotate_scale_shift(101, degrees=90)  # centre (50, 50)
    np.testing.assert_allclose(geometry.apply(matrix, np.array([[60.0, 50.0]])), [[50, 60]], atol=1e-9)


def test_scale_and_shift_are_taken_about_the_centre():
    matrix = geometry.rotate_scale_shift(101, scale=2, shift=(3, -4))
    moved = geometry.apply(matrix, np.array([[50.0, 50.0], [60.0, 50.0]]))
    np.testing.assert_allclose(moved, [[53, 46], [73, 46]])


@pytest.mark.parametrize("seed", range(8))
def test_a_dot_moved_by_opencv_lands_where_apply_says(seed):
    rng = np.random.default_rng(seed)
    matrix = geometry.rotate_scale_shift(128, degrees=rng.uniform(-60, 60), scale=rng.uniform(1, 1.5),
                                         shift=rng.uniform(-5, 5, 2))
    x, y = rng.integers(45, 83, 2)
    image = np.zeros((128, 128), np.float32)
    image[y, x] = 1
    image = cv2.GaussianBlur(image, (0, 0), 2)  # bilinear sampling keeps the centre of what is smooth
    moved = centre_of_mass(cv2.warpAffine(image, matrix, (128, 128), flags=cv2.INTER_LINEAR))
    np.testing.assert_allclose(moved, geometry.apply(matrix, np.array([[x, y]]))[0], atol=0.02)


# Boxes

def test_a_whole_picture_of_the_inputs_size_is_left_as_it_is():
    np.testing.assert_array_equal(geometry.crop_matrix((0, 0, 368, 368), 368), [[1, 0, 0], [0, 1, 0]])


def test_the_edges_of_a_box_become_the_edges_of_the_input():
    matrix = geometry.crop_matrix((10, 20, 50, 50), 200)
    edges = np.array([[9.5, 19.5], [59.5, 69.5]])  # half a pixel outside the centres of the corner pixels
    np.testing.assert_allclose(geometry.apply(matrix, edges), [[-0.5, -0.5], [199.5, 199.5]])


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (0, 0, -5, -5), (0, 0, 10, 11), (0, 0, math.nan, math.nan),
                                 (0, 0, math.inf, math.inf)])
def test_a_crop_that_is_no_square_of_positive_size_is_refused(box):
    with pytest.raises(ValueError, match="must be a square of positive size"):
        geometry.crop_matrix(box, 368)


def test_a_tight_box_holds_the_visible_joints_pixels():
    keypoints = np.array([[10.0, 20.0], [19.0, 24.0], [500.0, -3.0]])
    assert geometry.tight_box(keypoints, np.array([True, True, False])).tolist() == [10, 20, 10, 5]


def test_no_visible_joint_gives_an_empty_box_also_in_a_batch():
    keypoints = np.full((2, 3, 2), np.nan)
    keypoints[1] = 5
    boxes = geometry.tight_box(keypoints, np.array([[False] * 3, [True] * 3]))
    assert boxes.tolist() == [[0, 0, 0, 0], [5, 5, 1, 1]]


def test_widening_keeps_the_centre():
    x, y, w, h = geometry.widen((30, 40, 20, 10))
    assert (w, h) == pytest.approx((44, 44))
    assert (x + (w - 1) / 2, y + (h - 1) / 2) == pytest.approx((39.5, 44.5))


@pytest.mark.parametrize("width, height, box", [(64, 64, [0, 0, 64, 64]), (80, 60, [0, -10, 80, 80]),
                                                (60, 81, [-10.5, 0, 81, 81])])
def test_the_whole_picture_box_is_a_square_around_the_picture(width, height, box):
    assert geometry.whole_picture_box(width, height).tolist() == box


def test_the_hand_box_from_a_body_worked_by_hand():
    # Forearm 100 px to the right: centre (100, 50) + 0.33 * (100, 0); the upper arm is 200, so the side is
    # 1.5 * max(100, 0.9 * 200) = 270, and the corner lies (270 - 1) / 2 = 134.5 before the centre.
    box = geometry.box_from_body(wrist=(100, 50), elbow=(0, 50), shoulder=(0, 250))
    np.testing.assert_allclose(box, [133 - 134.5, 50 - 134.5, 270, 270], rtol=1e-6)


def test_inside_means_on_a_pixel():
    points = np.array([[-0.5, -0.5], [-0.6, 0], [9.4, 4.4], [9.5, 4], [9, 4.5], [np.nan, 0]])
    assert geometry.inside(points, width=10, height=5).tolist() == [True, False, True, False, False, False]
