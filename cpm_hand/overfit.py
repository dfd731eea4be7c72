"""The one-picture test: a net that learns anything must learn one picture by heart, and this shows it doing so."""

import io
import json
import pathlib

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cpm_hand import images

MILESTONES = (1, 2, 5)  # times powers of ten: a strip at steps 0, 1, 2, 5, 10, 20, 50, …


def is_milestone(step: int) -> bool:
    """Whether a strip belongs to that step.

    >>> [step for step in range(101) if is_milestone(step)]
    [0, 1, 2, 5, 10, 20, 50, 100]
    """
    if step == 0:
        return True
    power = 10 ** (len(str(step)) - 1)
    return step % power == 0 and step // power in MILESTONES


def _step_of(strip: pathlib.Path) -> int:
    return int(strip.stem.removeprefix("step-"))


class Recorder:
    """Keeps the loss of every step and strips at growing steps, so that a resumed run can still draw all of it.

    Args:
        run_dir: the run's folder; files go to its `overfit` folder.
        step: steps already done; losses behind it are dropped.
    """

    def __init__(self, run_dir, step: int):
        self.run_dir = pathlib.Path(run_dir)
        self.folder = self.run_dir / "overfit"
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "losses.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        # A kill may have cut the last line short.
        rows = [json.loads(line) for line in lines if line.endswith("]")]
        self.losses = [row for row in rows if row[0] <= step]
        images.write_bytes(path, "".join(json.dumps(row) + "\n" for row in self.losses).encode())
        for later in self.folder.glob("step-*.png"):
            if _step_of(later) > step:
                later.unlink()
        self._file = open(path, "a", encoding="utf-8")

    def loss(self, step: int, per_stage) -> None:
        """Add the losses [S] of one step."""
        row = [step, *(float(value) for value in per_stage)]
        self.losses.append(row)
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def strip(self, step: int, panel: np.ndarray) -> None:
        """Keep what the net believes after that many steps: uint8 [H, W, 3]."""
        images.write(self.folder / f"step-{step:08d}.png", panel)

    def finish(self) -> list[pathlib.Path]:
        """Write overfit.png (loss curve over the strips) and overfit.gif; gives their paths."""
        paths = sorted(self.folder.glob("step-*.png"))
        strips = [(_step_of(path), images.read(path)) for path in paths]
        if not strips or not self.losses:
            return []
        figure, gif, film = self.run_dir / "overfit.png", self.run_dir / "overfit.gif", io.BytesIO()
        images.write_bytes(figure, self._drawn(strips))
        frames = [Image.fromarray(panel).quantize(128) for _, panel in strips]
        frames[0].save(film, "GIF", save_all=True, append_images=frames[1:], loop=0,
                       duration=[700] * (len(frames) - 1) + [2500])  # ms
        images.write_bytes(gif, film.getvalue())
        return [figure, gif]

    def close(self) -> None:
        """Close the file of losses."""
        self._file.close()

    def _drawn(self, strips: list[tuple[int, np.ndarray]]) -> bytes:
        height, width = strips[0][1].shape[:2]
        row = 11 * height / width  # inches, at a figure 12 inches wide
        figure = Figure(figsize=(12, 4 + (row + 0.25) * len(strips)), layout="constrained")
        axes = figure.subplots(1 + len(strips), 1, height_ratios=[4] + [row] * len(strips))
        axes = np.atleast_1d(axes)
        steps, losses = np.array(self.losses)[:, 0], np.array(self.losses)[:, 1:]
        for stage, values in enumerate(losses.T, start=1):
            colour = matplotlib.colormaps["viridis"](stage / (losses.shape[1] + 1))
            axes[0].plot(steps, values, label=f"stage {stage}", color=colour, linewidth=1)
        axes[0].set(yscale="log", xlabel="step", ylabel="loss per stage",
                    title=f"One picture by heart: total loss {losses[0].sum():.4g} at the first step, "
                          f"{losses[-1].sum():.4g} at the last")
        axes[0].grid(alpha=0.3, which="both")
        axes[0].legend(ncols=6, fontsize="small")
        for axis, (step, panel) in zip(axes[1:], strips):
            axis.imshow(panel)
            axis.set_ylabel(f"step {step}", fontsize="small")
            axis.set(xticks=[], yticks=[])
        page = io.BytesIO()
        figure.savefig(page, format="png", dpi=100)
        return page.getvalue()
