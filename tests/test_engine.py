import keras
import numpy as np
import pytest
import tensorflow as tf

from cpm_hand import checkpoints, nets
from cpm_hand.engine import Engine, Optimisation, describe
from cpm_hand.pipeline import Batch

SPEC = nets.Spec("cpm", size=64, stages=2, width=1 / 16)


def batch(count=4, seed=0, size=64, target=SPEC.target):
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(4, size - 4, (count, 21, 2)).astype(np.float32)
    visible = rng.random((count, 21)) > 0.1
    targets = target.encode(keypoints, visible, size)
    images = tf.constant(rng.integers(0, 256, (count, size, size, 3)), tf.uint8)
    return Batch(images, targets, tf.constant(visible), keypoints, visible, np.ones(count, np.float32))


def engine(seed=0, spec=SPEC, rate=1e-3, strategy=None, **optimisation):
    keras.utils.set_random_seed(seed)
    made = Engine(spec, Optimisation(**optimisation), strategy)
    made.set_learning_rate(rate)
    return made


def train(made, steps=3):
    return np.array([made.train(batch(seed=step), tf.constant(0.0))[0].numpy() for step in range(steps)])


def weights(made):
    return np.concatenate([variable.numpy().ravel() for variable in made.model.trainable_variables])


def test_a_step_lowers_the_loss_of_the_picture_it_saw():
    made = engine()
    losses = np.array([made.train(batch(), tf.constant(0.0))[0].numpy().sum() for _ in range(30)])
    assert losses[-1] < 0.8 * losses[0]


def test_it_is_the_step_of_a_bare_gradient_tape():
    """Independent oracle: the plain loop that a reader would write with Keras."""
    made = engine()
    keras.utils.set_random_seed(0)
    model, adam = SPEC.build(), keras.optimizers.Adam(1e-3, epsilon=1e-8)
    for step in range(3):
        data = batch(seed=step)
        with tf.GradientTape() as tape:
            outputs = model(data.images, training=True)
            visible = data.supervised.numpy()
            mask = np.concatenate([visible, visible.all(1, keepdims=True)], 1)[:, None, None, None]
            loss = 0.5 * tf.reduce_sum(tf.square(outputs - data.targets[:, None]) * mask.astype(np.float32)) / 4
        adam.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        assert made.train(data, tf.constant(0.0))[0].numpy().sum() == pytest.approx(float(loss), rel=1e-5)
    ours, theirs = weights(made), np.concatenate([v.numpy().ravel() for v in model.trainable_variables])
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_the_compact_nets_loss_has_the_gradient_of_the_plain_function():
    spec = nets.Spec("cpm_lite", size=64, stages=2, width=1 / 4)
    made, data = engine(spec=spec), batch(target=spec.target)
    losses, gradients = made._gradients(data.images, data.targets, data.supervised)
    with tf.GradientTape() as tape:
        total, per_stage = made.net.loss(data.targets, made.model(data.images, training=True), data.supervised)
    np.testing.assert_allclose(losses, per_stage, rtol=1e-5)
    for gradient, expected in zip(gradients, tape.gradient(total, made.model.trainable_variables)):
        np.testing.assert_allclose(gradient, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("microbatch", [1, 2])
def test_microbatches_add_up_to_the_whole_batch(microbatch):
    """Plain gradients are compared; behind Adam a gradient near zero would be blown up to a whole step."""
    data = batch()
    whole, parts = engine(), engine(microbatch=microbatch)
    run = [tf.function(made._gradients)(data.images, data.targets, data.supervised) for made in (whole, parts)]
    np.testing.assert_allclose(run[0][0], run[1][0], rtol=1e-5)
    for one, other in zip(run[0][1], run[1][1]):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * float(tf.reduce_max(tf.abs(one))))


@pytest.mark.slow
def test_microbatches_train_like_the_whole_batch():
    np.testing.assert_allclose(train(engine(), 5), train(engine(microbatch=2), 5), rtol=1e-5)


def test_clipping_scales_the_gradient_to_the_limit():
    made = engine(clip_norm=0.5)
    gradients = [tf.constant([3.0, 0.0]), tf.constant([[4.0]])]     # norm 5
    clipped = made._clip(gradients)
    np.testing.assert_allclose(clipped[0], [0.3, 0])
    np.testing.assert_allclose(clipped[1], [[0.4]])


def applied(made):
    """The gradients that a step hands to its optimizer."""
    seen = []
    made.optimizer = type("Seen", (), {"apply": lambda self, gradients, _: seen.extend(gradients),
                                       "dynamic_scale": getattr(made.optimizer, "dynamic_scale", None),
                                       "scale_loss": getattr(made.optimizer, "scale_loss", None)})()
    data = batch()
    made._replica_step(data.images, data.targets, data.supervised, tf.constant(0.0))
    return seen


def test_a_step_applies_the_clipped_gradient():
    plain, clipped = applied(engine()), applied(engine(clip_norm=5.0))
    norm = float(tf.linalg.global_norm(plain))
    assert norm > 10
    for one, other in zip(plain, clipped):
        np.testing.assert_allclose(one * (5.0 / norm), other, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_under_float16_the_limit_is_that_of_the_unscaled_gradient():
    made = engine(clip_norm=5.0, precision="float16")
    scale = float(made.optimizer.dynamic_scale.numpy())
    assert float(tf.linalg.global_norm(applied(made))) == pytest.approx(5.0 * scale, rel=1e-3)


def test_a_gradient_below_the_limit_is_left_alone():
    clipped = engine(clip_norm=50.0)._clip([tf.constant([3.0, 4.0])])
    np.testing.assert_array_equal(clipped[0], [3, 4])


@pytest.mark.slow
def test_averages_follow_the_stated_rule():
    made = engine(ema_decay=0.7)
    expected = weights(made)
    for step in range(1, 5):
        made.train(batch(seed=step), tf.constant(0.0))
        decay = min(0.7, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weights(made)
    got = np.concatenate([average.numpy().ravel() for average in made.averages])
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_within_averaged_the_model_has_the_averages_and_afterwards_its_own_weights():
    made = engine(ema_decay=0.7)
    train(made)
    before = weights(made)
    with made.averaged():
        np.testing.assert_array_equal(
            weights(made), np.concatenate([average.numpy().ravel() for average in made.averages]))
    np.testing.assert_array_equal(weights(made), before)


@pytest.mark.slow
@pytest.mark.parametrize("precision, tolerance", [("bfloat16", 0.1), ("float16", 0.1)])
def test_lower_precision_trains_to_nearly_the_same_losses(precision, tolerance):
    made = engine(precision=precision)
    assert all(variable.dtype == "float32" for variable in made.model.variables)
    assert made.model.get_layer("conv3_1").compute_dtype == precision
    assert made.model.get_layer("Mconv7_stage2").compute_dtype == "float32"
    low, full = train(made, 6).sum(1), train(engine(), 6).sum(1)
    np.testing.assert_allclose(low, full, rtol=tolerance)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
def test_float16_skips_a_step_whose_gradient_overflows_and_lowers_its_scale():
    made = engine(precision="float16")
    made.optimizer.dynamic_scale.assign(2.0**60)
    before, scale = weights(made), float(made.optimizer.dynamic_scale.numpy())
    made.train(batch(), tf.constant(0.0))
    np.testing.assert_array_equal(weights(made), before)
    assert float(made.optimizer.dynamic_scale.numpy()) == scale / 2


@pytest.mark.parametrize("optimisation", [
    {"ema_decay": 0.9, "clip_norm": 1.0}, pytest.param({"precision": "float16"}, marks=pytest.mark.slow)])
def test_a_restored_engine_goes_on_as_the_saved_one(tmp_path, optimisation):
    made = engine(**optimisation)
    train(made, 3)
    checkpoints.save(tmp_path / "c.npz", made.checkpoint(3, {}))
    expected = train(made, 2)
    other = engine(seed=5, **optimisation)
    other.restore(checkpoints.load(tmp_path / "c.npz"), "c.npz")
    np.testing.assert_allclose(train(other, 2), expected, rtol=1e-6)


def test_a_checkpoint_of_another_net_is_refused_in_the_words_of_the_flags():
    saved = engine().checkpoint(0, {})
    with pytest.raises(checkpoints.BadCheckpoint, match="another net. It holds --net=cpm --input_width=64 --stages=2 .*"
                                                        "this run is --net=cpm --input_width=64 --stages=3"):
        engine(spec=SPEC._replace(stages=3)).restore(saved, "old.npz")
    other = SPEC.skeleton._replace(names=("carpus", *SPEC.skeleton.names[1:]))
    for skeleton, text in ((other, "joint 0 is 'wrist' against 'carpus'"),
                           (SPEC.skeleton._replace(bones=()), "other bones")):
        with pytest.raises(checkpoints.BadCheckpoint, match=rf"this run is --net=cpm .* with 21 joints \(.*{text}\)"):
            engine(spec=SPEC._replace(skeleton=skeleton)).restore(saved, "old.npz")


def test_a_checkpoint_without_averages_does_not_fit_a_run_that_keeps_them():
    saved = engine().checkpoint(0, {})
    with pytest.raises(checkpoints.BadCheckpoint, match="old.npz: its moving averages .* do not fit"):
        engine(ema_decay=0.9).restore(saved, "old.npz")


def test_a_net_is_described_in_the_words_of_the_flags():
    assert describe(SPEC) == "--net=cpm --input_width=64 --stages=2 --width=0.0625 with 21 joints"
