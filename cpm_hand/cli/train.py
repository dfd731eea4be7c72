"""Train a hand keypoint detector.

    python train.py                                  (renders a set of hands and trains a compact net on it)
    python train.py --datapath=hand_labels_synth
    python train.py --flagfile=models/cpm_cmu.flags --data=cmu_synth=DIR:1 --data=cmu_manual=DIR:1

Dashes and underscores in flag names mean the same. The same command again goes on where the run stopped.
"""

import os
import pathlib
import sys

from absl import app, flags

from cpm_hand.cli.command import quiet_tensorflow, run_main

_DATAPATH = flags.DEFINE_string("datapath", None, "CMU's hand_labels_synth; short for --data=cmu_synth=DIR.")
_DATA = flags.DEFINE_multi_string(
    "data", [], "NAME=DIR[:WEIGHT[:CROP_FACTOR]] of a training set; repeat to mix sets. WEIGHT is a set's share of the "
    "pictures; without any, each picture is shown alike. CROP_FACTOR is --crop_factor for this set alone. Flags of a "
    "flagfile and of the command line add up. Names: cmu_synth, cmu_manual, cmu_panoptic, coco.")
_VALIDATION_FRACTION = flags.DEFINE_float(
    "validation_fraction", 0.05, "Share of the source photographs and videos held back, chosen by a hash of their "
    "names.", lower_bound=0, upper_bound=0.9)
_VALIDATION_DATA = flags.DEFINE_multi_string(
    "validation_data", [], "NAME=DIR of a validation set; then nothing is held back from training.")
_LIMIT = flags.DEFINE_integer("limit", 0, "Use only the first so many hands of each training set; 0 is all. 1 is the "
                              "one-picture test, which also writes overfit.png and overfit.gif.", lower_bound=0)
_AUGMENT = flags.DEFINE_enum("augment", "default", ["none", "light", "default", "strong"],
                             "Random rotation, scale, shift, mirror, colour, blur, noise and occluder.")
_HANDS = flags.DEFINE_enum("hands", None, ["both", "right"], "Learn left and right hands alike, or mirror left ones to "
                           "right; by default as the net of --checkpoint did, else both.")
_CROP_FACTOR = flags.DEFINE_float("crop_factor", None, "Side of the crop over the longer side of the tight joint box; "
                                  "of pictures that are cropped already the middle, below 2.2. By default as for the "
                                  "net of --checkpoint, else 2.2.", lower_bound=1, upper_bound=10)
_SKIP_BAD = flags.DEFINE_bool("skip_bad", False, "Leave out samples that cannot be used, and list them, instead of "
                              "stopping at the first.")

_NET = flags.DEFINE_enum("net", None, ["cpm", "cpm_lite"], "Network to train: the published pose machine, or a compact "
                         "one for laptops. By default that of --checkpoint with its size, stages and width, else cpm.")
_STAGES = flags.DEFINE_integer("stages", None, "Stages of the net; by default those of --checkpoint, else cpm: 6, "
                               "cpm_lite: 4.", lower_bound=1)
_WIDTH = flags.DEFINE_float("width", None, "Factor on the hidden channels; by default that of --checkpoint, else "
                            "1, the published net.", lower_bound=1e-3)
_INPUT_WIDTH = flags.DEFINE_integer("input_width", None, "Side of the square input, px; by default the net's own "
                                    "(cpm: 368, a multiple of 8; cpm_lite: 128, a multiple of 16).", lower_bound=1)
_INPUT_HEIGHT = flags.DEFINE_integer("input_height", None, "Must equal --input-width: inputs are square.",
                                     lower_bound=1)

_BATCHSIZE = flags.DEFINE_integer("batchsize", 64, "Pictures per step, over all devices and machines.", lower_bound=1)
_MICROBATCH = flags.DEFINE_integer("microbatch", 0, "Pictures a device holds in memory at a time; gradients add up "
                                   "to those of the whole batch. 0 is all.", lower_bound=0)
_OPTIMIZER = flags.DEFINE_enum("optimizer", "adam", ["adam", "muon"], "Muon learns more from each picture, and costs "
                               "more per step.")
_LR = flags.DEFINE_float("lr", 1e-4, "Step size of the optimizer.", lower_bound=0)
_SCHEDULE = flags.DEFINE_enum("schedule", "constant", ["constant", "cosine", "steps", "plateau"],
                              "Course of the step size.")
_WARMUP_STEPS = flags.DEFINE_integer("warmup_steps", 0, "Steps over which the step size rises from 0.",
                                     lower_bound=0)
_LR_BOUNDARIES = flags.DEFINE_multi_integer("lr_boundaries", [], "Step at which --schedule=steps multiplies by "
                                            "--lr_factor; repeat it.", lower_bound=1)
_LR_FACTOR = flags.DEFINE_float("lr_factor", 0.5, "Factor of the schedules steps and plateau.",
                                lower_bound=0, upper_bound=1)
_PATIENCE = flags.DEFINE_integer("patience", 5, "Validations without improvement before --schedule=plateau lowers "
                                 "the step size.", lower_bound=1)
_EARLY_STOP = flags.DEFINE_integer("early_stop", 0, "Validations without improvement that end the run; 0 never.",
                                   lower_bound=0)
_CLIP_NORM = flags.DEFINE_float("clip_norm", 0, "Largest norm of the summed gradient; 0 is no clipping.",
                                lower_bound=0)
_EMA_DECAY = flags.DEFINE_float("ema_decay", 0, "Decay of the moving average of the weights, which is validated and "
                                "exported; 0 is off.", lower_bound=0, upper_bound=0.999999)
_MAX_EPOCH = flags.DEFINE_integer("max_epoch", 600, "Length of the run in passes over the training set.",
                                  lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 0, "Length of the run in steps, instead of --max-epoch.", lower_bound=0)
_MAX_MINUTES = flags.DEFINE_float("max_minutes", 0, "Training time after which the run ends, if its steps are not "
                                  "done before; the schedule of the step size ends with it. 0 is no limit.",
                                  lower_bound=0)
_PRECISION = flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16", "float16", "auto"],
                               "Arithmetic of the hidden layers; weights, heads and loss stay float32. auto is "
                               "bfloat16 where the machine computes in it, else float32.")

_STRATEGY = flags.DEFINE_enum("strategy", None, ["none", "mirrored", "multi_worker"],
                              "One device, all devices of this machine, or the machines in TF_CONFIG. By default "
                              "mirrored where there are several GPUs.")
_GPUS = flags.DEFINE_integer("gpus", 0, "Use the first so many GPUs; 0 is all there are.", lower_bound=0)
_SEED = flags.DEFINE_integer("seed", 0, "Of weights, order and augmentation.", lower_bound=0,
                             upper_bound=2**32 - 1)
_DETERMINISTIC = flags.DEFINE_bool("deterministic", False, "The same weights to the last bit in each run on the same "
                                   "machine and number of threads; slower on GPUs.")

_BACKBONE_WEIGHTS = flags.DEFINE_string(
    "backbone_weights", "none", "Start of the VGG-19 layers: none, imagenet (Keras' file, downloaded once), or the "
    "path of that .h5 file or of an .npy dictionary.")
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Run folder to go on from in full, or a weights file (.weights.h5, .npz) to load by layer "
    "name. cpm_lite is the model that comes with this program, and brings flags for training on from it.")
_TAG = flags.DEFINE_string("tag", "test", "Name of the run; its folder is models/train/TAG.")
_LOG_EVERY = flags.DEFINE_integer("log_every", 500, "Steps between log lines.", lower_bound=1)
_CHECKPOINT_EVERY = flags.DEFINE_integer("checkpoint_every", 2000, "Steps between checkpoints.", lower_bound=1)
_VALIDATE_EVERY = flags.DEFINE_integer("validate_every", 2000, "Steps between validations and pictures.",
                                       lower_bound=1)
_KEEP = flags.DEFINE_integer("keep", 5, "Checkpoints that stay, besides the best one.", lower_bound=1)
_SUMMARY = flags.DEFINE_bool("summary", False, "Print parameters, multiply-accumulates and memory of the net, and "
                             "leave.")


def _take(flagfile: pathlib.Path) -> None:
    """Take the flags of a file wherever the command line does not say otherwise."""
    given = {name for name in flags.FLAGS if flags.FLAGS[name].present}
    if "max_epoch" in given:
        given.add("steps")  # another word for the same
    if "input_height" in given:
        given.add("input_width")  # and so are these: inputs are square
    for line in flagfile.read_text().splitlines():
        name, _, value = line.removeprefix("--").partition("=")
        if line.startswith("--") and name not in given:
            flags.FLAGS[name].parse(value)


def _demo_set() -> str:
    """Without data: render a set once, and train on it with the demo's flags."""
    from cpm_hand.cli import demo
    flagfile = demo.flagfile()
    _take(flagfile)
    _check_clock()  # before anybody waits for the pictures
    _spec()
    print(f"no --datapath given: training on hands rendered here, with the flags of {flagfile}.", file=sys.stderr)
    return demo.render()


def _check_clock() -> None:
    if _MAX_MINUTES.value and (_DETERMINISTIC.value or _STRATEGY.value == "multi_worker"):
        raise ValueError(f"--max_minutes={_MAX_MINUTES.value:g} goes by the clock: no two runs would be the same, and "
                         f"several machines have several clocks. With --deterministic and --strategy=multi_worker give "
                         f"--steps and --max_minutes=0.")


def _checkpoint():
    """--checkpoint as a path, None where there is none; for the shipped model its own flags are taken too."""
    from cpm_hand import shipped
    if not _CHECKPOINT.value:
        return None
    path = shipped.find(_CHECKPOINT.value, shipped.CHECKPOINT)
    if _CHECKPOINT.value == shipped.NAME:
        flagfile = shipped.checked(shipped.FINETUNE)
        _take(flagfile)
        print(f"training on from {shipped.NAME}, with the flags of {flagfile} where none are given.", file=sys.stderr)
    return path


def _spec(base=None):
    """The net that the flags describe.

    Args:
        base: spec of the net to start from, which holds where the flags say nothing.
    """
    from cpm_hand import nets
    name = _NET.value or (base.net if base else "cpm")
    row = nets.find(name)
    if not base or base.net != name:
        base = nets.Spec(name, row.size, row.stages)
    size = _INPUT_WIDTH.value or _INPUT_HEIGHT.value or base.size
    if (_INPUT_HEIGHT.value or size) != size:
        raise ValueError(f"inputs are square: --input-width={size} and --input-height={_INPUT_HEIGHT.value} must be "
                         f"equal; pictures of other shapes are cropped to a square around the hand.")
    return base._replace(size=size, stages=_STAGES.value or base.stages, width=_WIDTH.value or base.width)


def _precision() -> str:
    if _PRECISION.value != "auto":
        return _PRECISION.value
    from cpm_hand import strategies
    if _STRATEGY.value == "multi_worker":
        raise ValueError("--precision=auto may be another one on each machine; give bfloat16 or float32.")
    return "bfloat16" if strategies.computes_in_bfloat16() else "float32"


def _print_summary(base) -> None:
    from cpm_hand import nets
    spec = _spec(base)
    costs = nets.costs(spec.build())
    print(f"net              {spec.net}, {spec.stages} stages, width {spec.width:g}, input {spec.size} x {spec.size}")
    print(f"parameters       {costs.parameters:,} ({4e-6 * costs.parameters:.1f} MB in float32)")
    print(f"multiply-adds    {costs.macs / 1e9:.2f} GMAC per picture")
    print(f"memory           {costs.activation_bytes / 1e6:.1f} MB of activations per picture in float32; a training "
          f"step keeps them, and")
    print(f"                 {16e-6 * costs.parameters:.1f} MB of weights, gradients and Adam's moments once")


def _schedule(num_hands: int):
    from cpm_hand.schedules import Schedule
    steps = _STEPS.value or -(-_MAX_EPOCH.value * num_hands // _BATCHSIZE.value)
    if _SCHEDULE.value == "steps" and not _LR_BOUNDARIES.value:
        raise ValueError("--schedule=steps needs --lr_boundaries=STEP, once for each step at which to go down.")
    if _SCHEDULE.value != "steps" and _LR_BOUNDARIES.value:
        raise ValueError(f"--lr_boundaries belongs to --schedule=steps, got --schedule={_SCHEDULE.value}.")
    return Schedule(_SCHEDULE.value, _LR.value, steps, _WARMUP_STEPS.value,
                    tuple(sorted(_LR_BOUNDARIES.value)), _LR_FACTOR.value)


def _strategy():
    import tensorflow as tf

    from cpm_hand import strategies
    name = _STRATEGY.value
    if name is None:
        gpus = _GPUS.value or len(tf.config.list_physical_devices("GPU"))
        name = "mirrored" if gpus > 1 else "none"
    return strategies.make(name, _GPUS.value)


def _flags_text() -> str:
    """The flags of this run as a flagfile that can be passed back.

    A repeated flag keeps its order: on that of the sets hangs the order of samples.
    """
    ours = sorted(flags.FLAGS.flags_by_module_dict()[__name__], key=lambda flag: flag.name)
    return "".join(f"{flag.serialize()}\n" for flag in ours if flag.value not in (None, []))


def main(argv) -> int:
    """Flags to one training run; the exit status is 128 + the signal's number when one ended it."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}; flags are written --name=value.")
    datapath = _DATAPATH.value
    if not (datapath or _DATA.value or _SUMMARY.value):
        if _CHECKPOINT.value:
            raise ValueError(f"--checkpoint={_CHECKPOINT.value} needs pictures to train on: give --data=NAME=DIR.")
        datapath = _demo_set()  # before TensorFlow starts threads beside which no process can be started
    quiet_tensorflow()
    path = _checkpoint()
    _check_clock()
    run_dir = os.path.join("models", "train", _TAG.value)
    from cpm_hand import starts
    known = starts.describe(run_dir, path)
    base = known.spec
    if _SUMMARY.value:
        return _print_summary(base)
    import keras
    import tensorflow as tf

    from cpm_hand import engine as engines
    from cpm_hand import reports, sets, training
    from cpm_hand.settings import Settings, check_together
    reports.configure_logging()
    strategy = _strategy()  # first: several machines find each other before anything else touches TensorFlow
    keras.utils.set_random_seed(_SEED.value)
    if _DETERMINISTIC.value:
        tf.config.experimental.enable_op_determinism()
    spec, hands, precision = _spec(base), _HANDS.value or known.hands, _precision()
    crop_factor = _CROP_FACTOR.value or known.crop_factor
    data_flags = _DATA.value + ([f"cmu_synth={datapath}"] if datapath else [])
    validation = sets.parse(_VALIDATION_DATA.value, "validation_data", weighted=False)
    data = sets.prepare(sets.parse(data_flags), validation, sets.Choice(
        size=spec.size, batch_size=_BATCHSIZE.value, augmentation=_AUGMENT.value, hands=hands,
        crop_factor=crop_factor, seed=_SEED.value, skip_bad=_SKIP_BAD.value, limit=_LIMIT.value,
        validation_fraction=_VALIDATION_FRACTION.value))
    sets.tell_of_joints_cut_off(data.training)
    spec = spec._replace(skeleton=data.training.labels.skeleton)
    # What was decided here is what the run's record says.
    for flag, value in ((_NET, spec.net), (_INPUT_WIDTH, spec.size), (_STAGES, spec.stages), (_WIDTH, spec.width),
                        (_HANDS, hands), (_CROP_FACTOR, crop_factor), (_PRECISION, precision)):
        flags.FLAGS[flag.name].value = value
    optimisation = engines.Optimisation(_CLIP_NORM.value, _EMA_DECAY.value, _MICROBATCH.value, precision,
                                        _OPTIMIZER.value)
    settings = Settings(
        run_dir=run_dir, schedule=_schedule(data.training.labels.num_hands), log_every=_LOG_EVERY.value,
        checkpoint_every=_CHECKPOINT_EVERY.value, validate_every=_VALIDATE_EVERY.value, keep=_KEEP.value,
        patience=_PATIENCE.value, early_stop=_EARLY_STOP.value, max_seconds=60 * _MAX_MINUTES.value,
        flags=_flags_text(),
        # Measured on another net, but on one with the same joints, as which this one begins.
        presence_threshold=known.presence_threshold if base and base.skeleton == spec.skeleton else None)
    check_together(data, settings, optimisation, strategy)
    engine = engines.Engine(spec, optimisation, strategy)
    start = starts.load(engine, run_dir, path, described=base is not None, backbone=_BACKBONE_WEIGHTS.value)
    outcome = training.Run(engine, data, settings, start).train()
    return 128 + outcome.signal if outcome.signal else 0


def run() -> None:
    """Entry point of cpm-hand-train and train.py."""
    run_main(main)
