"""`test.py` with several --graph_path: one sheet, a row for each picture and a column for each artefact."""

import pathlib
import sys

from absl import flags
from tqdm import tqdm

from cpm_hand import images
from cpm_hand.cli import command, predictors

CELL_PX = 368  # side of a cell of the sheet


def run(paths: list[str], values: flags.FlagValues) -> int:
    """Write one sheet with what each artefact finds in each picture.

    Args:
        paths: of the pictures.
        values: the flags.

    Returns:
        1 where a picture could not be read, else 0.
    """
    for name in ("write_json", "write_openpose_json", "write_csv", "show"):
        if values[name].value:
            raise ValueError(f"--{name} is for one --graph_path, got {len(values.graph_path)}: those of several are "
                             f"compared on one sheet.")
    command.quiet_tensorflow()
    from cpm_hand import draw, pages, results

    columns = results.unique_names(values.graph_path)
    each = [predictors.make(path, values) for path in values.graph_path]
    cells, titles, unreadable = [], [], []
    sheet = pathlib.Path(values.output_dir or "out", "side_by_side.png")
    sheet.parent.mkdir(parents=True, exist_ok=True)  # before the work, if it cannot be
    try:
        for path in tqdm(paths, unit="picture", disable=None, dynamic_ncols=True):
            try:
                picture = images.read(path, honour_exif=True)
            except images.BadImage as error:
                unreadable.append(str(error))
                continue
            row = [predictor(picture, values.box) for predictor in each]
            for column, predictor, hands in zip(columns, each, row):
                page = pages.skeletons(picture, hands, predictor.artefact.skeleton)
                cells.append(draw.scaled(page, CELL_PX))  # not the whole pictures, of which there may be many
                titles.append((column, f"{hands[0].presence:.2f}" if hands else "no hand"))
    finally:  # what was found before Ctrl-C is kept
        if cells:
            images.write(sheet, draw.contact_sheet(cells, len(columns), CELL_PX, titles))
            print(f"wrote {sheet}")
        for text in unreadable:
            print(f"error: {text}", file=sys.stderr)
    return 1 if unreadable else 0
