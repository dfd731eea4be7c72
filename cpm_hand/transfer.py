"""Weights of a trained net into one of the same kind whose maps may stand for other joints."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cpm_hand import checkpoints, nets, skeletons, weights
from cpm_hand.foreign import BadWeights

if TYPE_CHECKING:
    import keras


class Transfer(NamedTuple):
    """What became of a net's weights and joints.

    Attributes:
        report: of the arrays.
        kept: names of the new net's joints whose maps were known.
        new: names of those that it has to learn.
    """

    report: weights.Report
    kept: list[str]
    new: list[str]


def load(model: "keras.Model", spec: nets.Spec, checkpoint: checkpoints.Checkpoint) -> Transfer:
    """Assign a checkpoint's best weights to a model, all or none.

    Where the joints differ, the kernels that write or read maps are put together joint by joint: those of joints
    that both know, in whatever spelling, go along, and the others keep the values they have in the model.

    Args:
        model: built from `spec`.
        spec: the new net.
        checkpoint: of the trained one.

    Raises:
        BadWeights: another kind of net, or another width; the model is then as it was.
    """
    if checkpoint.spec.net != spec.net:
        raise BadWeights(f"weights of the net '{checkpoint.spec.net}' do not fit the net '{spec.net}'; leave "
                         f"--net out, or start from other weights.")
    theirs, ours = checkpoint.spec.skeleton.names, spec.skeleton.names
    arrays = checkpoint.best_weights()
    pairs = _pairs(ours, theirs)
    if theirs != ours:
        variables = checkpoints.variables(model)
        for name, axis in _map_axes(variables, spec).items():
            if name in arrays and np.ndim(arrays[name]) == len(variables[name].shape):
                arrays[name] = _joined(variables[name].numpy(), arrays[name], axis, len(ours), len(theirs), pairs)
    kept = [ours[number] for number, _ in pairs]
    return Transfer(weights.load_by_name(model, arrays), kept, [name for name in ours if name not in kept])


def _pairs(ours: tuple[str, ...], theirs: tuple[str, ...]) -> list[tuple[int, int]]:
    """(number here, number there) of the joints that both know: by name, else as the only such joint of a hand."""
    def hands_joints(names):
        joints = [skeletons.joint_of(name) for name in names]
        return {joint: number for number, joint in enumerate(joints) if joint is not None and joints.count(joint) == 1}

    here, there = hands_joints(ours), hands_joints(theirs)
    known = {number: there[joint] for joint, number in here.items() if joint in there}
    known |= {number: theirs.index(name) for number, name in enumerate(ours) if name in theirs}
    return sorted(known.items())


def _map_axes(variables: dict, spec: nets.Spec) -> dict[str, int]:
    """Which axis of which variables counts maps: the one that grows when the net gets a joint more."""
    skeleton = spec.skeleton
    larger = spec._replace(skeleton=skeleton._replace(names=(*skeleton.names, "one more")))
    shapes, more = ({name: tuple(variable.shape) for name, variable in found.items()}
                    for found in (variables, checkpoints.variables(larger.build())))
    return {name: int(np.flatnonzero(np.not_equal(shape, more[name]))[0])
            for name, shape in shapes.items() if shape != more[name]}


def _joined(here: np.ndarray, there: np.ndarray, axis: int, num_here: int, num_there: int, pairs) -> np.ndarray:
    """`here` with rows of `there`: the joints in `pairs`, and what follows the joints, background and features.

    Shapes that differ in anything but the joints are left for `load_by_name` to refuse.
    """
    joined, source = np.moveaxis(here.copy(), axis, 0), np.moveaxis(there, axis, 0)
    if joined[num_here:].shape != source[num_there:].shape:
        return there
    for number, known in pairs:
        joined[number] = source[known]
    joined[num_here:] = source[num_there:]
    return np.moveaxis(joined, 0, axis)
