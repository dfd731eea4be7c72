"""Each benchmark runs with tiny settings, and its file holds the numbers that it promises."""

import json
import math
import os
import pathlib
import subprocess
import sys

import pytest

BENCHMARKS = pathlib.Path(__file__).parents[1] / "benchmarks"
SPREAD = {"median", "min", "max"}


def call(name, *flags):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
    return subprocess.run([sys.executable, str(BENCHMARKS / f"{name}.py"), *flags], env=environment,
                          capture_output=True, text=True)


def numbers(tmp_path, name, *flags):
    """What a benchmark printed, and its JSON."""
    done = call(name, *flags, f"--output={tmp_path / 'new' / 'numbers.json'}")
    assert done.returncode == 0, done.stderr
    read = json.loads((tmp_path / "new" / "numbers.json").read_text())
    assert read["benchmark"] == name and read["settings"] and read["cores"] >= 1
    assert read["versions"]["tensorflow"]
    return done.stdout, read


def is_positive(value):
    values = [value[key] for key in SPREAD] if isinstance(value, dict) else [value]
    return all(math.isfinite(each) and each > 0 for each in values)


@pytest.mark.slow
def test_the_step_benchmark_gives_bare_loop_and_pipeline_in_both_precisions(tmp_path):
    printed, read = numbers(tmp_path, "step", "--net=tiny", "--steps=2", "--repeats=2", "--pictures=4")
    assert [row["precision"] for row in read["rows"]] == ["float32", "bfloat16"]
    for row in read["rows"]:
        for key in ("bare_ms", "loop_ms", "bare_cpu_ms", "loop_cpu_ms", "pipeline_cpu_ms"):
            assert set(row[key]) == SPREAD and is_positive(row[key]), key
        for key in ("overhead", "left_over", "left_over_strict", "left_over_cpu"):
            assert all(math.isfinite(value) for value in row[f"{key}_percent"].values()), key
        assert row["left_over_percent"]["median"] <= row["left_over_strict_percent"]["median"]
    assert all(is_positive(read["bfloat16_gain"][0][key]) for key in ("bare_gain", "loop_gain"))
    assert "bare ms/step" in printed and "pipeline CPU ms/step" in printed


@pytest.mark.slow
def test_the_pipeline_benchmark_gives_each_augmentation_beside_bare_decoding(tmp_path):
    printed, read = numbers(tmp_path, "pipeline", "--size=64", "--batches=2", "--batchsize=4", "--repeats=2",
                            "--pictures=4")
    assert [row["what"] for row in read["rows"]] == [
        "cv2.imdecode, one thread", "tf.io.decode_jpeg, one call at a time",
        *(f"pipeline, --augment={name}" for name in ("none", "light", "default", "strong"))]
    for row in read["rows"]:
        assert is_positive(row["images_per_second"]) and is_positive(row["cpu_ms_per_image"])
    assert "CPU ms/image" in printed


@pytest.mark.slow
def test_the_memory_benchmark_gives_the_ratio_of_late_to_early(tmp_path):
    printed, read = numbers(tmp_path, "memory", "--net=tiny", "--steps=12", "--early=4", "--every=4",
                            "--window=2", "--pictures=8")
    assert all(is_positive(read[key]) for key in ("early_mib", "late_mib", "highest_mib"))
    assert read["ratio"] == pytest.approx(read["late_mib"] / read["early_mib"])
    assert read["course"][-1]["step"] == 12
    assert "resident MiB" in printed


@pytest.mark.slow
@pytest.mark.parametrize("name, flags, text", [
    ("memory", ["--steps=5", "--early=9"], "--early must be smaller than --steps"),
    ("pipeline", ["--data=nonsense"], "expected NAME=DIR"),
    ("predict", ["--size=640"], "--size=640: expected WxH in px"),
    ("search", ["--size=0x720"], "--size=0x720: expected WxH in px"),
])
def test_a_flag_that_makes_no_sense_is_refused_before_anything_is_measured(name, flags, text):
    done = call(name, *flags)
    assert done.returncode != 0 and text in done.stderr + done.stdout


@pytest.mark.slow
def test_the_rendering_benchmark_gives_the_rate_and_the_share_of_each_part(tmp_path):
    printed, read = numbers(tmp_path, "render", "--size=64", "--count=4", "--repeats=2", "--workers=1")
    (row,) = read["rows"]
    assert is_positive(row["pictures_per_s"])
    assert all(is_positive(row[f"{part}_ms"]) for part in ("background", "hand", "sensor", "JPEG"))
    assert "hand ms" in printed
