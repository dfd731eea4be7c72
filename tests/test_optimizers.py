"""Muon against a singular value decomposition."""

import keras
import numpy as np
import pytest

from cpm_hand import nets, optimizers


def step(gradient, start=None, learning_rate=1.0, **settings):
    """Where one step takes a kernel: from 0, whose length is not kept, the step itself."""
    variable = keras.Variable(np.zeros_like(gradient) if start is None else start)
    optimizer = optimizers.Muon(learning_rate, **settings)
    optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    return np.asarray(variable)


@pytest.mark.parametrize("shape", [(3, 3, 8, 16), (1, 1, 16, 4), (5, 5, 2, 7), (12, 6)])
def test_a_kernel_moves_along_the_nearest_orthonormal_matrix(shape):
    gradient = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    left, _, right = np.linalg.svd(gradient.reshape(-1, shape[-1]), full_matrices=False)
    change = -step(gradient).reshape(-1, shape[-1])
    cosine = (change * (left @ right)).sum() / np.linalg.norm(change) / np.linalg.norm(left @ right)
    assert cosine > 0.97
    # Newton-Schulz brings the singular values near 1, not to 1.
    values = np.linalg.svd(change, compute_uv=False) / 0.2 / np.sqrt(max(change.shape))
    assert 0.6 < values.min() and values.max() < 1.3


def test_weak_directions_move_as_far_as_strong_ones():
    gradient = np.diag([100.0, 10.0, 1.0, 0.5]).astype(np.float32)
    sizes = np.abs(np.diag(step(gradient)))
    assert sizes.max() / sizes.min() < 2


def test_the_step_has_adams_size():
    gradient = np.random.default_rng(1).normal(size=(3, 3, 32, 32)).astype(np.float32)
    assert np.sqrt(np.mean(step(gradient)**2)) == pytest.approx(0.2, rel=0.2)


def test_bfloat16_products_give_nearly_the_same_step():
    gradient = np.random.default_rng(2).normal(size=(3, 3, 16, 16)).astype(np.float32)
    exact, rough = step(gradient), step(gradient, matmul_dtype="bfloat16")
    cosine = (exact * rough).sum() / np.linalg.norm(exact) / np.linalg.norm(rough)
    assert cosine > 0.99


def test_biases_are_stepped_by_adam():
    gradient = np.float32([1.0, -2.0, 1e-3])
    np.testing.assert_allclose(step(gradient), [-1, 1, -1], rtol=1e-3)


@pytest.mark.parametrize("net", ["cpm", "cpm_lite"])
def test_kernels_that_write_maps_are_stepped_by_adam_and_all_others_are_not(net):
    model = nets.Spec(net, size=32, stages=2, width=1 / 16).build()
    optimizer = optimizers.Muon()
    optimizer.build(model.trainable_variables)
    by_adam = {variable.path for variable, velocity in zip(model.trainable_variables, optimizer.adam_velocities)
               if velocity is not None and len(variable.shape) == 4}
    maps = {"cpm": ("conv6_2_CPM", "Mconv7_stage2"), "cpm_lite": ("maps_stage1_logits", "maps_stage2_logits")}[net]
    assert by_adam == {f"{name}/kernel" for name in maps}


def test_a_kernel_keeps_its_length():
    rng = np.random.default_rng(5)
    start, gradient = np.float32(rng.normal(size=(2, 3, 3, 8, 16)))
    size = float(0.05 * np.linalg.norm(start) / np.linalg.norm(step(gradient)))
    moved = start
    for _ in range(40):
        moved = step(gradient, start=moved, learning_rate=size)
    assert np.linalg.norm(moved) == pytest.approx(np.linalg.norm(start), rel=1e-5)
    # And turns: a step leaves it in the plane of itself and the direction, which it comes to lie along in the end.
    once, along = step(gradient, start=start, learning_rate=size), start + size * step(gradient)
    np.testing.assert_allclose(once, along * np.linalg.norm(start) / np.linalg.norm(along), atol=1e-5)
    cosine = (moved * step(gradient)).sum() / np.linalg.norm(moved) / np.linalg.norm(step(gradient))
    assert cosine > 0.9


def test_a_net_without_normalisation_is_as_loud_after_long_steps_as_before():
    # Gradients of noise, as late in a training. With kernels that are free to grow it is 16 times as loud after these.
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(6)
    model = nets.Spec("cpm_lite", size=64, stages=2, width=1 / 4).build()
    features = keras.Model(model.input, model.get_layer("features").output)
    pictures = rng.integers(0, 256, (8, 64, 64, 3), np.uint8)
    kernels = [variable for variable in model.trainable_variables if len(variable.shape) == 4]
    before, optimizer = np.asarray(features(pictures)), optimizers.Muon(0.1)
    hidden = [kernel for kernel in kernels if "_logits/" not in kernel.path]  # Adam steps the heads
    lengths = [np.linalg.norm(kernel) for kernel in hidden]
    for _ in range(30):
        optimizer.apply([keras.ops.convert_to_tensor(np.float32(rng.normal(size=kernel.shape))) for kernel in kernels],
                        kernels)
    after = np.asarray(features(pictures))
    assert not np.allclose(after, before, atol=0.5)
    np.testing.assert_allclose([np.linalg.norm(kernel) for kernel in hidden], lengths, rtol=1e-4)
    assert 0.5 < after.std() / before.std() < 2


def test_a_gradient_of_zero_moves_nothing():
    assert not step(np.zeros((3, 3, 4, 4), np.float32)).any()


def test_momentum_is_nesterovs():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(2, 6, 4)).astype(np.float32)
    variable, optimizer = keras.Variable(100 * rng.normal(size=(6, 4)).astype(np.float32)), optimizers.Muon(1.0)
    for gradient in (first, second):
        before = np.asarray(variable)
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    left, _, right = np.linalg.svd(second + 0.95 * (0.95 * first + second), full_matrices=False)
    change, radius = before - np.asarray(variable), before / np.linalg.norm(before)
    expected = left @ right - (left @ right * radius).sum() * radius  # what of it does not change the kernel's length
    assert (change * expected).sum() / np.linalg.norm(change) / np.linalg.norm(expected) > 0.97


@pytest.mark.parametrize("name, precision, kind", [
    ("adam", "float32", keras.optimizers.Adam), ("muon", "bfloat16", optimizers.Muon),
    ("muon", "float16", keras.optimizers.LossScaleOptimizer)])
def test_the_optimizer_is_made_by_name(name, precision, kind):
    assert isinstance(optimizers.make(name, precision), kind)
