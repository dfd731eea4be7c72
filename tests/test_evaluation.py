"""Evaluation with predictors whose answers are known: what they are asked, what is counted, what is written."""

import json
import math
import statistics
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from cpm_hand import geometry
from cpm_hand.evaluation import evaluate, most_hands
from cpm_hand.hand import HAND
from cpm_hand.images import BadImage
from cpm_hand.labels import from_rows
from cpm_hand.predict import Hand, Predictor

# A hand whose joints lie on x 40 .. 60 and y 30 .. 70: its tight box is 21 x 41 px.
POINTS = np.array([(40.0 + joint, 30.0 + 2 * joint) for joint in range(21)])


class Fake:
    """A Predictor whose answer for a picture is looked up by the picture's grey value.

    `answers` maps a grey value to hands, or is a function of (grey value, boxes).
    """

    def __init__(self, answers, max_hands=9):
        self.answers, self.max_hands, self.calls = answers, max_hands, []

    def many(self, images, boxes=None):
        self.calls.append((images, boxes))
        greys = [int(image[0, 0, 0]) for image in images]
        around = boxes if boxes is not None else [None] * len(images)
        return [self.answers(grey, box) if callable(self.answers) else self.answers[grey]
                for grey, box in zip(greys, around, strict=True)]


def hand(points=POINTS, presence=0.9, is_left=-1):
    """A prediction at those points, each with the same score."""
    points = np.float32(np.column_stack([points, np.full(len(points), 0.8)]))
    return Hand(points, presence, np.float32([1, 2, 30, 30]), None, is_left)


def write_picture(folder, grey, width=200, height=100):
    path = folder / f"{grey:03d}.png"
    cv2.imwrite(str(path), np.full((height, width, 3), grey, np.uint8))
    return path


def row(path, points=POINTS, visible=None, **fields):
    visible = np.ones(len(points), bool) if visible is None else np.array(visible)
    return {"path": path, "keypoints": points, "visible": visible, "box": (0, 0, 9, 9), "group": "g", **fields}


def no_hand(path):
    return row(path, np.zeros((21, 2)), np.zeros(21, bool), has_hand=False)


def one(folder, points=POINTS, **fields):
    """Labels of one hand in one picture of grey 0."""
    return from_rows([row(write_picture(folder, 0), points, **fields)])


def values(evaluation):
    return {number.name: number.value for number in evaluation.numbers()}


def counts(evaluation):
    return {number.name: number.count for number in evaluation.numbers()}


def random_set(folder, pictures=12, seed=0):
    """Labels of one hand or two in each picture, and a noisy prediction of each; some joints lie outside or are not
    labelled, joint 20 never is."""
    rng = np.random.default_rng(seed)
    rows, answers = [], {}
    for grey in range(pictures):
        path = write_picture(folder, grey)
        hands = [POINTS + rng.uniform(-35, 35, 2) for _ in range(1 + grey % 2)]
        visible = rng.random((len(hands), 21)) < 0.8
        visible[:, 20] = False
        rows += [row(path, points, seen, head_size=rng.uniform(20, 90)) for points, seen in zip(hands, visible)]
        answers[grey] = [hand(points + rng.normal(0, 6, (21, 2))) for points in hands]
    return from_rows(rows), answers


# Protocol G: what the predictor is asked

def test_hands_of_one_picture_go_in_one_call_with_their_tight_boxes(tmp_path):
    first, second = write_picture(tmp_path, 1), write_picture(tmp_path, 2)
    labels = from_rows([row(first), row(second, POINTS + 5), row(first, POINTS - 7)])
    predictor = Fake(lambda grey, boxes: [hand(np.full((21, 2), box[0] + grey)) for box in boxes])
    result = evaluate(predictor, labels)
    (pictures, boxes), = predictor.calls
    assert [picture.shape for picture in pictures] == [(100, 200, 3)] * 2
    assert [around.tolist() for around in boxes] == [[[40, 30, 21, 41], [33, 23, 21, 41]], [[45, 35, 21, 41]]]
    # Row by row: the answer to the hand's own box in its own picture.
    assert result.predicted[:, 0, 0].tolist() == [40 + 1, 45 + 2, 33 + 1]
    assert result.found.all() and result.boxes.tolist() == [[1, 2, 30, 30]] * 3


def test_pictures_without_a_hand_are_not_looked_at(tmp_path):
    labels = from_rows([no_hand(write_picture(tmp_path, 1)), row(write_picture(tmp_path, 2))])
    predictor = Fake({2: [hand()]})
    result = evaluate(predictor, labels)
    assert len(predictor.calls[0][0]) == 1 and result.found.tolist() == [False, True]
    assert "false_detections" not in values(result) and counts(result)["seconds_per_picture"] == 1


def test_what_a_row_without_a_hand_calls_visible_does_not_count(tmp_path):
    labels = from_rows([row(write_picture(tmp_path, 1), has_hand=False)])
    for protocol in ("G", "W"):
        result = evaluate(Fake({1: []}), labels, protocol)
        assert not result.mask.any() and counts(result)["pck@0.2"] == 0


def test_a_hand_wholly_outside_its_picture_is_not_looked_at_and_does_not_count(tmp_path):
    labels = from_rows([row(write_picture(tmp_path, 1), POINTS + 500), row(write_picture(tmp_path, 2))])
    result = evaluate(Fake({2: [hand()]}), labels)
    assert result.mask.any(1).tolist() == [False, True] and counts(result)["error"] == 21


def test_joints_outside_the_picture_are_in_the_box_and_not_in_the_numbers(tmp_path):
    # Moved up by 40, joints 0 .. 4 lie at y -10 .. -2 and joint 5 at 0: those five are outside.
    predictor = Fake({0: [hand(POINTS)]})
    result = evaluate(predictor, one(tmp_path, POINTS - (0, 40)))
    assert np.flatnonzero(~result.mask[0]).tolist() == [0, 1, 2, 3, 4]
    assert result.norm.tolist() == [41] and predictor.calls[0][1][0].tolist() == [[40, -10, 21, 41]]


def test_a_turned_photograph_is_measured_in_its_stored_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    Image.new("RGB", (200, 100)).save(tmp_path / "turned.jpg", exif=exif)
    predictor = Fake({0: [hand()]})
    result = evaluate(predictor, from_rows([row(tmp_path / "turned.jpg")]))
    assert predictor.calls[0][0][0].shape == (100, 200, 3) and values(result)["error"] == 0


def test_the_real_predictor_is_asked_as_everyone_asks_it(tmp_path):
    class Centre:
        """An artefact that takes every joint for the centre of its input."""

        size = 64

        def __call__(self, images):
            count = len(images)
            return {"keypoints": np.tile(np.float32([31.5, 31.5, 0.7]), (count, 21, 1)),
                    "presence": np.full(count, 0.7, np.float32), "stages": np.zeros((count, 1, 8, 8, 22), np.float32),
                    "belief_maps": np.zeros((count, 64, 64, 22), np.float32)}

    labels = from_rows([row(write_picture(tmp_path, 1), POINTS + shift) for shift in (0, 9)])
    result = evaluate(Predictor(Centre()), labels)
    # Joint 10 is at the middle of the hand, and joint 10 + k lies k * (1, 2) px from it.
    expected = np.abs(np.arange(21) - 10) * math.sqrt(5)
    np.testing.assert_allclose(result.distances, [expected, expected], atol=1e-3)
    np.testing.assert_allclose(result.boxes[:, 2], 2.2 * 41, rtol=1e-6)


# Numbers worked by hand

def test_a_hand_that_is_off_by_3_and_4_px_is_off_by_5(tmp_path):
    result = evaluate(Fake({0: [hand(POINTS + (3, 4))]}), one(tmp_path))
    found = values(result)
    assert found["error"] == found["error_by_joint"] == found["error_median"] == 5
    assert found["error_percent"] == pytest.approx(100 * 5 / (2.2 * 41))  # of the crop's side
    # 5 / 41 is 0.122: beyond the whole curve, and well within 0.2. 5 px: below 6, 7.5, … 28.5, 16 of 20 steps.
    assert found["pck@0.2"] == 1 and found["pck_by_hand@0.12"] == 0 and found["auc_open"] == 0.8
    assert found["error/index"] == found["error/wrist"] == found["error/index_tip"] == 5
    assert set(counts(result).values()) == {21, 4, 1}


def test_the_whole_pictures_error_is_in_percent_of_its_width(tmp_path):
    found = values(evaluate(Fake({0: [hand(POINTS + (3, 4))]}), one(tmp_path), "W"))
    assert found["error"] == 5 and found["error_percent"] == pytest.approx(2.5)  # 5 of 200 px


def test_a_joint_exactly_at_the_threshold_is_wrong(tmp_path):
    points = POINTS * (4.95, 0) + (-188, 50)  # x 10 .. 109 on one row: the box is 100 px wide, and a fifth is 20
    predicted = points + (0, 20)
    predicted[0, 1] -= 0.5
    result = evaluate(Fake({0: [hand(predicted)]}), one(tmp_path, points))
    assert result.norm.tolist() == [100]
    assert (result.distances[0, 1:] == 20).all() and result.distances[0, 0] == 19.5
    assert values(result)["pck@0.2"] == pytest.approx(1 / 21)


def test_a_coordinate_that_is_not_finite_is_wrong_and_left_out_of_the_mean(tmp_path):
    points = POINTS + (3, 4)
    points[8, 0] = np.nan
    result = evaluate(Fake({0: [hand(points)]}), one(tmp_path))
    found, count = values(result), counts(result)
    assert found["error"] == 5 and (count["error"], count["pck@0.2"]) == (20, 21)
    assert found["placed"] == found["pck@0.2"] == pytest.approx(20 / 21)
    assert math.isnan(found["error/index_tip"]) and count["error/index_tip"] == 0
    assert result.distances[0, 8] == np.inf


def test_a_hand_of_one_pixel_is_measured_against_that_pixel(tmp_path):
    labels = one(tmp_path, np.full((21, 2), 50.0))
    result = evaluate(Fake({0: [hand(np.full((21, 2), 50.1))]}), labels)
    assert result.norm.tolist() == [1] and values(result)["pck@0.2"] == 1
    assert values(result)["error_percent"] == pytest.approx(100 * 0.1 * math.sqrt(2) / 2.2, rel=1e-4)


def test_a_joint_that_is_never_labelled_has_no_number_and_pulls_none_down(tmp_path):
    visible = [True] * 20 + [False]
    result = evaluate(Fake({0: [hand()]}), one(tmp_path, visible=visible))
    assert math.isnan(values(result)["pck@0.2/little_tip"]) and counts(result)["pck@0.2/little_tip"] == 0
    assert values(result)["pck@0.2"] == values(result)["pck@0.2/little"] == 1


def test_pckh_is_given_where_a_head_size_is_known(tmp_path):
    paths = [write_picture(tmp_path, grey) for grey in range(3)]
    labels = from_rows([row(paths[0], head_size=8), row(paths[1], head_size=7), row(paths[2])])
    result = evaluate(Fake({grey: [hand(POINTS + (3, 4))] for grey in range(3)}), labels)
    assert values(result)["pckh@0.7"] == 0.5 and counts(result)["pckh@0.7"] == 42  # 5 < 5.6, and not < 4.9
    assert "pckh@0.7" not in values(evaluate(Fake({0: [hand()]}), labels.take([2])._replace(paths=labels.paths[:1])))


def test_handedness_is_counted_where_both_sides_say_it(tmp_path):
    paths = [write_picture(tmp_path, grey) for grey in range(4)]
    labels = from_rows([row(path, is_left=is_left) for path, is_left in zip(paths, (1, 0, -1, 1))])
    answers = {grey: [hand(is_left=is_left)] for grey, is_left in enumerate((1, 1, 1, -1))}
    result = evaluate(Fake(answers), labels)
    assert (values(result)["handedness"], counts(result)["handedness"]) == (0.5, 2)


# Protocol W: found or not

def test_a_hand_that_is_not_found_is_wrong_in_all_joints_and_not_in_the_mean_error(tmp_path):
    labels = from_rows([row(write_picture(tmp_path, grey)) for grey in (1, 2)])
    result = evaluate(Fake({1: [hand(POINTS + (3, 4))], 2: []}), labels, "W")
    found, count = values(result), counts(result)
    assert result.found.tolist() == [True, False] and np.isinf(result.distances[1]).all()
    assert np.isnan(result.predicted[1]).all() and np.isnan(result.presence[1]) and np.isnan(result.boxes[1]).all()
    assert (found["found"], count["found"]) == (0.5, 2)
    assert (found["error"], count["error"]) == (5, 21) and (found["pck@0.2"], count["pck@0.2"]) == (0.5, 42)
    assert found["pck@0.2/ring"] == 0.5 and found["auc_open"] == 0.4


def test_hands_of_one_picture_are_matched_to_the_truth_whatever_their_order(tmp_path):
    path = write_picture(tmp_path, 1)
    far = POINTS + (80, 0)
    labels = from_rows([row(path), row(path, far), row(path, POINTS - (30, 20))])
    predictor = Fake({1: [hand(far + 1, 0.5), hand(POINTS - (30, 20), 0.6), hand(POINTS + 2, 0.9)]})
    result = evaluate(predictor, labels, "W")
    np.testing.assert_allclose(result.presence, [0.9, 0.5, 0.6])
    np.testing.assert_allclose(result.distances[:, 0], [2 * math.sqrt(2), math.sqrt(2), 0], rtol=1e-5)


def test_the_match_makes_the_sum_least_and_not_the_first_hands_own_distance(tmp_path):
    # Truths at 0 and 10, hands at 4 and -30: nearest first pairs 0 with 4 and 10 with -30, 44 px in all; the other
    # way it is 30 + 6.
    path = write_picture(tmp_path, 1)
    labels = from_rows([row(path), row(path, POINTS + (10, 0))])
    result = evaluate(Fake({1: [hand(POINTS + (4, 0)), hand(POINTS - (30, 0))]}), labels, "W")
    assert result.distances[:, 0].tolist() == [30, 6]


def test_only_as_many_of_the_strongest_hands_count_as_are_labelled(tmp_path):
    labels = one(tmp_path)
    result = evaluate(Fake({0: [hand(POINTS, 0.6), hand(POINTS + 50, 0.9)]}), labels, "W")
    assert values(result)["pck@0.2"] == 0 and result.presence.tolist() == [np.float32(0.9)]


def test_of_two_labelled_hands_one_may_be_missed(tmp_path):
    path = write_picture(tmp_path, 1)
    labels = from_rows([row(path), row(path, POINTS + (80, 0))])
    result = evaluate(Fake({1: [hand(POINTS + (79, 0))]}), labels, "W")
    assert result.found.tolist() == [False, True] and values(result)["found"] == 0.5


def test_only_labelled_joints_decide_which_hand_is_whose(tmp_path):
    # The other joints' entries say the opposite; nobody labelled them.
    path, labelled = write_picture(tmp_path, 1), np.arange(21) < 3
    far = POINTS + (80, 0)
    labels = from_rows([row(path, np.where(labelled[:, None], one, other), visible=labelled)
                        for one, other in ((POINTS, far), (far, POINTS))])
    result = evaluate(Fake({1: [hand(far), hand(POINTS)]}), labels, "W")
    assert result.distances[:, :3].max() == 0


def test_a_hand_without_finite_coordinates_can_be_matched_too(tmp_path):
    path = write_picture(tmp_path, 1)
    labels = from_rows([row(path), row(path, POINTS + (80, 0))])
    result = evaluate(Fake({1: [hand(POINTS * np.nan), hand(POINTS)]}), labels, "W")
    assert result.found.all() and result.distances[0].max() == 0 and np.isinf(result.distances[1]).all()


def test_hands_in_pictures_without_one_are_false_detections(tmp_path):
    labels = from_rows([no_hand(write_picture(tmp_path, grey)) for grey in (1, 2, 3)]
                       + [row(write_picture(tmp_path, 4))])
    result = evaluate(Fake({1: [], 2: [hand(presence=0.4), hand(presence=0.3)], 3: [], 4: [hand()]}), labels, "W")
    found, count = values(result), counts(result)
    assert (found["false_detections"], count["false_detections"]) == (pytest.approx(1 / 3), 3)
    assert (found["found"], count["found"], count["pck@0.2"]) == (1, 1, 21)
    np.testing.assert_array_equal(result.presence, np.float32([np.nan, 0.4, np.nan, 0.9]))


def test_the_whole_picture_is_given_without_boxes(tmp_path):
    predictor = Fake({0: []})
    evaluate(predictor, one(tmp_path), "W")
    assert predictor.calls[0][1] is None


def test_the_most_hands_of_one_picture_are_counted(tmp_path):
    paths = [write_picture(tmp_path, grey) for grey in (1, 2)]
    labels = from_rows([row(paths[0]), row(paths[1]), row(paths[0])])
    assert most_hands(labels) == 2 and most_hands(labels.take([1])) == most_hands(labels.take([])) == 1


# Against loops, and invariances

@pytest.mark.parametrize("protocol", ["G", "W"])
def test_all_numbers_agree_with_loops(tmp_path, protocol):
    labels, answers = random_set(tmp_path)
    result = evaluate(Fake(answers), labels, protocol)
    norm, seen, off = [], [], []  # per row: size, joints that count, distances
    for index, path in enumerate(labels.paths):
        truth = labels.keypoints[index].tolist()
        predictions = answers[int(path[-7:-4])]
        # In W the noise of 6 px does not reach from one hand to the other in most pictures; take what was kept.
        kept = result.predicted[index] if protocol == "W" else \
            predictions[sum(other == path for other in labels.paths[:index])].keypoints
        labelled = [joint for joint in range(21) if labels.visible[index, joint]]
        xs, ys = [truth[joint][0] for joint in labelled], [truth[joint][1] for joint in labelled]
        norm.append(max(max(xs) - min(xs), max(ys) - min(ys)) + 1)
        seen.append([joint for joint in labelled
                     if -0.5 <= truth[joint][0] < 199.5 and -0.5 <= truth[joint][1] < 99.5])
        off.append([math.dist(truth[joint], kept[joint, :2].tolist()) for joint in range(21)])
    hands = range(len(norm))
    width = [200 if protocol == "W" else 2.2 * size for size in norm]
    found = values(result)

    def points(joints):
        return [(hand, joint) for hand in hands for joint in seen[hand] if joint in joints]

    def pck(joints, near):
        shares = [[near(hand, joint) for hand in hands if joint in seen[hand]] for joint in joints]
        return statistics.fmean(statistics.fmean(share) for share in shares if share)

    assert len(points(range(21))) < labels.visible.sum()  # some joints are outside
    for name, joints in {"": range(21), "/thumb": range(1, 5), "/ring": range(13, 17), "/wrist": [0],
                         "/index_tip": [8]}.items():
        own = points(joints)
        assert counts(result)["error" + name] == counts(result)["pck@0.2" + name] == len(own)
        assert found["error" + name] == pytest.approx(statistics.fmean(off[hand][joint] for hand, joint in own))
        assert found["error_percent" + name] == pytest.approx(
            statistics.fmean(100 * off[hand][joint] / width[hand] for hand, joint in own))
        assert found["pck@0.2" + name] == pytest.approx(
            pck(joints, lambda hand, joint: off[hand][joint] / norm[hand] < 0.2))
    everything = points(range(21))
    assert found["error_median"] == pytest.approx(statistics.median(off[hand][joint] for hand, joint in everything))
    assert found["error_by_joint"] == pytest.approx(statistics.fmean(
        statistics.fmean(off[hand][joint] for hand in hands if joint in seen[hand]) for joint in range(20)))
    assert found["auc_open"] == pytest.approx(statistics.fmean(
        pck(range(21), lambda hand, joint, step=step: off[hand][joint] < 1.5 * step) for step in range(20)))
    curve = [statistics.fmean(statistics.fmean(off[hand][joint] < t * norm[hand] for joint in seen[hand])
                              for hand in hands if seen[hand]) for t in (0.04, 0.06, 0.08, 0.10, 0.12)]
    assert [found[f"pck_by_hand@{t}"] for t in ("0.04", "0.06", "0.08", "0.10", "0.12")] == pytest.approx(curve)
    assert found["pck_by_hand"] == pytest.approx(statistics.fmean(curve))
    assert found["pckh@0.7"] == pytest.approx(
        pck(range(21), lambda hand, joint: off[hand][joint] / labels.head_size[hand] < 0.7))


@pytest.mark.parametrize("protocol", ["G", "W"])
def test_batches_and_the_order_of_rows_change_nothing(tmp_path, protocol):
    labels, answers = random_set(tmp_path)

    def answer(grey, boxes):  # a hand belongs to its box, whatever the order in which boxes come
        if boxes is None:
            return answers[grey]
        own = [index for index, path in enumerate(labels.paths) if int(path[-7:-4]) == grey]
        tight = geometry.tight_box(labels.keypoints, labels.visible)
        return [answers[grey][[tight[index].tolist() for index in own].index(box.tolist())] for box in boxes]

    whole = evaluate(Fake(answer), labels, protocol)
    single = evaluate(Fake(answer), labels, protocol, batch_size=1)
    order = np.random.default_rng(1).permutation(labels.num_hands)
    mixed = evaluate(Fake(answer), labels.take(order), protocol, batch_size=5)
    np.testing.assert_array_equal(whole.predicted, single.predicted)
    np.testing.assert_array_equal(whole.predicted[order], mixed.predicted)
    for name, value in values(whole).items():
        if name != "seconds_per_picture":
            assert values(single)[name] == pytest.approx(value, nan_ok=True)
            assert values(mixed)[name] == pytest.approx(value, nan_ok=True), name


@pytest.mark.parametrize("protocol", ["G", "W"])
def test_nothing_to_evaluate_gives_numbers_without_values(protocol):
    result = evaluate(Fake({}), from_rows([]), protocol)
    assert set(counts(result).values()) == {0} and all(math.isnan(value) for value in values(result).values())


def test_evaluating_changes_no_label(tmp_path):
    labels, answers = random_set(tmp_path)
    before = [column.copy() for column in labels[:-1]]
    evaluate(Fake(answers), labels, "W").numbers()
    for column, copy in zip(labels[:-1], before):
        np.testing.assert_array_equal(column, copy)


# What is written

def test_every_number_says_what_it_is(tmp_path):
    labels, answers = random_set(tmp_path)
    for protocol in ("G", "W"):
        numbers = evaluate(Fake(answers), labels, protocol).numbers()
        names = [number.name for number in numbers]
        assert len(set(names)) == len(names)
        assert {"error/index", "pck@0.2/little_tip", "error_percent/wrist", "auc_open", "auc_trapezoid"} <= set(names)
        for number in numbers:
            assert number.unit in ("px", "%", "1", "s") and number.protocol == protocol
            assert number.definition[0].isupper() and number.definition.endswith(".") and number.count >= 0


def test_the_numbers_are_written_as_json_without_nan(tmp_path):
    labels = one(tmp_path, visible=[True] * 20 + [False])
    result = evaluate(Fake({0: [hand(POINTS + (3, 4))]}), labels)
    result.write_json(tmp_path / "out" / "numbers.json")

    def refuse(text):
        raise AssertionError(f"{text} is not JSON")

    data = json.loads((tmp_path / "out" / "numbers.json").read_text(), parse_constant=refuse)
    assert (data["protocol"], data["pictures"], data["hands"]) == ("G", 1, 1)
    numbers = {number["name"]: number for number in data["numbers"]}
    assert numbers["error"] == {"name": "error", "value": 5.0, "unit": "px", "count": 20, "protocol": "G",
                                "definition": "Mean distance of labelled joints in the picture's pixels (mmpose's "
                                              "EPE)."}
    assert numbers["error/little_tip"]["value"] is None


def test_another_definition_can_be_computed_from_the_file_of_distances(tmp_path):
    labels, answers = random_set(tmp_path)
    result = evaluate(Fake(answers), labels, "W")
    result.save(tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        data = {name: file[name] for name in file.files}
    assert str(data["protocol"]) == "W" and data["joint_names"].tolist() == list(HAND.names)
    assert data["label_paths"].tolist() == labels.paths.tolist()
    np.testing.assert_array_equal(data["label_keypoints"], labels.keypoints)
    np.testing.assert_array_equal(data["predicted"], result.predicted)
    near = data["distances"] < 0.2 * data["norm"][:, None]
    seen = data["mask"].sum(0)
    assert ((near & data["mask"]).sum(0)[seen > 0] / seen[seen > 0]).mean() == pytest.approx(values(result)["pck@0.2"])
    assert list(tmp_path.glob("out.npz*")) == [tmp_path / "out.npz"]


# Errors

def test_another_suffix_than_npz_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"out\.npy: expected a name that ends in \.npz"):
        evaluate(Fake({}), from_rows([])).save(tmp_path / "out.npy")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_protocol_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match="unknown protocol 'g'; the protocols are G, W"):
        evaluate(Fake({}), from_rows([]), "g")


@pytest.mark.parametrize("protocol", ["G", "W"])
def test_a_net_of_other_joints_is_refused(tmp_path, protocol):
    with pytest.raises(ValueError, match=r"the net finds 17 joints and the labels have 21 \(wrist, thumb_cmc,"):
        evaluate(Fake({0: [hand(POINTS[:17])]}), one(tmp_path), protocol)


@pytest.mark.parametrize("names, said", [
    ((*HAND.names[:19], "little_tip", "little_dip"), "joint 19 is 'little_tip' against 'little_dip'"),
    (("tail", *HAND.names[1:]), "joint 0 is 'tail' against 'wrist'"),
])
def test_joints_of_the_same_number_and_other_names_are_refused_before_any_work_is_done(tmp_path, names, said):
    predictor = Fake({0: [hand()]})
    predictor.artefact = SimpleNamespace(path="net.pb", skeleton=HAND._replace(names=names))
    with pytest.raises(ValueError, match=rf"net\.pb has other joints than the labels: 21 joints .* 21, and {said};"):
        evaluate(predictor, one(tmp_path))
    assert predictor.calls == []
    predictor.artefact.skeleton = HAND._replace(bones=())  # lines that are drawn, no joints
    assert values(evaluate(predictor, one(tmp_path)))["error"] == 0


def test_a_predictor_that_looks_for_too_few_hands_is_refused(tmp_path):
    path = write_picture(tmp_path, 1)
    labels = from_rows([row(path), row(path, POINTS + 5)])
    with pytest.raises(ValueError, match="up to 2 labelled hands and the Predictor looks for 1; .* max_hands=2"):
        evaluate(Fake({}, max_hands=1), labels, "W")


def test_a_missing_picture_is_named_before_any_work_is_done(tmp_path):
    labels = from_rows([row(write_picture(tmp_path, 1)), row(tmp_path / "gone.png")])
    predictor = Fake({1: [hand()]})
    with pytest.raises(BadImage, match=r"gone\.png: no such image file"):
        evaluate(predictor, labels, batch_size=1)
    assert predictor.calls == []


def test_what_the_predictor_refuses_is_told_with_the_picture(tmp_path):
    def refuse(grey, boxes):
        raise ValueError("box x=1 is bad.")

    with pytest.raises(ValueError, match=r"1 pictures from .*000\.png on: box x=1 is bad\."):
        evaluate(Fake(refuse), one(tmp_path))
