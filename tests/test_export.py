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
from absl import flags
from conftest import write_hands
from exported import SPECS, pictures, small_checkpoint

import cpm_hand
from cpm_hand import checkpoints, export, inference, nets, parity, runtimes
from cpm_hand.artefacts import OUTPUTS
from cpm_hand.cli import freeze
from cpm_hand.formats import FORMATS, frozen_graph, saved_model

SPEC = SPECS["cpm"]
ROOT = pathlib.Path(cpm_hand.__file__).parents[1]
STAGE_NAMES = ("conv6_2_CPM/BiasAdd", "Mconv7_stage2/BiasAdd", "Mconv7_stage3/BiasAdd")
PICTURES = pictures()


@pytest.fixture(scope="module", params=["cpm"])
def checkpoint(request, tmp_path_factory) -> pathlib.Path:
    """A run with one checkpoint whose averaged weights are not its last ones, and whose maps have peaks."""
    run = tmp_path_factory.mktemp("runs") / "narrow"
    checkpoints.save(checkpoints.step_path(run, 5), small_checkpoint(SPECS[request.param], hands="right"))
    return run


@pytest.fixture(scope="module")
def model(checkpoint) -> keras.Model:
    return inference.inference_model(runtimes.restore_net(checkpoints.find(checkpoint)), SPEC.target)


@pytest.fixture(scope="module")
def written(model, tmp_path_factory) -> dict[str, pathlib.Path]:
    """What TensorFlow reads, once, without the fresh process."""
    folder = tmp_path_factory.mktemp("artefacts")
    paths = {name: folder / FORMATS[name].default_name for name in ("saved_model", "frozen_graph")}
    for name, path in paths.items():
        FORMATS[name].write(model, {"spec": SPEC.to_json()}, path)
    return paths


@pytest.fixture(scope="module")
def graph_def(written) -> tf.compat.v1.GraphDef:
    graph_def = tf.compat.v1.GraphDef()
    graph_def.ParseFromString(written["frozen_graph"].read_bytes())
    return graph_def


@pytest.fixture
def in_this_process(monkeypatch):
    """The check that follows a writing, without the seconds that a fresh process and the first rendering take."""
    monkeypatch.setattr(parity, "_run_elsewhere", lambda artefact, images: parity.run(runtimes.load(artefact), images))
    monkeypatch.setattr(parity, "rendered", lambda size, count, num_joints=21, seed=0:
                        pictures(size, min(count, 4), num_joints, seed))


def write_checked(write, model, path):
    return export.write_checked(write, model, {"spec": SPEC.to_json()}, path,
                                lambda written: parity.compare(model, written, PICTURES))[1]


def test_the_command_knows_every_format_and_precision():
    assert set(FORMATS) == set(freeze.FORMATS)
    assert set(parity.TOLERANCES) == set(freeze.PRECISIONS)
    assert {precision for row in FORMATS.values() for precision in row.precisions} == set(freeze.PRECISIONS)


def test_a_saved_model_has_a_signature_from_image_to_the_four_outputs(written):
    loaded = tf.saved_model.load(str(written["saved_model"] / "1"))
    assert sorted(loaded.signatures) == ["serving_bytes", "serving_default"]
    signature = loaded.signatures["serving_default"]
    image = signature.structured_input_signature[1]["image"]
    assert (image.dtype, image.shape.as_list()) == (tf.uint8, [None, 64, 64, 3])
    shapes = {name: spec.shape.as_list() for name, spec in signature.structured_outputs.items()}
    assert shapes == {"belief_maps": [None, 64, 64, 22], "stages": [None, 3, 8, 8, 22],
                      "keypoints": [None, 21, 3], "presence": [None]}


def test_a_saved_model_holds_the_weights_and_nothing_of_training(written, model):
    names = [name for name, _ in tf.train.list_variables(str(written["saved_model"] / "1/variables/variables"))]
    weights = [name for name in names if "CHECKPOINTABLE_OBJECT_GRAPH" not in name]
    assert len(weights) == len(model.variables)


def test_the_frozen_graph_has_the_names_that_people_know(graph_def):
    names = {node.name for node in graph_def.node}
    assert {"image", *OUTPUTS, "Openpose/out", *STAGE_NAMES} <= names


def test_the_old_names_give_the_stages(written, graph_def, model):
    images = PICTURES.images
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph_def, name=""), [])
    outputs = wrapped.prune("image:0", ["Openpose/out:0", *(f"{name}:0" for name in STAGE_NAMES)])
    last, *stages = outputs(tf.constant(images))
    expected = np.asarray(model(images)["stages"])
    np.testing.assert_allclose(last, expected[:, -1], atol=1e-5)
    np.testing.assert_allclose(np.stack(stages, 1), expected, atol=1e-5)


def test_no_node_of_the_frozen_graph_dangles(graph_def):
    nodes = {node.name: node for node in graph_def.node}
    reached, todo = set(), [*OUTPUTS, "Openpose/out", *STAGE_NAMES]
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


@pytest.mark.parametrize("name", ["saved_model", "frozen_graph"])
def test_export_writes_the_averaged_weights_and_says_where_they_are_from(
        checkpoint, model, tmp_path, in_this_process, capsys, name):
    told, path = [], tmp_path / "m" / FORMATS[name].default_name
    artefact, = export.export(checkpoint, {name: path}, report=told.append)
    metadata = path / "1" / saved_model.METADATA if path.is_dir() else path.with_name(path.name + ".json")
    assert {path.name, metadata.name} >= set(os.listdir(tmp_path / "m"))
    described = json.loads(metadata.read_text())
    assert nets.Spec.from_json(described["spec"]) == SPEC
    assert (described["source"], described["step"], described["averaged"]) == ("narrow", 5, True)
    assert described["version"] == cpm_hand.__version__ and "uint8 RGB" in described["input"]
    assert runtimes.load(path).hands == "right"
    np.testing.assert_allclose(runtimes.load(path)(PICTURES.images)["stages"], model(PICTURES.images)["stages"],
                               atol=1e-4)
    assert artefact.parity.maps < 1e-4 and artefact.parity.num_keypoints > 0 and artefact.parity.ms > 0
    assert told == [artefact]
    export.say(artefact)
    assert capsys.readouterr().out.startswith(f"{name}: {path}: keypoints")


@pytest.mark.parametrize("net", ["cpm", pytest.param("cpm_lite", marks=pytest.mark.slow)])
@pytest.mark.parametrize("stages", [1, 2])
def test_the_last_stages_can_be_cut_off(tmp_path, in_this_process, net, stages):
    spec = SPECS[net]
    whole = small_checkpoint(spec)
    checkpoints.save(tmp_path / "c.npz", whole)
    export.export(tmp_path / "c.npz", {"frozen_graph": tmp_path / "hand.pb"}, export.Choice(stages=stages))
    got = runtimes.load(tmp_path / "hand.pb")(PICTURES.images)
    expected = np.asarray(runtimes.restore_net(whole)(PICTURES.images))
    np.testing.assert_allclose(got["stages"], expected[:, :stages], atol=1e-4 * np.ptp(expected))


def test_another_size_than_the_training_size_is_exported_with_the_same_weights(checkpoint, tmp_path, in_this_process):
    export.export(checkpoint, {"frozen_graph": tmp_path / "hand.pb"}, export.Choice(size=96))
    artefact, images = runtimes.load(tmp_path / "hand.pb"), pictures(96).images
    expected = runtimes.restore_net(checkpoints.find(checkpoint), size=96)(images)
    assert artefact.size == 96
    np.testing.assert_allclose(artefact(images)["stages"], expected, atol=1e-4)


@pytest.mark.parametrize("choice, text", [
    (export.Choice(stages=4), "--stages=4: this net has 3 stages"), (export.Choice(stages=0), "--stages=0"),
    (export.Choice(size=60), "size=60; the nearest valid size is 64"),
    (export.Choice(precision="int8"), "frozen_graph comes in float32, not in int8; int8 is made by tflite, openvino"),
])
def test_a_choice_that_cannot_be_is_refused(checkpoint, tmp_path, choice, text):
    with pytest.raises(ValueError, match=text):
        export.export(checkpoint, {"frozen_graph": tmp_path / "hand.pb"}, choice)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name, suffix", [("keras", ".keras"), ("openvino", ".xml")])
def test_a_name_that_a_writer_cannot_take_is_refused_before_the_work(checkpoint, tmp_path, name, suffix):
    pytest.importorskip({"keras": "keras", "openvino": "openvino"}[name])
    with pytest.raises(ValueError, match=f"hand: .* ends in {suffix}; give --output=NAME{suffix}"):
        export.export(checkpoint, {name: tmp_path / "hand"})
    assert not (tmp_path / "hand").exists()


def test_keypoints_alone_are_refused_for_a_format_that_holds_raw_maps_alone_before_any_other_is_written(
        checkpoint, tmp_path):
    both = {name: tmp_path / name for name in ("frozen_graph", "opencv")}
    with pytest.raises(ValueError, match="opencv holds the raw maps alone, .* leave out --outputs=keypoints"):
        export.export(checkpoint, both, export.Choice(maps=False))
    assert os.listdir(tmp_path) == []


def test_a_bfloat16_saved_model_has_half_the_weights_and_nearly_the_keypoints(checkpoint, tmp_path, in_this_process):
    sizes = {}
    for precision in ("float32", "bfloat16"):
        path = tmp_path / export.default_name("saved_model", precision)
        artefact, = export.export(checkpoint, {"saved_model": path}, export.Choice(precision=precision))
        sizes[precision] = sum(file.stat().st_size for file in path.glob("1/variables/*.data*"))
        assert (path.name, artefact.precision) == ("saved_model" + "_bfloat16" * (precision != "float32"), precision)
        assert artefact.parity.mean_px < 0.5
    assert sizes["bfloat16"] < 0.6 * sizes["float32"]
    assert 0 < artefact.parity.maps < 0.05 * 3


def test_calibration_pictures_may_be_ones_own(checkpoint, tmp_path, in_this_process, monkeypatch):
    write_hands(tmp_path / "mine" / "synth2", 5, size=80)
    seen = []
    monkeypatch.setattr(export.quantization, "int8", lambda model, images, bits: seen.append((images, bits)) or model)
    export.export(checkpoint, {"openvino": tmp_path / "h.xml"}, export.Choice(precision="int8"),
                  calibration_data=f"cmu_synth={tmp_path / 'mine'}")
    (images, bits), = seen
    assert images.shape == (5, 64, 64, 3) and images.dtype == np.uint8 and np.ptp(images) > 100
    assert bits == 7                                   # OpenVINO's


def test_a_report_keeps_the_rows_of_other_artefacts(tmp_path):
    one = export.Artefact("onnx", tmp_path / "a.onnx", "float32", 5, PARITY)
    export.write_report(tmp_path / "new/parity.json", [one])
    export.write_report(tmp_path / "new/parity.json", [one._replace(path=tmp_path / "b.onnx")])
    rows = json.loads((tmp_path / "new/parity.json").read_text())["artefacts"]
    assert sorted(rows) == ["a.onnx", "b.onnx"]
    assert rows["a.onnx"]["parity"]["mean_px"] == PARITY.mean_px and rows["a.onnx"]["parity"]["pck"] is None
    (tmp_path / "new/parity.json").write_text("[")
    export.write_report(tmp_path / "new/parity.json", [one])
    assert list(json.loads((tmp_path / "new/parity.json").read_text())["artefacts"]) == ["a.onnx"]


PARITY = parity.Parity(maps=1.5e-6, largest_px=2e-5, mean_px=1e-5, num_keypoints=42, mean_all_px=1e-5,
                       pck_points=float("nan"), pck=float("nan"), ms=12.34, threads=2)


def wrong_by(amount):
    """A format whose artefacts add something to the belief maps."""
    def write(model, metadata, destination):
        stages = keras.layers.Lambda(lambda maps: maps + amount)(model.output["stages"])
        changed = keras.Model(model.input, {**model.output, "stages": stages})
        frozen_graph.write(changed, metadata, destination)
    return write


@pytest.mark.parametrize("amount", [0.01, float("nan")])
def test_an_artefact_that_differs_is_removed_and_the_old_one_stays(model, tmp_path, in_this_process, amount):
    path = tmp_path / "hand.pb"
    path.write_bytes(b"the old one")
    with pytest.raises(ValueError, match="hand.pb: differs from the model: .* in belief maps .* .allowed 0.001"):
        write_checked(wrong_by(amount), model, path)
    assert os.listdir(tmp_path) == ["hand.pb"] and path.read_bytes() == b"the old one"


def test_a_difference_within_the_tolerance_passes(model, tmp_path, in_this_process):
    difference = write_checked(wrong_by(5e-4), model, tmp_path / "hand.pb")
    assert difference.maps == pytest.approx(5e-4, rel=0.01)


def test_an_older_artefact_is_replaced_whole(model, tmp_path, in_this_process):
    (tmp_path / "new").mkdir()
    for name in ("saved_model.pb", "left_over"):
        (tmp_path / "new" / name).write_bytes(b"old")
    write_checked(saved_model.write, model, tmp_path / "new")
    assert os.listdir(tmp_path) == ["new"] and not (tmp_path / "new/left_over").exists()


def test_versions_beside_the_one_that_is_written_are_not_lost(checkpoint, tmp_path):
    for version in ("1", "2"):
        (tmp_path / "model" / version).mkdir(parents=True)
        (tmp_path / "model" / version / "saved_model.pb").write_bytes(b"old")
    with pytest.raises(ValueError, match="model: holds 2 besides version 1, which would be lost; give another place"):
        export.export(checkpoint, {"saved_model": tmp_path / "model"})
    assert (tmp_path / "model/2/saved_model.pb").read_bytes() == b"old"


def test_what_a_desktop_leaves_in_a_folder_does_not_keep_it_from_being_replaced(checkpoint, tmp_path, in_this_process):
    (tmp_path / "model/1").mkdir(parents=True)
    (tmp_path / "model/1/saved_model.pb").write_bytes(b"old")
    (tmp_path / "model/.DS_Store").write_bytes(b"x")
    export.export(checkpoint, {"saved_model": tmp_path / "model"})
    assert (tmp_path / "model/1/saved_model.pb").read_bytes() != b"old"


def test_the_description_of_an_older_artefact_of_another_format_goes_with_it(model, tmp_path, in_this_process):
    path = tmp_path / "hand.onnx"
    for name in ("opencv", "onnx"):
        export.write_checked(FORMATS[name].write, model, {"spec": SPEC.to_json()}, path, lambda written: PARITY)
        assert runtimes.load(path).kind == name
    (tmp_path / "hand.onnx.json").write_text('{"mine": 1}')  # and nothing else does
    write_checked(FORMATS["onnx"].write, model, path)
    assert (tmp_path / "hand.onnx.json").exists() and runtimes.load(path).kind == "onnx"
    assert runtimes.is_export(path)  # and may be replaced


def test_a_package_that_is_missing_is_named_before_anything_is_written(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx.convert", None)
    with pytest.raises(ImportError, match=r"tf2onnx is needed .* pip install 'cpm_hand\[onnx\]'"):
        export.export(checkpoint, {"frozen_graph": tmp_path / "hand.pb", "onnx": tmp_path / "hand.onnx"})
    assert os.listdir(tmp_path) == []


def test_an_artefact_is_recorded_though_a_later_one_fails(checkpoint, tmp_path, in_this_process, monkeypatch):
    def fail(*_):
        raise ValueError("hand.keras: differs from the model.")

    monkeypatch.setitem(FORMATS, "keras", FORMATS["keras"]._replace(write=fail))
    values = flags.FlagValues()
    freeze.define(values)
    rest = values(["freeze.py", "--format=frozen_graph", "--format=keras", f"--checkpoint={checkpoint}",
                   f"--output_dir={tmp_path}"])
    with pytest.raises(ValueError, match="differs from the model"):
        freeze.main(rest, values)
    assert list(json.loads((tmp_path / "parity.json").read_text())["artefacts"]) == ["frozengraph.pb"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_of_something_else_is_not_replaced(checkpoint, tmp_path, name):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cat.jpg").write_bytes(b"x")
    with pytest.raises(ValueError, match="photos: .*another place with --output_dir"):
        export.export(checkpoint, {name: tmp_path / "photos"})
    assert os.listdir(tmp_path / "photos") == ["cat.jpg"]


@pytest.mark.parametrize("format_name, name, there, text", [
    ("onnx", "run.npz", "run.npz", "run.npz: exists and is not an artefact"),
    ("frozen_graph", "notes.txt", "notes.txt", "notes.txt: exists and is not an artefact"),
    ("openvino", "hand.xml", "hand.bin", "hand.bin: exists without hand.xml"),
    ("openvino", "project.xml", "project.xml", "project.xml: exists and is not an artefact"),
    ("onnx", "other.onnx", "other.onnx", "other.onnx: exists and is not an artefact"),
    ("keras", "other.keras", "other.keras", "other.keras: exists and is not an artefact"),
    ("frozen_graph", "other.pb", "other.pb", "other.pb: exists and is not an artefact")])
def test_a_file_of_something_else_is_not_replaced(checkpoint, tmp_path, format_name, name, there, text):
    theirs = b"\n somebody's" if name.endswith(".pb") else b"PK\x03\x04 somebody's"
    (tmp_path / there).write_bytes(theirs)
    with pytest.raises(ValueError, match=text):
        export.export(checkpoint, {format_name: tmp_path / name})
    assert (tmp_path / there).read_bytes() == theirs


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "saved_model"])
def test_an_artefact_may_be_replaced_though_it_is_cut_short(model, tmp_path, name):
    path = tmp_path / FORMATS[name].default_name
    write_checked(FORMATS[name].write, model, path)
    assert runtimes.is_export(path)
    path.write_bytes(path.read_bytes()[:-9])
    assert runtimes.is_export(path)


def test_an_unknown_format_lists_those_there_are(checkpoint):
    with pytest.raises(ValueError, match="unknown format 'caffe'; the formats are frozen_graph, keras"):
        export.export(checkpoint, {"caffe": "x"})


def test_the_table_of_freeze_lines_up():
    rows = freeze.table([export.Artefact("frozen_graph", pathlib.Path("models/x.pb"), "float32", 147_400_000,
                                         PARITY)]).splitlines()
    assert rows == [
        "format        path         precision  MB     mean px  most px  keypoints  PCK points  ms    threads",
        "frozen_graph  models/x.pb  float32    147.4  1.0e-05  2.0e-05  42         -           12.3  2"]


def freeze_py(*arguments, cwd) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "freeze.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


@pytest.mark.slow
def test_freeze_turns_a_run_into_artefacts_that_load_in_a_fresh_process(checkpoint, tmp_path):
    done = freeze_py(f"--checkpoint={checkpoint}", "--output-dir=out", "--check_pictures=3", "--stages=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = ["frozengraph.pb", "frozengraph.pb.json", "parity.json", "saved_model"]
    assert sorted(os.listdir(tmp_path / "out")) == names
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["format", "saved_model", "frozen_graph"]
    rows = json.loads((tmp_path / "out/parity.json").read_text())["artefacts"]
    assert rows["saved_model"]["parity"]["pck"] >= 0 and rows["frozengraph.pb"]["parity"]["ms"] > 0
    one = freeze_py("--format=frozen_graph", f"--checkpoint={checkpoint}", "--output=a/b.pb", "--outputs=keypoints",
                    "--check_pictures=3", cwd=tmp_path)
    assert one.returncode == 0 and sorted(os.listdir(tmp_path / "a")) == ["b.pb", "b.pb.json", "parity.json"]


@pytest.mark.slow
@pytest.mark.parametrize("arguments, text", [
    (["models/train/test"], "unexpected arguments"), (["--output=x"], "--output names one artefact"),
    (["--calibration_data=a=b"], "--calibration_data is for --precision=int8"),
    (["--precision=float16"], "error: saved_model comes in float32, bfloat16, not in float16"),
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
        write_checked(broken, model, tmp_path / "hand.pb")
    assert os.listdir(tmp_path) == []
