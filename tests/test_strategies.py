import pytest

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
