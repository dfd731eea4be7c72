"""Every format on this machine, one picture at a time, turn by turn, beside the bare nets of other routes.

    python benchmarks/inference.py --net=full --net=narrow --net=lite --output=out/bench/inference.json

Weights are random, for speed does not depend on them. "Bare" is the net alone, float pixels to raw maps: as ONNX
Runtime and OpenVINO run its ordinary ONNX export, and as PyTorch runs the same layers, where that is installed. What
cannot be run stands in the table with its reason.
"""

import gc
import pathlib
import tempfile
import time

import _results
import keras
import numpy as np
from absl import app, flags, logging

from cpm_hand import artefacts, inference, nets, quantization, runtimes
from cpm_hand.formats import FORMATS

_NET = flags.DEFINE_multi_enum("net", ["narrow"], ["full", "narrow", "lite", "tiny"], "Which nets; repeat it.")
_FORMAT = flags.DEFINE_multi_enum("format", list(FORMATS), list(FORMATS), "Which formats; repeat it.")
_CALLS = flags.DEFINE_integer("calls", 10, "Pictures in one turn.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 3, "Turns; in each, all take one after the other.", lower_bound=1)
_BARE = flags.DEFINE_bool("bare", True, "Measure the bare net on the ordinary routes too.")
_OUTPUT = flags.DEFINE_string("output", "out/bench/inference.json", "File for the numbers.")

SPECS = {"full": nets.Spec("cpm", size=368, stages=6), "narrow": nets.Spec("cpm", size=184, stages=3, width=0.25),
         "lite": nets.Spec("cpm_lite", size=128, stages=3),  # as it is shipped
         "tiny": nets.Spec("cpm", size=64, stages=2, width=1 / 16)}
WARM_UP = 3


def candidates(spec: nets.Spec, folder: pathlib.Path):
    """Yield (format, precision, outputs, function of uint8 [1, size, size, 3], or the text of why there is none)."""
    picture = np.random.default_rng(0).integers(0, 256, (4, spec.size, spec.size, 3), np.uint8)
    net = spec.build()
    for name in dict.fromkeys(_FORMAT.value):
        row = FORMATS[name]
        for precision in row.precisions:
            for maps in (True, False) if row.decodes else (True,):
                policy = "bfloat16" if precision == "bfloat16" and row.keras_policy else "float32"
                base = net if policy == "float32" else spec.build(policy)
                model = inference.inference_model(base, spec.target, maps=maps)
                path = folder / name / f"{precision}{maps}" / row.default_name
                path.parent.mkdir(parents=True)
                try:
                    if precision == "int8":
                        model = quantization.int8(model, picture, row.kernel_bits)
                    row.write(model, {"spec": spec.to_json(), "precision": precision}, path)
                    yield name, precision, "all" if maps else "keypoints", runtimes.load(path)
                except (ImportError, ValueError) as error:
                    yield name, precision, "all" if maps else "keypoints", str(error)
    if _BARE.value:
        yield from bare(spec, net, folder)


def bare(spec: nets.Spec, net: keras.Model, folder: pathlib.Path):
    """The ordinary routes: float32 [1, 3, size, size] in, raw maps out, in the runtime's own layout."""
    path = folder / "bare.onnx"
    try:
        FORMATS["opencv"].write(inference.inference_model(net, spec.target), {"spec": spec.to_json()}, path)
    except ImportError as error:
        yield "bare ONNX", "float32", "maps", str(error)
        return
    try:
        runtime = artefacts.optional("onnxruntime", "onnx")
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        yield "bare ONNX Runtime", "float32", "maps", lambda image: session.run(None, {"image": blob(image)})
    except ImportError as error:
        yield "bare ONNX Runtime", "float32", "maps", str(error)
    for precision, hint in (("float32", "f32"), ("bfloat16", "bf16")):
        try:
            openvino = artefacts.optional("openvino", "openvino")
            compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": hint})
            yield "bare OpenVINO", precision, "maps", lambda image, run=compiled: run({"image": blob(image)})
        except ImportError as error:
            yield "bare OpenVINO", precision, "maps", str(error)
    for precision in ("float32", "bfloat16"):
        try:
            yield "bare PyTorch", precision, "maps", in_pytorch(spec, precision)
        except ImportError:
            yield "bare PyTorch", precision, "maps", "PyTorch is not installed (pip install torch)"
        except ValueError as error:
            yield "bare PyTorch", precision, "maps", str(error)


def blob(image: np.ndarray) -> np.ndarray:
    """uint8 [1, H, W, 3] to float32 [1, 3, H, W]."""
    return np.ascontiguousarray(image.transpose(0, 3, 1, 2), np.float32)


def in_pytorch(spec: nets.Spec, precision: str):
    """The published net in PyTorch, channels last, as its ports write it; random weights."""
    import torch
    from torch import nn

    from cpm_hand.nets import cpm

    if spec.net != "cpm":
        raise ValueError(f"{spec.net} has no port to PyTorch")

    def conv(inputs, outputs, kernel, relu=True):
        layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        return [layer, nn.ReLU(inplace=True)] if relu else [layer]

    def wide(channels):
        return max(round(channels * spec.width), 1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            trunk, before = [], 3
            for block, channels in enumerate(cpm.BLOCKS, start=1):
                for filters in channels:
                    trunk, before = trunk + conv(before, wide(filters), 3), wide(filters)
                trunk += [nn.MaxPool2d(2)] if block <= 3 else []
            self.trunk = nn.Sequential(*trunk)
            self.stages = nn.ModuleList([nn.Sequential(*conv(before, wide(512), 1),
                                                       *conv(wide(512), spec.num_maps, 1, relu=False))])
            for _ in range(1, spec.stages):
                parts, inputs = [], before + spec.num_maps
                for _ in range(5):
                    parts, inputs = parts + conv(inputs, wide(128), 7), wide(128)
                self.stages.append(nn.Sequential(*parts, *conv(inputs, inputs, 1),
                                                 *conv(inputs, spec.num_maps, 1, relu=False)))

        def forward(self, image):
            features = self.trunk(image / 256 - 0.5)
            maps = self.stages[0](features)
            for stage in self.stages[1:]:
                maps = stage(torch.cat([maps, features], 1))
            return maps

    dtype = getattr(torch, precision)
    model = Net().eval().to(memory_format=torch.channels_last, dtype=dtype)

    def run(image):
        with torch.inference_mode():
            pixels = torch.from_numpy(blob(image)).to(memory_format=torch.channels_last, dtype=dtype)
            return model(pixels).float().numpy()

    return run


def measure(spec: nets.Spec, name: str, folder: pathlib.Path) -> list[dict]:
    """Rows of one net, fastest first."""
    picture = np.random.default_rng(1).integers(0, 256, (1, spec.size, spec.size, 3), np.uint8)
    rows, functions = [], []
    for made, precision, outputs, function in candidates(spec, folder):
        rows.append({"net": name, "format": made, "precision": precision, "outputs": outputs, "ms": None,
                     "reason": function if isinstance(function, str) else ""})
        functions.append(None if isinstance(function, str) else function)
    turns = {index: [] for index, function in enumerate(functions) if function is not None}
    for index in turns:
        for _ in range(WARM_UP):
            functions[index](picture)
    for _ in range(_REPEATS.value):
        for index, seconds in turns.items():
            functions[index](picture)  # brings its weights back into the caches
            began = time.perf_counter()
            for _ in range(_CALLS.value):
                functions[index](picture)
            seconds.append((time.perf_counter() - began) / _CALLS.value)
    for index, seconds in turns.items():
        rows[index]["ms"] = _results.spread(1e3 * np.array(seconds))
    return sorted(rows, key=lambda row: row["ms"]["median"] if row["ms"] else float("inf"))


def main(argv) -> None:
    """Measure each net and write the numbers."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}.")
    logging.set_verbosity(logging.ERROR)  # TensorFlow's notes about what it saves
    rows = []
    for name in dict.fromkeys(_NET.value):
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(SPECS[name], name, pathlib.Path(folder))
        keras.backend.clear_session()
        gc.collect()
    shown = [{**row, "ms": row["ms"] or "-"} for row in rows]
    _results.show(shown, {"net": "net", "format": "format", "precision": "precision", "outputs": "outputs",
                          "ms": "ms/picture", "reason": ""})
    _results.write(_OUTPUT.value, "inference", {"nets": list(dict.fromkeys(_NET.value)), "calls": _CALLS.value,
                                                "repeats": _REPEATS.value}, rows=rows)


if __name__ == "__main__":
    app.run(main)
