"""The benchmarks of search, accuracy and Predictor run with tiny settings, and their files hold what they promise."""

import pytest
from exported import random_checkpoint
from test_benchmarks import numbers

from cpm_hand import checkpoints, nets


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder with a tiny net of random weights."""
    folder = tmp_path_factory.mktemp("run")
    spec = nets.Spec("cpm", size=64, stages=2, width=1 / 16)
    checkpoints.save(checkpoints.step_path(folder, 0), random_checkpoint(spec))
    return folder


@pytest.mark.slow
def test_the_search_benchmark_gives_what_was_found_what_was_not_there_and_the_time(run, tmp_path):
    given = (f"--graph_path={run}", "--count=3", "--size=160x120", "--hand_px=40", "--hand_px=80",
             f"--data={tmp_path}/scenes", "--workers=1", "--calibrate", "--threshold=0")
    printed, read = numbers(tmp_path, "search", *given)
    assert [row["hands"] for row in read["rows"]] == ["all", "40-53 px", "53-67 px", "67-80 px"]
    assert read["rows"][0]["count"] == 3 == sum(row["count"] for row in read["rows"][1:])
    assert read["rows"][0]["false"] == 1 and 0 <= read["rows"][0]["found"] <= 1      # at threshold 0
    errors = [each["error"] for each in read["scenes"][:3]]
    for name, limit in (("found", 0.1), ("under_0.2", 0.2), ("under_0.5", 0.5)):
        assert read["rows"][0][name] == pytest.approx(sum(error < limit for error in errors) / 3)
    assert len(read["scenes"]) == 6 and all(40 <= each["size_px"] <= 80 for each in read["scenes"][:3])
    empty = [each["presence"] for each in read["scenes"][3:]]
    assert read["calibrated"][0]["false"] == 0 and read["calibrated"][0]["threshold"] == pytest.approx(max(empty))
    assert "threshold for 5% false detections" in printed and read["ms_per_picture"]["median"] > 0
    again, _ = numbers(tmp_path, "search", *given)                                     # from the kept scenes
    assert again.splitlines()[:2] == printed.splitlines()[:2]


@pytest.mark.slow
def test_the_predictor_benchmark_gives_its_own_share_of_a_call(run, tmp_path):
    printed, read = numbers(tmp_path, "predict", f"--graph_path={run}", "--size=64x48", "--calls=3", "--repeats=2")
    (row,) = read["rows"]
    assert row["size"] == "64x48" and 0 < row["own_ms"]["median"] < row["call_ms"]["max"]
    assert 0 < row["own_percent"]["min"] <= row["own_percent"]["max"] < 100
    assert "own %" in printed


@pytest.mark.slow
def test_the_accuracy_benchmark_adds_up_over_fingers_tones_and_poses(run, tmp_path):
    printed, read = numbers(tmp_path, "accuracy", f"--graph_path={run}", "--count=12", "--size=64", "--workers=1")
    rows = {row["joints"]: row for row in read["rows"]}
    everything = rows["all"]
    parts = {"wrist": ["wrist", "thumb", "index", "middle", "ring", "little"],
             "sight": ["joints in sight", "joints hidden"],
             "tone": [name for name in rows if name.startswith("skin tone")],
             "pose": [name for name in rows if name.startswith("pose: ")]}
    for names in parts.values():
        found = [rows[name] for name in names if name in rows]
        assert sum(row["count"] for row in found) == everything["count"] <= 12 * 21
        for key in ("error_percent", "pck_0.2", "pck_0.1"):                            # a mean of the parts' means
            mean = sum(row["count"] * row[key] for row in found) / everything["count"]
            assert mean == pytest.approx(everything[key])
    assert 0 <= everything["pck_0.1"] <= everything["pck_0.2"] <= 1 and "PCK@0.2" in printed
