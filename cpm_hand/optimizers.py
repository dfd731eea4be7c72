"""Muon for nets of convolutions.

Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; the step size that fits Adam's
is that of Liu et al. 2025, arXiv:2502.16982, and the constant length of kernels Wen et al. 2026's, arXiv:2606.16899.
"""

import math

import keras
from keras import ops

ADAM_EPSILON = 1e-8
HEADS = ("_logits/", "conv6_2_CPM/", "Mconv7_stage")  # in the paths of kernels that write maps


class Muon(keras.optimizers.Muon):
    """Keras' Muon, which leaves convolutions to Adam, for their kernels too.

    A kernel [h, w, in, out] is stepped as the matrix [h * w * in, out]: its momentum is replaced by the nearest
    matrix with orthonormal rows or columns, so that all directions learn alike, and scaled to 0.2 times the step size
    in the root mean square. Then the kernel is brought back to the length that it had (one of zeros takes that of its
    first step, so kernels should begin elsewhere): steps of one size would make it longer and longer, and nets without
    normalisation then explode from layer to layer, until most ReLUs of some layers give 0 for every picture. Biases are
    stepped by Adam, and so are the kernels that write maps, as Muon's author advises for the last layer.

    Args:
        learning_rate: as for Adam.
        matmul_dtype: of the Newton-Schulz iteration's products; bfloat16 is enough and, where a processor has it, free.
        name: of the optimizer.
    """

    def __init__(self, learning_rate=1e-3, matmul_dtype: str = "float32", name: str = "muon", **kwargs):
        super().__init__(learning_rate, **{"weight_decay": None, "adam_weight_decay": None, "epsilon": ADAM_EPSILON,
                                           **kwargs}, name=name)
        self.matmul_dtype = matmul_dtype

    def _should_use_adamw(self, variable) -> bool:
        return len(variable.shape) < 2 or any(head in variable.path for head in HEADS)

    def _muon_update_step(self, gradient, variable, lr, m):
        self.assign(m, self.momentum * m + gradient)
        direction = gradient + self.momentum * m
        rows, columns = _matrix_shape(variable.shape)
        matrix = ops.reshape(direction, (rows, columns))
        # The iteration divides by the norm itself, but in matmul_dtype, where a large gradient's would be inexact.
        matrix = ops.cast(matrix / (ops.norm(matrix) + 1e-7), self.matmul_dtype)
        orthogonal = ops.cast(self.zeropower_via_newtonschulz5(matrix, self.ns_steps), variable.dtype)
        scale = ops.cast(lr, variable.dtype) * self.rms_rate * max(rows, columns) ** 0.5
        before = ops.reshape(variable, (rows, columns))
        after = before - scale * orthogonal
        length = ops.norm(before)
        after = after * ops.where(length > 0, length / (ops.norm(after) + 1e-7), 1.0)
        self.assign(variable, ops.reshape(after, variable.shape))

    def get_config(self) -> dict:
        """What `from_config` needs."""
        return {**super().get_config(), "matmul_dtype": self.matmul_dtype}


def _matrix_shape(shape) -> tuple[int, int]:
    return math.prod(shape[:-1]), shape[-1]


def make(name: str, precision: str) -> keras.optimizers.Optimizer:
    """The optimizer of that name for a policy of that precision.

    Args:
        name: adam or muon.
        precision: float32, bfloat16 or float16 (with loss scaling).
    """
    if name == "muon":
        optimizer = Muon(matmul_dtype="bfloat16" if precision == "bfloat16" else "float32")
    else:
        optimizer = keras.optimizers.Adam(epsilon=ADAM_EPSILON, name="adam")
    if precision == "float16":
        return keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    return optimizer
