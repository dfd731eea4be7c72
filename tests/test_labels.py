"""`Labels`: what its columns promise, and that a split never cuts through a group."""

import numpy as np
import pytest

from cpm_hand import labels
from cpm_hand.hand import HAND, Skeleton

PAIR = Skeleton(names=("a", "b"), bones=((0, 1),), groups=(("all", (0, 1)),))


def row(number=0, **changes):
    return {"path": f"{number}.jpg", "keypoints": np.full((21, 2), number + 5.0), "visible": [True] * 21,
            "box": (0, 0, 10, 10), "group": f"set:{number}", **changes}


def test_rows_become_columns_of_the_promised_types():
    table = labels.from_rows([row(0), row(1, is_left=1, head_size=12.5, has_hand=False)])
    assert table.num_hands == 2 and table.skeleton == HAND
    assert (table.keypoints.shape, table.keypoints.dtype) == ((2, 21, 2), np.float32)
    assert (table.boxes.dtype, table.visible.dtype, table.is_left.dtype) == (np.float32, bool, np.int8)
    assert table.has_hand.tolist() == [True, False] and table.is_left.tolist() == [-1, 1]
    assert np.isnan(table.head_size[0]) and table.head_size[1] == 12.5
    assert table.paths.tolist() == ["0.jpg", "1.jpg"] and table.groups.tolist() == ["set:0", "set:1"]


def test_no_rows_give_empty_columns_of_the_right_shapes():
    table = labels.from_rows([])
    assert table.num_hands == 0 and table.keypoints.shape == (0, 21, 2) and table.boxes.shape == (0, 4)


def test_take_follows_an_index_and_a_mask():
    table = labels.from_rows([row(number) for number in range(4)])
    assert table.take([3, 0]).paths.tolist() == ["3.jpg", "0.jpg"]
    assert table.take(np.array([True, False, False, True])).keypoints[:, 0, 0].tolist() == [5, 8]
    assert table.take([1]).skeleton == HAND


def test_a_visible_joint_without_coordinates_is_named():
    keypoints = np.zeros((21, 2))
    keypoints[8, 1] = np.nan
    with pytest.raises(ValueError, match="^7.jpg: visible joint 'index_tip' has no finite coordinates"):
        labels.from_rows([row(0), row(7, keypoints=keypoints)])


def test_a_joint_that_is_not_visible_may_lie_nowhere():
    visible = np.arange(21) != 8
    keypoints = np.where(visible[:, None], 3.0, np.nan) * np.ones(2)
    assert labels.from_rows([row(keypoints=keypoints, visible=visible)]).num_hands == 1


@pytest.mark.parametrize("box", [(0, 0, 10, 11), (0, 0, 0, 0), (0, 0, -1, -1), (np.nan, 0, 5, 5)])
def test_a_box_that_is_no_square_of_positive_size_is_named(box):
    with pytest.raises(ValueError, match="^3.jpg: the box must be a square of positive size"):
        labels.from_rows([row(3, box=box)])


def test_columns_of_unequal_length_are_refused():
    table = labels.from_rows([row(0), row(1)])
    with pytest.raises(ValueError, match="equal lengths, got .*'boxes': 1"):
        labels.check(table._replace(boxes=table.boxes[:1]))


def test_sets_of_one_skeleton_follow_each_other():
    both = labels.concatenate([labels.from_rows([row(2)]), labels.from_rows([row(0), row(1)])])
    assert both.paths.tolist() == ["2.jpg", "0.jpg", "1.jpg"] and both.keypoints.shape == (3, 21, 2)
    labels.check(both)


def test_sets_of_different_skeletons_do_not_mix():
    pair = labels.from_rows([row(keypoints=np.zeros((2, 2)), visible=[True, True])], PAIR)
    with pytest.raises(ValueError, match="cannot be mixed: 2 joints against 21, and joint 0 is 'a' against 'wrist'"):
        labels.concatenate([labels.from_rows([row()]), pair])


def test_sets_of_the_same_joints_with_other_bones_do():
    bare = HAND._replace(bones=())
    both = labels.concatenate([labels.from_rows([row()]), labels.from_rows([row(1)], bare)])
    assert both.num_hands == 2 and both.skeleton == HAND


# Splits

GROUPS = np.array([f"set:{number // 3}" for number in range(3000)])  # 1000 groups of 3


def test_a_group_is_never_cut():
    mask = labels.validation_mask(GROUPS, 0.3).reshape(1000, 3)
    assert (mask == mask[:, :1]).all()


def test_the_share_is_the_one_asked_for():
    share = labels.validation_mask(GROUPS, 0.2).mean()
    assert abs(share - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 1000)  # four standard deviations of 1000 lots


@pytest.mark.parametrize("fraction, expected", [(0.0, 0), (1.0, 3000)])
def test_nothing_and_everything_can_be_asked_for(fraction, expected):
    assert labels.validation_mask(GROUPS, fraction).sum() == expected


def test_the_side_of_a_group_depends_on_nothing_else_in_the_set():
    mask = labels.validation_mask(GROUPS, 0.3)
    order = np.random.default_rng(0).permutation(len(GROUPS))[:700]
    np.testing.assert_array_equal(labels.validation_mask(GROUPS[order], 0.3), mask[order])


def test_the_side_is_the_same_on_every_machine():
    # The first 8 bytes of SHA-256 of "a", "b" and "c" begin with 0xca, 0x3e and 0x2e: 0.79, 0.24, 0.18 of 1.
    assert labels.validation_mask(np.array(["a", "b", "c"]), 0.2).tolist() == [False, False, True]
    assert labels.validation_mask(np.array(["a", "b", "c"]), 0.5).tolist() == [False, True, True]


def test_a_name_whose_bytes_are_no_text_has_a_side_too():
    names = np.array(["video", "caf\udce9", "a", "\ud800"])
    mask = labels.validation_mask(names, 0.5)
    assert mask[2] == labels.validation_mask(names[2:3], 0.5)[0] and mask.shape == (4,)


def test_a_larger_share_keeps_those_already_chosen():
    assert not (labels.validation_mask(GROUPS, 0.1) & ~labels.validation_mask(GROUPS, 0.2)).any()


def test_an_empty_set_splits_into_nothing():
    assert labels.validation_mask(np.array([], str), 0.5).shape == (0,)


# What readers share

def read_even(number):
    if number % 2:
        raise labels.BadSample(f"{number}.json: odd.")
    return row(number)


def test_the_first_bad_sample_stops_the_reading():
    with pytest.raises(labels.BadSample, match="1.json: odd"):
        labels.gather(read_even, ((number,) for number in range(5)), skip_bad=False)


def test_bad_samples_can_be_left_out_and_are_told():
    table, problems = labels.gather(read_even, ((number,) for number in range(5)), skip_bad=True)
    assert table.paths.tolist() == ["0.jpg", "2.jpg", "4.jpg"]
    assert problems == ["1.json: odd.", "3.json: odd."]


def test_errors_of_our_own_are_not_mistaken_for_bad_samples():
    with pytest.raises(ZeroDivisionError):
        labels.gather(lambda number: 1 / number, [(0,)], skip_bad=True)


def test_a_label_file_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(labels.BadSample, match="gone.json: cannot be read .No such file"):
        labels.load_json(tmp_path / "gone.json")
