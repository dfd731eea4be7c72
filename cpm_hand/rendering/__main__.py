"""Render a labelled set of hands: no download, exact labels, free to use.

Example:
    python -m cpm_hand.rendering --out=models/data/hands --count=3000 --size=184 --preview=sheet.png

It writes CMU's own layout, so `train.py --datapath=models/data/hands` reads it. The same command again goes on where
it was interrupted; a larger --count adds to the set. `--help` lists every flag.
"""

import os
import pathlib

from absl import app, flags
from tqdm import tqdm

from cpm_hand.cli import command


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define this command's flags; a function, since other commands have some of the same names."""
    flags.DEFINE_string("out", None, "Folder of the set; made where it is missing.", flag_values=values)
    flags.DEFINE_integer("count", 1000, "Pictures.", lower_bound=0, flag_values=values)
    flags.DEFINE_integer("seed", 0, "Of the set: picture i is a function of (seed, i).", lower_bound=0,
                         upper_bound=2**32 - 1, flag_values=values)
    flags.DEFINE_string("size", "368", "Side of the pictures in px, or WxH for whole scenes.", flag_values=values)
    flags.DEFINE_string("hand_px", None, "MIN,MAX of the longer side of the hand's joint box in px; by default 35 to "
                        "90 % of the picture's shorter side.", flag_values=values)
    flags.DEFINE_integer("workers", os.cpu_count() or 1, "Processes.", lower_bound=1, flag_values=values)
    flags.DEFINE_float("empty_share", 0.0, "Share of scenes without a hand.", lower_bound=0, upper_bound=1,
                       flag_values=values)
    flags.DEFINE_float("cut_share", 0.1, "Share of hands that the picture's border may cut off.", lower_bound=0,
                       upper_bound=1, flag_values=values)
    flags.DEFINE_float("second_share", 0.13, "Share of scenes with another hand, which is not labelled.",
                       lower_bound=0, upper_bound=1, flag_values=values)
    flags.DEFINE_string("pose_weights", None, "Other weights of pose classes, as in sign=0.3,grip=0.2; a class that is "
                        "not named keeps its own, and all are made to sum to 1.", flag_values=values)
    flags.DEFINE_string("backgrounds", None, "Folder of your own pictures to stand behind the hands.",
                        flag_values=values)
    flags.DEFINE_string("look", "colour", "Camera: colour, or thermal for the same scenes in greys of warmth.",
                        flag_values=values)
    flags.DEFINE_bool("depth", False, "Also write 16-bit depth in mm (hand only, 0 is none).", flag_values=values)
    flags.DEFINE_bool("mask", False, "Also write silhouettes: 255 the visible hand, 128 hidden by a thing.",
                      flag_values=values)
    flags.DEFINE_string("preview", None, "Also write a contact sheet of the first pictures, with skeletons.",
                        flag_values=values)


def _two_numbers(text: str, separator: str, name: str, kind) -> tuple:
    parts = text.split(separator)
    try:
        numbers = tuple(kind(part) for part in parts)
    except ValueError:
        numbers = ()
    if len(numbers) == 1:
        numbers *= 2
    if len(numbers) != 2 or not all(0 < number < 100_000 for number in numbers):
        raise app.UsageError(f"--{name}={text}: expected a positive number, or two with '{separator}' between.")
    return numbers


def _pose_weights(text: str | None) -> dict[str, float]:
    """The weights of all pose classes, with those that the text names in place of the usual ones."""
    from cpm_hand.rendering import poses

    weights = dict(poses.WEIGHTS)
    for part in text.split(",") if text else ():
        name, _, weight = (half.strip() for half in part.partition("="))
        try:
            weights[name] = float(weight)
        except ValueError:
            raise app.UsageError(f"--pose_weights={text}: '{part}' is not CLASS=WEIGHT, as in sign=0.3; the "
                                 f"classes are {', '.join(poses.WEIGHTS)}.") from None
    return weights


def main(argv: list[str]) -> int:
    """Write the set, with a progress bar."""
    values = flags.FLAGS
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; the folder is given as --out={argv[1]}.")
    if not values.out:
        print(__doc__.strip())
        return 0
    if values.preview:
        command.check_picture("preview", values.preview)
    from cpm_hand.rendering import preview, scene, writer

    hand_px = _two_numbers(values.hand_px, ",", "hand_px", float) if values.hand_px else None
    options = scene.Options(size=_two_numbers(values.size, "x", "size", int), hand_px=hand_px,
                            empty_share=values.empty_share, cut_share=values.cut_share,
                            second_share=values.second_share, backgrounds=values.backgrounds, depth=values.depth,
                            mask=values.mask, look=values.look, pose_weights=_pose_weights(values.pose_weights))
    todo = writer.write(values.out, values.count, seed=values.seed, options=options, workers=values.workers)
    done = sum(1 for _ in tqdm(todo, unit="picture", disable=None, dynamic_ncols=True))
    folder = pathlib.Path(values.out) / writer.FOLDER
    print(f"rendered {done} pictures; {len(list(folder.glob('*.json')))} are in {folder}")
    if values.preview:
        print(f"wrote {preview.sheet(folder, values.preview)}")
    return 0


def run() -> None:
    """Entry point of `python -m cpm_hand.rendering`."""
    define()
    command.run_main(main)


if __name__ == "__main__":
    run()
