"""What a benchmark leaves behind: medians with their ranges, a table on the screen, a JSON file."""

import json
import os
import pathlib

import numpy as np
from _clock import processor
from absl import app

from cpm_hand import reports
from cpm_hand.artefacts import cores

# Of the last minute, before the benchmark adds its own: whether the machine was quiet.
LOAD_AT_START = os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def sides(text: str) -> tuple[int, int]:
    """Width and height, px, of a flag WxH.

    Raises:
        app.UsageError: another form.
    """
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise app.UsageError(f"--size={text}: expected WxH in px, as in 640x480.")
    return int(width), int(height)


def spread(values) -> dict[str, float]:
    """Median, least and most of what the turns gave."""
    return {"median": float(np.median(values)), "min": float(np.min(values)), "max": float(np.max(values))}


def text(value) -> str:
    """One cell of a table: `median (min-max)` of a spread, a number to three figures or more."""
    if isinstance(value, dict):
        return f"{text(value['median'])} ({text(value['min'])} to {text(value['max'])})"
    if isinstance(value, float):
        return f"{value:.{0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2}f}"
    return str(value)


def show(rows: list[dict], columns: dict[str, str]) -> None:
    """Print aligned columns.

    Args:
        rows: one dictionary per line.
        columns: key in a row -> heading, with its unit.
    """
    cells = [list(columns.values())] + [[text(row[key]) for key in columns] for row in rows]
    widths = [max(len(line[number]) for line in cells) for number in range(len(columns))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    print()


def write(path: str, benchmark: str, settings: dict, **results) -> None:
    """Write settings, versions and all numbers as JSON.

    Args:
        path: of the file; its folder is made.
        benchmark: its name.
        settings: what it was run with.
        results: by name; numbers carry their unit in their key.
    """
    whole = {"benchmark": benchmark, "settings": settings, "processor": processor(), "cores": cores(),
             "load_average_before": LOAD_AT_START, "versions": reports.versions(), **results}
    file = pathlib.Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(whole, indent=2) + "\n")
    print(f"wrote {file}")


