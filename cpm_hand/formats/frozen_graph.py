"""A frozen graph: one GraphDef with the weights as constants, and its description beside it as NAME.pb.json."""

import functools
import pathlib

import keras

from cpm_hand import artefacts, graphs
from cpm_hand.artefacts import OUTPUTS, BadArtefact, Loaded, check_bytes, describe_beside, first_line, write_beside

OLD_OUTPUT = "Openpose/out"


def write(model: keras.Model, metadata: dict, destination: pathlib.Path) -> None:
    """Write a GraphDef.

    Tensors: `image:0`; the model's outputs, `keypoints:0` and so on; and where the model gives `stages`, the names
    that graphs of this net have always had: `Openpose/out:0`, the last stage [B, h, w, C], and for the published
    net `conv6_2_CPM/BiasAdd:0`, `Mconv7_stageN/BiasAdd:0` for each stage. Every node leads to one of them.

    Args:
        model: the inference model.
        metadata: plain values; the description gets the file's SHA-256 too.
        destination: the .pb file.
    """
    heads = {}
    if "stages" in model.output:
        heads = {f"{layer.name}/BiasAdd": layer.output for layer in model.layers
                 if layer.name == "conv6_2_CPM" or layer.name.startswith("Mconv7_stage")}
    tapped = keras.Model(model.inputs[0], {**model.output, **heads})

    def run(image):
        results = dict(tapped(image, training=False))
        if "stages" in results:
            results[OLD_OUTPUT] = results["stages"][:, -1]
        return results

    names = [*graphs.outputs_of(model), *([OLD_OUTPUT] if "stages" in model.output else []), *heads]
    data = graphs.freeze(run, names, graphs.image_spec(model)).SerializeToString()
    write_beside(destination, data, metadata)


def load(path: pathlib.Path) -> Loaded:
    """Load one.

    Raises:
        BadArtefact: damaged, of another program, or not the file that its description is of.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    data = path.read_bytes()
    description, fields = describe_beside(path)
    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(data)
        if not graph_def.versions.producer:  # each writer gives it, and it comes last
            raise DecodeError("no version at its end")
    except DecodeError:
        raise BadArtefact(f"{path}: not a whole frozen graph ({len(data)} bytes); cut short, "
                          f"damaged or another kind of file. Freeze it again with freeze.py.") from None
    names = {node.name for node in graph_def.node}
    outputs = [name for name in OUTPUTS if name in names]
    needed = ("image", "keypoints", "presence") if description.spec else ("image", *OUTPUTS)
    missing = [name for name in needed if name not in names]
    if missing:
        raise BadArtefact(f"{path}: a frozen graph without {', '.join(f'{name}:0' for name in missing)} "
                          f"({len(names)} operations). Graphs of other programs take other pixels (often "
                          f"float BGR) and hold no decoder; freeze one of this program's with freeze.py.")
    check_bytes(path, data, fields)
    if odd := _doubtful(graph_def):
        raise BadArtefact(f"{path}: holds {', '.join(odd[:3])}{', …' if len(odd) > 3 else ''}, which could read, write "
                          f"or run something; what freeze.py writes is arithmetic alone. Freeze it again with that.")
    try:
        graph = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph_def, name=""), [])
        function = graph.prune("image:0", {name: f"{name}:0" for name in outputs})
    except (ValueError, TypeError, LookupError, tf.errors.OpError) as error:
        raise BadArtefact(f"{path}: a damaged frozen graph ({first_line(error)}). "
                          f"Freeze it again with freeze.py.") from error
    shapes = {name: graph.graph.get_tensor_by_name(f"{name}:0").shape for name in outputs}
    image = function.inputs[0]

    @functools.cache
    def answering():  # takes some tenths of a second: for who asks
        return graphs.arrays(function.prune("image:0", {name: f"{name}:0" for name in artefacts.ANSWERS}))

    return Loaded(graphs.arrays(function), (image.dtype.name, graphs.sides(image.shape)),
                  {name: graphs.sides(shape) for name, shape in shapes.items()}, description,
                  lambda images: answering()(images))


def _doubtful(graph_def) -> list[str]:
    """Operations that do more than compute: that have a state, take texts, such as names of files, or map a file."""
    from tensorflow.core.framework import types_pb2
    from tensorflow.python.framework import op_def_registry

    def arithmetic(definition) -> bool:
        sides = [*definition.input_arg, *definition.output_arg]
        return (not definition.is_stateful and all(side.type != types_pb2.DT_STRING for side in sides)
                and definition.name != "ImmutableConst")

    found = {node.op for function in graph_def.library.function for node in function.node_def}
    found |= {node.op for node in graph_def.node}
    definitions = {name: op_def_registry.get(name) for name in found}
    return sorted(name for name, definition in definitions.items() if definition and not arithmetic(definition))
