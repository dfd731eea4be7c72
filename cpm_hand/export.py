"""A checkpoint into artefacts that run without this package, each checked before it counts."""

import json
import os
import pathlib
import tempfile
from typing import NamedTuple

import keras

import cpm_hand
from cpm_hand import checkpoints, inference, parity, runtimes


class Artefact(NamedTuple):
    """What was written.

    Attributes:
        format: row of `FORMATS`.
        path: file or folder.
        num_bytes: its size, without the metadata beside a frozen graph.
        parity: how far it is from the Keras model.
    """

    format: str
    path: pathlib.Path
    num_bytes: int
    parity: parity.Parity


def export(checkpoint_path, destinations: dict[str, str | os.PathLike], report=print) -> list[Artefact]:
    """Write artefacts from a run or a checkpoint, with its averaged weights where it has them.

    Each is written under a temporary name, loaded in a fresh process, compared with the Keras model on
    seeded pictures and only then given its name, so that a bad one is never left behind as if it were good.

    Args:
        checkpoint_path: a run's folder or a checkpoint file.
        destinations: path by format name, of `FORMATS`.
        report: called with a line about each artefact.

    Raises:
        ValueError: an unknown format, a bad checkpoint, a destination that is something else, or an artefact
            that does not compute what the model computes.
    """
    unknown = sorted(set(destinations) - set(FORMATS))
    if unknown:
        raise ValueError(f"unknown format '{unknown[0]}'; the formats are {', '.join(sorted(FORMATS))}.")
    for name, destination in destinations.items():
        _check_destination(name, pathlib.Path(destination))
    checkpoint = checkpoints.find(checkpoint_path)
    model = inference.inference_model(runtimes.restore_net(checkpoint), checkpoint.spec.target)
    metadata = {"spec": checkpoint.spec.to_json(), "source": pathlib.Path(checkpoint_path).name,
                "step": checkpoint.step, "averaged": bool(checkpoint.ema), "version": cpm_hand.__version__,
                "hands": checkpoint.state.get("hands", "both"),
                "input": "image: uint8 RGB [B, size, size, 3]", "outputs": list(runtimes.OUTPUTS)}
    written = []
    for name, destination in destinations.items():
        destination = pathlib.Path(destination)
        difference = write_checked(FORMATS[name], model, metadata, destination)
        written.append(Artefact(name, destination, _num_bytes(destination), difference))
        report(f"{name}: {destination}: largest difference {difference.maps:.1e} in belief maps, "
               f"{difference.keypoints_px:.1e} px in {difference.num_keypoints} keypoints")
    return written


def write_checked(write, model: keras.Model, metadata: dict, destination: pathlib.Path) -> parity.Parity:
    """Write one artefact, check it in a fresh process, and only then put it in its place.

    Args:
        write: a function of `FORMATS`.
        model: the inference model.
        metadata: for `write`.
        destination: file or folder; an older artefact there is replaced once the new one has passed.

    Raises:
        ValueError: the artefact differs from the model, or does not load; nothing is left behind.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=f".{destination.name}.") as folder:
        temporary = pathlib.Path(folder) / destination.name
        write(model, metadata, temporary)
        difference = parity.compare(model, temporary)
        if destination.is_dir():
            destination.rename(pathlib.Path(folder) / "replaced")
        # Metadata first: where NAME.pb is, its description is.
        for path in sorted(pathlib.Path(folder).glob(f"{destination.name}*"), reverse=True):
            os.replace(path, destination.with_name(path.name))
    return difference


def saved_model(model: keras.Model, metadata: dict, destination: pathlib.Path) -> None:
    """Write a SavedModel with the signature `serving_default`: `image` to the outputs of the inference model.

    Args:
        model: the inference model.
        metadata: plain values, written to assets.extra/cpm_hand.json inside.
        destination: a folder that does not exist yet.
    """
    import tensorflow as tf

    module = tf.Module()
    module.parameters = [variable.value for variable in model.variables]  # and nothing else of Keras

    @tf.function(input_signature=[_image_spec(model)], autograph=False)
    def serve(image):
        return dict(model(image, training=False))

    signatures = {"serving_default": serve.get_concrete_function()}
    tf.saved_model.save(module, str(destination), signatures=signatures)
    extra = destination / runtimes.METADATA
    extra.parent.mkdir()
    extra.write_text(json.dumps(metadata, indent=1))


def frozen_graph(model: keras.Model, metadata: dict, destination: pathlib.Path) -> None:
    """Write a GraphDef with the weights as constants, and the metadata beside it as NAME.pb.json.

    Tensors: `image:0`; `belief_maps:0`, `stages:0`, `keypoints:0`, `presence:0`; and the names that graphs of
    this net have always had: `Openpose/out:0`, the last stage [B, h, w, C], and `conv6_2_CPM/BiasAdd:0`,
    `MconvK_stageN/BiasAdd:0` for the other stages. Every node leads to one of them.

    Args:
        model: the inference model.
        metadata: plain values.
        destination: the .pb file.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    heads = {f"{layer.name}/BiasAdd": layer.output for layer in model.layers
             if layer.name == "conv6_2_CPM" or layer.name.startswith("Mconv7_stage")}
    tapped = keras.Model(model.inputs[0], {**model.output, **heads})
    names = [*model.output, "Openpose/out", *heads]

    @tf.function(input_signature=[_image_spec(model)], autograph=False)
    def run(image):
        results = dict(tapped(image, training=False))
        results["Openpose/out"] = results["stages"][:, -1]
        return [_named(results[name], name) for name in names]

    graph_def = _folded(convert_variables_to_constants_v2(run.get_concrete_function()).graph, names)
    destination.write_bytes(graph_def.SerializeToString())
    destination.with_name(destination.name + ".json").write_text(json.dumps(metadata, indent=1))


def _folded(graph, names: list[str]):
    """A graph without what no output needs, and with what is constant worked out: a GraphDef."""
    import tensorflow as tf
    from tensorflow.python.grappler import tf_optimizer

    meta_graph = tf.compat.v1.MetaGraphDef(graph_def=graph.as_graph_def())
    meta_graph.collection_def["train_op"].node_list.value.extend(names)  # grappler keeps what leads to these
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.optimizers.extend(["pruning", "constfold", "pruning"])
    config.graph_options.rewrite_options.min_graph_nodes = -1
    graph_def = tf_optimizer.OptimizeGraph(config, meta_graph)
    graph_def.ClearField("library")  # everything is inlined
    return graph_def


def _named(tensor, name: str):
    """A view of a tensor under exactly that name; call it outside every scope."""
    import tensorflow as tf

    scope, _, leaf = name.rpartition("/")
    if not scope:
        return tf.identity(tensor, name=leaf)
    with tf.name_scope(f"{scope}/"):  # the slash keeps TensorFlow from numbering a scope that exists already
        return tf.identity(tensor, name=leaf)


def _image_spec(model: keras.Model):
    import tensorflow as tf

    return tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.uint8, name="image")


FORMATS = {"saved_model": saved_model, "frozen_graph": frozen_graph}
DEFAULT_NAMES = {"saved_model": "saved_model", "frozen_graph": "frozengraph.pb"}


def _check_destination(name: str, path: pathlib.Path) -> None:
    """Refuse to replace what is not an artefact, before the work is done."""
    if name == "saved_model":
        full = path.is_dir() and any(path.iterdir())
        if path.is_file() or (full and not (path / "saved_model.pb").exists()):
            raise ValueError(f"{path}: exists and is not a SavedModel, so it is not replaced; "
                             f"remove it or give another place with --output_dir.")
    elif path.is_dir():
        raise ValueError(f"{path}: is a folder; a {name} is a file. Give another place with --output_dir.")


def _num_bytes(path: pathlib.Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())
