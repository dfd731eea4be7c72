import pathlib

import pytest
import tensorflow as tf

from cpm_hand import strategies


def test_more_gpus_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"--gpus=99, but TensorFlow sees \d+ GPU"):
        strategies.make("mirrored", gpus=99)


@pytest.mark.parametrize("config", [
    "{", "[]", '{"cluster": {"worker": ["a:1"]}}',
    '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 5}}',
    '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}'])
def test_a_tf_config_that_would_not_work_is_refused(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match="TF_CONFIG .*xpected .*worker"):
        strategies.make("multi_worker")


def test_multi_worker_without_tf_config_says_what_it_needs(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="needs the environment variable TF_CONFIG"):
        strategies.make("multi_worker")


@pytest.mark.parametrize("flags, expected", [("avx2 avx512f", False), ("avx512f amx_bf16 amx_tile", True),
                                             ("avx512_bf16", True), (OSError("no such file"), False)])
def test_a_processor_computes_in_bfloat16_where_it_says_so(monkeypatch, flags, expected):
    def read_text(path):
        assert str(path) == "/proc/cpuinfo"
        if isinstance(flags, OSError):
            raise flags
        return f"processor: 0\nflags: fpu {flags}\n"
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(pathlib.Path, "read_text", read_text)
    assert strategies.computes_in_bfloat16() is expected


@pytest.mark.parametrize("capability, expected", [((7, 5), False), ((8, 0), True), (None, False)])
def test_a_gpu_computes_in_bfloat16_from_ampere_on(monkeypatch, capability, expected):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"])
    details = {} if capability is None else {"compute_capability": capability}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    assert strategies.computes_in_bfloat16() is expected
