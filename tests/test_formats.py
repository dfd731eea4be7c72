"""Every file format, for every net: what is written computes what the model computes, and bad files are refused."""

import concurrent.futures
import json
import pathlib
import shutil
import sys
import zipfile

import keras
import numpy as np
import pytest
from exported import SPECS, pictures, small_checkpoint

from cpm_hand import artefacts, inference, quantization, runtimes
from cpm_hand.formats import FORMATS

PICTURES = pictures().images
FILES = [name for name in FORMATS if name != "saved_model"]
FULL = [name for name in FORMATS if name != "opencv"]  # OpenCV's holds the last stage alone


class Written:
    """Artefacts of one net, each written when a test first asks for it."""

    def __init__(self, spec, folder: pathlib.Path):
        self.spec, self.folder = spec, folder
        self.net = runtimes.restore_net(small_checkpoint(spec))
        self.model = inference.inference_model(self.net, spec.target)
        self.expected = {name: np.asarray(value) for name, value in self.model(PICTURES).items()}

    def path(self, name: str, maps: bool = True, **more) -> pathlib.Path:
        """Where the artefact of that format is."""
        path = self.folder / f"{maps}{''.join(map(str, more.values()))}" / FORMATS[name].default_name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            model = self.model if maps else inference.inference_model(self.net, self.spec.target, maps=False)
            metadata = {"spec": self.spec.to_json(), "hands": "right", "presence_threshold": 0.25,
                        "crop_factor": 1.5, **more}
            FORMATS[name].write(model, metadata, path)
        return path


@pytest.fixture(scope="module", params=["cpm", pytest.param("cpm_lite", marks=pytest.mark.slow)])
def written(request, tmp_path_factory) -> Written:
    return Written(SPECS[request.param], tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def cpm(tmp_path_factory) -> Written:
    return Written(SPECS["cpm"], tmp_path_factory.mktemp("one"))


@pytest.mark.parametrize("name", FORMATS)
def test_an_artefact_computes_what_the_model_computes(written, name):
    artefact = runtimes.load(written.path(name))
    got = artefact(PICTURES)
    assert (artefact.kind, artefact.size, artefact.outputs) == (name, 64, artefacts.OUTPUTS)
    for output, expected in written.expected.items():
        expected = expected[:, -1:] if (name, output) == ("opencv", "stages") else expected
        assert got[output].dtype == np.float32 and got[output].shape == expected.shape
        np.testing.assert_allclose(got[output], expected, atol=2e-4 * max(1, np.ptp(expected)), err_msg=output)
    assert np.ptp(written.expected["stages"]) > 0.1  # the maps have something to disagree about


@pytest.mark.parametrize("name", FORMATS)
def test_answers_are_those_of_a_call_and_hold_no_maps_where_these_can_be_left_out(cpm, name):
    artefact = runtimes.load(cpm.path(name))
    whole, answers = artefact(PICTURES), artefact.answers(PICTURES)
    assert (set(answers) == set(artefacts.ANSWERS)) == (name not in ("tflite", "opencv"))
    for output in artefacts.ANSWERS:
        np.testing.assert_allclose(answers[output], whole[output], atol=1e-4)
    with pytest.raises(ValueError, match="takes uint8 RGB"):
        artefact.answers(PICTURES[..., :1])


@pytest.mark.parametrize("name", FORMATS)
def test_an_artefact_says_what_its_net_is(cpm, name):
    artefact = runtimes.load(cpm.path(name))
    assert (artefact.skeleton, artefact.target) == (cpm.spec.skeleton, cpm.spec.target)
    assert (artefact.hands, artefact.presence_threshold, artefact.crop_factor) == ("right", 0.25, 1.5)


@pytest.mark.parametrize("name", FULL)
def test_keypoints_alone_are_the_same_keypoints_in_a_smaller_file(cpm, name):
    artefact = runtimes.load(cpm.path(name, maps=False))
    got = artefact(PICTURES)
    assert set(got) == {"keypoints", "presence"} and artefact.outputs == ("keypoints", "presence")
    np.testing.assert_allclose(got["keypoints"], cpm.expected["keypoints"], atol=0.01)
    with pytest.raises(artefacts.BadArtefact, match="holds no 'belief_maps', only keypoints, presence"):
        got["belief_maps"]


@pytest.mark.parametrize("name", ["tflite", "onnx", "openvino"])
def test_a_batch_gives_each_picture_its_own_answer(cpm, name):
    artefact = runtimes.load(cpm.path(name))
    together = artefact(PICTURES[:3])
    for row in range(3):
        alone = artefact(PICTURES[row:row + 1])["keypoints"][0]
        np.testing.assert_allclose(alone, together["keypoints"][row], atol=1e-3)


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("keras", "openvino")])
def test_a_file_is_known_by_its_content(cpm, tmp_path, name):
    path = cpm.path(name)
    for part in path.parent.glob(f"{path.name}*"):
        shutil.copy(part, tmp_path / part.name.replace(path.name, "renamed.bin"))
    assert runtimes.load(tmp_path / "renamed.bin").kind == name


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_a_file_that_is_cut_short_is_named(cpm, tmp_path, name, share):
    path = cpm.path(name)
    for part in path.parent.glob(f"{path.stem}*"):
        if part.is_file():
            shutil.copy(part, tmp_path)
    data = path.read_bytes()
    (tmp_path / path.name).write_bytes(data[:int(len(data) * share)])
    with pytest.raises(artefacts.BadArtefact, match=path.name):
        runtimes.load(tmp_path / path.name)


@pytest.mark.parametrize("lost", [1, 50, 500])
def test_a_litert_file_is_not_run_without_the_end_of_its_description(cpm, tmp_path, lost):
    data = cpm.path("tflite").read_bytes()
    (tmp_path / "hand.tflite").write_bytes(data[:-lost])
    with pytest.raises(artefacts.BadArtefact, match="hand.tflite: the description behind the model is cut short"):
        runtimes.load(tmp_path / "hand.tflite")


@pytest.mark.parametrize("name", FILES)
def test_another_kind_of_file_under_that_name_is_refused(tmp_path, name):
    path = tmp_path / FORMATS[name].default_name
    path.write_bytes(b"GIF89a and not what its name says" * 9)
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(artefacts.BadArtefact, match=path.name):
        runtimes.load(path)


@pytest.mark.parametrize("name, suffix, place", [
    ("frozen_graph", ".pb", 0.5), ("tflite", ".tflite", 0.5), ("keras", ".keras", 0.5), ("openvino", ".bin", 0.5),
    ("opencv", ".onnx", 0.5)])
def test_one_changed_byte_among_the_weights_is_found(cpm, tmp_path, name, suffix, place):
    path = cpm.path(name)
    for part in path.parent.glob(f"{path.stem}*"):
        if part.is_file():
            shutil.copy(part, tmp_path)
    victim = (tmp_path / path.name).with_suffix(suffix)
    data = bytearray(victim.read_bytes())
    data[int(len(data) * place)] ^= 0x10
    victim.write_bytes(data)
    with pytest.raises(artefacts.BadArtefact, match=victim.name):
        runtimes.load(tmp_path / path.name)


@pytest.mark.parametrize("inside_a_function", [False, True])
def test_a_frozen_graph_that_would_write_a_file_is_refused(cpm, tmp_path, inside_a_function):
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef()
    graph_def.ParseFromString(cpm.path("frozen_graph").read_bytes())
    with tf.Graph().as_default() as graph:
        tf.io.write_file(str(tmp_path / "written"), "by a model")
    if inside_a_function:
        graph_def.library.function.add().node_def.extend(graph.as_graph_def().node)
    else:
        graph_def.node.extend(graph.as_graph_def().node)
        presence = next(node for node in graph_def.node if node.name == "presence")
        presence.input.append("^WriteFile")  # runs whenever presence is asked for
    (tmp_path / "hand.pb").write_bytes(graph_def.SerializeToString())
    with pytest.raises(artefacts.BadArtefact, match=r"hand\.pb: holds WriteFile, which could read, write or run"):
        runtimes.load(tmp_path / "hand.pb")


@pytest.mark.parametrize("name", FORMATS)
def test_threads_may_share_an_artefact(cpm, name):
    artefact = runtimes.load(cpm.path(name))
    expected = [artefact(picture[None])["keypoints"] for picture in PICTURES]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for number, result in enumerate(pool.map(lambda picture: artefact(picture[None]), [*PICTURES] * 20)):
            np.testing.assert_allclose(result["keypoints"], expected[number % len(PICTURES)], atol=1e-3)


def test_openvino_without_its_weights_says_which_file_is_missing(cpm, tmp_path):
    shutil.copy(cpm.path("openvino"), tmp_path)
    with pytest.raises(artefacts.BadArtefact, match="belong beside it in hand_openvino.bin"):
        runtimes.load(tmp_path / "hand_openvino.xml")


def test_a_keras_model_of_another_program_is_refused(tmp_path):
    image = keras.Input((8, 8, 3), name="image")
    keras.Model(image, keras.layers.Flatten()(image)).save(tmp_path / "other.keras")
    with pytest.raises(artefacts.BadArtefact, match="other.keras: a Keras model of another program"):
        runtimes.load(tmp_path / "other.keras")


def test_code_in_a_keras_file_is_not_run(tmp_path):
    image = keras.Input((8, 8, 3), name="image")
    keras.Model(image, keras.layers.Lambda(lambda x: x + 1)(image)).save(tmp_path / "evil.keras")
    with pytest.raises(artefacts.BadArtefact, match="evil.keras"):
        runtimes.load(tmp_path / "evil.keras")


def test_an_onnx_file_of_another_program_is_refused(tmp_path):
    import onnx

    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [value], [other])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(artefacts.BadArtefact, match=r"it maps \['x'\] to \['y'\], not \['image'\]"):
        runtimes.load(tmp_path / "other.onnx")


@pytest.mark.parametrize("name, package", [
    ("onnx", "onnxruntime"), ("openvino", "openvino"), ("tflite", "ai_edge_litert")])
def test_a_package_that_is_not_there_is_answered_with_the_command(cpm, monkeypatch, name, package):
    path = cpm.path(name)
    for module in [module for module in sys.modules if module.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"{package} is needed .*pip install 'cpm_hand\[{name}\]'"):
        runtimes.load(path)


def test_litert_needs_no_custom_and_no_select_operation(cpm):
    from ai_edge_litert.interpreter import Interpreter

    data = cpm.path("tflite").read_bytes()
    details = Interpreter(model_content=data)._get_ops_details()
    names = {detail["op_name"] for detail in details} - {"DELEGATE"}
    assert "CONV_2D" in names and not [name for name in names if name.startswith("Flex") or name.upper() != name]


def test_the_description_behind_a_litert_model_can_be_unzipped(cpm):
    with zipfile.ZipFile(cpm.path("tflite")) as archive:
        assert json.loads(archive.read("cpm_hand.json"))["hands"] == "right"


def test_onnx_holds_standard_operations_of_one_set(cpm):
    import onnx

    model = onnx.load(cpm.path("onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import if each.domain in ("", "ai.onnx")] == [("", 18)]
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}


def test_opencv_reads_raw_maps_from_its_own_blob(cpm):
    import cv2

    net = cv2.dnn.readNetFromONNX(str(cpm.path("opencv")))
    bgr = PICTURES[0][..., ::-1]
    net.setInput(cv2.dnn.blobFromImage(bgr, size=(64, 64), swapRB=True))
    maps = net.forward()
    assert maps.shape == (1, 22, 8, 8)
    np.testing.assert_allclose(maps[0].transpose(1, 2, 0), cpm.expected["stages"][0, -1], atol=1e-3)


def test_float16_halves_the_litert_file_and_moves_keypoints_little(cpm):
    # Half of the weights: the rest of so small a net is its graph.
    saved = cpm.path("tflite").stat().st_size - cpm.path("tflite", precision="float16").stat().st_size
    assert saved > 0.8 * 2 * cpm.net.count_params()
    got = runtimes.load(cpm.path("tflite", precision="float16"))(PICTURES)
    np.testing.assert_allclose(got["stages"], cpm.expected["stages"], atol=0.01 * np.ptp(cpm.expected["stages"]))


def test_openvino_computes_in_bfloat16_where_the_description_asks_for_it(cpm):
    exact = runtimes.load(cpm.path("openvino"))(PICTURES)["stages"]
    rounded = runtimes.load(cpm.path("openvino", precision="bfloat16"))(PICTURES)["stages"]
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    assert 1e-5 < np.abs(exact - rounded).max() < 0.05 * np.ptp(exact)


def test_a_saved_model_is_found_under_its_highest_version(cpm, tmp_path):
    for version in ("1", "10", "9", "notes"):
        shutil.copytree(cpm.path("saved_model") / "1", tmp_path / "hand" / version)
    artefact = runtimes.load(tmp_path / "hand")
    assert (artefact.kind, artefact.hands) == ("saved_model", "right")
    (tmp_path / "hand/10/saved_model.pb").write_bytes(b"x")
    with pytest.raises(artefacts.BadArtefact, match="hand/10: not a whole SavedModel"):
        runtimes.load(tmp_path / "hand")
    assert runtimes.load(tmp_path / "hand/9").hands == "right"


@pytest.mark.parametrize("text", ['{"spec": 3}', "[]", "nonsense"])
def test_a_description_that_is_none_is_refused(cpm, tmp_path, text):
    shutil.copy(cpm.path("frozen_graph"), tmp_path / "hand.pb")
    (tmp_path / "hand.pb.json").write_text(text)
    with pytest.raises(artefacts.BadArtefact, match="hand.pb.json: not the description of an artefact"):
        runtimes.load(tmp_path / "hand.pb")


@pytest.mark.parametrize("change", [{"hands": "three"}, {"presence_threshold": 7}, {"presence_threshold": "x"},
                                    {"crop_factor": 0.5}, {"crop_factor": "2"}, {"crop_factor": float("nan")}])
def test_a_description_with_values_that_cannot_be_is_refused(cpm, change):
    with pytest.raises(artefacts.BadArtefact, match="x: not the description"):
        artefacts.describe(json.dumps({"spec": cpm.spec.to_json(), **change}), "x")


def test_int8_is_integer_arithmetic_in_the_convolutions_and_float_where_keypoints_come_from(cpm):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    small = inference.inference_model(cpm.net, cpm.spec.target, maps=False)
    path = cpm.folder / "int8.tflite"
    FORMATS["tflite"].write(quantization.int8(small, PICTURES), {"spec": cpm.spec.to_json(), "precision": "int8"}, path)
    interpreter = Interpreter(model_content=path.read_bytes(),
                              experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    dtypes = {detail["index"]: np.dtype(detail["dtype"]).name for detail in interpreter.get_tensor_details()}
    found = [(detail["op_name"], *(dtypes[index] for index in (detail["outputs"][0], *detail["inputs"][:2])))
             for detail in interpreter._get_ops_details() if detail["op_name"] in ("CONV_2D", "LOG")]
    convolutions = [kinds for name, *kinds in found if name == "CONV_2D"]
    assert convolutions.count(["float32"] * 3) == 1 and ["int8"] * 3 in convolutions  # the last stage's head
    assert all(kinds in (["float32"] * 3, ["int8"] * 3) for kinds in convolutions)
    assert ["float32", "float32"] in [kinds for name, *kinds in found if name == "LOG"]
