"""The speed benchmark of all formats runs with tiny settings, and its file holds the numbers that it promises."""

import math

import pytest
from test_benchmarks import call, numbers

from cpm_hand.formats import FORMATS


@pytest.mark.slow
def test_every_format_and_precision_has_a_time_beside_the_bare_nets(tmp_path):
    printed, read = numbers(tmp_path, "inference", "--net=tiny", "--calls=1", "--repeats=2")
    found = {(row["format"], row["precision"], row["outputs"]): row for row in read["rows"]}
    for name, row in FORMATS.items():
        for precision in row.precisions:
            for outputs in ("all",) if name == "opencv" else ("all", "keypoints"):
                spread = found[name, precision, outputs]["ms"]
                assert all(math.isfinite(value) and value > 0 for value in spread.values())
    for name in ("bare ONNX Runtime", "bare OpenVINO", "bare PyTorch"):
        row = found[name, "float32", "maps"]
        assert row["ms"] or "PyTorch is not installed" in row["reason"]
    assert "ms/picture" in printed


@pytest.mark.slow
def test_an_unknown_net_is_refused():
    done = call("inference", "--net=huge")
    assert done.returncode != 0 and "huge" in done.stderr + done.stdout
