"""Turn a run or a checkpoint into files that others can load, prove that they compute the same, and time them.

Example:
    python freeze.py --checkpoint=models/train/test --format=tflite --format=onnx --outputs=keypoints

Each file is written with the run's best weights (averaged where the run kept an average), loaded in a fresh process,
compared with the Keras model on rendered hands and timed there. What differs more than its precision explains is
removed, and that is an error. The numbers are printed and written to parity.json beside the files.
"""

import pathlib

from absl import app, flags, logging

from cpm_hand.cli import command

# The rows of formats.FORMATS and parity.TOLERANCES, known without importing TensorFlow.
FORMATS = ("saved_model", "frozen_graph", "keras", "tflite", "onnx", "openvino", "opencv")
PRECISIONS = ("float32", "float16", "bfloat16", "int8")


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define this command's flags; a function, since other commands have some of the same names."""
    flags.DEFINE_string("checkpoint", None, "A run's folder, a checkpoint file, or cpm_lite, the model that comes "
                        "with this program; else the run of --tag.",
                        flag_values=values)
    flags.DEFINE_string("tag", "test", "Name of the run; its folder is models/train/TAG.", flag_values=values)
    flags.DEFINE_multi_enum("format", ["saved_model", "frozen_graph"], FORMATS, "What to write; repeat for several.",
                            flag_values=values)
    flags.DEFINE_string("output_dir", "models", "Folder of the artefacts, under their usual names.",
                        flag_values=values)
    flags.DEFINE_string("output", None, "Path of the artefact, where there is one --format only.",
                        flag_values=values)
    flags.DEFINE_enum("outputs", "all", ["all", "keypoints"], "keypoints leaves out belief maps and stages: smallest "
                      "and fastest.", flag_values=values)
    flags.DEFINE_integer("size", None, "Side of the square input in pixels, where it is not the training size.",
                         lower_bound=1, flag_values=values)
    flags.DEFINE_integer("stages", None, "Keep the first so many stages only; the answer is the last one kept.",
                         flag_values=values)
    flags.DEFINE_enum("precision", "float32", PRECISIONS, "Of weights and arithmetic: bfloat16 for saved_model and "
                      "openvino, float16 for tflite, int8 for tflite and openvino.", flag_values=values)
    flags.DEFINE_string("calibration_data", None, "NAME=DIR with pictures from which the ranges of an int8 net come; "
                        "else rendered hands.", flag_values=values)
    flags.DEFINE_integer("check_pictures", 64, "Rendered hands to compare and time on.", lower_bound=1,
                         flag_values=values)


def main(argv: list[str], values: flags.FlagValues = flags.FLAGS) -> int:
    """Write the artefacts and print one line about each."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; a run is given as --checkpoint={argv[1]}.")
    names = list(dict.fromkeys(values.format))
    if values.output and len(names) != 1:
        raise app.UsageError("--output names one artefact: give one --format with it, or --output_dir.")
    if values.calibration_data and values.precision != "int8":
        raise app.UsageError("--calibration_data is for --precision=int8; leave it out.")
    logging.set_verbosity(logging.ERROR)  # TensorFlow's notes about what it saves
    command.quiet_tensorflow()
    from cpm_hand import export

    destinations = {name: values.output or pathlib.Path(values.output_dir) / export.default_name(name, values.precision)
                    for name in names}
    choice = export.Choice(values.size, values.stages, values.outputs == "all", values.precision)
    source = values.checkpoint or pathlib.Path("models/train") / values.tag

    def record(artefact):  # each when it is there: a later one may fail
        export.write_report(artefact.path.with_name(export.REPORT), [artefact])

    artefacts = export.export(source, destinations, choice, num_pictures=values.check_pictures,
                              calibration_data=values.calibration_data, report=record)
    print(table(artefacts))
    return 0


def table(artefacts) -> str:
    """One line per artefact: size, distance from the Keras model, speed."""
    rows = [("format", "path", "precision", "MB", "mean px", "most px", "keypoints", "PCK points", "ms", "threads")]
    for artefact in artefacts:
        found = artefact.parity
        points = "-" if found.pck_points != found.pck_points else f"{found.pck_points:+.2f}"
        rows.append((artefact.format, str(artefact.path), artefact.precision, f"{artefact.num_bytes / 1e6:.1f}",
                     f"{found.mean_px:.1e}", f"{found.largest_px:.1e}", str(found.num_keypoints), points,
                     f"{found.ms:.1f}", str(found.threads)))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def run() -> None:
    """Entry point of `freeze.py` and of `cpm-hand-freeze`."""
    define()
    command.run_main(main)
