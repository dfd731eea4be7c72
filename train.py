"""Train a hand keypoint detector; `python train.py --help` lists the flags."""

from cpm_hand.cli.train import run

if __name__ == "__main__":
    run()
