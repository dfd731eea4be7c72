"""`test.py` with several --graph_path: sheets with a row for each picture and a column for each artefact."""

import math
import pathlib
import sys

from absl import flags
from tqdm import tqdm

from cpm_hand import images
from cpm_hand.cli import command, predictors

CELL_PX = 368  # side of a cell of a sheet
ROWS = 100     # pictures on a sheet: of hundreds it is more than `images.read` takes, of thousands than a PNG may be


def sheets(num_pictures: int, values: flags.FlagValues) -> list[pathlib.Path]:
    """The files for so many pictures: side_by_side.png, and side_by_side_2.png and on for more than `ROWS`."""
    folder = pathlib.Path(values.output_dir or "out")
    return [folder / f"side_by_side{f'_{number}' if number > 1 else ''}.png"
            for number in range(1, math.ceil(num_pictures / ROWS) + 1)]


def run(paths: list[str], values: flags.FlagValues) -> int:
    """Write what each artefact finds in each picture, a sheet of `ROWS` pictures as soon as it is full.

    Args:
        paths: of the pictures.
        values: the flags.

    Returns:
        1 where a picture could not be read, else 0.
    """
    for name in ("write_json", "write_openpose_json", "write_csv", "show"):
        if values[name].value:
            raise ValueError(f"--{name} is for one --graph_path, got {len(values.graph_path)}: those of several are "
                             f"compared on sheets.")
    command.quiet_tensorflow()
    from cpm_hand import draw, pages, results

    columns = results.unique_names(values.graph_path)
    each = [predictors.make(path, values) for path in values.graph_path]
    cells, titles, unreadable = [], [], []
    files = sheets(len(paths), values)
    files[0].parent.mkdir(parents=True, exist_ok=True)  # before the work, if it cannot be

    def write():
        sheet = files.pop(0)
        images.write(sheet, draw.contact_sheet(cells, len(columns), CELL_PX, titles))
        cells.clear()
        titles.clear()
        print(f"wrote {sheet}")

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
            if len(cells) == ROWS * len(columns):
                write()
    finally:  # what was found before Ctrl-C is kept
        if cells:
            write()
        for text in unreadable:
            print(f"error: {text}", file=sys.stderr)
    return 1 if unreadable else 0
