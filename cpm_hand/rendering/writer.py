"""Write a labelled set of rendered hands in CMU's own layout; interrupted runs go on, no file is ever half written."""

import concurrent.futures
import concurrent.futures.process
import functools
import json
import multiprocessing
import os
import pathlib
import threading
from collections.abc import Iterator

import cv2
import numpy as np

from cpm_hand import images
from cpm_hand.rendering import scene

FOLDER = "synth_rendered"  # the reader of CMU's synthetic hands knows it
RECORD = "rendered.json"   # beside the folder: what the set was made with
RENDERER = 2               # one more whenever the same seed gives other pictures: 2 closes hands around what they hold
PART = 32                  # pictures that a worker gets at a time


class AnotherSet(ValueError):
    """A folder holds a set that this call would not make."""


def write(out, count: int, *, seed: int = 0, options: scene.Options | None = None, workers: int = 1) -> Iterator[int]:
    """Write pictures 1 .. count; those that are already there are left as they are.

    Picture i is a pure function of (seed, i) and the options, whatever the number of workers.

    Args:
        out: folder; the pictures go to its `synth_rendered`.
        count: number of pictures.
        seed: of the set.
        options: of all scenes.
        workers: processes.

    Yields:
        the number of each picture as it is done, in any order.

    Raises:
        ValueError: a negative count or seed, no worker, impossible options, a folder that holds a set made otherwise,
            or a background picture that went bad.
        OSError: the folder cannot be written, the disk is full (the text names the file), or a worker was killed.
            What was written stays, and the same call goes on from it.
    """
    options = options or scene.Options()
    scene.check(options)
    for name, value, least in (("count", count, 0), ("seed", seed, 0), ("workers", workers, 1)):
        if value < least:
            raise ValueError(f"--{name} must be at least {least}, got {value}.")
    folder = pathlib.Path(out) / FOLDER
    _claim(pathlib.Path(out), seed, options)
    pictures = {path.stem for path in folder.glob("*.jpg")}
    there = {int(path.stem) for path in folder.glob("*.json") if path.stem.isdigit() and path.stem in pictures}
    missing = [number for number in range(1, count + 1) if number not in there]
    make = functools.partial(write_one, folder, seed, options)
    if workers == 1:
        yield from map(make, missing)
        return
    # Fresh processes: a copy of one that runs TensorFlow's threads may hang.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    try:
        parts = [missing[start:start + PART] for start in range(0, len(missing), PART)]
        for done in concurrent.futures.as_completed([pool.submit(_write_part, make, part) for part in parts]):
            yield from done.result()
    except concurrent.futures.process.BrokenProcessPool:
        raise ChildProcessError(f"{out}: a worker was killed, as happens when the memory is full; the same command "
                                f"goes on, with fewer --workers.") from None
    except images.BadImage as error:
        raise images.BadImage(str(error)) from None  # without the traceback of another process
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    """Have this worker end when its parent is killed: it would wait for work for ever, and hold its memory."""
    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _write_part(make, numbers: list[int]) -> list[int]:
    return [make(number) for number in numbers]


def _claim(out: pathlib.Path, seed: int, options: scene.Options) -> None:
    """Remember what a set is made with, and refuse to mix two kinds in one folder."""
    # Through JSON and back: what is compared is what can be stored.
    ours = json.loads(json.dumps({"renderer": RENDERER, "seed": seed, "options": options._asdict()}))
    record = out / RECORD
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out={out}: is a file; expected a folder, or a name for a new one.")
    if record.exists():
        try:
            theirs = json.loads(record.read_text())
        except ValueError as error:
            raise ValueError(f"{record}: not the record of a rendered set ({error}); remove it if the pictures beside "
                             f"it are not needed.") from None
        if _with_defaults(theirs) != ours:
            raise AnotherSet(f"{out}: holds a set made with other settings or an older renderer ({record.name} says "
                             f"so); use another --out, or the same --seed and scene flags to go on with this one.")
        return
    if (out / FOLDER).is_dir() and any((out / FOLDER).iterdir()):
        raise ValueError(f"{out / FOLDER}: holds files that this program did not write; use another --out.")
    _put(record, (json.dumps(ours, indent=1) + "\n").encode())


def _with_defaults(record) -> object:
    """A record as it is written today: what came after it was written is as it was for its set."""
    if not isinstance(record, dict) or not isinstance(record.get("options"), dict):
        return record
    defaults = json.loads(json.dumps(scene.Options()._asdict()))
    return {"renderer": 1, **record, "options": {**defaults, **record["options"]}}


def _put(path: pathlib.Path, data: bytes) -> None:
    """Write a file whole or not at all; what goes wrong is told with the file's own name, not a temporary one."""
    try:
        images.write_bytes(path, data)
    except OSError as error:
        raise OSError(error.errno, f"cannot be written ({error.strerror}); files written before are whole, and the "
                                   f"same command goes on from them", str(path)) from None


def write_one(folder: pathlib.Path, seed: int, options: scene.Options, number: int) -> int:
    """Render picture `number` and write it; the label comes last, so a picture with a label is whole."""
    made = scene.render(seed, number, options)
    stem = folder / f"{number:08d}"
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(made.image, cv2.COLOR_RGB2BGR),
                            [cv2.IMWRITE_JPEG_QUALITY, made.jpeg_quality])
    if not ok:
        raise ValueError(f"{stem}.jpg: OpenCV cannot encode a picture of shape {made.image.shape}.")
    _put(stem.with_suffix(".jpg"), data.tobytes())
    for suffix, layer in (("_depth.png", made.depth_mm), ("_mask.png", made.mask)):
        if layer is not None:
            extra = folder.with_name(folder.name + suffix.removesuffix(".png")) / f"{number:08d}.png"
            _put(extra, cv2.imencode(".png", np.ascontiguousarray(layer))[1].tobytes())
    _put(stem.with_suffix(".json"), json.dumps(made.label).encode())
    return number
