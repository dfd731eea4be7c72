"""What a net is trained to make small."""

from keras import ops


def stage_sum_l2(targets, outputs, visible):
    """Half the sum of squared differences per stage, divided by the batch; all stages weigh the same.

    Args:
        targets: float [B, h, w, C], belief maps; C is J, or J + 1 with the background last.
        outputs: float [B, S, h, w, C], one set of maps per stage.
        visible: bool [B, J]. A joint that is not annotated is masked in its channel, and the background of that
            hand too: nobody knows where it should be low. A picture without a hand has all True.

    Returns:
        (total, per_stage): float32 scalar and [S]; total is the sum over stages.

    Source: Wei et al. 2016, arXiv:1602.00134, equation 4 at every stage.
    """
    targets, outputs = ops.cast(targets, "float32"), ops.cast(outputs, "float32")
    mask = ops.cast(visible, "float32")
    if targets.shape[-1] == mask.shape[-1] + 1:
        mask = ops.concatenate([mask, ops.min(mask, axis=-1, keepdims=True)], axis=-1)       # [B, C]
    difference = outputs - ops.expand_dims(targets, 1)                                       # [B, S, h, w, C]
    per_map = ops.sum(ops.square(difference), axis=(2, 3)) * ops.expand_dims(mask, 1)        # [B, S, C]
    batch = ops.cast(ops.shape(targets)[0], "float32")
    per_stage = 0.5 * ops.sum(per_map, axis=(0, 2)) / batch
    return ops.sum(per_stage), per_stage


def spatial_cross_entropy(targets, outputs, visible, *, bell_cells: float):
    """How surprised a net is, per stage, by where each joint is, divided by the batch; all stages weigh the same.

    A map over bell_cells is read as the probability that the joint is in each cell; what is missing from 1 is that
    it is not in the picture. The background map does not enter: it follows from the others.

    Args:
        targets: float [B, h, w, J + 1], belief maps, the background last.
        outputs: float [B, S, h, w, J + 1], of `layers.SpatialBelief`.
        visible: bool [B, J]. A joint that is not annotated is masked. A picture without a hand has all True.
        bell_cells: sum of one whole bell over all cells.

    Returns:
        (total, per_stage): float32 scalar and [S], in nats; total is the sum over stages.
    """
    truth = ops.expand_dims(ops.cast(targets, "float32")[..., :-1], 1) / bell_cells          # [B, 1, h, w, J]
    belief = ops.cast(outputs, "float32")[..., :-1] / bell_cells                             # [B, S, h, w, J]
    # A bell near the border has cells outside: what is left of it, and the rest that it is not in the picture.
    absent_truth = ops.maximum(1.0 - ops.sum(truth, axis=(2, 3)), 0.0)                       # [B, 1, J]
    absent_belief = ops.maximum(1.0 - ops.sum(belief, axis=(2, 3)), 1e-5)                    # [B, S, J]
    surprise = -ops.sum(truth * ops.log(ops.maximum(belief, 1e-9)), axis=(2, 3))
    surprise = (surprise - absent_truth * ops.log(absent_belief)) * ops.expand_dims(ops.cast(visible, "float32"), 1)
    per_stage = ops.sum(surprise, axis=(0, 2)) / ops.cast(ops.shape(targets)[0], "float32")
    return ops.sum(per_stage), per_stage
