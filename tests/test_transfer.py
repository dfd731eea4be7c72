"""Weights into a net whose maps stand for other joints: which rows of which kernels go where."""

import numpy as np
import pytest
from exported import random_checkpoint

from cpm_hand import checkpoints, nets, transfer
from cpm_hand.foreign import BadWeights
from cpm_hand.hand import HAND, Skeleton

SPECS = {"cpm": nets.Spec("cpm", 32, 2, 1 / 32), "cpm_lite": nets.Spec("cpm_lite", 32, 2, 1 / 16)}
# The tip of the index finger as others spell it, something that is no joint of a hand, and the wrist.
THREE = Skeleton(("INDEX_FINGER_TIP", "watch", "Wrist"), ((2, 0),), (("all", (0, 1, 2)),))
INDEX_TIP, WRIST = HAND.names.index("index_tip"), 0


def values(model):
    return {name: variable.numpy() for name, variable in checkpoints.variables(model).items()}


@pytest.mark.parametrize("net", SPECS)
def test_known_joints_keep_their_maps_and_new_ones_begin_as_they_were_made(net):
    trained, spec = random_checkpoint(SPECS[net], scale=1.0), SPECS[net]._replace(skeleton=THREE)
    model = spec.build()
    before = values(model)
    done = transfer.load(model, spec, trained)
    after = values(model)
    assert done.kept == ["INDEX_FINGER_TIP", "Wrist"] and done.new == ["watch"]
    assert done.report.used == list(before) and not done.report.missing and not done.report.unused
    # The first convolution of stage 2 reads [maps, features], or the maps alone.
    name = {"cpm": "Mconv1_stage2/kernel", "cpm_lite": "fold_stage2/kernel"}[net]
    background = [21] if spec.target.background else []
    rows = [INDEX_TIP, None, WRIST, *background]
    for row, source in enumerate(rows):
        expected = before[name][:, :, row] if source is None else trained.weights[name][:, :, source]
        np.testing.assert_array_equal(after[name][:, :, row], expected)
    np.testing.assert_array_equal(after[name][:, :, len(rows):], trained.weights[name][:, :, 21 + len(background):])
    # The heads write maps: [h, w, features, maps], and in the compact net [h, w, maps, features].
    heads = {"cpm": ("conv6_2_CPM", "Mconv7_stage2"), "cpm_lite": ("maps_stage1_logits", "maps_stage2_logits")}[net]
    for head in heads:
        known, new, made = (np.moveaxis(arrays[f"{head}/kernel"], -1 if net == "cpm" else 2, 0)
                            for arrays in (trained.weights, after, before))
        assert len(new) == 3 + (net == "cpm") and len(known) == 21 + (net == "cpm")
        for row, source in enumerate(rows[:len(new)]):
            np.testing.assert_array_equal(new[row], made[row] if source is None else known[source])
    shared = [name for name in before if before[name].shape == trained.weights[name].shape]
    assert len(shared) > len(before) / 2
    for name in shared:
        np.testing.assert_array_equal(after[name], trained.weights[name])


def test_the_same_joints_in_another_order_find_what_they_found(tmp_path):
    trained = random_checkpoint(SPECS["cpm_lite"], scale=1.0)
    backwards = Skeleton(HAND.names[::-1], (), (("all", tuple(range(21))),))
    spec = trained.spec._replace(skeleton=backwards)
    one, other = trained.spec.build(), spec.build()
    transfer.load(one, trained.spec, trained)
    done = transfer.load(other, spec, trained)
    assert done.kept == list(backwards.names) and not done.new
    picture = np.random.default_rng(1).integers(0, 256, (1, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(np.array(one(picture))[..., 20::-1], np.array(other(picture))[..., :21], atol=1e-5)


def test_an_exact_name_wins_over_the_joint_that_it_stands_for():
    two_hands = "left_wrist", "left_index_tip", "right_wrist", "right_index_tip"
    assert transfer._pairs(("left_wrist", "left_index_tip", "watch"), two_hands) == [(0, 0), (1, 1)]
    # Of two wrists neither is the one: both begin anew instead of alike.
    assert transfer._pairs(two_hands, HAND.names) == []
    assert transfer._pairs(("index_tip", "Wrist"), HAND.names) == [(0, INDEX_TIP), (1, WRIST)]


def test_the_averages_are_what_goes_along():
    trained = random_checkpoint(SPECS["cpm_lite"], scale=1.0)
    trained = trained._replace(ema={"stem1/bias": np.full_like(trained.weights["stem1/bias"], 7)})
    model = trained.spec.build()
    transfer.load(model, trained.spec, trained)
    assert (values(model)["stem1/bias"] == 7).all()


@pytest.mark.parametrize("skeleton", [HAND, THREE])
def test_another_width_is_refused_and_changes_nothing(skeleton):
    trained = random_checkpoint(SPECS["cpm_lite"], scale=1.0)
    spec = trained.spec._replace(width=1 / 8, skeleton=skeleton)
    model = spec.build()
    before = values(model)
    with pytest.raises(BadWeights, match="in the file and .* in the model: of another net, --width"):
        transfer.load(model, spec, trained)
    for name, array in values(model).items():
        np.testing.assert_array_equal(array, before[name])
