"""Which devices and machines train together: tf.distribute's strategies by name, with a TF_CONFIG that works."""

import json
import os
import pathlib

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


def computes_in_bfloat16() -> bool:
    """Whether what trains here has instructions for bfloat16, as far as it says so.

    That is so of GPUs from Ampere on and of processors with AVX-512-BF16 or AMX; others are slower in it.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = map(tf.config.experimental.get_device_details, gpus)
        return all(each.get("compute_capability", (0, 0)) >= (8, 0) for each in details)
    try:
        processor = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "amx_bf16" in processor or "avx512_bf16" in processor


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
