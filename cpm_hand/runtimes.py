"""Any artefact as one function: uint8 pictures in, a dictionary of NumPy arrays out.

What an artefact is, is read from its content and not from a flag. What a kind needs is imported
when one is loaded. Artefacts come from outside: whatever is wrong with one is a `BadArtefact` that names it.
"""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from cpm_hand import checkpoints, geometry, graphs, inference, nets, shipped
from cpm_hand.artefacts import OUTPUTS, BadArtefact, Loaded, describe_beside, described_inside, of_state
from cpm_hand.formats import FORMATS
from cpm_hand.hand import HAND, Skeleton
from cpm_hand.targets import BeliefMaps


class Outputs(dict):
    """What an artefact gave, by name; asked for an output that the artefact was exported without, it says so."""

    def __init__(self, path: pathlib.Path, values: dict[str, np.ndarray]):
        super().__init__(values)
        self.path = path

    def __missing__(self, name: str):
        raise BadArtefact(f"{self.path}: holds no '{name}', only {', '.join(self)}: it was exported with "
                          f"--outputs=keypoints. Export it again with --outputs=all to see maps.")


class Artefact(NamedTuple):
    """A loaded artefact; call it.

    Attributes:
        path: where it was loaded from.
        kind: row of `FORMATS`, or "run" or "checkpoint".
        size: side of the square input, px.
        skeleton: the joints that its maps stand for.
        target: how its maps become keypoints; `target.background` says whether the last is the background.
        forward: uint8 [B, size, size, 3] to the dictionary that a call gives, unchecked.
        hands: "both", or "right" where the net knows right hands only and left ones are shown it mirrored.
        presence_threshold: presence below which there is no hand; None where nobody measured it.
        outputs: names of what a call gives.
        crop_factor: side of the square to show the net over the longer side of the hand's tight joint box.
        forward_answers: as forward, but keypoints and presence alone; None where the kind works maps out in any case.
    """

    path: pathlib.Path
    kind: str
    size: int
    skeleton: Skeleton
    target: BeliefMaps
    forward: Callable[[np.ndarray], dict[str, np.ndarray]]
    hands: str = "both"
    presence_threshold: float | None = None
    outputs: tuple[str, ...] = OUTPUTS
    crop_factor: float = geometry.CROP_FACTOR
    forward_answers: Callable[[np.ndarray], dict[str, np.ndarray]] | None = None

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run a batch of inputs.

        Args:
            images: uint8 [B, size, size, 3], RGB.

        Returns:
            float32 arrays: `belief_maps` [B, size, size, C] upsampled from the last stage, `stages`
            [B, S, h, w, C], `keypoints` [B, J, 3] (x, y in input px, score) and `presence` [B]; the first two
            only where the artefact was exported with them.

        Raises:
            ValueError: another dtype or shape.
            BadArtefact: when an output is asked for that the artefact does not have.
        """
        return Outputs(self.path, self.forward(self._checked(images)))

    def answers(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """`keypoints` and `presence` as a call gives them; where the kind can, without working maps out."""
        return (self.forward_answers or self.forward)(self._checked(images))

    def _checked(self, images) -> np.ndarray:
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (self.size, self.size, 3):
            raise ValueError(f"{self.path} takes uint8 RGB [B, {self.size}, {self.size}, 3], "
                             f"got {images.dtype} {list(images.shape)}.")
        return images


def load(path) -> Artefact:
    """Load an artefact of any kind.

    Args:
        path: a run's folder, a checkpoint file, or what freeze.py writes: a SavedModel's folder (or the folder
            of its versions, of which the highest counts), .pb, .keras, .tflite, .onnx or OpenVINO's .xml. "cpm_lite"
            is the model that comes with the package.

    Raises:
        BadArtefact: nothing there, damaged, or none of these kinds.
        ImportError: the kind's own package is not installed.
    """
    path = shipped.find(path, shipped.ARTEFACT)
    kind = _kind(path)
    function, image, outputs, description, answers = KINDS[kind][1](path)
    size, spec = _input_size(path, image), description.spec
    joints = _sides(outputs["keypoints"], 3)[1]
    # What holds keypoints alone has no maps to count; it is its description that says what they were made from.
    maps = _sides(outputs["stages"], 5)[-1] if "stages" in outputs else spec and spec.num_maps
    cells = _sides(outputs.get("stages", []), 5)[2]
    # Without a spec the standard hand and the standard bells are all that one can assume.
    skeleton, target = (spec.skeleton, spec.target) if spec else (HAND, nets.find("cpm").target._replace(
        background=maps != joints, stride=size // (cells or size)))
    described = (spec.size if spec else size, skeleton.num_joints, target.num_maps(skeleton.num_joints))
    if (size, joints, maps) != described:
        raise BadArtefact(f"{path}: does not fit its description: size, joints and maps are "
                          f"{(size, joints, maps)}, expected {described}. Export it again.")
    return Artefact(path, kind, size, skeleton, target, function, description.hands, description.presence_threshold,
                    tuple(outputs), description.crop_factor, answers)


def is_export(path: pathlib.Path) -> bool:
    """Whether a file is one that freeze.py wrote, whole or not: it holds a description, or has one beside it."""
    try:
        return _kind(path) in FORMATS and (described_inside(path) or describe_beside(path)[0].spec is not None)
    except BadArtefact:
        return False


def _sides(shape: list, rank: int) -> list:
    """A shape; None for each side where that is not known."""
    return list(shape) if len(shape) == rank else [None] * rank


def _input_size(path: pathlib.Path, image: tuple[str, list]) -> int:
    dtype, shape = image[0], _sides(image[1], 4)
    if dtype != "uint8" or shape[1] is None or shape[1] != shape[2] or shape[3] != 3:
        raise BadArtefact(f"{path}: its input 'image' is {dtype} {shape}, expected uint8 RGB "
                          f"[None, size, size, 3]. Export one with freeze.py.")
    return shape[1]


def restore_net(checkpoint: checkpoints.Checkpoint, *, size: int | None = None, stages: int | None = None,
                policy: str = "float32") -> keras.Model:
    """A checkpoint's net with its best weights, in float32 whatever policy it was trained under.

    Args:
        checkpoint: of a run.
        size: side of the square input, px; None: what it was trained with.
        stages: how many stages to keep, from the first on; None: all.
        policy: Keras dtype policy of the net.

    Returns:
        keras.Model: uint8 RGB [B, size, size, 3] -> float32 [B, S, h, w, C].

    Raises:
        BadArtefact: weights are missing, left over, or of another shape.
        ValueError: a size that the net cannot have, or more stages than it has.
    """
    spec = resized(checkpoint.spec, size, stages)
    net = spec.build(policy)
    weights, variables = checkpoint.best_weights(), checkpoints.variables(net)
    whole = variables if spec.stages == checkpoint.spec.stages else checkpoints.variables(checkpoint.spec.build())
    wrong = [f"{name} is missing" for name in variables if name not in weights]
    wrong += [f"{name} is not of this net" for name in weights if name not in whole]
    wrong += [f"{name} has shape {list(weights[name].shape)} instead of {list(variable.shape)}"
              for name, variable in variables.items()
              if name in weights and weights[name].shape != tuple(variable.shape)]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise BadArtefact(f"the weights do not fit the net '{checkpoint.spec.net}' of the same checkpoint: "
                          f"{', '.join(wrong[:3])}{more}.")
    for name, variable in variables.items():
        variable.assign(weights[name])
    return net


def resized(spec: nets.Spec, size: int | None = None, stages: int | None = None) -> nets.Spec:
    """The spec with another input size, or with its first stages only.

    Raises:
        ValueError: more stages than it has, or none.
    """
    if stages is not None and not 1 <= stages <= spec.stages:
        raise ValueError(f"--stages={stages}: this net has {spec.stages} stages, of which 1 to {spec.stages} can be "
                         f"kept; train.py --checkpoint=FILE --stages=N trains on to one of more.")
    return spec._replace(size=spec.size if size is None else size, stages=spec.stages if stages is None else stages)


def _load_checkpoint(path: pathlib.Path) -> Loaded:
    try:
        checkpoint = checkpoints.find(path)
    except checkpoints.BadCheckpoint as error:
        raise BadArtefact(str(error)) from error
    try:
        net = restore_net(checkpoint)
        description = of_state(checkpoint.spec, checkpoint.state)
    except ValueError as error:
        raise BadArtefact(f"{path}: {error}") from error
    spec = checkpoint.spec
    model = inference.inference_model(net, spec.target)
    everything, answers = graphs.callables(model)
    return Loaded(everything, ("uint8", [None, spec.size, spec.size, 3]),
                  {name: list(model.output[name].shape) for name in OUTPUTS}, description, answers)


# In the order of asking: whether it is one, from (path, first bytes of the file; empty for a folder), and its loader.
KINDS = {
    **{name: (row.is_it, row.load) for name, row in FORMATS.items()},
    "run": (lambda path, head: checkpoints.folder(path).is_dir(), _load_checkpoint),
    "checkpoint": (lambda path, head: head.startswith((b"PK\x03\x04", b"\x89HDF"))
                   or path.suffix == checkpoints.SUFFIX, _load_checkpoint),
}


FOREIGN = (".caffemodel", ".pth", ".npy")  # what `weights` converts


def _kind(path: pathlib.Path) -> str:
    """Which row of `KINDS` a path is."""
    expected = ("expected a run's folder (models/train/<tag>), a checkpoint (.npz), or what freeze.py makes: a "
                "SavedModel's folder, a frozen graph (.pb), or a .keras, .tflite, .onnx or OpenVINO .xml file")
    if not path.exists():
        raise BadArtefact(f"{path}: no such file or folder; {expected}.")
    if path.suffix in FOREIGN:
        raise BadArtefact(f"{path}: weights of another program; `python -m cpm_hand.weights {path} NAME.npz` makes a "
                          f"checkpoint of a hand model's, which can be run.")
    if path.name == "saved_model.pb":
        raise BadArtefact(f"{path}: this is a part of a SavedModel; give its folder, {path.parent}.")
    try:
        if path.is_dir():
            head, names = b"", sorted(entry.name for entry in path.iterdir())
            found = f"a folder with {', '.join(names[:5])}" if names else "an empty folder"
        else:
            with open(path, "rb") as file:
                head = file.read(16)
            found = f"a file that begins with {head[:8]!r}" if head else "an empty file"
    except OSError as error:
        raise BadArtefact(f"{path}: cannot be read ({error.strerror}).") from None
    for kind, (is_it, _) in KINDS.items():
        if (head or path.is_dir()) and is_it(path, head):
            return kind
    raise BadArtefact(f"{path}: found {found}; {expected}.")
