"""The loss against plain loops, and its masks."""

import numpy as np
import pytest
import tensorflow as tf

from cpm_hand.layers import SpatialBelief
from cpm_hand.losses import spatial_cross_entropy, stage_sum_l2
from cpm_hand.targets import BeliefMaps


def loops(targets, outputs, visible):
    """Half the squared differences of what is supervised, over the batch: one number per stage."""
    batch, stages = outputs.shape[:2]
    per_stage = np.zeros(stages)
    for hand, stage, channel in np.ndindex(batch, stages, targets.shape[-1]):
        background = channel == visible.shape[1]
        if visible[hand].all() if background else visible[hand, channel]:
            difference = outputs[hand, stage, ..., channel] - targets[hand, ..., channel]
            per_stage[stage] += 0.5 * np.sum(difference**2) / batch
    return per_stage


def example(batch=3, stages=2, joints=4, background=True, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.random((batch, 5, 6, joints + background)).astype(np.float32)
    outputs = rng.normal(size=(batch, stages, 5, 6, joints + background)).astype(np.float32)
    visible = np.ones((batch, joints), bool)
    visible[1, 2] = False
    return targets, outputs, visible


@pytest.mark.parametrize("batch, stages, background", [(3, 2, True), (2, 5, True), (4, 1, False)])
def test_it_agrees_with_the_loops_a_reader_would_write(batch, stages, background):
    arrays = example(batch, stages, background=background)
    total, per_stage = stage_sum_l2(*arrays)
    np.testing.assert_allclose(per_stage, loops(*arrays), rtol=1e-5)
    assert float(total) == pytest.approx(loops(*arrays).sum(), rel=1e-5)


def test_a_joint_that_is_not_annotated_masks_its_map_and_the_background_of_that_hand_only():
    targets, outputs, visible = example()
    with tf.GradientTape() as tape:
        variable = tf.Variable(outputs)
        total, _ = stage_sum_l2(targets, variable, visible)
    counts = np.abs(tape.gradient(total, variable).numpy()).sum((1, 2, 3)) > 0               # [B, C]
    expected = np.ones((3, 5), bool)
    expected[1, [2, 4]] = False
    np.testing.assert_array_equal(counts, expected)


def test_a_picture_without_a_hand_is_supervised_in_every_map():
    maps = np.asarray(BeliefMaps(8, 7.0).encode(np.zeros((1, 21, 2)), np.zeros((1, 21), bool), 64))
    outputs = np.zeros((1, 1, 8, 8, 22), np.float32)
    total, _ = stage_sum_l2(maps, outputs, np.ones((1, 21), bool))
    assert float(total) == pytest.approx(0.5 * 64)  # the background should be 1 in 64 cells


def test_what_the_predictor_that_sees_nothing_pays():
    # 21 joints at cell centres, 64 px apart: zero joint maps cost half the sum of each squared bell, and the
    # constant background 1 the same again: 2 * 21 * 0.5 * pi * sigma^2 / stride^2.
    cells = np.arange(5) * 8 + 6
    joints = np.float32([[8 * column + 3.5, 8 * row + 3.5] for row in cells for column in cells])[None, :21]
    targets = np.asarray(BeliefMaps(8, 7.0).encode(joints, np.ones((1, 21), bool), 368))
    nothing = np.zeros((1, 6, 46, 46, 22), np.float32)
    nothing[..., 21] = 1
    _, per_stage = stage_sum_l2(targets, nothing, np.ones((1, 21), bool))
    bell = sum(np.exp(-(dx**2 + dy**2) * 64 / 49) for dx in range(-20, 21) for dy in range(-20, 21))
    np.testing.assert_allclose(per_stage, 21 * bell, rtol=1e-4)
    np.testing.assert_allclose(per_stage, 21 * np.pi * 49 / 64, rtol=3e-3)  # the sum against the integral
    np.testing.assert_allclose(per_stage, 50.5, atol=0.2)


def test_a_perfect_prediction_costs_nothing():
    targets, _, visible = example()
    assert float(stage_sum_l2(targets, np.repeat(targets[:, None], 3, 1), visible)[0]) == 0


def test_the_same_number_inside_a_dataset_map():
    arrays = example()
    dataset = tf.data.Dataset.from_tensors(arrays).map(stage_sum_l2)
    (total, per_stage), = dataset.as_numpy_iterator()
    np.testing.assert_allclose(per_stage, loops(*arrays), rtol=1e-5)
    assert total == pytest.approx(per_stage.sum())


BELL = 2 * np.pi * 1.25**2


def beliefs(batch=2, stages=3, joints=4, seed=0):
    """Targets of real bells, maps as a compact net writes them, and one joint that is not annotated."""
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(-5, 68, (batch, joints, 2)).astype(np.float32)
    targets = np.asarray(BeliefMaps(4, 5.0).encode(keypoints, np.ones((batch, joints), bool), 64))
    outputs = np.stack([np.asarray(SpatialBelief(BELL)(rng.normal(0, 2, (batch, 16, 16, joints)).astype(np.float32)))
                        for _ in range(stages)], 1)
    visible = np.ones((batch, joints), bool)
    visible[1, 2] = False
    return targets, outputs, visible


def test_the_cross_entropy_agrees_with_the_loops_a_reader_would_write():
    targets, outputs, visible = beliefs()
    expected = np.zeros(3)
    for hand, stage, joint in np.ndindex(2, 3, 4):
        if not visible[hand, joint]:
            continue
        truth, belief = targets[hand, ..., joint] / BELL, np.float64(outputs[hand, stage, ..., joint]) / BELL
        surprise = -sum(t * np.log(b) for t, b in zip(truth.ravel(), belief.ravel()))
        surprise -= max(1 - truth.sum(), 0) * np.log(1 - belief.sum())
        expected[stage] += surprise / 2
    total, per_stage = spatial_cross_entropy(targets, outputs, visible, bell_cells=BELL)
    np.testing.assert_allclose(per_stage, expected, rtol=1e-4)
    assert float(total) == pytest.approx(expected.sum(), rel=1e-4)


def test_the_cross_entropy_is_least_where_the_belief_is_the_truth():
    target = BeliefMaps(4, 5.0)
    truth = np.asarray(target.encode([[[31.5, 30.0]]], [[True]], 64))
    outputs = [np.concatenate([np.asarray(target.encode([[[31.5 + off, 30.0]]], [[True]], 64))[..., :1] * share,
                               np.zeros((1, 16, 16, 1))], -1)[:, None]
               for off, share in ((0, 0.999), (2, 0.999), (0, 0.8))]
    right, moved, unsure = (float(spatial_cross_entropy(truth, np.float32(maps), np.ones((1, 1), bool),
                                                        bell_cells=target.bell_cells)[0]) for maps in outputs)
    entropy = np.log(2 * np.pi * np.e * 1.25**2)  # of a bell of that sigma, in nats
    assert right == pytest.approx(entropy, abs=0.02)
    assert moved > right and unsure > right


def test_a_picture_without_a_hand_wants_the_joint_nowhere():
    empty = np.asarray(BeliefMaps(4, 5.0).encode(np.zeros((1, 4, 2)), np.zeros((1, 4), bool), 64))
    for mass, cost in ((0.5, 4 * np.log(2)), (1e-6, 0.0)):
        outputs = np.full((1, 1, 16, 16, 5), mass * BELL / 256, np.float32)
        total, _ = spatial_cross_entropy(empty, outputs, np.ones((1, 4), bool), bell_cells=BELL)
        assert float(total) == pytest.approx(cost, abs=1e-4)


def test_a_certain_and_wrong_net_pays_a_finite_price():
    targets, outputs, visible = beliefs()
    certain = np.zeros_like(outputs)
    certain[..., 0, 0, :] = BELL * 1.000001
    with tf.GradientTape() as tape:
        variable = tf.Variable(certain)
        total, _ = spatial_cross_entropy(targets, variable, visible, bell_cells=BELL)
    assert np.isfinite(float(total)) and np.isfinite(tape.gradient(total, variable).numpy()).all()
