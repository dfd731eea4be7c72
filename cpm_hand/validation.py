"""Validation within a training run: loss, error and PCK."""

from typing import NamedTuple

import numpy as np

from cpm_hand import geometry, metrics


class Validation(NamedTuple):
    """What one pass over the validation set shows.

    Attributes:
        loss: sum over stages, mean over pictures.
        per_stage: [S] float64.
        error_px: mean distance over labelled joints inside the input, in px of the picture's file; NaN without any.
        error_percent: mean distance in % of the input's width.
        pck: PCK@0.2 of max(w, h) of the tight joint box, mean over joints.
        num_pictures: pictures that entered the loss.
        num_joints: joints that entered the error.
    """

    loss: float
    per_stage: np.ndarray
    error_px: float
    error_percent: float
    pck: float
    num_pictures: int
    num_joints: int


def validate(engine, batches) -> Validation:
    """One pass with the averaged weights, where the run keeps averages.

    Args:
        engine: `engine.Engine`.
        batches: this worker's part of the set, of `pipeline.Batch`; each worker must call this at the same step.
    """
    stages, joints = engine.spec.stages, engine.spec.skeleton.num_joints
    sums = np.zeros(stages + 4 + 2 * joints)
    with engine.averaged():
        for batch in batches:
            sums += _batch_sums(engine, batch)
    sums = engine.sum_over_workers(sums)
    per_stage, (pictures, in_input, in_file, counted) = np.split(sums[:stages + 4], [stages])
    correct, seen = np.split(sums[stages + 4:], 2)
    per_stage = per_stage / max(pictures, 1)
    share = 1 / counted if counted else float("nan")
    pck = metrics.pck_of_counts(correct, seen).value
    return Validation(float(per_stage.sum()), per_stage, float(in_file * share),
                      float(in_input * share / engine.spec.size * 100), pck, int(pictures), int(counted))


def _batch_sums(engine, batch) -> np.ndarray:
    """Sums over one batch: losses [S], pictures, distances in input and file px, joints, correct [J], counted [J]."""
    outputs = engine.predict(batch.images)
    _, per_stage = engine.net.loss(batch.targets, outputs, batch.supervised)
    predicted = engine.spec.target.decode(outputs[:, -1]).numpy()
    truth, labelled = batch.keypoints.numpy(), batch.labelled.numpy()
    distance = metrics.distances(predicted, truth)
    # Of all labelled joints, as in `evaluation`: a hand that the crop cuts off is no smaller for that.
    norm = geometry.tight_box(truth, batch.supervised.numpy())[:, 2:].max(1)
    correct, seen = metrics.pck_counts(distance, labelled, norm, metrics.PCK_THRESHOLD)
    in_file = distance / batch.scale.numpy()[:, None]
    # The loss is a mean over the batch; a bad picture that was skipped is in the batch and trains nothing.
    entered = batch.supervised.numpy().any(-1).sum()
    return np.concatenate([per_stage.numpy() * len(truth),
                           [entered, distance[labelled].sum(), in_file[labelled].sum(), labelled.sum()],
                           correct, seen])
