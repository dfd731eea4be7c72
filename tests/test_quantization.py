"""Where a net is rounded to 8 bits, and by how much."""

import keras
import numpy as np
import pytest
from exported import SPECS, pictures, small_checkpoint

from cpm_hand import inference, quantization, runtimes
from cpm_hand.formats import FORMATS

IMAGES = pictures().images


@pytest.fixture(scope="module", params=SPECS)
def pair(request):
    spec = SPECS[request.param]
    model = inference.inference_model(runtimes.restore_net(small_checkpoint(spec)), spec.target)
    return spec, model, quantization.int8(model, IMAGES)


def test_maps_differ_by_little_and_by_something(pair):
    spec, model, rounded = pair
    expected, got = (np.asarray(each(IMAGES)["stages"]) for each in (model, rounded))
    difference = np.abs(got - expected) / np.ptp(expected)
    assert 1e-4 < difference.max() < {"cpm": 0.05, "cpm_lite": 0.15}[spec.net]  # peaks of a softmax amplify
    assert np.quantile(difference, 0.99) < 0.02


def test_the_weights_are_shared_and_unchanged(pair):
    _, model, rounded = pair
    assert {id(variable) for variable in rounded.variables} == {id(variable) for variable in model.variables}


def test_every_convolution_but_the_heads_has_a_rounded_kernel(pair):
    spec, model, rounded = pair
    kernels = {layer.convolution.name for layer in rounded.layers if isinstance(layer, quantization.RoundedKernel)}
    every = [layer.name for layer in model.layers
             if isinstance(layer, (keras.layers.Conv2D, keras.layers.Conv2DTranspose))]
    plain = [name for name in every if name not in kernels]
    assert len(plain) == {"cpm": spec.stages, "cpm_lite": 3}[spec.net]  # whose fourth stage is the third again
    assert all(name == "conv6_2_CPM" or "Mconv7" in name or name.endswith("_logits") for name in plain)


@pytest.mark.parametrize("bits, most", [(8, 127), (7, 64)])
def test_rounding_a_kernel_keeps_each_channel_within_half_a_step(bits, most):
    layer = keras.layers.Conv2D(3, 1, use_bias=True)
    layer.build((None, 4, 4, 5))
    kernel = np.float32(np.random.default_rng(0).normal(size=(1, 1, 5, 3)) * [1, 10, 100])
    layer.kernel.assign(kernel)
    picture = np.eye(5, dtype=np.float32).reshape(1, 1, 5, 5)   # each cell asks for one row of the kernel
    got = np.asarray(quantization.RoundedKernel(layer, bits)(picture))[0, 0]
    step = np.abs(kernel[0, 0]).max(0) * 2 ** (8 - bits) / 127
    np.testing.assert_array_less(np.abs(got - kernel[0, 0]), 0.501 * step[None].repeat(5, 0))
    np.testing.assert_allclose(got / step, (got / step).round(), atol=1e-3)
    assert np.abs(got / step).max().round() == most


def test_two_products_of_seven_bit_kernels_fit_into_sixteen():
    # What x86 processors without VNNI add in one instruction: two times a value of 0 .. 255 and a kernel's step.
    assert 2 * 255 * 64 < 2**15 < 2 * 255 * 127
    assert FORMATS["openvino"].kernel_bits == 7


def test_what_is_joined_twice_puts_both_groups_on_one_scale():
    """As features are, which every later stage sees beside the maps before; and a group apart stays apart."""
    pixels = keras.Input((4, 4, 1), name="pixels")
    parts = {name: keras.layers.Rescaling(scale, name=name)(pixels)
             for name, scale in (("a", 1.0), ("b", -2.0), ("c", 3.0), ("d", 10.0), ("e", 20.0))}
    for name, joined in (("ab", "ab"), ("bc", "bc"), ("de", "de")):
        parts[name] = keras.layers.Concatenate(name=name)([parts[part] for part in joined])
    model = keras.Model(pixels, [keras.layers.Conv2D(1, 1)(parts[name]) for name in ("ab", "bc", "de")])
    ranges = quantization._ranges(model, list(parts), quantization._readers(model), np.ones((1, 4, 4, 1), np.float32))
    assert ranges == {**dict.fromkeys(("a", "b", "c", "ab", "bc"), (-2.0, 3.0)),
                      **dict.fromkeys(("d", "e", "de"), (0.0, 20.0))}


def test_the_range_of_a_layer_that_is_used_twice_spans_both():
    pixels = keras.Input((4, 4, 1), name="pixels")
    larger = keras.layers.Rescaling(-10.0, name="larger")
    model = keras.Model(pixels, keras.layers.Conv2D(1, 1)(larger(larger(pixels))))
    ranges = quantization._ranges(model, ["larger"], quantization._readers(model), np.ones((1, 4, 4, 1), np.float32))
    assert ranges == {"larger": (-10.0, 100.0)}


def test_what_is_joined_is_on_one_scale(pair):
    _, model, _ = pair
    readers = quantization._readers(model)
    names = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Concatenate)
             and all(isinstance(reader, keras.layers.Conv2D) for reader in readers[layer.name])]
    assert names
    probed = [name for name in readers if any(reader.name in names for reader in readers[name])] + names
    ranges = quantization._ranges(model, probed, readers, IMAGES)
    assert len(set(ranges.values())) == 1
