"""Which devices and machines train together: tf.distribute's strategies by name, with a TF_CONFIG that works."""

import json
import os

import tensorflow as tf


def make(name: str, gpus: int = 0) -> tf.distribute.Strategy:
    """The tf.distribute strategy of that name; to be called before anything else touches TensorFlow.

    Args:
        name: none, mirrored (all devices of this machine) or multi_worker (as TF_CONFIG says).
        gpus: use only the first so many GPUs; 0 is all there are.

    Raises:
        ValueError: more GPUs than there are, an unknown name, or no usable TF_CONFIG.
    """
    found = tf.config.list_physical_devices("GPU")
    if gpus > len(found):
        raise ValueError(f"--gpus={gpus}, but TensorFlow sees {len(found)} GPU(s) here; leave --gpus out to use "
                         f"what there is.")
    if gpus:
        tf.config.set_visible_devices(found[:gpus], "GPU")
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multi_worker":
        _check_tf_config(os.environ.get("TF_CONFIG", ""))
        return tf.distribute.MultiWorkerMirroredStrategy()
    raise ValueError(f"unknown strategy '{name}'; expected none, mirrored or multi_worker.")


def _check_tf_config(text: str) -> None:
    """Refuse a TF_CONFIG with which workers would wait for ever, or write over each other."""
    wanted = ('{"cluster": {"worker": ["host1:12345", "host2:12345"]}, "task": {"type": "worker", "index": 0}}, '
              "with its own index on each machine")
    if not text:
        raise ValueError(f"--strategy=multi_worker needs the environment variable TF_CONFIG, like {wanted}.")
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        fits = set(jobs) == {"worker"} and task["type"] == "worker" and 0 <= int(task["index"]) < len(jobs["worker"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"TF_CONFIG cannot be understood ({type(error).__name__}: {error}); "
                         f"expected {wanted}.") from None
    if not fits:
        raise ValueError(f"TF_CONFIG must list only workers, the chief as worker 0, and name one of them as its task; "
                         f"got jobs {sorted(jobs)} and task {task}. Expected {wanted}.")
