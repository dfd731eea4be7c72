"""The skeleton: one order, one tree, the published colours."""

import numpy as np

from cpm_hand.hand import COLOURS, FINGERS, HAND, Skeleton, colours


def test_there_are_21_joints_with_names_of_their_own():
    assert HAND.num_joints == 21 == len(set(HAND.names))


def test_every_fourth_joint_is_a_fingertip():
    assert [HAND.names[joint] for joint in (4, 8, 12, 16, 20)] == [f"{finger}_tip" for finger in FINGERS]


def test_the_bones_are_the_published_twenty():
    assert HAND.bones == (
        (0, 1), (1, 2), (2, 3), (3, 4), (0, 5), (5, 6), (6, 7), (7, 8), (0, 9), (9, 10), (10, 11), (11, 12),
        (0, 13), (13, 14), (14, 15), (15, 16), (0, 17), (17, 18), (18, 19), (19, 20))


def test_the_bones_are_a_tree_that_grows_from_the_wrist():
    reached = {0}
    for inner, outer in HAND.bones:
        assert inner in reached and outer not in reached
        reached.add(outer)
    assert len(reached) == 21


def test_the_groups_share_out_all_joints():
    assert sorted(joint for _, joints in HAND.groups for joint in joints) == list(range(21))
    assert dict(HAND.groups)["ring"] == (13, 14, 15, 16)


def test_the_colours_are_the_published_ones():
    assert COLOURS[[0, 1, 8, 10, 14, 20]].tolist() == [
        [100, 100, 100], [100, 0, 0], [255, 255, 0], [0, 150, 75], [0, 75, 150], [255, 0, 255]]


def test_another_skeleton_gets_colours_of_its_own():
    pair = Skeleton(names=("a", "b"), bones=((0, 1),), groups=(("all", (0, 1)),))
    assert colours(pair).dtype == np.uint8 and colours(pair).tolist() == [[255, 0, 0], [0, 255, 255]]


def test_a_skeleton_survives_json():
    assert Skeleton.from_json(HAND.to_json()) == HAND
