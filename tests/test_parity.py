"""What counts as a difference between an artefact and its model."""

import pathlib

import keras
import numpy as np
import pytest
from exported import pictures

from cpm_hand import parity
from cpm_hand.targets import BeliefMaps

PICTURES = pictures()
NUM_JOINTS = 21
FAR = int(np.abs(PICTURES.keypoints[0] - 31.5).max(-1).argmax())  # the joint that its mirror image is farthest from
TARGET = BeliefMaps(stride=8, sigma_px=7.0)


class Drawn:
    """A model that knows its pictures by heart; one joint of the first picture is in two places alike."""

    def __init__(self):
        maps = np.array(TARGET.encode(np.clip(PICTURES.keypoints, 4, 59), PICTURES.visible, 64))
        maps[0, ..., FAR] = np.maximum(maps[0, ..., FAR], maps[0, ::-1, ::-1, FAR])
        keypoints = np.array(TARGET.decode(maps))
        self.output = {"belief_maps": np.array(TARGET.upsample(maps, 64)), "stages": maps[:, None],
                       "keypoints": keypoints, "presence": np.array(TARGET.presence(keypoints))}

    def __call__(self, images, training=False):
        row = next(row for row in range(len(PICTURES.images)) if (PICTURES.images[row] == images[0]).all())
        return {name: keras.ops.convert_to_tensor(value[row:row + 1]) for name, value in self.output.items()}


@pytest.fixture(scope="module")
def model() -> Drawn:
    return Drawn()


@pytest.fixture
def outputs(model) -> dict:
    return dict(model.output)


def compared(monkeypatch, model, outputs, precision="float32", shown=PICTURES, **changed) -> parity.Parity:
    """The verdict on an artefact that gives these outputs."""
    answer = {**outputs, "milliseconds": np.array(1.5), "threads": np.array(2), **changed}
    monkeypatch.setattr(parity, "_run_elsewhere", lambda artefact, images: answer)
    return parity.compare(model, pathlib.Path("x.pb"), shown, precision)


def leads(maps: np.ndarray) -> np.ndarray:
    """The loop a reader would write: highest cell less the highest that does not touch it."""
    result = np.zeros((len(maps), maps.shape[-1]))
    for picture in range(len(maps)):
        for joint in range(maps.shape[-1]):
            cells = maps[picture, ..., joint]
            top = np.unravel_index(cells.argmax(), cells.shape)
            others = [cells[row, column] for row in range(len(cells)) for column in range(len(cells[0]))
                      if max(abs(row - top[0]), abs(column - top[1])) > 1]
            result[picture, joint] = cells[top] - max(others)
    return result


def test_the_lead_of_a_peak_agrees_with_the_loop(outputs):
    maps = outputs["stages"][:, -1]
    np.testing.assert_allclose(parity._lead(maps), leads(maps), atol=1e-6)


def test_the_same_outputs_differ_by_nothing(monkeypatch, model, outputs):
    found = compared(monkeypatch, model, outputs)
    assert found.maps < 1e-4 and found.largest_px < 0.01 and found.pck_points == 0 and found.num_keypoints > 10
    assert (found.ms, found.threads) == (1.5, 2)


def test_a_keypoint_that_may_as_well_be_elsewhere_is_counted_apart(monkeypatch, model, outputs):
    moved = np.array(outputs["keypoints"])
    moved[0, FAR, :2] = 63 - moved[0, FAR, :2]
    found = compared(monkeypatch, model, outputs, shown=PICTURES._replace(visible=PICTURES.visible & False),
                     keypoints=moved)
    distance = np.linalg.norm(moved[0, FAR, :2] - outputs["keypoints"][0, FAR, :2])
    assert found.largest_px == 0 and found.num_keypoints == 4 * 21 - 1
    assert found.mean_all_px == pytest.approx(distance / (4 * 21)) and distance > 24


@pytest.mark.parametrize("precision, shift, text", [
    ("float32", 0.1, "largest distance of keypoints 0.14 px .allowed 0.05.*mean distance"),
    ("float16", 0.5, r"mean distance of keypoints 0.71 px .allowed 0.5"),
    ("bfloat16", 0.5, r"mean distance of keypoints 0.71 px .allowed 0.5"),
    ("int8", 0.9, r"mean distance of keypoints 1.3 px .allowed 1")])
def test_keypoints_that_moved_are_an_error(monkeypatch, model, outputs, precision, shift, text):
    with pytest.raises(ValueError, match=f"x.pb: differs from the model: .*{text}"):
        compared(monkeypatch, model, outputs, precision, keypoints=outputs["keypoints"] + np.float32(shift))


@pytest.mark.parametrize("precision, shift", [("float32", 0.02), ("float16", 0.3), ("int8", 0.6)])
def test_keypoints_that_moved_as_the_precision_allows_are_none(monkeypatch, model, outputs, precision, shift):
    unseen = PICTURES._replace(visible=PICTURES.visible & False)
    found = compared(monkeypatch, model, outputs, precision, unseen, keypoints=outputs["keypoints"] + np.float32(shift))
    assert found.mean_px == pytest.approx(shift * 2 ** 0.5, abs=0.01)


def test_what_is_no_number_is_an_error(monkeypatch, model, outputs):
    for name in ("keypoints", "stages", "belief_maps"):
        with pytest.raises(ValueError, match="differs from the model: .*nan"):
            compared(monkeypatch, model, outputs, **{name: outputs[name] * np.float32("nan")})


def test_pck_that_fell_is_an_error_even_where_no_peak_is_clear(monkeypatch, model, outputs):
    # The truth is what the model says, so the model is always right, and the artefact right of the picture's border.
    truth = PICTURES._replace(keypoints=outputs["keypoints"][..., :2])
    right = compared(monkeypatch, model, outputs, shown=truth)
    assert right.pck == 1.0 and right.pck_points == 0.0
    monkeypatch.setattr(parity, "_lead", lambda maps: np.zeros((len(maps), NUM_JOINTS)))
    with pytest.raises(ValueError, match="difference in PCK 1e.02 points .allowed 0.5., with 0 keypoints"):
        compared(monkeypatch, model, outputs, shown=truth, keypoints=outputs["keypoints"] + 1000)


def test_keypoints_alone_are_compared_without_maps(monkeypatch, model, outputs):
    alone = {name: outputs[name] for name in ("keypoints", "presence")}
    monkeypatch.setattr(parity, "_run_elsewhere", lambda artefact, images: {
        **alone, "milliseconds": np.array(1.0), "threads": np.array(1)})
    found = parity.compare(model, pathlib.Path("x"), PICTURES)
    assert np.isnan(found.maps) and found.largest_px < 0.01 and found.num_keypoints > 10


def test_keypoints_that_nothing_was_compared_of_prove_nothing(monkeypatch, model, outputs):
    alone = {"keypoints": outputs["keypoints"], "presence": outputs["presence"], "milliseconds": np.array(1.0),
             "threads": np.array(1)}
    monkeypatch.setattr(parity, "_run_elsewhere", lambda artefact, images: alone)
    monkeypatch.setattr(parity, "CLEAR_SCORE", 2.0)
    with pytest.raises(ValueError, match="x: nothing could be compared: the net gives no clear keypoint on"):
        parity.compare(model, pathlib.Path("x"), PICTURES)


def test_pictures_are_run_one_by_one_and_timed():
    seen = []

    class Artefact:
        forward_answers = True

        def __call__(self, images):
            seen.append(images.shape)
            return {"stages": images[:, None], "presence": np.zeros(len(images))}

        def answers(self, images):
            return {"presence": images.mean((1, 2, 3))}

    result = parity.run(Artefact(), PICTURES.images)
    assert set(seen) == {(1, 64, 64, 3)}
    np.testing.assert_array_equal(result["stages"], PICTURES.images[:, None])
    np.testing.assert_allclose(result["presence"], PICTURES.images.mean((1, 2, 3)))
    assert result["milliseconds"] > 0 and result["threads"] >= 1


@pytest.mark.slow
def test_rendered_pictures_are_those_of_their_seed_with_their_joints():
    first, again, other = parity.rendered(64, 2), parity.rendered(64, 2), parity.rendered(64, 2, seed=1)
    np.testing.assert_array_equal(first.images, again.images)
    assert first.images.shape == (2, 64, 64, 3) and first.keypoints.shape == (2, 21, 2) and first.visible.all()
    assert (first.images != other.images).any()
    assert parity.rendered(64, 1, num_joints=18).keypoints.shape == (1, 0, 2)
