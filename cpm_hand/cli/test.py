"""Find the hand in a picture and show what the net believes.

Example:
    python test.py --graph_path=models/frozengraph.pb --image_path=photo.jpg --box=120,80,200,240

It prints the keypoints and writes four pictures into --output_dir: all belief maps, the strongest belief over
the picture, what each stage believes, and the skeleton. `--help` lists every flag.
"""

import math
import os
import pathlib
import sys

from absl import flags

from cpm_hand import draw, images
from cpm_hand.cli import command


class _BoxParser(flags.ArgumentParser):
    """X,Y,W,H as four numbers; the prediction checks what they mean."""

    syntactic_help = "X,Y,W,H"

    def parse(self, argument):
        """The text of a flag to a tuple of four floats."""
        if isinstance(argument, tuple):
            return argument
        try:
            box = tuple(float(number) for number in argument.split(","))
        except ValueError:
            box = ()
        if len(box) != 4 or not all(map(math.isfinite, box)):
            raise ValueError("expected four numbers X,Y,W,H in pixels of the picture, such as 120,80,200,240")
        return box

    def flag_type(self):
        """What --help calls the type."""
        return "box"


class _BoxSerializer(flags.ArgumentSerializer):
    def serialize(self, value):
        return ",".join(f"{number:g}" for number in value)


_GRAPH_PATH = flags.DEFINE_string("graph_path", "./models/frozengraph.pb",
                                  "To run: a frozen graph, a SavedModel, a run's folder or a checkpoint.")
_IMAGE_PATH = flags.DEFINE_string("image_path", None, "The picture, of any size.")
_BOX = flags.DEFINE(_BoxParser(), "box", None, "Tight box around the hand, X,Y,W,H in px of the picture. "
                    "Without it the hand should fill the picture.", serializer=_BoxSerializer())
_OUTPUT_DIR = flags.DEFINE_string("output_dir", "out", "Folder for the pictures; made where it is missing.",
                                  allow_override=True)  # another command has one too, and tests import both
_SHOW = flags.DEFINE_boolean("show", False, "Open the pictures in windows too.")


def main(argv: list[str]) -> int:
    """Print the keypoints of the hand in a picture and write what the net believes as pictures."""
    if len(argv) > 1:
        raise ValueError(f"unexpected arguments {argv[1:]}; a picture is given as --image_path=FILE.")
    if _IMAGE_PATH.value is None:
        print(__doc__.strip())
        return 0
    picture = images.read(_IMAGE_PATH.value, honour_exif=True)
    command.quiet_tensorflow()
    from cpm_hand import predict

    predictor = predict.Predictor(_GRAPH_PATH.value)
    hand, = predictor(picture, boxes=_BOX.value and [_BOX.value], outputs=True)
    print(_table(predictor.artefact.skeleton.names, hand))

    drawn = _pictures(predictor.artefact, picture, hand)
    stem = pathlib.Path(_IMAGE_PATH.value).stem
    for name, page in drawn.items():
        path = pathlib.Path(_OUTPUT_DIR.value) / f"{stem}_{name}.png"
        images.write(path, page)
        print(f"wrote {path}")
    if _SHOW.value:
        _show(drawn)
    return 0


def _table(names, hand) -> str:
    rows = [f"{'joint':<12} {'x':>8} {'y':>8} {'score':>6}"]
    rows += [f"{name:<12} {x:8.1f} {y:8.1f} {score:6.2f}"
             for name, (x, y, score) in zip(names, hand.keypoints)]
    return "\n".join([*rows, f"presence {hand.presence:.2f} (0: no hand, 1: certainly a hand)"])


def _pictures(artefact, picture, hand) -> dict:
    """The four pages by name, uint8 RGB each."""
    from cpm_hand import predict

    height, width = picture.shape[:2]
    background = artefact.target.background
    names = [*artefact.skeleton.names, *["background"] * background]
    belief = predict.belief_on_picture(hand, width, height, background)
    return {
        "belief_maps": draw.belief_grid(hand.outputs.belief_maps, names, hand.outputs.input),
        "overlay": draw.belief_overlay(picture, belief, background=False),
        "stages": draw.stage_strip(hand.outputs.input, hand.outputs.stages, background, columns=3),
        "skeleton": draw.skeleton(picture, hand.keypoints, artefact.skeleton),
    }


def _show(drawn: dict) -> None:
    """Open one window per picture and wait until they are closed; say so where there is no display."""
    # Matplotlib falls back to files in silence where it may choose, and fails where it was told a toolkit.
    on_x11 = sys.platform.startswith("linux")
    display = not on_x11 or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    try:
        import matplotlib.pyplot as plt

        plt.switch_backend(plt.get_backend())
        windows = bool(display) and plt.get_backend().lower() in _interactive()
    except ImportError:
        windows = False
    if not windows:
        why = "Matplotlib has no window toolkit (pip install pyqt6)" if display else "there is no display"
        print(f"--show: no windows, for {why}; look at the files above.", file=sys.stderr)
        return
    for name, page in drawn.items():
        figure = plt.figure(name)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.imshow(page)
        axes.set_axis_off()
    plt.show()


def _interactive() -> list[str]:
    from matplotlib.backends.registry import BackendFilter, backend_registry

    return backend_registry.list_builtin(BackendFilter.INTERACTIVE)


def run() -> None:
    """Entry point of `test.py` and of `cpm-hand-test`."""
    command.run_main(main)
