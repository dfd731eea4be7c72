"""How good a net is on rendered hands that it was not trained on: by finger, skin tone, pose, hidden or not.

    python benchmarks/accuracy.py
    python benchmarks/accuracy.py --graph_path=models/train/mine
    python benchmarks/accuracy.py --scale=1 --scale=1 --scale=1 --scale=1       (four looks at each hand)

Protocol G: the crop around each hand's true tight joint box, 2.2 times its longer side. Errors are in % of the crop's
side; PCK is the share of joints nearer than a fifth, and a tenth, of the box's longer side. Rows with few joints say
little: the count stands beside each. The seed is none that the recipes train on.
"""

import json
import os
import pathlib
import tempfile

import _results
import numpy as np
from absl import app, flags

from cpm_hand import datasets, evaluation, metrics
from cpm_hand.labels import Labels
from cpm_hand.predict import Predictor
from cpm_hand.rendering import scene, writer

_GRAPH_PATH = flags.DEFINE_multi_string("graph_path", ["cpm_lite"], "An artefact or run; repeat it.")
_COUNT = flags.DEFINE_integer("count", 2000, "Pictures.", lower_bound=1)
_SIZE = flags.DEFINE_integer("size", 368, "Side of the pictures, px; the renderer's own default.", lower_bound=32)
_SEED = flags.DEFINE_integer("seed", 2026, "Of the pictures.", lower_bound=0)
_DATA = flags.DEFINE_string("data", None, "Folder that keeps the pictures for the next time; by default none.")
_WORKERS = flags.DEFINE_integer("workers", os.cpu_count() or 1, "Processes that render.", lower_bound=1)
_SCALE = flags.DEFINE_multi_float("scale", None, "Crop size of a look at each hand, as for test.py; repeat it. By "
                                  "default one look at the usual size.", lower_bound=0.1, upper_bound=10)
_OUTPUT = flags.DEFINE_string("output", "out/bench/accuracy.json", "File for the numbers.")

TONES = ("very light", "light", "intermediate", "tan", "brown", "dark")  # the ITA classes 1 to 6


def classes(labels: Labels) -> dict[str, np.ndarray]:
    """Which joints belong to each row of the table: bool [N, J] by name."""
    truth = [json.loads(pathlib.Path(path).with_suffix(".json").read_text()) for path in labels.paths.tolist()]
    every = np.ones(labels.visible.shape, bool)
    hidden = np.array([label["occluded"] for label in truth])
    tone = np.array([label["skin_tone"] for label in truth])[:, None]
    pose = np.array([label["pose_class"] for label in truth])[:, None]
    found = {"all": every}
    for name, joints in labels.skeleton.groups:
        found[name] = every & np.isin(np.arange(every.shape[1]), joints)
    found |= {"joints in sight": ~hidden, "joints hidden": hidden}
    found |= {f"skin tone {number}, {name}": every & (tone == number) for number, name in enumerate(TONES, start=1)}
    found |= {f"pose: {name}": every & (pose == name) for name in sorted(set(pose.ravel().tolist()))}
    return found


def rows_of(graph_path: str, measured: evaluation.Evaluation, members: dict[str, np.ndarray]) -> list[dict]:
    """One row per class: count of joints, mean error and PCK over them."""
    relative = measured.distances / measured.width[:, None]
    by_box = measured.distances / measured.norm[:, None]
    rows = []
    for name, joints in members.items():
        chosen = joints & measured.mask
        if chosen.any():
            error = metrics.end_point_error(100 * relative, chosen)
            rows.append({"graph_path": graph_path, "joints": name, "count": error.count, "error_percent": error.value,
                         "pck_0.2": float((by_box[chosen] < 0.2).mean()),
                         "pck_0.1": float((by_box[chosen] < 0.1).mean())})
    return rows


def main(argv) -> None:
    """Render, evaluate, print and write the numbers."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}.")
    # Before the work: they are all there.
    predictors = {path: Predictor(path, scales=_SCALE.value) for path in _GRAPH_PATH.value}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(_DATA.value or temporary)
        for _ in writer.write(folder, _COUNT.value, seed=_SEED.value, workers=_WORKERS.value,
                              options=scene.Options(size=(_SIZE.value, _SIZE.value))):
            pass
        labels, _ = datasets.read("cmu_synth", folder)
        # --data may hold more, from another time.
        labels = labels.take(np.flatnonzero([int(pathlib.Path(path).stem) <= _COUNT.value for path in labels.paths]))
        members = classes(labels)
        rows = [row for path, predictor in predictors.items()
                for row in rows_of(path, evaluation.evaluate(predictor, labels), members)]
    _results.show(rows, {"graph_path": "net", "joints": "joints", "count": "count", "error_percent": "error %",
                         "pck_0.2": "PCK@0.2", "pck_0.1": "PCK@0.1"})
    _results.write(_OUTPUT.value, "accuracy", {
        "graph_path": _GRAPH_PATH.value, "count": _COUNT.value, "size": _SIZE.value, "seed": _SEED.value,
        "scale": _SCALE.value}, rows=rows)


if __name__ == "__main__":
    app.run(main)
