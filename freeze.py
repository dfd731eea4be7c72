"""Turn a run or a checkpoint into artefacts that others can load.

Example:
    python freeze.py --checkpoint=models/train/test --output_dir=models
"""

from cpm_hand.cli.freeze import run

if __name__ == "__main__":
    run()
