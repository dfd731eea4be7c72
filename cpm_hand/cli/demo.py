"""What training begins with where no data are given: a set of hands, rendered once, and flags that go with it."""

import os
import pathlib
import sys

from tqdm import tqdm

from cpm_hand.rendering import scene, writer

FOLDER = os.path.join("models", "data", "hands")   # beside models/train, from where the command runs
COUNT, SIZE = 6000, 160                             # pictures, and their side in px


def flagfile() -> pathlib.Path:
    """The path of the demo's flags, which a checkout alone has.

    Raises:
        ValueError: this is an installed package, which has none.
    """
    path = pathlib.Path(__file__).parents[2] / "models" / "demo.flags"
    if not path.exists():
        raise ValueError("no training data: give --datapath=DIR with CMU's hand_labels_synth, or --data=NAME=DIR. A "
                         "checkout of the repository also trains without, on hands it renders itself.")
    return path


def render() -> str:
    """Render the set where it is not there yet, with a progress bar; gives its folder."""
    print(f"Rendering {COUNT} pictures into {FOLDER} (only once; what is there stays) ...", file=sys.stderr)
    options = scene.Options(size=(SIZE, SIZE), empty_share=0.05)
    numbers = writer.write(FOLDER, COUNT, options=options, workers=os.cpu_count() or 1)
    try:
        for _ in tqdm(numbers, total=COUNT, unit="picture", disable=None, dynamic_ncols=True):
            pass
    except writer.AnotherSet as error:
        raise ValueError(f"{FOLDER}: holds other pictures than this version renders for its demo; remove that folder, "
                         f"or train on it with --datapath={FOLDER}.") from error
    return FOLDER
