"""Convert published weights of other programs: the hand model, and VGG-19.

  python -m cpm_hand.weights IN OUT

IN is one of
  pose_iter_102000.caffemodel    the published hand model, for Caffe
  hand_pose_model.pth            its port to PyTorch, in the old or the new layout
  NAME.npy                       a dictionary of the hand model's layers, or of VGG-19's
  vgg19_…_notop.h5               Keras' VGG-19
and is recognised by its content. OUT is new, nothing is replaced:
  NAME.npz                       a checkpoint, for test.py, freeze.py and train.py --checkpoint=NAME.npz
  NAME.weights.h5                the same weights for Keras; for VGG-19 alone, for train.py --checkpoint=

The converted hand model takes the same pictures as all nets here and knows that it was trained on right hands.
"""

import textwrap

from absl import app

from cpm_hand.cli import command


def main(argv: list[str]) -> int:
    """Convert, and print what was used, what was not, and the licence."""
    if len(argv) == 1:
        print(__doc__.strip())
        return 0
    if len(argv) != 3:
        raise app.UsageError(f"expected IN and OUT, got {argv[1:]}")
    command.quiet_tensorflow()
    from cpm_hand import conversion

    done = conversion.convert(argv[1], argv[2])
    layers = list(dict.fromkeys(name.rpartition("/")[0] for name in done.used))
    print(f"{argv[1]}: {done.kind}")
    for title, names in ((f"used: {len(done.used)} arrays of", layers), ("not used:", done.unused or ["nothing"])):
        print(textwrap.fill(f"{title} {', '.join(names)}", width=100, subsequent_indent="  "))
    print(f"wrote {done.path}: " + (f"{done.spec.net}, {done.spec.stages} stages, {done.spec.size} px, right hands"
                                    if done.spec else "a start for training, for train.py --checkpoint="))
    print(textwrap.fill(done.licence, width=100))
    return 0


def run() -> None:
    """Entry point of `python -m cpm_hand.weights`."""
    command.run_main(main)


if __name__ == "__main__":
    run()
