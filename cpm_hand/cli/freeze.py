"""Turn a run or a checkpoint into artefacts that others can load.

Example:
    python freeze.py --checkpoint=models/train/test

It writes models/saved_model and models/frozengraph.pb with the run's best weights (averaged where the run
kept an average), loads each in a fresh process and compares it with the Keras model. Both take uint8 RGB
pictures.
"""

import pathlib

from absl import app, flags, logging

from cpm_hand.cli import command

FORMATS = ("saved_model", "frozen_graph")  # the rows of export.FORMATS, known without importing TensorFlow


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define this command's flags; a function, since other commands have some of the same names."""
    flags.DEFINE_string("checkpoint", None, "A run's folder or a checkpoint file; else the run of --tag.",
                        flag_values=values)
    flags.DEFINE_string("tag", "test", "Name of the run; its folder is models/train/TAG.", flag_values=values)
    flags.DEFINE_multi_enum("format", list(FORMATS), FORMATS, "What to write; repeat for several.",
                            flag_values=values)
    flags.DEFINE_string("output_dir", "models", "Folder of the artefacts, under their usual names.",
                        flag_values=values)
    flags.DEFINE_string("output", None, "Path of the artefact, where there is one --format only.",
                        flag_values=values)


def main(argv: list[str]) -> int:
    """Write the artefacts and print one line about each."""
    values = flags.FLAGS
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; a run is given as --checkpoint={argv[1]}.")
    formats = list(dict.fromkeys(values.format))
    if values.output and len(formats) != 1:
        raise app.UsageError("--output names one artefact: give one --format with it, or --output_dir.")
    logging.set_verbosity(logging.WARNING)  # TensorFlow's notes about what it saves
    command.quiet_tensorflow()
    from cpm_hand import export

    destinations = {name: values.output or pathlib.Path(values.output_dir) / export.DEFAULT_NAMES[name]
                    for name in formats}
    source = values.checkpoint or pathlib.Path("models/train") / values.tag
    print(table(export.export(source, destinations, report=lambda line: None)))
    return 0


def table(artefacts) -> str:
    """One line per artefact: format, path, megabytes, largest difference from the Keras model."""
    rows = [("format", "path", "MB", "belief maps", "keypoints")]
    for artefact in artefacts:
        difference = artefact.parity
        rows.append((artefact.format, str(artefact.path), f"{artefact.num_bytes / 1e6:.1f}",
                     f"{difference.maps:.1e}",
                     f"{difference.keypoints_px:.1e} px in {difference.num_keypoints}"))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def run() -> None:
    """Entry point of `freeze.py` and of `cpm-hand-freeze`."""
    define()
    command.run_main(main)
