"""Find the hands in pictures, and show or write what was found; or measure on labelled ones how good that is.

Examples:
    python test.py photo.jpg
    python test.py holiday/ 'more/*.png' --max_hands=2 --write_csv=hands.csv
    python test.py --graph_path=cpm_lite --graph_path=models/frozengraph.pb holiday/
    python test.py --graph_path=models/train/mine --evaluate --protocol=G --data=cmu_manual=hand_labels/manual_test

Of one picture it prints the keypoints and writes four pictures into --output_dir: all belief maps, the strongest
belief over the picture, what each stage believes, and the skeleton. Of several it prints a line each and writes the
skeletons, unless only --write_json, --write_openpose_json or --write_csv were asked for. With several --graph_path it
writes sheets with a row for each picture and a column for each of them. With --evaluate it prints the
main numbers and writes all of them into --output_dir, each with its definition. `--help` lists every flag.
"""

import collections
import glob
import math
import os
import pathlib
import sys

from absl import flags
from tqdm import tqdm

from cpm_hand import images
from cpm_hand.cli import command, evaluate, predictors, side_by_side, windows


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


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define this command's flags; a function, since other commands have some of the same names."""
    flags.DEFINE_multi_string("graph_path", ["cpm_lite"], "To run: an artefact of any format, a run's folder or a "
                              "checkpoint; by default the model that comes with this program. Repeat it to compare "
                              "several.", flag_values=values)
    flags.DEFINE_multi_string("image_path", [], "A picture of any size, a folder of them, or a pattern such as "
                              "'in/*.jpg'; repeat it, or give them without the flag.", flag_values=values)
    flags.DEFINE_multi(_BoxParser(), _BoxSerializer(), "box", None, "Tight box around a hand, X,Y,W,H in px of the one "
                       "picture; repeat it for several hands. Without it the picture is searched.", flag_values=values)
    flags.DEFINE_integer("max_hands", 1, "How many hands to look for in a picture.", lower_bound=1, flag_values=values)
    flags.DEFINE_float("threshold", None, "Presence, 0 to 1, below which a picture holds no hand. By default the "
                       "artefact's own; 0 always gives the strongest find.", lower_bound=0, upper_bound=1,
                       flag_values=values)
    flags.DEFINE_enum("handedness", "auto", ["auto", "left", "right"], "Where it is known of all hands. A net trained "
                      "on right hands tries both with auto.", flag_values=values)
    flags.DEFINE_multi_float("scale", None, "Crop size in multiples of the usual one; repeat it for more looks: a size "
                             "that comes again is looked at in the mirror, then turned to either side, and each joint "
                             "is where most looks see it. By default one look in a box, four after a search.",
                             lower_bound=0.1, upper_bound=10, flag_values=values)
    flags.DEFINE_integer("batchsize", 16, "Crops that go through the net at a time.", lower_bound=1, flag_values=values)
    flags.DEFINE_string("output_dir", None, "Folder for the pictures, made where it is missing; by default 'out', with "
                        "--evaluate 'out/evaluation'.",
                        flag_values=values)
    flags.DEFINE_string("write_json", None, "File for all keypoints in this program's own layout.", flag_values=values)
    flags.DEFINE_string("write_openpose_json", None, "Folder for one NAME_keypoints.json per picture, in OpenPose's "
                        "layout.", flag_values=values)
    flags.DEFINE_string("write_csv", None, "File for a table with one line per hand.", flag_values=values)
    flags.DEFINE_bool("assume_left", False, "Write hands of unknown handedness as left ones into OpenPose's files.",
                      flag_values=values)
    flags.DEFINE_bool("evaluate", False, "Measure on labelled pictures, --data, how good the artefacts are.",
                      flag_values=values)
    flags.DEFINE_enum("protocol", "G", ["G", "W"], "G gives the net the crop around each hand's true box; W gives the "
                      "whole picture, in which the hand has to be found.", flag_values=values)
    flags.DEFINE_multi_string("data", [], "NAME=DIR of a labelled set to --evaluate on; repeat it for several.",
                              flag_values=values)
    flags.DEFINE_bool("skip_bad", False, "With --evaluate, leave out samples that cannot be used, list them, "
                      "and end with status 1, instead of stopping at the first.", flag_values=values)
    flags.DEFINE_bool("show", False, "Open the pictures in windows too; for one picture.", flag_values=values)


def main(argv: list[str], values: flags.FlagValues = flags.FLAGS) -> int:
    """Find the hands in all pictures, or evaluate; 1 where something could not be read or was left out, else 0."""
    if values.evaluate or values.data:
        return evaluate.run([*values.image_path, *argv[1:]], values)
    paths = expand([*values.image_path, *argv[1:]])
    if not paths:
        print(__doc__.strip())
        return 0
    if values.skip_bad:
        raise ValueError("--skip_bad is for --evaluate: of other pictures those that cannot be read are always listed.")
    if values["protocol"].present:
        raise ValueError("--protocol is for --evaluate; whole pictures are searched, and --box says where a hand is.")
    for name, given in (("box", values.box), ("show", values.show)):
        if len(paths) > 1 and given:
            raise ValueError(f"--{name} is for one picture, got {len(paths)}.")
    if len(values.graph_path) > 1:
        _check_pages(paths, side_by_side.sheets(len(paths), values))
        return side_by_side.run(paths, values)
    for name in ("write_json", "write_csv"):
        _check_file(name, values[name].value)
    command.quiet_tensorflow()
    from cpm_hand import results

    predictor = predictors.make(values.graph_path[0], values)
    if values.write_openpose_json:
        results.check_openpose(predictor.artefact.skeleton.num_joints)
    written = values.write_json or values.write_csv or values.write_openpose_json
    drawn = bool(values.output_dir or values.show or not written)
    alone = len(paths) == 1
    beliefs = drawn and alone and {"belief_maps", "stages"} <= set(predictor.artefact.outputs)
    found, unreadable = [], {}
    names = dict(zip(paths, results.unique_names(paths)))
    stems = {path: pathlib.Path(values.output_dir or "out", name) for path, name in names.items()}
    if drawn:
        _check_pages(paths, [_page(stem, "skeleton") for stem in stems.values()])
    try:
        for path, picture, hands in _predictions(predictor, paths, values.box, beliefs, unreadable):
            found.append(results.Found(path, picture.shape[1], picture.shape[0],
                                       [hand._replace(outputs=None) for hand in hands]))
            tqdm.write(_report(path, hands, predictor) if alone else _line(path, hands))
            if values.write_openpose_json:
                results.write_openpose_json(values.write_openpose_json, names[path], hands, values.assume_left)
            if drawn:
                _write_pages(predictor, picture, hands, stems[path], alone=alone, beliefs=beliefs, show=values.show)
    finally:  # what was found before Ctrl-C or a full disk is kept
        if found or unreadable:
            _write_tables(values, predictor, found, unreadable)
    for text in unreadable.values():
        print(f"error: {text}", file=sys.stderr)
    if len(paths) > 1:
        print(f"{sum(len(each.hands) for each in found)} hands in {sum(bool(each.hands) for each in found)} of "
              f"{len(found)} pictures" + (f"; {len(unreadable)} could not be read" if unreadable else ""))
    return 1 if unreadable else 0


def expand(arguments: list[str]) -> list[str]:
    """Files, folders and patterns to the paths of pictures, each once, in the order given and else by name.

    Raises:
        ValueError: a folder or a pattern without pictures, or an empty name.
    """
    paths = []
    for argument in arguments:
        if not argument:
            raise ValueError("the name of a picture is empty; give a file, a folder or a pattern.")
        if os.path.isdir(argument):
            some = sorted(str(path) for path in pathlib.Path(argument).iterdir()
                          if path.suffix.lower() in images.SUFFIXES and not path.is_dir())
            if not some:
                raise ValueError(f"{argument}: no pictures in this folder (looked for {', '.join(images.SUFFIXES)}); "
                                 f"for folders below it give '{argument.rstrip(os.sep)}/**/*.jpg'.")
        elif glob.has_magic(argument) and not os.path.exists(argument):
            some = sorted(path for path in glob.glob(argument, recursive=True) if os.path.isfile(path))
            if not some:
                raise ValueError(f"{argument}: no file fits this pattern.")
        else:
            some = [argument]
        paths += some
    return list(dict.fromkeys(paths))


def _check_file(name: str, path: str | None) -> None:
    """Refuse before the work what could not be written after it."""
    if path is None:
        return
    if os.path.isdir(path):
        raise ValueError(f"--{name}={path}: this is a folder; give the name of a file.")
    folder = pathlib.Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder if os.path.isfile(path) or not os.path.exists(path) else path, os.W_OK):
        raise ValueError(f"--{name}={path}: nothing may be written there; give another place.")


def _page(stem: pathlib.Path, kind: str) -> pathlib.Path:
    """Where a page about a picture goes."""
    return stem.with_name(f"{stem.name}_{kind}.png")


def _check_pages(paths: list[str], pages: list[pathlib.Path]) -> None:
    """Refuse to write over a picture that was given."""
    for lost in {os.path.realpath(page) for page in pages} & {os.path.realpath(path) for path in paths}:
        raise ValueError(f"{lost}: is one of the pictures, and would be written over; give another --output_dir.")


def _predictions(predictor, paths: list[str], boxes, outputs: bool, unreadable: dict[str, str]):
    """(path, picture, hands) of each picture that can be read; what is wrong with the others goes to `unreadable`."""
    ahead = collections.deque()  # the predictor reads some pictures ahead, to fill its batches

    def pictures():
        for path in tqdm(paths, unit="picture", disable=True if len(paths) == 1 else None, dynamic_ncols=True):
            try:
                ahead.append((path, images.read(path, honour_exif=True)))
            except images.BadImage as error:
                unreadable[path] = str(error)
                continue
            yield ahead[-1][1]

    readable = list(pictures()) if boxes else pictures()  # boxes come with one picture, or with none that can be read
    for hands in predictor.stream(readable, [boxes] * len(readable) if boxes else None, outputs):
        yield *ahead.popleft(), hands


def _report(path: str, hands: list, predictor) -> str:
    """A table for each hand of one picture."""
    if not hands:
        return (f"{path}: no hand found: no presence reaches {predictor.threshold:.2f} "
                f"(--threshold=0 gives the strongest find)")
    return "\n\n".join(_table(predictor.artefact.skeleton.names, hand) for hand in hands)


def _table(names, hand) -> str:
    rows = [f"{'joint':<12} {'x':>8} {'y':>8} {'score':>6}"]
    rows += [f"{name:<12} {x:8.1f} {y:8.1f} {score:6.2f}"
             for name, (x, y, score) in zip(names, hand.keypoints)]
    rows.append(f"presence {hand.presence:.2f} (0: no hand, 1: certainly a hand){_side(hand)}")
    return "\n".join(rows)


def _side(hand) -> str:
    return {1: ", left", 0: ", right", -1: ""}[hand.is_left]


def _line(path: str, hands: list) -> str:
    seen = "; ".join(f"presence {hand.presence:.2f}{_side(hand)}" for hand in hands)
    return f"{path}: {seen or 'no hand'}"


def _write_pages(predictor, picture, hands: list, stem: pathlib.Path, alone: bool, beliefs: bool,
                 show: bool) -> None:
    """The skeletons, and of a picture that is alone the net's beliefs too, where the artefact gives them."""
    from cpm_hand import pages

    drawn = pages.beliefs(predictor, picture, hands) if beliefs else {}
    drawn["skeleton"] = pages.skeletons(picture, hands, predictor.artefact.skeleton)
    for name, page in drawn.items():
        path = _page(stem, name)
        images.write(path, page)
        if alone:
            print(f"wrote {path}")
    if alone and not beliefs:
        print(f"{predictor.artefact.path}: exported with --outputs=keypoints, so there are no belief maps to draw.")
    if show:
        windows.show(drawn)


def _write_tables(values, predictor, found: list, unreadable: dict[str, str]) -> None:
    from cpm_hand import results

    skeleton = predictor.artefact.skeleton
    try:
        if values.write_json:
            settings = {**predictors.settings(values.graph_path[0], predictor, bool(values.box)), "boxes": values.box}
            results.write_json(values.write_json, found, skeleton, settings, unreadable)
    finally:  # where one file cannot be written, the other one perhaps can
        if values.write_csv:
            results.write_csv(values.write_csv, found, skeleton)


def run() -> None:
    """Entry point of `test.py` and of `cpm-hand-test`."""
    define()
    command.run_main(main)
