"""Any artefact as one function: uint8 pictures in, a dictionary of NumPy arrays out.

What an artefact is, is read from its content and not from a flag. What a kind needs is imported
when one is loaded. Artefacts come from outside: whatever is wrong with one is a `BadArtefact` that names it.
"""

import json
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from cpm_hand import checkpoints, inference, nets
from cpm_hand.hand import HAND, Skeleton
from cpm_hand.targets import BeliefMaps

OUTPUTS = ("belief_maps", "stages", "keypoints", "presence")
METADATA = "assets.extra/cpm_hand.json"  # inside a SavedModel; beside a frozen graph it is NAME.pb.json


class BadArtefact(ValueError):
    """An artefact that cannot be used; the text says which, what was found, what was expected, what to do."""


class Artefact(NamedTuple):
    """A loaded artefact; call it.

    Attributes:
        path: where it was loaded from.
        kind: row of `KINDS`.
        size: side of the square input, px.
        skeleton: the joints that its maps stand for.
        target: how its maps become keypoints; `target.background` says whether the last is the background.
        forward: uint8 [B, size, size, 3] to the dictionary that a call gives, unchecked.
    """

    path: pathlib.Path
    kind: str
    size: int
    skeleton: Skeleton
    target: BeliefMaps
    forward: Callable[[np.ndarray], dict[str, np.ndarray]]

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run a batch of inputs.

        Args:
            images: uint8 [B, size, size, 3], RGB.

        Returns:
            float32 arrays: `belief_maps` [B, size, size, C] upsampled from the last stage, `stages`
            [B, S, h, w, C], `keypoints` [B, J, 3] (x, y in input px, score) and `presence` [B].

        Raises:
            ValueError: another dtype or shape.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (self.size, self.size, 3):
            raise ValueError(f"{self.path} takes uint8 RGB [B, {self.size}, {self.size}, 3], "
                             f"got {images.dtype} {list(images.shape)}.")
        return self.forward(images)


class _Loaded(NamedTuple):
    """What a loader found.

    Attributes:
        function: uint8 [B, size, size, 3] to tensors by name, among them OUTPUTS.
        image: the input, with its static shape and dtype.
        outputs: OUTPUTS with their static shapes.
        spec: of the net inside, where the artefact says.
    """

    function: Callable
    image: object
    outputs: dict
    spec: nets.Spec | None


def load(path) -> Artefact:
    """Load an artefact of any kind.

    Args:
        path: a run's folder, a checkpoint file, a SavedModel folder, or a frozen graph (.pb).

    Raises:
        BadArtefact: nothing there, damaged, or none of these kinds.
    """
    path = pathlib.Path(path)
    kind = _kind(path)
    function, image, outputs, spec = KINDS[kind].load(path)
    size = _input_size(path, image)
    maps, joints = _sides(outputs["stages"], 5)[-1], _sides(outputs["keypoints"], 3)[1]
    cells = _sides(outputs["stages"], 5)[2]
    # Without a spec the standard hand and the standard bells are all that one can assume.
    skeleton, target = (spec.skeleton, spec.target) if spec else (HAND, nets.find("cpm").target._replace(
        background=maps != joints, stride=size // (cells or size)))
    described = (spec.size if spec else size, skeleton.num_joints, target.num_maps(skeleton.num_joints))
    if (size, joints, maps) != described:
        raise BadArtefact(f"{path}: does not fit its description: size, joints and maps are "
                          f"{(size, joints, maps)}, expected {described}. Export it again.")

    def forward(images: np.ndarray) -> dict[str, np.ndarray]:
        result = function(images)
        return {name: result[name].numpy() for name in OUTPUTS}

    return Artefact(path, kind, size, skeleton, target, forward)


def _sides(tensor, rank: int) -> list:
    """Static shape, None where a side is not known."""
    return tensor.shape.as_list() if tensor.shape.rank == rank else [None] * rank


def _input_size(path: pathlib.Path, image) -> int:
    shape, dtype = _sides(image, 4), image.dtype.name
    if dtype != "uint8" or shape[1] is None or shape[1] != shape[2] or shape[3] != 3:
        raise BadArtefact(f"{path}: its input 'image' is {dtype} {shape}, expected uint8 RGB "
                          f"[None, size, size, 3]. Export one with freeze.py.")
    return shape[1]


def restore_net(checkpoint: checkpoints.Checkpoint) -> keras.Model:
    """A checkpoint's net with its best weights, in float32 whatever policy it was trained under.

    Returns:
        keras.Model: uint8 RGB [B, size, size, 3] -> float32 [B, S, h, w, C].

    Raises:
        BadArtefact: weights are missing, left over, or of another shape.
    """
    net = checkpoint.spec.build()
    weights, variables = checkpoint.best_weights(), checkpoints.variables(net)
    wrong = [f"{name} is missing" for name in variables if name not in weights]
    wrong += [f"{name} is not of this net" for name in weights if name not in variables]
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


def _load_checkpoint(path: pathlib.Path) -> _Loaded:
    import tensorflow as tf

    try:
        checkpoint = checkpoints.find(path)
    except checkpoints.BadCheckpoint as error:
        raise BadArtefact(str(error)) from error
    try:
        net = restore_net(checkpoint)
    except ValueError as error:
        raise BadArtefact(f"{path}: {error}") from error
    spec = checkpoint.spec
    model = inference.inference_model(net, spec.target)
    function = tf.function(lambda images: model(images, training=False),
                           input_signature=[tf.TensorSpec((None, spec.size, spec.size, 3), tf.uint8)])
    concrete = function.get_concrete_function()
    return _Loaded(function, concrete.inputs[0], concrete.structured_outputs, spec)


def _load_saved_model(path: pathlib.Path) -> _Loaded:
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        model = tf.saved_model.load(str(path))
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, AssertionError,
            DecodeError, tf.errors.OpError) as error:
        raise BadArtefact(f"{path}: not a whole SavedModel ({_first_line(error)}); cut short or damaged; "
                          f"export it again.") from error
    if "serving_default" not in model.signatures:
        raise BadArtefact(f"{path}: a SavedModel without the signature 'serving_default' (found "
                          f"{sorted(model.signatures) or 'none'}); export one with freeze.py.")
    signature = model.signatures["serving_default"]
    inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
    if set(inputs) != {"image"} or not set(OUTPUTS) <= set(outputs):
        raise BadArtefact(f"{path}: a SavedModel of another program: it maps {sorted(inputs)} "
                          f"to {sorted(outputs)}, not ['image'] to {sorted(OUTPUTS)}. Use freeze.py.")
    # The function asks the model each time, for the model owns the weights and has to live as long.
    return _Loaded(lambda images: model.signatures["serving_default"](image=tf.constant(images)),
                   inputs["image"], outputs, _spec(path / METADATA))


def _load_frozen_graph(path: pathlib.Path) -> _Loaded:
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(path.read_bytes())
        if not graph_def.versions.producer:  # each writer gives it, and it comes last
            raise DecodeError("no version at its end")
    except DecodeError:
        raise BadArtefact(f"{path}: not a whole frozen graph ({path.stat().st_size} bytes); cut short, "
                          f"damaged or another kind of file. Freeze it again with freeze.py.") from None
    names = {node.name for node in graph_def.node}
    missing = [name for name in ("image", *OUTPUTS) if name not in names]
    if missing:
        raise BadArtefact(f"{path}: a frozen graph without {', '.join(f'{name}:0' for name in missing)} "
                          f"({len(names)} operations). Graphs of other programs take other pixels (often "
                          f"float BGR) and hold no decoder; freeze one of this program's with freeze.py.")
    try:
        graph = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph_def, name=""), [])
        function = graph.prune("image:0", {name: f"{name}:0" for name in OUTPUTS})
    except (ValueError, TypeError, LookupError, tf.errors.OpError) as error:
        raise BadArtefact(f"{path}: a damaged frozen graph ({_first_line(error)}). "
                          f"Freeze it again with freeze.py.") from error
    outputs = {name: graph.graph.get_tensor_by_name(f"{name}:0") for name in OUTPUTS}
    return _Loaded(lambda images: function(tf.constant(images)), function.inputs[0], outputs,
                   _spec(path.with_name(path.name + ".json")))


def _spec(metadata: pathlib.Path) -> nets.Spec | None:
    """The spec that an export left beside or inside its artefact; None where there is no such file."""
    if not metadata.exists():
        return None
    try:
        spec = nets.Spec.from_json(json.loads(metadata.read_text())["spec"])
        nets.find(spec.net)
        return spec
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BadArtefact(f"{metadata}: not the description of an artefact ({_first_line(error)}). Export it "
                          f"again, or remove this file to have the standard hand assumed.") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class Kind(NamedTuple):
    """One row of `KINDS`."""

    is_it: Callable[[pathlib.Path, bytes], bool]   # (path, first bytes of the file; empty for a folder)
    load: Callable[[pathlib.Path], _Loaded]


# Content decides; a suffix only settles who complains about a file whose first bytes are gone.
KINDS = {
    "saved_model": Kind(lambda path, head: (path / "saved_model.pb").exists(), _load_saved_model),
    "run": Kind(lambda path, head: checkpoints.folder(path).is_dir(), _load_checkpoint),
    "checkpoint": Kind(lambda path, head: head.startswith(b"PK\x03\x04") or path.suffix == checkpoints.SUFFIX,
                       _load_checkpoint),
    # A GraphDef starts with its first node: field 1, length-delimited.
    "frozen_graph": Kind(lambda path, head: head.startswith(b"\n") or path.suffix == ".pb",
                         _load_frozen_graph),
}


def _kind(path: pathlib.Path) -> str:
    """Which row of `KINDS` a path is."""
    expected = ("expected a run's folder (models/train/<tag>), a checkpoint (.npz), a SavedModel's folder or "
                "a frozen graph (.pb); freeze.py makes the last two")
    if not path.exists():
        raise BadArtefact(f"{path}: no such file or folder; {expected}.")
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
    for kind, row in KINDS.items():
        if (head or path.is_dir()) and row.is_it(path, head):
            return kind
    raise BadArtefact(f"{path}: found {found}; {expected}.")
