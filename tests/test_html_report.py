"""The report's page and JSON: what they hold, that they are whole, and that no name from outside runs in them."""

import hashlib
import html.parser
import json
import math
import pathlib
import re
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

from cpm_hand import html_report, images, metrics, plots
from cpm_hand import report_content as content
from cpm_hand.evaluation import Evaluation
from cpm_hand.hand import HAND, Skeleton
from cpm_hand.html_report import Entry
from cpm_hand.labels import from_rows
from cpm_hand.markup import element, page

# A hand whose tight box is 21 x 41 px.
POINTS = np.array([(40.0 + joint, 30.0 + 2 * joint) for joint in range(21)])
FOUR = Skeleton(("a", "b", "<i>c</i>", "d"), ((0, 1), (1, 2)), (("all joints", (0, 1, 2, 3)),))


class Page(html.parser.HTMLParser):
    """Tags with their attributes, and all text, as a browser's parser finds them."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, "tags are closed in their order"

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data + " "

    def of(self, tag: str, **attributes) -> list[dict]:
        return [found for name, found in self.tags
                if name == tag and attributes.items() <= found.items()]


def evaluation_of(shifts, folder=None, protocol="G", skeleton=HAND, found=None, names=None, hands=None):
    """Hand k is predicted `shifts[k]` px to the right; one grey picture of 120 x 100 px per hand."""
    points = POINTS[:len(skeleton.names)]
    count = len(shifts)
    names = names or [f"{row:02d}.png" for row in range(count)]
    hands = [True] * count if hands is None else hands
    for name in names if folder else ():
        images.write(folder / name, np.full((100, 120, 3), 128, np.uint8))
    labels = from_rows([{"path": str((folder or pathlib.Path("in")) / name), "keypoints": points * has,
                         "visible": np.full(len(points), has), "box": (0, 0, 9, 9), "group": "g", "has_hand": has}
                        for name, has in zip(names, hands)], skeleton)
    found = np.ones(count, bool) if found is None else np.array(found)
    predicted = np.full((count, len(points), 3), np.nan, np.float32)
    for row in np.flatnonzero(found):
        predicted[row] = np.column_stack([points + [shifts[row], 0], np.full(len(points), 0.8)])
    size = max(np.ptp(points, axis=0)) + 1
    return Evaluation(protocol, labels, predicted, metrics.distances(predicted, labels.keypoints), labels.visible,
                      norm=np.where(labels.has_hand, size, 0), width=np.full(count, 100.0),
                      presence=np.where(found, np.float32(0.7), np.float32(np.nan)), found=found,
                      is_left=np.full(count, -1, np.int8), boxes=np.full((count, 4), np.nan, np.float32), seconds=0.01)


def nothing():
    """An evaluation of no hand at all."""
    whole = evaluation_of([1])
    columns = {name: value[:0] for name, value in whole._asdict().items() if isinstance(value, np.ndarray)}
    return whole._replace(labels=whole.labels.take(slice(0, 0)), seconds=math.nan, **columns)


@pytest.fixture
def artefact(tmp_path):
    path = tmp_path / "net.pb"
    path.write_bytes(b"a graph")
    return SimpleNamespace(path=path, kind="frozen_graph", size=184)


def written(path, *entries) -> tuple[Page, dict]:
    html_report.write(path, list(entries))
    return Page(path.read_text("utf-8")), json.loads(path.with_suffix(".json").read_text())


# The page

def test_the_page_holds_the_numbers_the_settings_and_the_hash(tmp_path, artefact):
    evaluation = evaluation_of([2.0, 4.0], tmp_path)
    got, _ = written(tmp_path / "new" / "report.html", Entry("mine", evaluation, artefact, {"batchsize": "16"}))
    for number in evaluation.numbers():
        assert number.name in got.text and number.definition in got.text or "/" in number.name
    assert "3 px" in got.text and "--batchsize" in got.text and hashlib.sha256(b"a graph").hexdigest() in got.text
    assert not got.open


def test_the_page_asks_nothing_of_the_network_and_runs_nothing(tmp_path, artefact):
    entry = Entry("mine", evaluation_of([2.0, 4.0], tmp_path), artefact, {})
    got, _ = written(tmp_path / "report.html", entry)
    text = (tmp_path / "report.html").read_text()
    assert not {"script", "link", "iframe", "img", "object"} & {tag for tag, _ in got.tags}
    assert all(attributes["href"].startswith("data:image/jpeg;base64,") for attributes in got.of("image"))
    assert "url(" not in text and "@import" not in text and "http:" not in text and "https:" not in text
    assert "default-src 'none'" in got.of("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]


def test_names_from_outside_are_text_wherever_they_land(tmp_path, artefact):
    bad, worse = "<script>alert(1)\"'&.png", "<img src=x onerror=alert(1)>.png"
    evaluation = evaluation_of([1, 2, 3], tmp_path, skeleton=FOUR, names=[bad, worse, "b\udcff.png"])
    artefact.path = tmp_path / "<b>gone</b>"
    got, data = written(tmp_path / "report.html", Entry("<i onload=x>", evaluation, artefact, {"<u>": "</title><s>"}))
    assert not {"script", "img", "u", "s", "i"} & {tag for tag, _ in got.tags}
    assert not [name for _, attributes in got.tags for name in attributes if name.startswith("on")]
    assert bad in got.text and worse in got.text and "<i onload=x>" in got.text
    assert "</title><s>" in got.text and "<i>c</i>" in got.text
    assert "b\\udcff.png" in got.text
    assert data["entries"][0]["hands"]["best"][0]["path"].endswith(bad)


def test_a_hand_is_drawn_where_it_is_in_its_crop(tmp_path, artefact):
    got, _ = written(tmp_path / "report.html", Entry("mine", evaluation_of([5.0], tmp_path), artefact, {}))
    found, truth = (np.array([(float(circle["cx"]), float(circle["cy"])) for circle in got.of("circle", r=radius)])
                    for radius in ("4", "2.4"))
    # All points lie in 26 x 41 px, so 1.25 x 41 px of the picture are 256 px of the crop.
    scale = 256 / (1.25 * 41)
    np.testing.assert_allclose(found - truth, np.tile([5 * scale, 0], (21, 1)), atol=0.02)
    np.testing.assert_allclose(truth[20] - truth[0], np.array([20, 40]) * scale, atol=0.02)
    np.testing.assert_allclose((truth[0] + found[20]) / 2, [127.5, 127.5], atol=0.02)  # in the middle


def test_a_picture_that_cannot_be_read_any_more_has_its_error_in_its_place(tmp_path, artefact):
    evaluation = evaluation_of([1.0, 2.0, 3.0], tmp_path)
    pathlib.Path(evaluation.labels.paths[0]).unlink()
    pathlib.Path(evaluation.labels.paths[2]).write_bytes(b"no picture")
    got, _ = written(tmp_path / "report.html", Entry("mine", evaluation, artefact, {}))
    assert "00.png: no such image file." in got.text and "02.png: not an image (10 bytes)" in got.text
    assert len(got.of("image")) == 1


def test_an_artefact_that_is_gone_has_the_reason_for_its_hash(tmp_path, artefact):
    artefact.path.unlink()
    _, data = written(tmp_path / "report.html", Entry("mine", evaluation_of([1.0], tmp_path), artefact, {}))
    assert data["entries"][0]["artefact"]["sha256"] is None
    assert "cannot be read any more (No such file" in data["entries"][0]["artefact"]["sha256_error"]


@pytest.mark.parametrize("evaluation", [
    nothing(), evaluation_of([1.0]), evaluation_of([1.0], found=[False], protocol="W"),
    evaluation_of([math.nan]), evaluation_of([math.inf]), evaluation_of([1e9, 3]), evaluation_of([1.0], skeleton=FOUR),
    evaluation_of([1, 1], found=[False, True], hands=[True, False], protocol="W"),
], ids=["no hand", "one hand", "all missed", "NaN", "infinite", "far off", "four joints", "false detection"])
@pytest.mark.parametrize("count", [1, 2])
def test_degenerate_evaluations_make_whole_pages(tmp_path, artefact, evaluation, count):
    entries = [Entry(f"net {number}", evaluation, artefact, {}) for number in range(count)]
    got, data = written(tmp_path / "report.html", *entries)
    assert not got.open and "Artefact" in got.text
    drawn = [str(value) for _, attributes in got.tags for name, value in attributes.items() if name != "aria-label"]
    assert not re.search(r"\b(nan|inf)\b", " ".join(drawn))
    assert len(data["entries"]) == count


def test_another_skeleton_has_bars_for_its_joints(tmp_path, artefact):
    got, _ = written(tmp_path / "report.html", Entry("x", evaluation_of([1.0], tmp_path, skeleton=FOUR), artefact, {}))
    assert len(got.of("rect", **{"class": "joint"})) == 2 * 4 and not got.of("circle", **{"class": "joint"})


def test_a_hand_has_a_circle_for_each_joint_and_its_fingers_values(tmp_path, artefact):
    got, _ = written(tmp_path / "report.html", Entry("x", evaluation_of([7.3], tmp_path), artefact, {}))
    assert len(got.of("circle", **{"class": "joint"})) == 2 * 21
    assert got.text.count("7.3 ") >= 21 + 5  # % of a crop of 100 px


@pytest.mark.parametrize(("name", "entries", "match"), [
    ("report.htm", [evaluation_of([1.0])], r"report.htm: expected a name that ends in .html"),
    ("report.html", [], "a report needs an evaluation, got none"),
    ("report.html", [evaluation_of([1.0]), evaluation_of([1.0, 2.0])],
     "'net 0' and 'net 1' were evaluated on different labels; write one report for each set"),
])
def test_what_makes_no_report_is_refused_before_anything_is_written(tmp_path, artefact, name, entries, match):
    with pytest.raises(ValueError, match=match):
        html_report.write(tmp_path / name, [Entry(f"net {number}", evaluation, artefact, {})
                                            for number, evaluation in enumerate(entries)])
    assert [path.name for path in tmp_path.iterdir()] == ["net.pb"]


def test_two_dozen_real_hands_take_less_than_two_megabytes(tmp_path, artefact, real_data):
    from cpm_hand import datasets

    labels, _ = datasets.read("coco", str(real_data / "varied"))
    labels = labels.take(slice(0, 24))
    predicted = np.dstack([labels.keypoints + 3, np.full(labels.visible.shape, 0.9)]).astype(np.float32)
    evaluation = evaluation_of(np.zeros(24))._replace(
        labels=labels, predicted=predicted, distances=metrics.distances(predicted, labels.keypoints),
        mask=labels.visible, norm=np.full(24, 80.0))
    got, _ = written(tmp_path / "report.html", Entry("mine", evaluation, artefact, {}))
    assert len(got.of("image")) == 24 and (tmp_path / "report.html").stat().st_size < 2e6


# Several artefacts

def test_several_artefacts_stand_side_by_side(tmp_path, artefact):
    entries = [Entry("old", evaluation_of([9.0, 1.0], tmp_path), artefact, {"a": "1"}),
               Entry("new", evaluation_of([1.0, 1.0], tmp_path), artefact, {"b": "2"})]
    got, data = written(tmp_path / "report.html", *entries)
    assert len(got.of("polyline")) == 2 and "2 artefacts side by side" in got.text
    assert data["differences"] == [{"row": 0, "path": str(tmp_path / "00.png"), "errors": [
        pytest.approx(9 / 41, abs=1e-6), pytest.approx(1 / 41, abs=1e-6)]}]
    # One of the two in each gallery of each artefact, and the one that differs twice.
    assert len(got.of("image")) == 2 * 2 + 2


def test_the_best_of_several_values_is_bold_only_where_they_mean_the_same(tmp_path, artefact):
    old, new = evaluation_of([9.0]), evaluation_of([1.0])
    for other, bold in ((new, True), (new._replace(protocol="W"), False)):
        entries = [Entry("old", old, artefact, {}), Entry("new", other, artefact, {})]
        html_report.write(tmp_path / "report.html", entries)
        row, = re.findall(r'<tr class="has-definition"><th scope="row"><code>error</code>.*?</tr>',
                          (tmp_path / "report.html").read_text())
        assert re.findall(r'<td class="number ?(best)?">([\d.]+)</td>', row)[:2] == [
            ("", "9"), ("best" if bold else "", "1")]


def test_hands_differ_by_at_most_their_size():
    wild, wilder, good = evaluation_of([60.0, 0.0]), evaluation_of([400.0, 8.2]), evaluation_of([4.1, 0.0])
    assert content.differences([wild, wilder]) == [1]            # both just wrong of hand 0
    assert content.differences([wild, wilder, good]) == [0, 1]   # gaps of 0.9 and 0.2
    assert content.differences([good, good]) == [] == content.differences([wild])


def test_a_hand_that_only_one_finds_differs():
    one, other = evaluation_of([4.1, 0.0], found=[True, True]), evaluation_of([4.1, 0.0], found=[True, False])
    assert content.differences([one, other]) == [1]


# What is in it

def test_the_best_and_the_worst_hands_are_those_of_a_sorted_list():
    shifts = np.random.default_rng(0).permutation(40) / 4
    best, worst = (content.galleries(evaluation_of(shifts))[name] for name in ("best", "worst"))
    order = sorted(range(40), key=lambda row: shifts[row])
    assert [tile.row for tile in best] == order[:12] and [tile.row for tile in worst] == order[::-1][:12]
    assert best[0].error == 0 and best[0].near == best[0].labelled == 21
    assert worst[0].error == pytest.approx(9.75 / 41) and worst[0].near == 0


@pytest.mark.parametrize(("count", "best", "worst"), [(0, 0, 0), (1, 1, 0), (2, 1, 1), (5, 3, 2), (23, 12, 11)])
def test_of_few_hands_none_is_among_the_best_and_the_worst(count, best, worst):
    tiles = content.galleries(evaluation_of(range(count)) if count else nothing())
    assert (len(tiles["best"]), len(tiles["worst"])) == (best, worst)
    assert len({tile.row for name in tiles for tile in tiles[name]}) == count


def test_missed_hands_and_false_detections_have_galleries_of_their_own():
    tiles = content.galleries(evaluation_of([1.0] * 4, protocol="W", found=[True, False, True, False],
                                            hands=[True, True, False, False]))
    assert {name: [tile.row for tile in some] for name, some in tiles.items()} == {
        "best": [0], "worst": [], "not_found": [1], "false_detections": [2]}
    assert math.isnan(tiles["not_found"][0].error) and tiles["false_detections"][0].labelled == 0


def test_the_largest_missed_hands_and_the_surest_false_detections_come_first():
    evaluation = evaluation_of([0.0] * 6, protocol="W", found=[False] * 3 + [True] * 3, hands=[True] * 3 + [False] * 3)
    evaluation = evaluation._replace(norm=np.array([30.0, 90, 60, 0, 0, 0]),
                                     presence=np.float32([np.nan, np.nan, np.nan, 0.4, 0.9, 0.6]))
    tiles = content.galleries(evaluation)
    assert [tile.row for tile in tiles["not_found"]] == [1, 2, 0]
    assert [tile.row for tile in tiles["false_detections"]] == [4, 5, 3]


def test_a_joint_that_was_placed_nowhere_counts_as_the_whole_box():
    evaluation = evaluation_of([0.0])
    evaluation.predicted[0, :3] = np.nan
    evaluation = evaluation._replace(distances=metrics.distances(evaluation.predicted, evaluation.labels.keypoints))
    assert content.hand_errors(evaluation)[0] == pytest.approx(3 / 21)


def test_the_curve_meets_the_headline_number_and_the_histogram_counts_all_joints():
    evaluation = evaluation_of(np.random.default_rng(1).uniform(0, 60, 30))
    values = {number.name: number.value for number in evaluation.numbers()}
    assert content.curve(evaluation)[content.CURVE.index(0.2)] == values["pck@0.2"]
    counts = content.histogram(evaluation)
    shares = (evaluation.distances / 41).ravel()
    assert counts == [sum(lower <= share < lower + 0.04 for share in shares) for lower in np.arange(25) * 0.04] + [
        sum(share >= 1 for share in shares)]


def test_the_json_says_what_the_page_shows(tmp_path, artefact):
    evaluation = evaluation_of([2.0, 5.0], tmp_path, protocol="W", found=[True, False])
    _, data = written(tmp_path / "report.html", Entry("mine", evaluation, artefact, {"protocol": "W", "n": 2}))
    entry, = data["entries"]
    assert entry["name"] == "mine" and entry["settings"] == {"protocol": "W", "n": "2"}
    assert entry["protocol"] == "W"
    assert entry["numbers"] == evaluation.to_json()["numbers"]
    assert entry["pck_curve"]["thresholds"][20] == 0.2 and sum(entry["histogram"]["counts"]) == 42
    best, = entry["hands"]["best"]
    assert best["truth"][0] == [40, 30] and best["predicted"][0] == [42, 30, 0.8] and best["near"] == 21
    assert entry["hands"]["not_found"][0]["predicted"] is None is entry["hands"]["not_found"][0]["error"]


# Hash and markup

def test_the_hash_of_a_folder_is_that_of_the_shells_own_tools(tmp_path):
    (tmp_path / "b").mkdir()
    for name, content_ in (("b/z.bin", b"1"), ("b.txt", b"2"), ("a b", b""), ("B", b"4")):
        (tmp_path / name).write_bytes(content_)
    command = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    assert command in content.sha256.__doc__
    out = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert content.sha256(tmp_path) == out.split()[0]


def test_of_a_run_the_checkpoint_that_is_loaded_is_hashed(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    run = SimpleNamespace(path=tmp_path / "run", kind="run", size=184)
    entry = [Entry("run", evaluation_of([1.0]), run, {})]
    for name in ("step-00000001.npz", "step-00000002.npz", "best.npz"):  # the newest, before there is a best
        (folder / name).write_bytes(name.encode())
        told = content.to_json(entry)["entries"][0]["artefact"]
        assert told["sha256_of"] == str(folder / name) and told["sha256"] == hashlib.sha256(name.encode()).hexdigest()


def test_markup_keeps_children_in_order_and_escapes_text_and_attributes():
    node = element("p", "a<", element("b", 1), ["&", None, element("i"), "z"], title='"<')
    assert page(node) == '<p title="&quot;<">a&lt;<b>1</b>&amp;<i></i>z</p>'


def test_curves_begin_at_the_lower_left_and_end_at_their_share():
    chart = plots.line_chart([0, 0.5, 1], [[0, 0.5, 1], [0, math.nan, 1]], ["a", "b"], x_label="x", y_label="y",
                             mark=0.5)
    line, = chart.findall("polyline")  # one with a hole is not drawn
    (x0, y0), (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in line.get("points").split())
    assert x0 < x1 < x2 and y0 > y1 > y2 and x1 == pytest.approx((x0 + x2) / 2, abs=0.1)
    assert y1 == pytest.approx((y0 + y2) / 2, abs=0.1)
