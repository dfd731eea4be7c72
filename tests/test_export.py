"""What an export leaves on disk, checked as a stranger would find it."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import cpm_hand
from cpm_hand import checkpoints, export, inference, nets, parity, runtimes
from cpm_hand.cli import freeze

SPEC = nets.Spec("cpm", 64, 3, 1 / 16)
ROOT = pathlib.Path(cpm_hand.__file__).parents[1]
STAGE_NAMES = ("conv6_2_CPM/BiasAdd", "Mconv7_stage2/BiasAdd", "Mconv7_stage3/BiasAdd")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> pathlib.Path:
    """A run with one checkpoint whose averaged weights are not its last ones, and whose maps have peaks."""
    keras.utils.set_random_seed(0)
    arrays = {name: np.array(variable) for name, variable in checkpoints.variables(SPEC.build()).items()}
    average = {name: array * 30 for name, array in arrays.items()
               if name in ("conv6_2_CPM/kernel", "Mconv7_stage2/kernel", "Mconv7_stage3/kernel")}
    run = tmp_path_factory.mktemp("runs") / "narrow"
    checkpoints.save(checkpoints.step_path(run, 5), checkpoints.Checkpoint(SPEC, 5, arrays, average, {}, {}))
    return run


@pytest.fixture(scope="module")
def model(checkpoint) -> keras.Model:
    return inference.inference_model(runtimes.restore_net(checkpoints.find(checkpoint)), SPEC.target)


@pytest.fixture(scope="module")
def written(model, tmp_path_factory) -> dict[str, pathlib.Path]:
    """Every format once, without the fresh process."""
    folder = tmp_path_factory.mktemp("artefacts")
    paths = {name: folder / export.DEFAULT_NAMES[name] for name in export.FORMATS}
    for name, path in paths.items():
        export.FORMATS[name](model, {"spec": SPEC.to_json()}, path)
    return paths


@pytest.fixture(scope="module")
def graph_def(written) -> tf.compat.v1.GraphDef:
    graph_def = tf.compat.v1.GraphDef()
    graph_def.ParseFromString(written["frozen_graph"].read_bytes())
    return graph_def


@pytest.fixture
def in_this_process(monkeypatch):
    """The check that follows a writing, without the seconds that a fresh process takes."""
    monkeypatch.setattr(parity, "_run_elsewhere", lambda artefact, images: runtimes.load(artefact)(images))


@pytest.mark.parametrize("name", export.FORMATS)
def test_an_artefact_computes_what_the_model_computes(written, model, name):
    pictures = parity.pictures(64)
    got = runtimes.load(written[name])(pictures)
    for output, expected in model(pictures).items():
        np.testing.assert_allclose(got[output], expected, atol=1e-4, err_msg=output)
    assert np.ptp(got["stages"]) > 0.1  # the maps have something to disagree about


def test_every_format_has_a_name_to_be_written_under():
    assert set(export.FORMATS) == set(export.DEFAULT_NAMES) == set(freeze.FORMATS)


def test_a_saved_model_has_one_signature_from_image_to_the_four_outputs(written):
    loaded = tf.saved_model.load(str(written["saved_model"]))
    assert list(loaded.signatures) == ["serving_default"]
    signature = loaded.signatures["serving_default"]
    image = signature.structured_input_signature[1]["image"]
    assert (image.dtype, image.shape.as_list()) == (tf.uint8, [None, 64, 64, 3])
    shapes = {name: spec.shape.as_list() for name, spec in signature.structured_outputs.items()}
    assert shapes == {"belief_maps": [None, 64, 64, 22], "stages": [None, 3, 8, 8, 22],
                      "keypoints": [None, 21, 3], "presence": [None]}


def test_a_saved_model_holds_the_weights_and_nothing_of_training(written, model):
    names = [name for name, _ in tf.train.list_variables(str(written["saved_model"] / "variables/variables"))]
    weights = [name for name in names if "CHECKPOINTABLE_OBJECT_GRAPH" not in name]
    assert len(weights) == len(model.variables)


def test_the_frozen_graph_has_the_names_that_people_know(graph_def):
    names = {node.name for node in graph_def.node}
    assert {"image", *runtimes.OUTPUTS, "Openpose/out", *STAGE_NAMES} <= names


def test_the_old_names_give_the_stages(written, graph_def, model):
    pictures = parity.pictures(64)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph_def, name=""), [])
    outputs = wrapped.prune("image:0", ["Openpose/out:0", *(f"{name}:0" for name in STAGE_NAMES)])
    last, *stages = outputs(tf.constant(pictures))
    expected = np.asarray(model(pictures)["stages"])
    np.testing.assert_allclose(last, expected[:, -1], atol=1e-5)
    np.testing.assert_allclose(np.stack(stages, 1), expected, atol=1e-5)


def test_no_node_of_the_frozen_graph_dangles(graph_def):
    nodes = {node.name: node for node in graph_def.node}
    reached, todo = set(), [*runtimes.OUTPUTS, "Openpose/out", *STAGE_NAMES]
    while todo:
        name = todo.pop().lstrip("^").split(":")[0]
        if name not in reached:
            reached.add(name)
            todo.extend(nodes[name].input)
    assert set(nodes) == reached


def test_the_frozen_graph_is_plain_arithmetic_on_one_image(graph_def):
    operations = [node.op for node in graph_def.node]
    assert operations.count("Placeholder") == 1 and len(graph_def.library.function) == 0
    wrong = ("Variable", "Assign", "NoOp", "Assert", "Call", "Save", "Restore", "Grad", "Bicubic")
    assert [op for op in operations if any(word in op for word in wrong)] == []
    assert not any(name.startswith("^") for node in graph_def.node for name in node.input)


def test_constants_of_the_frozen_graph_are_worked_out(graph_def):
    constants = {node.name for node in graph_def.node if node.op == "Const"}
    idle = [node.name for node in graph_def.node
            if node.op != "Const" and node.input and set(node.input) <= constants]
    assert idle == []


@pytest.mark.parametrize("name", export.FORMATS)
def test_export_writes_the_averaged_weights_and_says_where_they_are_from(
        checkpoint, model, tmp_path, in_this_process, name):
    lines, path = [], tmp_path / "m" / export.DEFAULT_NAMES[name]
    artefact, = export.export(checkpoint, {name: path}, lines.append)
    metadata = path / runtimes.METADATA if path.is_dir() else path.with_name(path.name + ".json")
    assert {path.name, metadata.name} >= set(os.listdir(tmp_path / "m"))
    described = json.loads(metadata.read_text())
    assert nets.Spec.from_json(described["spec"]) == SPEC
    assert (described["source"], described["step"], described["averaged"]) == ("narrow", 5, True)
    assert described["version"] == cpm_hand.__version__ and "uint8 RGB" in described["input"]
    pictures = parity.pictures(64)
    np.testing.assert_allclose(runtimes.load(path)(pictures)["stages"], model(pictures)["stages"], atol=1e-4)
    assert artefact.parity.maps < 1e-4 and artefact.parity.num_keypoints > 0
    assert len(lines) == 1 and lines[0].startswith(f"{name}: {path}: largest difference")


def wrong_by(amount):
    """A format whose artefacts add something to the belief maps."""
    def write(model, metadata, destination):
        stages = keras.layers.Lambda(lambda maps: maps + amount)(model.output["stages"])
        changed = keras.Model(model.input, {**model.output, "stages": stages})
        export.frozen_graph(changed, metadata, destination)
    return write


@pytest.mark.parametrize("amount", [0.01, float("nan")])
def test_an_artefact_that_differs_is_removed_and_the_old_one_stays(model, tmp_path, in_this_process, amount):
    path = tmp_path / "hand.pb"
    path.write_bytes(b"the old one")
    with pytest.raises(ValueError, match="hand.pb: differs from the model: .* in belief maps .allowed 0.001"):
        export.write_checked(wrong_by(amount), model, {"spec": SPEC.to_json()}, path)
    assert os.listdir(tmp_path) == ["hand.pb"] and path.read_bytes() == b"the old one"


def test_a_difference_within_the_tolerance_passes(model, tmp_path, in_this_process):
    difference = export.write_checked(wrong_by(5e-4), model, {"spec": SPEC.to_json()}, tmp_path / "hand.pb")
    assert difference.maps == pytest.approx(5e-4, rel=0.01)


def test_an_older_artefact_is_replaced_whole(model, tmp_path, in_this_process):
    (tmp_path / "new").mkdir()
    for name in ("saved_model.pb", "left_over"):
        (tmp_path / "new" / name).write_bytes(b"old")
    export.write_checked(export.saved_model, model, {"spec": SPEC.to_json()}, tmp_path / "new")
    assert os.listdir(tmp_path) == ["new"] and not (tmp_path / "new/left_over").exists()


@pytest.mark.parametrize("name", export.FORMATS)
def test_a_folder_of_something_else_is_not_replaced(checkpoint, tmp_path, name):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cat.jpg").write_bytes(b"x")
    with pytest.raises(ValueError, match="photos: .*another place with --output_dir"):
        export.export(checkpoint, {name: tmp_path / "photos"})
    assert os.listdir(tmp_path / "photos") == ["cat.jpg"]


def test_an_unknown_format_lists_those_there_are(checkpoint):
    with pytest.raises(ValueError, match="unknown format 'caffe'; the formats are frozen_graph, saved_model"):
        export.export(checkpoint, {"caffe": "x"})


def test_a_keypoint_without_a_clear_peak_is_not_compared(model, monkeypatch):
    # The same maps, but every keypoint elsewhere: only those whose place is well defined may complain.
    def moved(artefact, images):
        outputs = {name: np.array(value) for name, value in model(images).items()}
        outputs["keypoints"][..., :2] += np.where(clear(outputs), 0, 30)[..., None]
        return outputs

    def clear(outputs):
        cells = np.sort(outputs["stages"][:, -1, ..., :21].reshape(2, -1, 21), axis=1)
        return (outputs["keypoints"][..., 2] > 0.05) & (cells[:, -1] - cells[:, -2] > 1e-3)

    monkeypatch.setattr(parity, "_run_elsewhere", moved)
    result = parity.compare(model, pathlib.Path("x.pb"))
    assert result.keypoints_px == 0 and 0 < result.num_keypoints < 42


def test_a_keypoint_that_moved_is_an_error(model, monkeypatch):
    def moved(artefact, images):
        outputs = {name: np.array(value) for name, value in model(images).items()}
        return {**outputs, "keypoints": outputs["keypoints"] + 0.1}

    monkeypatch.setattr(parity, "_run_elsewhere", moved)
    with pytest.raises(ValueError, match="0.1 px in keypoints .allowed 0.05"):
        parity.compare(model, pathlib.Path("x.pb"))


def test_the_table_of_freeze_lines_up():
    rows = freeze.table([export.Artefact("frozen_graph", pathlib.Path("models/x.pb"), 147_400_000,
                                         parity.Parity(1.5e-6, 2e-5, 42))]).splitlines()
    assert rows == ["format        path         MB     belief maps  keypoints",
                    "frozen_graph  models/x.pb  147.4  1.5e-06      2.0e-05 px in 42"]


def freeze_py(*arguments, cwd) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "freeze.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


@pytest.mark.slow
def test_freeze_turns_a_run_into_artefacts_that_load_in_a_fresh_process(checkpoint, tmp_path):
    done = freeze_py(f"--checkpoint={checkpoint}", "--output-dir=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path / "out")) == ["frozengraph.pb", "frozengraph.pb.json", "saved_model"]
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["format", "saved_model", "frozen_graph"]
    one = freeze_py("--format=frozen_graph", f"--checkpoint={checkpoint}", "--output=a/b.pb", cwd=tmp_path)
    assert one.returncode == 0 and sorted(os.listdir(tmp_path / "a")) == ["b.pb", "b.pb.json"]


@pytest.mark.slow
@pytest.mark.parametrize("arguments, text", [
    (["models/train/test"], "unexpected arguments"), (["--output=x"], "--output names one artefact"),
    ([], "error: models/train/test: no such checkpoint"), (["--format=caffe"], "saved_model|frozen_graph"),
    (["--output_dirr=x"], "Did you mean: output_dir")])
def test_freeze_answers_a_mistake_in_one_line(tmp_path, arguments, text):
    done = freeze_py(*arguments, cwd=tmp_path)
    assert done.returncode != 0 and text in done.stdout + done.stderr
    assert "Traceback" not in done.stderr and os.listdir(tmp_path) == []


@pytest.mark.slow
def test_an_artefact_that_does_not_load_in_a_fresh_process_is_removed(model, tmp_path):
    def broken(model, metadata, destination):
        destination.write_bytes(b"\n\xff\xff")

    with pytest.raises(ValueError, match="hand.pb: .* does not load in a fresh process; it was removed"):
        export.write_checked(broken, model, {}, tmp_path / "hand.pb")
    assert os.listdir(tmp_path) == []
