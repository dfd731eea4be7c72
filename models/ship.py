"""Make what `models/cpm_lite` holds from a finished run: the last step of the recipe in models/cpm_lite.flags.

    python models/ship.py models/train/cpm_lite --presence_threshold=0.4

It writes the run's best weights as a checkpoint without the optimizer's state, the frozen graph and the 8-bit LiteRT
file, each compared with the Keras model as freeze.py does it, and their checksums. Weights are rounded to 11 bits,
which moves no keypoint by as much as one could see and halves what has to be downloaded.

The threshold is the one that `python benchmarks/search.py --graph_path=models/train/cpm_lite --calibrate` prints.
"""

import hashlib
import pathlib

import numpy as np
from absl import app, flags

from cpm_hand import shipped
from cpm_hand.cli import command, freeze

_THRESHOLD = flags.DEFINE_float("presence_threshold", None, "Presence below which there is no hand.", lower_bound=0,
                                upper_bound=1, required=True)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", f"models/{shipped.NAME}", "Folder of the shipped model.")
SUMMED = (shipped.CHECKPOINT, shipped.ARTEFACT, shipped.INT8, shipped.FINETUNE)


def main(argv: list[str]) -> int:
    """Write the files, print the table of parity, write the checksums."""
    if len(argv) != 2:
        raise app.UsageError(f"expected one run's folder, got {argv[1:]}.")
    command.quiet_tensorflow()
    from cpm_hand import checkpoints, export

    folder, best = pathlib.Path(_OUTPUT_DIR.value), checkpoints.find(argv[1])
    state = {"hands": best.state.get("hands", "both"), "presence_threshold": _THRESHOLD.value,
             "licence": "Apache-2.0", "source": "trained on pictures rendered by cpm_hand, and on nothing else"}
    weights = {name: np.float32(np.float16(array)) for name, array in best.best_weights().items()}
    checkpoints.save(folder / shipped.CHECKPOINT, checkpoints.Checkpoint(best.spec, best.step, weights, {}, {}, state))
    artefacts = []
    for name, file, precision in (("frozen_graph", shipped.ARTEFACT, "float32"), ("tflite", shipped.INT8, "int8")):
        artefacts += export.export(folder / shipped.CHECKPOINT, {name: folder / file},
                                   export.Choice(precision=precision), num_pictures=200)
    export.write_report(folder / freeze.REPORT, artefacts)
    print(freeze.table(artefacts))
    sums = [f"{hashlib.sha256((folder / file).read_bytes()).hexdigest()}  {file}\n" for file in SUMMED]
    (folder / shipped.SUMS).write_text("".join(sums))
    return 0


if __name__ == "__main__":
    command.run_main(main)
