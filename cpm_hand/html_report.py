"""One HTML file on how good artefacts are, with everything in it, and the same as JSON beside it.

Nothing in the page asks the network or runs a script: its plots are SVG, its pictures data, its switches CSS.
"""

import json
import math
import pathlib
from typing import NamedTuple

import numpy as np

from cpm_hand import images, markup, metrics, plots, report_hands
from cpm_hand import report_content as content
from cpm_hand.evaluation import LABELLED, PROTOCOLS, Evaluation
from cpm_hand.markup import element

_CARDS = (f"pck@{metrics.PCK_THRESHOLD:g}", "error", "error_percent", "found", "false_detections",
          "seconds_per_picture")
_LOW_IS_GOOD = ("error", "false_detections", "seconds")
_UNITS = {"1": "share"}
_OF = {"G": "the side of protocol G's crop", "W": "the picture's width, of hands that were found"}


class Entry(NamedTuple):
    """One column of a report.

    Attributes:
        name: short, different from the others'.
        evaluation: of the artefact.
        artefact: `runtimes.Artefact`, of which path, kind and size are told.
        settings: what it was evaluated with, such as the command's flags.
    """

    name: str
    evaluation: Evaluation
    artefact: object
    settings: dict[str, str]


def write(path, entries: list[Entry]) -> None:
    """Write a report into path, and as JSON beside it under the same name with .json; each whole or not at all.

    A picture that cannot be read any more has its error in its place, and so has an artefact's hash.

    Args:
        path: of the page; it ends in .html. Missing folders are made.
        entries: at least one, all on the same labels.

    Raises:
        ValueError: another suffix, no entry, or labels that differ.
        OSError: as the system gives it.
    """
    path = pathlib.Path(path)
    if path.suffix != ".html":
        raise ValueError(f"{path}: expected a name that ends in .html.")
    if not entries:
        raise ValueError(f"{path}: a report needs an evaluation, got none.")
    first = entries[0]
    for entry in entries[1:]:
        if not _same_hands(first.evaluation.labels, entry.evaluation.labels):
            raise ValueError(f"{path}: '{first.name}' and '{entry.name}' were evaluated on different labels; "
                             f"write one report for each set.")
    data = content.to_json(entries)
    images.write_bytes(path.with_suffix(".json"), (json.dumps(data, allow_nan=False) + "\n").encode())
    images.write_bytes(path, ("<!DOCTYPE html>\n" + markup.page(_page(entries, data)) + "\n").encode())


def _same_hands(one, other) -> bool:
    return one.skeleton == other.skeleton and np.array_equal(one.paths, other.paths) and np.array_equal(
        one.keypoints, other.keypoints) and np.array_equal(one.visible, other.visible)


def _page(entries: list[Entry], data: dict) -> markup.Element:
    css = pathlib.Path(__file__).with_name("html_report.css").read_text(encoding="utf-8")
    title = "Hand keypoints: " + (f"{len(entries)} artefacts side by side" if len(entries) > 1 else entries[0].name)
    head = element("head", element("meta", charset="utf-8"),
                   element("meta", http_equiv="Content-Security-Policy",
                           content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"),
                   element("meta", name="viewport", content="width=device-width, initial-scale=1"),
                   element("title", title), element("style", css))
    labels = entries[0].evaluation.labels
    hands, paths = int(labels.has_hand.sum()), len(set(labels.paths.tolist()))
    protocols = sorted({entry.evaluation.protocol for entry in entries})
    intro = element("p", f"{hands} labelled hands in {paths} pictures. ",
                    [f"Protocol {name}: {PROTOCOLS[name]}. " for name in protocols], f"Labelled means: {LABELLED}.")
    names = [entry.name for entry in entries]
    layers = element("div", element("span", "Over the pictures:"),
                     [element("label", element("input", type="checkbox", checked="", id=layer), " " + words)
                      for layer, words in (("truth", "labels, in white"), ("predicted", "found, in colours"))],
                     class_="layers")
    said = element("p", f"Error of a hand: mean distance of its labelled joints, in {content.BOX}. Near: nearer than "
                   f"{metrics.PCK_THRESHOLD:g} of it. Each picture is cut to hold both, the labelled and the found.",
                   class_="soft")
    return element("html", head, element(
        "body", element("h1", title), intro, _legend(names) if len(names) > 1 else None, _cards(data["entries"]),
        _charts(entries, data["entries"]), _hands_plots(entries, data["entries"]), _table(data["entries"]),
        _parts(data["entries"]), layers, said, _differences(entries, data["differences"]),
        [_gallery(entry, name, len(entries) == 1) for entry in entries for name in content.GALLERIES],
        _settings(data["entries"]),
        element("p", f"Written by {data['program']}, {data['created']}.", class_="soft")), lang="en")


def _section(title: str, *children, note: str | None = None, open_: bool = True) -> markup.Element:
    return element("details", element("summary", element("h2", title), element("small", note) if note else None),
                   *children, open="" if open_ else None)


def _legend(names: list[str]) -> markup.Element:
    return element("div", [element("span", _key(index), name) for index, name in enumerate(names)], class_="legend")


def _key(index: int) -> markup.Element:
    line = element("line", x1=0, y1=5, x2=24, y2=5)
    return element("svg", line, viewBox="0 0 24 10", aria_hidden="true", class_=f"key s{index % 6}")


def _cards(entries: list[dict]) -> markup.Element:
    cards = []
    for name in _CARDS:
        numbers = [_by_name(entry).get(name) for entry in entries]
        if any(numbers):
            cards.append(element("div", element("code", name), [
                [element("small", _key(index), entry["name"]) if len(entries) > 1 else None,
                 element("b", _said(number))]
                for index, (number, entry) in enumerate(zip(numbers, entries))], class_="card"))
    return element("div", cards, class_="grid cards")


def _charts(entries: list[Entry], data: list[dict]) -> markup.Element:
    names = [entry["name"] for entry in data]
    curve = plots.line_chart(content.CURVE, [content.curve(entry.evaluation) for entry in entries], names,
                             x_label=f"threshold, of {content.BOX}", y_label="PCK, mean over joints",
                             mark=metrics.PCK_THRESHOLD)
    bars = plots.histogram([entry["histogram"]["counts"] for entry in data], names, bin_width=content.BIN,
                           x_label=f"distance, of {content.BOX}", y_label="share of labelled joints",
                           mark=metrics.PCK_THRESHOLD)
    return _section("Curve and histogram", element("div", [
        element("figure", element("figcaption", title), plot)
        for title, plot in (("Share of joints nearer than the threshold (PCK)", curve),
                            ("How far off the joints are", bars))], class_="grid plots"))


def _hands_plots(entries: list[Entry], data: list[dict]) -> markup.Element:
    """Error and PCK on the joints, all errors on one scale."""
    skeleton = entries[0].evaluation.labels.skeleton
    pck = f"pck@{metrics.PCK_THRESHOLD:g}"
    tables = [_by_name(entry) for entry in data]

    def values(table: dict, name: str, parts, factor: float) -> list[float]:
        found = [table.get(f"{name}/{part}", {}).get("value") for part in parts]
        return [math.nan if value is None else factor * value for value in found]

    top = plots.scale_top(value for table in tables for value in values(table, "error_percent", skeleton.names, 1))
    groups = [name for name, _ in skeleton.groups]
    rows = []  # one for each kind of value, so that artefacts stand side by side
    for name, label, factor, end, good in (("error_percent", "Mean error in % of {}", 1, top, False),
                                           (pck, f"PCK@{metrics.PCK_THRESHOLD:g} in %", 100, 100.0, True)):
        rows.append([])
        for entry, table in zip(data, tables):
            said = label.format(_OF[entry["protocol"]])
            drawn = plots.on_joints(skeleton, values(table, name, skeleton.names, factor),
                                    dict(zip(groups, values(table, name, groups, factor))), label=said, top=end,
                                    high_is_good=good)
            caption = element("figcaption", [element("b", entry["name"]), ": "] if len(data) > 1 else None, said)
            rows[-1].append(element("figure", caption, drawn))
    rows = rows if len(data) > 1 else [[*rows[0], *rows[1]]]
    return _section("Joint by joint", [element("div", row, class_="grid joints") for row in rows], note="bright is bad")


def _table(entries: list[dict]) -> markup.Element:
    """The numbers of the whole hand, with their definitions."""
    tables = [_by_name(entry) for entry in entries]
    names = [name for name in dict.fromkeys(name for table in tables for name in table) if "/" not in name]
    rows = []
    for name in names:
        numbers = [table.get(name) for table in tables]
        given = [number for number in numbers if number]
        definition = [element("div", text) for text in dict.fromkeys(number["definition"] for number in given)]
        counts = " / ".join(dict.fromkeys(str(number["count"]) for number in given))
        rows += [element("tr", element("th", element("code", name), scope="row"), _values(name, numbers),
                         element("td", _UNITS.get(given[0]["unit"], given[0]["unit"])),
                         element("td", counts, class_="number"), element("td", definition, class_="text definition"),
                         class_="has-definition"),
                 element("tr", element("td", definition, colspan=len(entries) + 3), class_="definition")]
    return _section("Numbers", _scrolled(["number", *[entry["name"] for entry in entries], "unit", "count",
                                          "definition"], rows, len(entries)))


def _parts(entries: list[dict]) -> markup.Element:
    """The numbers of fingers and joints."""
    tables = [_by_name(entry) for entry in entries]
    rows = []
    for name in dict.fromkeys(name for table in tables for name in table if "/" in name):
        numbers = [table.get(name) for table in tables]
        given = next(number for number in numbers if number)
        rows.append(element("tr", element("th", element("code", name), scope="row"), _values(name, numbers),
                            element("td", _UNITS.get(given["unit"], given["unit"])),
                            element("td", given["count"], class_="number")))
    return _section("Numbers of fingers and joints", _scrolled(
        ["number", *[entry["name"] for entry in entries], "unit", "count"], rows, len(entries)), open_=False)


def _scrolled(titles: list[str], rows: list, values: int) -> markup.Element:
    head = [element("th", title, scope="col", class_="definition" if title == "definition" and index > values else
                    "number name" if 0 < index <= values else "number" if title == "count" else None)
            for index, title in enumerate(titles)]
    return element("div", element("table", element("thead", element("tr", head)), element("tbody", rows)),
                   class_="scroll")


def _values(name: str, numbers: list[dict | None]) -> list[markup.Element]:
    """A cell for each entry; the best of several is bold, where they mean the same."""
    given = [number for number in numbers if number and number["value"] is not None]
    values, meanings = {number["value"] for number in given}, {number["definition"] for number in given}
    best = (min if name.startswith(_LOW_IS_GOOD) else max)(values) if len(values) > 1 == len(meanings) else None
    return [element("td", _said(number, unit=False),
                    class_="number best" if number and best is not None and number["value"] == best else "number")
            for number in numbers]


def _by_name(entry: dict) -> dict[str, dict]:
    return {number["name"]: number for number in entry["numbers"]}


def _said(number: dict | None, unit: bool = True) -> str:
    """A number's value with its unit; a dash where there is none."""
    if number is None or number["value"] is None:
        return "–"
    after = "" if not unit or number["unit"] == "1" else " " + number["unit"]
    return f"{number['value']:.4g}{after}"


def _gallery(entry: Entry, name: str, open_: bool) -> markup.Element | None:
    tiles = content.galleries(entry.evaluation)[name]
    if not tiles:
        return None
    title = name.replace("_", " ").capitalize() + ("" if open_ else f": {entry.name}")
    return _section(title, element("p", content.GALLERIES[name], class_="soft"),
                    element("div", [report_hands.figure(entry.evaluation, each, [entry.evaluation]) for each in tiles],
                            class_="grid hands"), note=f"{len(tiles)}", open_=open_)


def _differences(entries: list[Entry], rows: list[dict]) -> markup.Element | None:
    if not rows:
        return None
    evaluations = [entry.evaluation for entry in entries]
    errors = [content.hand_errors(evaluation) for evaluation in evaluations]
    pairs = [element("div", element("div", [
        report_hands.figure(evaluation, content.tile(evaluation, error, row["row"]), evaluations, f"{entry.name}: ")
        for entry, evaluation, error in zip(entries, evaluations, errors)], class_="grid pair")) for row in rows]
    return _section("Where they differ most", element("div", pairs, class_="grid pairs"), note=f"{len(rows)} hands")


def _settings(entries: list[dict]) -> markup.Element:
    """Artefacts with their hashes, and what each was evaluated with."""
    tables = [{**{name: str(value) for name, value in entry["artefact"].items()},
               **{f"--{name}": str(value) for name, value in entry["settings"].items()}} for entry in entries]
    rows = [element("tr", element("th", element("code", name), scope="row"),
                    [element("td", element("code", table.get(name, "–")), class_="text") for table in tables])
            for name in dict.fromkeys(name for table in tables for name in table)]
    head = element("tr", element("th", "setting", scope="col"),
                   [element("th", entry["name"], scope="col") for entry in entries])
    return _section("Artefact and settings" if len(entries) == 1 else "Artefacts and settings",
                    element("div", element("table", element("thead", head), element("tbody", rows)), class_="scroll"))
