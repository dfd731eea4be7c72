"""How often a hand somewhere in a whole picture is found, and how often one is seen where there is none.

It renders scenes with one labelled hand and scenes without a hand, once, into --data, and gives the Predictor nothing
but the pictures. A hand is found when the mean error of its joints is under a tenth of its size, which is the longer
side of its tight joint box. The seed is none that the recipes train on.

    python benchmarks/search.py
    python benchmarks/search.py --graph_path=models/train/mine --calibrate

With --calibrate it also prints the presence threshold at which 5 % of the scenes without a hand show one.
"""

import json
import os
import pathlib
import tempfile
import time

import _results
import numpy as np
from absl import app, flags

from cpm_hand import geometry, images, runtimes
from cpm_hand.predict import Predictor
from cpm_hand.rendering import scene, writer

_GRAPH_PATH = flags.DEFINE_string("graph_path", "cpm_lite", "The artefact or run; by default the shipped model.")
_COUNT = flags.DEFINE_integer("count", 200, "Scenes with a hand, and as many without.", lower_bound=1)
_SIZE = flags.DEFINE_string("size", "1280x720", "WxH of the scenes, px.")
_HAND_PX = flags.DEFINE_multi_float("hand_px", [150, 500], "Least and most of the hand's size, px; give it twice.")
_SEED = flags.DEFINE_integer("seed", 720, "Of the scenes.", lower_bound=0)
_DATA = flags.DEFINE_string("data", None, "Folder that keeps the scenes for the next time; by default none.")
_WORKERS = flags.DEFINE_integer("workers", os.cpu_count() or 1, "Processes that render.", lower_bound=1)
_THRESHOLD = flags.DEFINE_float("threshold", None, "Presence; by default the artefact's own.", lower_bound=0,
                                upper_bound=1)
_CALIBRATE = flags.DEFINE_bool("calibrate", False, "Print the threshold for FALSE_SHARE of false detections.")
_OUTPUT = flags.DEFINE_string("output", "out/bench/search.json", "File for the numbers.")

CLOSE = 0.1         # of the hand's size: mean error below which it counts as found
LOOSER = (0.2, 0.5)  # shares under these are given too: a hand with some fingers wrong, a crop to look at again
FALSE_SHARE = 0.05  # of scenes without a hand in which one may be seen
SIZES = 3           # classes of hand sizes to report


def scenes(folder: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """Pictures with a hand and without, rendered where they are missing."""
    size = _results.sides(_SIZE.value)
    kinds = {"with": scene.Options(size=size, hand_px=tuple(_HAND_PX.value), cut_share=0.0, second_share=0.0),
             "without": scene.Options(size=size, empty_share=1.0)}
    found = []
    for number, (name, options) in enumerate(kinds.items()):
        scene.check(options)
        for _ in writer.write(folder / name, _COUNT.value, seed=_SEED.value + number, options=options,
                              workers=_WORKERS.value):
            pass
        found.append(sorted((folder / name / writer.FOLDER).glob("*.jpg"))[:_COUNT.value])
    return tuple(found)


def look(predictor: Predictor, path: pathlib.Path) -> dict:
    """What the search makes of one scene: presence, error in sizes of the hand (None without one), seconds."""
    picture = images.read(path)
    began = time.perf_counter()
    hand, = predictor(picture)
    seconds = time.perf_counter() - began
    label = json.loads(path.with_suffix(".json").read_text())
    error = size_px = None
    if label["has_hand"]:
        truth = np.array(label["hand_pts"])[:, :2]
        size_px = float(geometry.tight_box(truth, np.ones(len(truth), bool))[2:].max())
        error = float(np.linalg.norm(hand.keypoints[:, :2] - truth, axis=1).mean() / size_px)
    return {"name": path.stem, "presence": hand.presence, "error": error, "size_px": size_px, "seconds": seconds}


def shares(with_hand: list[dict], without: list[dict], threshold: float) -> list[dict]:
    """A row for all hands and one per class of sizes: how many were found; and the share of false detections."""
    errors = np.array([each["error"] for each in with_hand])
    present = np.array([each["presence"] >= threshold for each in with_hand])
    sizes = np.array([each["size_px"] for each in with_hand])
    edges = np.linspace(*_HAND_PX.value, SIZES + 1)
    classes = [("all", np.ones(len(sizes), bool))] + [
        (f"{low:.0f}-{high:.0f} px", (sizes >= low) & (sizes < high + (high == edges[-1])))
        for low, high in zip(edges, edges[1:])]
    true = {"found": present & (errors < CLOSE), "found_at_any_presence": errors < CLOSE,
            **{f"under_{limit:g}": present & (errors < limit) for limit in LOOSER}}
    false = float(np.mean([each["presence"] >= threshold for each in without]))
    return [{"hands": name, "count": int(chosen.sum()),
             **{key: float(each[chosen].mean()) if chosen.any() else 0.0 for key, each in true.items()},
             "false": false if name == "all" else "", "threshold": threshold} for name, chosen in classes]


def main(argv) -> None:
    """Render, search, count, write the numbers."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}.")
    if len(_HAND_PX.value) != 2:
        raise app.UsageError("--hand_px is given twice: the least and the most.")
    artefact = runtimes.load(_GRAPH_PATH.value)
    # Threshold 0 gives the strongest find of each scene; the threshold changes nothing else in the search.
    predictor, threshold = Predictor(artefact, threshold=0.0), Predictor(artefact, threshold=_THRESHOLD.value).threshold
    with tempfile.TemporaryDirectory() as temporary:
        with_hand, without = ([look(predictor, path) for path in paths]
                              for paths in scenes(pathlib.Path(_DATA.value or temporary)))
    rows = shares(with_hand, without, threshold)
    headings = {"hands": "hands", "count": "count", "found": "found", "found_at_any_presence": "at any presence",
                **{f"under_{limit:g}": f"error under {limit:g}" for limit in LOOSER},
                "false": "false detections", "threshold": "threshold"}
    _results.show(rows, headings)
    times = _results.spread([1e3 * each["seconds"] for each in with_hand + without])
    print(f"ms per picture: {_results.text(times)}")
    more = {}
    if _CALIBRATE.value:
        # Just above the presence that FALSE_SHARE of the empty scenes exceed.
        calibrated = float(np.nextafter(np.quantile([each["presence"] for each in without], 1 - FALSE_SHARE,
                                                    method="higher"), 1))
        more["calibrated"] = shares(with_hand, without, calibrated)
        print(f"\nthreshold for {FALSE_SHARE:.0%} false detections: {calibrated:.3f}")
        _results.show(more["calibrated"], headings)
    _results.write(_OUTPUT.value, "search", {
        "graph_path": _GRAPH_PATH.value, "count": _COUNT.value, "size": _SIZE.value, "hand_px": list(_HAND_PX.value),
        "seed": _SEED.value, "close": CLOSE}, rows=rows, ms_per_picture=times, scenes=[*with_hand, *without], **more)


if __name__ == "__main__":
    app.run(main)
