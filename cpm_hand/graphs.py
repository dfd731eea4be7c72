"""A Keras model as a TensorFlow graph without variables, which several formats are made from."""

from collections.abc import Callable

import keras
import numpy as np

from cpm_hand.artefacts import ANSWERS, OUTPUTS, optional

OPSET = 18  # of ONNX


def outputs_of(model: keras.Model) -> list[str]:
    """The model's outputs by name, in the usual order."""
    return [name for name in OUTPUTS if name in model.output]


def image_spec(model: keras.Model, batch: int | None = None):
    """tf.TensorSpec of the model's input under its name, `image`."""
    import tensorflow as tf

    return tf.TensorSpec((batch, *model.inputs[0].shape[1:]), tf.dtypes.as_dtype(model.inputs[0].dtype), name="image")


def callables(model: keras.Model) -> tuple[Callable[[np.ndarray], dict[str, np.ndarray]], ...]:
    """A model as functions from pictures to arrays by name: of all its outputs, and of ANSWERS alone."""
    import tensorflow as tf

    def compiled(names):
        part = keras.Model(model.inputs[0], {name: model.output[name] for name in names})
        return arrays(tf.function(lambda images: part(images, training=False), autograph=False,
                                  input_signature=[image_spec(model)]))

    return compiled(outputs_of(model)), compiled(ANSWERS)


def arrays(function) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A TensorFlow function from a tensor to tensors by name, as one from an array to arrays by name."""
    import tensorflow as tf

    return lambda images: {name: value.numpy() for name, value in function(tf.constant(images)).items()}


def sides(shape) -> list:
    """A TensorFlow shape as a list, empty where nothing is known."""
    return shape.as_list() if shape.rank is not None else []


def freeze(function, names: list[str], spec, fold: bool = True):
    """A function as a GraphDef: weights are constants, what is constant is worked out, every node leads to an output.

    Args:
        function: tensor `image` to a dictionary of tensors.
        names: outputs to keep; each becomes a node of exactly that name.
        spec: tf.TensorSpec of the image.
        fold: work out what is constant. Not for a net marked for 8 bits: its marks on kernels would go.

    Returns:
        GraphDef with the input `image`.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    @tf.function(input_signature=[spec], autograph=False)
    def run(image):
        results = function(image)
        return [_named(results[name], name) for name in names]

    return _pruned(convert_variables_to_constants_v2(run.get_concrete_function()).graph, names, fold)


def to_onnx(graph_def, names: list[str]):
    """A frozen GraphDef from `image` to nodes of these names, as an onnx.ModelProto with the same names.

    Raises:
        ImportError: tf2onnx is not installed.
    """
    import logging

    convert = optional("tf2onnx.convert", "onnx")
    # TensorFlow warns that tf2onnx calls what is deprecated, and tf2onnx tells of every optimizer.
    loggers = [logging.getLogger(name) for name in ("tensorflow", "tf2onnx")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        tensors = [f"{name}:0" for name in ("image", *names)]
        converted, _ = convert.from_graph_def(graph_def, input_names=tensors[:1], output_names=tensors[1:], opset=OPSET,
                                              tensors_to_rename={tensor: tensor[:-2] for tensor in tensors})
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
    converted.graph.name = "cpm_hand"
    converted.graph.doc_string = ""
    return converted


def _pruned(graph, names: list[str], fold: bool):
    """A graph without what no output needs, and with what is constant worked out: a GraphDef."""
    import tensorflow as tf
    from tensorflow.python.grappler import tf_optimizer

    meta_graph = tf.compat.v1.MetaGraphDef(graph_def=graph.as_graph_def())
    meta_graph.collection_def["train_op"].node_list.value.extend(names)  # grappler keeps what leads to these
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.optimizers.extend(["pruning", "constfold", "pruning"] if fold else ["pruning"])
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
