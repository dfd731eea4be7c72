"""Whether an artefact computes what its Keras model computes, and how fast, asked in a fresh process.

`python -m cpm_hand.parity ARTEFACT PICTURES.npz RESULT.npz` is that process: it loads one artefact as any
user would, runs it picture by picture and leaves its answers and times.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import keras
import numpy as np

import cpm_hand
from cpm_hand import artefacts, geometry, metrics

CLEAR_SCORE = 0.05  # keypoints with lower scores are not compared


class Tolerance(NamedTuple):
    """What an artefact of one precision may differ by.

    Attributes:
        maps: largest difference in a belief.
        largest_px: largest distance between keypoints, input px.
        mean_px: mean distance, input px.
        pck_points: difference in PCK@0.2, percentage points.
        lead: a keypoint is compared where its highest cell leads all that do not touch it by this much. Where two
            places are as likely, the last bit decides between them and says nothing about the artefact.
    """

    maps: float
    largest_px: float
    mean_px: float
    pck_points: float
    lead: float


_ANY = float("inf")
TOLERANCES = {
    "float32": Tolerance(maps=1e-3, largest_px=0.05, mean_px=0.05, pck_points=0.5, lead=1e-3),
    "float16": Tolerance(maps=_ANY, largest_px=_ANY, mean_px=0.5, pck_points=0.5, lead=0.01),
    "bfloat16": Tolerance(maps=_ANY, largest_px=_ANY, mean_px=0.5, pck_points=0.5, lead=0.02),
    "int8": Tolerance(maps=_ANY, largest_px=_ANY, mean_px=1.0, pck_points=0.5, lead=0.05),
}


class Pictures(NamedTuple):
    """What both are shown.

    Attributes:
        images: uint8 [N, size, size, 3], RGB.
        keypoints: float32 [N, J, 2], true ones in px; J is 0 where there are none for the net's joints.
        visible: bool [N, J].
    """

    images: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray


class Parity(NamedTuple):
    """Differences between an artefact in a fresh process and the Keras model in this one, and its speed.

    Attributes:
        maps: largest in belief maps and stages; NaN where the artefact gives none.
        largest_px: largest distance between two keypoints that have a clear peak, input px; 0 where none has.
        mean_px: mean of these.
        num_keypoints: how many had one.
        mean_all_px: mean over all keypoints that score above CLEAR_SCORE, those between two likely places included.
        pck_points: PCK@0.2 of the artefact less that of the model, percentage points; NaN without true keypoints.
        pck: PCK@0.2 of the model, 0 to 1.
        ms: median time for one picture, batch 1, inputs in memory.
        threads: cores that the process could use.
    """

    maps: float
    largest_px: float
    mean_px: float
    num_keypoints: int
    mean_all_px: float
    pck_points: float
    pck: float
    ms: float
    threads: int


def rendered(size: int, count: int, num_joints: int = 21, seed: int = 0) -> Pictures:
    """Rendered hands for the comparison, or to find the ranges of an int8 net with.

    Args:
        size: side, px.
        count: how many.
        num_joints: of the net; what is rendered has 21, so another number leaves the keypoints out.
        seed: the same one gives the same pictures.
    """
    from cpm_hand.rendering import scene

    options = scene.Options(size=(size, size))
    made = [scene.render(seed, number, options) for number in range(1, count + 1)]
    points = np.array([picture.label["hand_pts"] for picture in made], np.float32)          # [N, 21, 3]
    if points.shape[1] != num_joints:
        points = points[:, :0]
    return Pictures(np.stack([picture.image for picture in made]), points[..., :2], points[..., 2] > 0)


def compare(model: keras.Model, artefact: pathlib.Path, pictures: Pictures, precision: str = "float32") -> Parity:
    """Run an artefact in a fresh process and compare it with the model.

    Args:
        model: the inference model in float32.
        artefact: what was written.
        pictures: to run both on.
        precision: row of TOLERANCES.

    Raises:
        ValueError: it does not run, or differs by more than the precision explains.
    """
    expected = [model(picture[None], training=False) for picture in pictures.images]
    expected = {name: np.concatenate([keras.ops.convert_to_numpy(one[name]) for one in expected])
                for name in model.output}
    artefacts.check_numbers(expected["keypoints"])
    got = _run_elsewhere(artefact, pictures.images)
    tolerance = TOLERANCES[precision]
    result = _differences(expected, got, pictures, tolerance)
    found = {"largest difference in belief maps": (result.maps, tolerance.maps, ""),
             "largest distance of keypoints": (result.largest_px, tolerance.largest_px, " px"),
             "mean distance of keypoints": (result.mean_px, tolerance.mean_px, " px"),
             "difference in PCK": (abs(result.pck_points), tolerance.pck_points, " points")}
    absent = {"largest difference in belief maps": not {"belief_maps", "stages"} & set(got),
              "difference in PCK": not pictures.visible.any()}
    if not result.num_keypoints and absent["largest difference in belief maps"]:
        raise ValueError(f"{artefact.name}: nothing could be compared: the net gives no clear keypoint on "
                         f"{len(pictures.images)} pictures, and the artefact has no maps. It was removed; export it "
                         f"with maps, or a net that has learnt more.")
    beyond = [f"{what} {value:.2g}{unit} (allowed {most:g})" for what, (value, most, unit) in found.items()
              if not value <= most and not absent.get(what)]                                  # NaN fails too
    if beyond:
        raise ValueError(f"{artefact.name}: differs from the model: {', '.join(beyond)}, with {result.num_keypoints} "
                         f"keypoints compared on {len(pictures.images)} pictures. It was removed.")
    return result


def _differences(expected: dict, got: dict, pictures: Pictures, tolerance: Tolerance) -> Parity:
    shared = [name for name in ("belief_maps", "stages") if name in got]
    # An artefact may hold the last stage alone. NumPy's max keeps a NaN, Python's may drop it.
    maps = [np.abs(expected[name][:, -got[name].shape[1]:] - got[name]).max() for name in shared]
    distance = np.linalg.norm(expected["keypoints"][..., :2] - got["keypoints"][..., :2], axis=-1)      # [N, J]
    found = expected["keypoints"][..., 2] > CLEAR_SCORE
    clear = found & (_lead(expected["stages"][:, -1, ..., :distance.shape[1]]) > tolerance.lead)
    pck, pck_points = float("nan"), float("nan")
    if pictures.visible.any():
        norm = geometry.tight_box(pictures.keypoints, pictures.visible)[:, 2:].max(1)
        pck, other = (metrics.pck(metrics.distances(outputs["keypoints"], pictures.keypoints), pictures.visible, norm,
                                  metrics.PCK_THRESHOLD).value for outputs in (expected, got))
        pck_points = 100 * (other - pck)
    return Parity(float(np.max(maps)) if maps else float("nan"), float(distance[clear].max(initial=0.0)),
                  float(distance[clear].mean()) if clear.any() else 0.0, int(clear.sum()),
                  float(distance[found].mean()) if found.any() else 0.0, pck_points, pck,
                  float(got["milliseconds"]), int(got["threads"]))


def _lead(maps: np.ndarray) -> np.ndarray:
    """How far the highest cell of each map is above the highest that does not touch it: [N, h, w, J] to [N, J]."""
    count, height, width, joints = maps.shape
    flat = maps.reshape(count, height * width, joints)
    rows, columns = np.divmod(flat.argmax(1), width)                                         # [N, J]
    far = ((abs(np.arange(height)[:, None, None, None] - rows) > 1)
           | (abs(np.arange(width)[None, :, None, None] - columns) > 1))                     # [h, w, N, J]
    others = np.where(far.transpose(2, 0, 1, 3), maps, -np.inf).max((1, 2))
    return flat.max(1) - others


def _run_elsewhere(artefact: pathlib.Path, images: np.ndarray) -> dict[str, np.ndarray]:
    package = pathlib.Path(cpm_hand.__file__).parents[1]
    paths = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory() as folder:
        given, result = pathlib.Path(folder) / "pictures.npz", pathlib.Path(folder) / "result.npz"
        np.savez(given, images=images)
        done = subprocess.run([sys.executable, "-m", "cpm_hand.parity", artefact, given, result],
                              env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"{artefact.name}: the artefact does not load in a fresh process; it was "
                             f"removed. {done.stderr.strip()[-500:]}")
        with np.load(result, allow_pickle=False) as arrays:
            return dict(arrays)


def run(artefact, images: np.ndarray) -> dict[str, np.ndarray]:
    """What an artefact gives, picture by picture, with `milliseconds` (median of one picture) and `threads`.

    Keypoints are those that it answers with where nobody asks for maps: it is them that a Predictor goes by.
    """
    artefact(images[:1])  # the first run prepares what the others use
    results, seconds = [], []
    for row in range(len(images)):
        began = time.perf_counter()
        whole = artefact(images[row:row + 1])
        seconds.append(time.perf_counter() - began)
        # Where a kind has no shorter way to answers, they are what it gave already.
        results.append({**whole, **artefact.answers(images[row:row + 1])} if artefact.forward_answers else whole)
    threads = artefacts.cores()
    return {**{name: np.concatenate([result[name] for result in results]) for name in results[0]},
            "milliseconds": np.array(1e3 * np.median(seconds)), "threads": np.array(threads)}


if __name__ == "__main__":
    from cpm_hand import runtimes

    shown = np.load(sys.argv[2], allow_pickle=False)["images"]
    np.savez(sys.argv[3], **run(runtimes.load(sys.argv[1]), shown))
