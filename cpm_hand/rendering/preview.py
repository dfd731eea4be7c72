"""One contact sheet of a rendered set, with the skeletons over the pictures."""

import json
import pathlib

import numpy as np

from cpm_hand import draw, images


def sheet(folder, path, count: int = 32, columns: int = 8) -> pathlib.Path:
    """Draw the first pictures of a set.

    Args:
        folder: of NAME.jpg and NAME.json.
        path: of the picture to write.
        count: pictures on it; fewer where the set is smaller.
        columns: cells per row.

    Returns:
        the path that was written.

    Raises:
        ValueError: there is no picture in the folder.
    """
    labels = sorted(pathlib.Path(folder).glob("*.json"))[:count]
    if not labels:
        raise ValueError(f"{folder}: no picture to show; render some with --count.")
    cells = []
    for label in labels:
        image, data = images.read(label.with_suffix(".jpg")), json.loads(label.read_text())
        if data.get("has_hand", True):
            image = draw.skeleton(image, np.array(data["hand_pts"])[:, :2])
        cells.append(image)
    images.write(path, draw.contact_sheet(cells, columns=columns))
    return pathlib.Path(path)
