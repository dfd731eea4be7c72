"""Several replicas and several workers must train as one does: same data, same losses."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from cpm_hand import checkpoints

FLAGS = ["--input-width=64", "--width=0.0625", "--stages=2", "--batchsize=8", "--steps=20", "--log_every=1",
         "--validate_every=10", "--checkpoint_every=10", "--augment=default", "--clip_norm=20", "--ema_decay=0.9",
         "--lr=0.0001", "--validation_fraction=0.2", "--microbatch=2"]
RUN = "from cpm_hand.cli.train import run\nrun()"
TWO_DEVICES = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
"""


def start(synth_root, cwd, *more, config=None, before=""):
    cwd.mkdir(exist_ok=True)
    command = [sys.executable, "-c", before + RUN, f"--datapath={synth_root}", *FLAGS, *more]
    environment = {**os.environ, **({"TF_CONFIG": json.dumps(config)} if config else {})}
    return subprocess.Popen(command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)


def finish(*processes):
    try:
        outputs = [process.communicate(timeout=240)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    for process, output in zip(processes, outputs):
        assert process.returncode == 0, output


def log(cwd, kind, name):
    lines = [json.loads(line) for line in (cwd / "models/train/test/log.jsonl").read_text().splitlines()]
    return np.array([line[name] for line in lines if line["kind"] == kind])


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def alone(synth_root, tmp_path_factory):
    cwd = tmp_path_factory.mktemp("alone")
    finish(start(synth_root, cwd))
    return cwd


def assert_same_training(cwd, alone):
    losses = log(cwd, "train", "loss")
    assert len(losses) == 20
    np.testing.assert_allclose(losses, log(alone, "train", "loss"), rtol=1e-5)
    np.testing.assert_allclose(log(cwd, "validation", "loss"), log(alone, "validation", "loss"), rtol=1e-4)
    np.testing.assert_allclose(log(cwd, "validation", "joints"), log(alone, "validation", "joints"))


@pytest.mark.slow
def test_two_workers_train_as_one(synth_root, tmp_path, alone):
    ports = free_ports(2)
    finish(*(start(synth_root, tmp_path / f"worker{index}", "--strategy=multi_worker", config=cluster(index, ports))
             for index in range(2)))
    assert_same_training(tmp_path / "worker0", alone)
    assert not (tmp_path / "worker1" / "models").exists()      # only the chief writes


def cluster(index, ports):
    return {"cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]}, "task": {"type": "worker", "index": index}}


@pytest.mark.slow
def test_a_signal_to_one_worker_ends_both_and_only_the_chief_needs_the_checkpoint(synth_root, tmp_path, alone):
    """Stopped half-way by a SIGTERM to worker 1 and started again, two workers end as one that never stopped."""
    ports = free_ports(2)
    workers = [start(synth_root, tmp_path / f"worker{index}", "--strategy=multi_worker", "--checkpoint_every=99",
                     config=cluster(index, ports)) for index in range(2)]
    log_path = tmp_path / "worker0/models/train/test/log.jsonl"
    while not (log_path.exists() and log_path.read_text()):
        time.sleep(0.02)
        assert workers[1].poll() is None, workers[1].communicate()
    workers[1].send_signal(signal.SIGTERM)
    outputs = [worker.communicate(timeout=120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [143, 143], outputs
    assert 0 < checkpoints.load_newest(tmp_path / "worker0/models/train/test").step < 20
    ports = free_ports(2)
    finish(*(start(synth_root, tmp_path / f"worker{index}", "--strategy=multi_worker", config=cluster(index, ports))
             for index in range(2)))
    assert_same_training(tmp_path / "worker0", alone)


@pytest.mark.slow
def test_two_devices_under_mirrored_train_as_one(synth_root, tmp_path, alone):
    finish(start(synth_root, tmp_path / "mirrored", "--strategy=mirrored", before=TWO_DEVICES))
    assert_same_training(tmp_path / "mirrored", alone)
