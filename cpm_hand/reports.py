"""What a run leaves behind for people: log lines, log.jsonl, TensorBoard, pictures, and the record of its flags."""

import json
import logging
import os
import pathlib
import platform
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

from cpm_hand import __version__, draw, images
from cpm_hand.validation import Validation

LOGGER = logging.getLogger("train")


def configure_logging() -> None:
    """Lines of the form `[time] [train] [LEVEL] text` on stderr; called by the command line, not on import."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("[%(asctime)s] [%(name)s] [%(levelname)s] %(message)s"))
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


def _readable(text: str) -> str:
    """Text for TensorBoard, which takes no names of files that are no text."""
    return text.encode(errors="backslashreplace").decode()


def versions() -> dict[str, str]:
    """What a result depends on: packages, Python, threads, and the commit when run from a checkout."""
    try:
        package = pathlib.Path(__file__).resolve().parent
        top, commit = subprocess.run(["git", "rev-parse", "--show-toplevel", "HEAD"], cwd=package, check=True,
                                     capture_output=True, text=True, timeout=10).stdout.splitlines()
        if pathlib.Path(top).resolve() != package.parent:
            commit = "unknown"  # installed somewhere below another project's checkout
    except (OSError, ValueError, subprocess.SubprocessError):
        commit = "unknown"
    return {"cpm_hand": __version__, "commit": commit, "python": platform.python_version(),
            "tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__,
            "machine": platform.platform(), "cpu_cores": str(os.cpu_count()),
            "gpus": str(len(tf.config.list_physical_devices("GPU"))),
            "threads": f"intra {tf.config.threading.get_intra_op_parallelism_threads()}, inter "
                       f"{tf.config.threading.get_inter_op_parallelism_threads()} (0 = one per core)"}


class Report:
    """Writes a run's log, TensorBoard events and pictures; on workers that are not the chief it writes nothing.

    Args:
        run_dir: the run's folder.
        step: steps already done. Lines of log.jsonl behind it belong to a part that was lost, and go.
        flags: text that can be passed back with --flagfile.
        chief: whether this worker writes.
    """

    def __init__(self, run_dir, step: int, flags: str, chief: bool = True):
        self.run_dir, self.chief = pathlib.Path(run_dir), chief
        self._log = self._events = None
        if not chief:
            return
        self.run_dir.mkdir(parents=True, exist_ok=True)
        path = self.run_dir / "log.jsonl"
        kept = _lines_until(path, step) if path.exists() else []
        images.write_bytes(path, "".join(line + "\n" for line in kept).encode())
        self._log = open(path, "a", encoding="utf-8")
        self._record_flags(step, flags)
        found = versions()
        images.write_bytes(self.run_dir / "versions.json", (json.dumps(found, indent=2) + "\n").encode())
        self._events = tf.summary.create_file_writer(str(self.run_dir / "tensorboard"))
        with self._events.as_default(step=step):
            tf.summary.text("flags", _readable("".join(f"    {line}\n" for line in flags.splitlines())))
            tf.summary.text("versions", "".join(f"    {name}: {value}\n" for name, value in found.items()))
            tf.summary.text("command", _readable("    " + " ".join(sys.argv)))

    def _record_flags(self, step: int, flags: str) -> None:
        path = self.run_dir / "flags.txt"
        before = path.read_text(errors="surrogateescape") if path.exists() else flags
        if before != flags:
            changed = sorted(set(flags.splitlines()) - set(before.splitlines()))
            kept = path.with_name(f"flags-until-{step}.txt")
            LOGGER.warning("%s: this run began with other flags, which %s keeps; from step %d on: %s", path, kept.name,
                           step, " ".join(changed) or "(defaults)")
            os.replace(path, kept)
        images.write_bytes(path, flags.encode(errors="surrogateescape"))  # names of files may be no text

    def scalars(self, step: int, kind: str, values: dict[str, float]) -> None:
        """One line of log.jsonl and one point in each TensorBoard curve.

        Args:
            step: steps done.
            kind: what made them: "train" or "validation"; the first part of the curves' names.
            values: by name.
        """
        if not self.chief:
            return
        numbers = {name: float(value) for name, value in values.items()}
        # JSON has no NaN; a measure without a count has no value.
        line = {name: value if np.isfinite(value) else None for name, value in numbers.items()}
        self._log.write(json.dumps({"step": step, "kind": kind, **line}) + "\n")
        self._log.flush()
        with self._events.as_default(step=step):
            for name, value in numbers.items():
                tf.summary.scalar(f"{kind}/{name}", value)
        self._events.flush()

    def training(self, step: int, losses: np.ndarray, *, rate: float, examples: float, epoch: float) -> None:
        """A training step's line in the log, and its curves.

        Args:
            step: steps done.
            losses: per stage, [S].
            rate: learning rate.
            examples: pictures per second.
            epoch: passes over the training set.
        """
        # The prior replica's line, so that people's scripts still read it.
        LOGGER.info("epoch=%.2f step=%d, %.4f examples/sec lr=%f, loss=%g, loss_ll_heat=%g",
                    epoch, step, examples, rate, losses.sum(), losses[-1])
        stages = {f"loss_stage{stage}": value for stage, value in enumerate(losses, start=1)}
        self.scalars(step, "train", {"loss": losses.sum(), **stages, "learning_rate": rate,
                                     "examples_per_second": examples, "epoch": epoch})

    def validation(self, step: int, result: Validation) -> None:
        """A validation's line in the log, and its curves."""
        LOGGER.info("validation(%d) %s loss=%g, loss_ll_heat=%g, error=%.2f%% of width (%.2f px, %d joints), "
                    "PCK@0.2=%.3f", result.num_pictures, self.run_dir.name, result.loss, result.per_stage[-1],
                    result.error_percent, result.error_px, result.num_joints, result.pck)
        self.scalars(step, "validation", {
            "loss": result.loss, "loss_last_stage": result.per_stage[-1], "error_percent": result.error_percent,
            "error_px": result.error_px, "pck@0.2": result.pck, "joints": result.num_joints})

    def pictures(self, step: int, kind: str, engine, batch) -> None:
        """The fixed pictures with each stage's strongest belief and the skeleton, into TensorBoard.

        Args:
            step: steps done.
            kind: "train" or "validation".
            engine: `engine.Engine`.
            batch: `pipeline.Batch` of the few fixed pictures.
        """
        if not self.chief:
            return
        sheet = np.stack(panels(engine, batch))
        with self._events.as_default(step=step):
            tf.summary.image(f"{kind}/stages", sheet, max_outputs=len(sheet))
        self._events.flush()

    def close(self) -> None:
        """Flush and close the files."""
        if self.chief:
            self._log.close()
            self._events.close()


def panels(engine, batch) -> list[np.ndarray]:
    """One strip per picture: truth and prediction as skeletons, then the belief of each stage.

    Returns:
        B pictures uint8 [H, W, 3] of one size.
    """
    outputs = engine.predict(batch.images)
    predicted = engine.spec.target.decode(outputs[:, -1]).numpy()
    outputs, skeleton = outputs.numpy(), engine.spec.skeleton
    strips = []
    for row, image in enumerate(batch.images.numpy()):
        truth = draw.skeleton(image, batch.keypoints[row].numpy(), skeleton, visible=batch.labelled[row].numpy())
        found = draw.skeleton(image, predicted[row], skeleton)
        stages = draw.stage_strip(image, outputs[row], engine.spec.target.background,
                                  columns=engine.spec.stages, panel_px=184)
        pair = draw.contact_sheet([truth, found], columns=2, cell_px=184)
        height = max(len(pair), len(stages))
        both = [np.pad(part, ((height - len(part), 0), (0, 0), (0, 0)), constant_values=24) for part in (pair, stages)]
        strips.append(np.hstack(both))
    return strips


def _lines_until(path: pathlib.Path, step: int) -> list[str]:
    """The whole lines of log.jsonl up to that step; a line that a kill cut short is dropped."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    return kept
