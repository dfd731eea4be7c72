"""Loading artefacts of each kind, and what is said of those that cannot be loaded."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported import random_checkpoint

from cpm_hand import checkpoints, inference, nets, runtimes
from cpm_hand.hand import HAND

SPEC = nets.Spec("cpm", size=64, stages=2, width=1 / 16)
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def checkpoint():
    return random_checkpoint(SPEC)


@pytest.fixture(scope="module")
def run(checkpoint, tmp_path_factory):
    """A run's folder with one checkpoint."""
    folder = tmp_path_factory.mktemp("run")
    checkpoints.save(checkpoints.step_path(folder, 0), checkpoint)
    return folder


def fake_outputs(image, joints=21, maps=22):
    """Outputs of the right shapes for a 16 px input; presence is the picture's mean, so pixels are seen."""
    batch = tf.shape(image)[0]
    presence = tf.reduce_mean(tf.cast(image, tf.float32), axis=[1, 2, 3]) / 255
    zeros = {"belief_maps": (16, 16, maps), "stages": (2, 2, 2, maps), "keypoints": (joints, 3)}
    outputs = {}
    for name, shape in zeros.items():
        value = tf.zeros(tf.concat([[batch], shape], 0))
        value.set_shape((None, *shape))
        outputs[name] = tf.identity(value, name=name)
    return {**outputs, "presence": tf.identity(presence, name="presence")}


def write_graph(path, dtype=tf.uint8, keep=runtimes.OUTPUTS, **shapes):
    with tf.Graph().as_default() as graph:
        fake_outputs(tf.compat.v1.placeholder(dtype, (None, 16, 16, 3), name="image"), **shapes)
    text = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), ["image", *keep])
    path.write_bytes(text.SerializeToString())
    return path


def write_saved_model(path, function=fake_outputs, name="image"):
    class Module(tf.Module):
        def __init__(self):
            self.weight = tf.Variable(tf.zeros((64,)), name="weight")

        @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 3), tf.uint8, name=name)])
        def serve(self, image):
            outputs = function(image)
            return {**outputs, "presence": outputs["presence"] + self.weight[0]}

    module = Module()
    tf.saved_model.save(module, str(path), signatures=module.serve)
    return path


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    return write_saved_model(tmp_path_factory.mktemp("exported") / "hand")


def copied(folder, target):
    for file in folder.rglob("*"):
        if file.is_file():
            (target / file.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (target / file.relative_to(folder)).write_bytes(file.read_bytes())
    return target


def test_a_run_gives_what_its_net_gives(run, checkpoint):
    net = runtimes.restore_net(checkpoint)
    expected = inference.inference_model(net, SPEC.target)(PIXELS)
    artefact = runtimes.load(run)
    outputs = artefact(PIXELS)
    assert (artefact.kind, artefact.size) == ("run", 64)
    assert (artefact.skeleton, artefact.target) == (HAND, SPEC.target)
    for name in runtimes.OUTPUTS:
        assert outputs[name].dtype == np.float32
        np.testing.assert_allclose(outputs[name], expected[name], rtol=1e-4, atol=1e-5)


def test_a_run_gives_keypoints_without_maps_to_who_does_not_want_them(run):
    artefact = runtimes.load(run)
    whole, answers = artefact(PIXELS), artefact.answers(PIXELS)
    assert set(answers) == {"keypoints", "presence"} < set(whole)
    for name, answer in answers.items():
        np.testing.assert_allclose(answer, whole[name], atol=1e-5)


def test_a_checkpoint_file_is_known_by_its_content(run, tmp_path):
    renamed = tmp_path / "weights.bin"
    renamed.write_bytes(next((run / "checkpoints").iterdir()).read_bytes())
    assert runtimes.load(renamed).kind == "checkpoint"


def test_averaged_weights_are_preferred(checkpoint):
    name = "Mconv7_stage2/bias"
    averaged = checkpoint._replace(ema={name: np.full(22, 7, np.float32)})
    assert runtimes.restore_net(averaged).get_layer("Mconv7_stage2").bias.numpy()[0] == 7


def test_a_restored_net_is_float32_under_any_policy_and_leaves_the_policy(checkpoint):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        net = runtimes.restore_net(checkpoint)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert net.get_layer("conv1_1").compute_dtype == "float32"


@pytest.mark.parametrize(("change", "text"), [
    (lambda weights: weights.pop("conv1_1/bias"), "conv1_1/bias is missing"),
    (lambda weights: weights.update({"extra/bias": np.zeros(1)}), "extra/bias is not of this net"),
    (lambda weights: weights.update({"conv1_1/bias": np.zeros(9)}), r"bias has shape \[9\] inst.* \[4\]"),
])
def test_weights_that_do_not_fit_are_named(checkpoint, change, text):
    weights = dict(checkpoint.weights)
    change(weights)
    with pytest.raises(runtimes.BadArtefact, match=text):
        runtimes.restore_net(checkpoint._replace(weights=weights))


def test_a_damaged_checkpoint_is_named(run, tmp_path):
    data = next((run / "checkpoints").iterdir()).read_bytes()
    path = tmp_path / "step-00000000.npz"
    half = len(data) // 2
    for broken in (data[:half], data[:half] + b"12345678" + data[half + 8:], b"?" * 99):
        path.write_bytes(broken)
        with pytest.raises(runtimes.BadArtefact, match="step-00000000.npz: not a whole checkpoint"):
            runtimes.load(path)


def test_a_frozen_graph_is_fed_the_pixels(tmp_path):
    artefact = runtimes.load(write_graph(tmp_path / "hand.pb"))
    images = np.stack([np.full((16, 16, 3), value, np.uint8) for value in (0, 51, 255)])
    outputs = artefact(images)
    np.testing.assert_allclose(outputs["presence"], [0, 0.2, 1], atol=1e-6)
    assert outputs["stages"].shape == (3, 2, 2, 2, 22) and outputs["keypoints"].shape == (3, 21, 3)
    assert (artefact.kind, artefact.size, artefact.skeleton) == ("frozen_graph", 16, HAND)
    assert artefact.target.background and artefact.target.stride == 8


def test_a_saved_model_is_fed_the_pixels(saved_model):
    artefact = runtimes.load(saved_model)
    assert (artefact.kind, artefact.size) == ("saved_model", 16)
    np.testing.assert_allclose(artefact(np.full((1, 16, 16, 3), 51, np.uint8))["presence"], [0.2], atol=1e-6)


def test_the_description_beside_a_graph_says_which_joints_it_has(tmp_path):
    names = HAND._replace(names=tuple(name.upper() for name in HAND.names))
    path = write_graph(tmp_path / "hand.pb")
    description = tmp_path / "hand.pb.json"
    description.write_text(json.dumps({"spec": SPEC._replace(size=16, skeleton=names).to_json()}))
    assert runtimes.load(path).skeleton.names[0] == "WRIST"
    description.write_text(json.dumps({"spec": SPEC.to_json()}))
    with pytest.raises(runtimes.BadArtefact, match=r"does not fit.* \(16, 21, 22\), expected \(64,"):
        runtimes.load(path)
    description.write_text("{")
    with pytest.raises(runtimes.BadArtefact, match="hand.pb.json: not the description of an artefact"):
        runtimes.load(path)


@pytest.mark.parametrize("shapes", [{"joints": 18, "maps": 19}, {"joints": 21, "maps": 24}])
def test_a_graph_of_other_joints_without_a_description_is_refused(tmp_path, shapes):
    with pytest.raises(runtimes.BadArtefact, match="does not fit its description"):
        runtimes.load(write_graph(tmp_path / "body.pb", **shapes))


def test_a_graph_of_another_program_is_refused_by_what_it_lacks(tmp_path):
    path = write_graph(tmp_path / "old.pb", dtype=tf.float32, keep=["stages"])
    with pytest.raises(runtimes.BadArtefact, match="old.pb: .* without belief_maps:0, keypoints:0,"):
        runtimes.load(path)


def test_a_graph_that_takes_floats_is_refused(tmp_path):
    with pytest.raises(runtimes.BadArtefact, match=r"its input 'image' is float32 .*expected uint8 RGB"):
        runtimes.load(write_graph(tmp_path / "float.pb", dtype=tf.float32))


def test_a_damaged_graph_is_named(tmp_path):
    whole = write_graph(tmp_path / "hand.pb").read_bytes()
    path = tmp_path / "cut.pb"
    for broken in (whole[:-7], b"node { name: 'image' }"):
        path.write_bytes(broken)
        with pytest.raises(runtimes.BadArtefact, match=r"cut.pb: not a whole frozen graph \(\d+ bytes\)"):
            runtimes.load(path)
    path.write_bytes(whole.replace(b"Identity", b"Idintity"))
    with pytest.raises(runtimes.BadArtefact, match="cut.pb: a damaged frozen graph"):
        runtimes.load(path)


@pytest.mark.parametrize("part", ["saved_model.pb", "variables.index", "variables.data-00000-of-00001"])
@pytest.mark.parametrize("left", [0, 20])
def test_a_damaged_saved_model_is_named(saved_model, tmp_path, part, left):
    copy = copied(saved_model, tmp_path / "copy")
    victim = next(copy.rglob(part))
    victim.write_bytes(victim.read_bytes()[:left])
    with pytest.raises(runtimes.BadArtefact, match="copy: "):
        runtimes.load(copy)


def test_a_saved_model_with_a_changed_weight_is_refused(saved_model, tmp_path):
    copy = copied(saved_model, tmp_path / "copy")
    victim = next(copy.rglob("variables.data-00000-of-00001"))
    victim.write_bytes(b"\1" + victim.read_bytes()[1:])
    with pytest.raises(runtimes.BadArtefact, match="copy: not a whole SavedModel"):
        runtimes.load(copy)


def test_a_saved_model_of_another_program_is_refused(tmp_path):
    path = write_saved_model(tmp_path / "other", lambda image: {"presence": tf.zeros(1)}, name="pixels")
    with pytest.raises(runtimes.BadArtefact, match=r"it maps \['pixels'\] to \['presence'\]"):
        runtimes.load(path)


def test_what_is_not_there_or_neither_kind_is_said_with_what_was_expected(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").touch()
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0 JFIF")
    for name, found in {"none.pb": "no such file or folder", "empty": "found an empty folder",
                        "notes": "found a folder with a.txt", "notes/a.txt": "found an empty file",
                        "photo.jpg": "found a file that begins with"}.items():
        with pytest.raises(runtimes.BadArtefact, match=f"{name}: {found}.*; expected a run's .*freeze.py"):
            runtimes.load(tmp_path / name)


def test_the_file_inside_a_saved_model_is_answered_with_its_folder(saved_model):
    with pytest.raises(runtimes.BadArtefact, match="give its folder, .*hand"):
        runtimes.load(saved_model / "saved_model.pb")


def test_a_run_without_a_checkpoint_is_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(runtimes.BadArtefact, match="no checkpoints/step-"):
        runtimes.load(tmp_path)


@pytest.mark.parametrize("name", ["pose_iter_102000.caffemodel", "hand_pose_model.pth", "hand.npy"])
def test_weights_of_other_programs_are_sent_to_the_converter(tmp_path, name):
    (tmp_path / name).write_bytes(b"whatever")
    with pytest.raises(runtimes.BadArtefact, match=f"{name}: weights of another program; `python -m"):
        runtimes.load(tmp_path / name)


@pytest.mark.parametrize("images", [np.zeros((1, 16, 16, 3)), np.zeros((16, 16, 3), np.uint8),
                                    np.zeros((1, 24, 24, 3), np.uint8)])
def test_an_input_of_another_size_or_type_is_refused(tmp_path, images):
    artefact = runtimes.load(write_graph(tmp_path / "hand.pb"))
    with pytest.raises(ValueError, match=r"takes uint8 RGB \[B, 16, 16, 3\], got"):
        artefact(images)
