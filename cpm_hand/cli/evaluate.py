"""`test.py --evaluate`: how good artefacts are on labelled sets, in numbers, arrays and a page."""

import pathlib
import sys
from collections.abc import Callable

import numpy as np

from cpm_hand import images
from cpm_hand.cli import command


def run(pictures: list[str], values, make: Callable) -> int:
    """Measure each artefact on each set; print the main numbers, write all of them and what was found.

    Args:
        pictures: that were named without labels, which is a mistake.
        values: the flags.
        make: (path of an artefact, values, max_hands=…) -> Predictor.

    Returns:
        1 where --skip_bad left something out, else 0.
    """
    if pictures:
        raise ValueError(f"--evaluate takes labelled sets, --data=NAME=DIR, and not pictures like {pictures[0]}.")
    if not values.evaluate or not values.data:
        raise ValueError("--evaluate needs a labelled set, --data=NAME=DIR, and --data needs --evaluate.")
    for name in ("box", "write_json", "write_openpose_json", "write_csv", "show"):
        if values[name].value:
            raise ValueError(f"--{name} is not for --evaluate, which writes its own files into --output_dir.")
    command.quiet_tensorflow()
    from cpm_hand import datasets, evaluation, html_report, results, sets

    folder = pathlib.Path(values.output_dir or "out/evaluation")
    artefacts = dict(zip(values.graph_path, results.unique_names(values.graph_path)))
    sources = sets.parse(values.data)
    names = results.unique_names([f"{source.name}_{pathlib.Path(source.folder).name}.x" for source in sources])
    left_out = []
    for source, name in zip(sources, names):
        labels, problems = datasets.read(source.name, source.folder, values.skip_bad)
        if values.skip_bad:
            labels, unreadable = _readable(labels)
            problems += unreadable
            if not labels.has_hand.any():
                raise ValueError(f"{source.folder}: all samples are bad; the first: {problems[0]}")
        left_out += problems
        most = max(values.max_hands, evaluation.most_hands(labels))
        entries = []
        for path, artefact in artefacts.items():
            predictor = make(path, values, max_hands=most)
            measured = evaluation.evaluate(predictor, labels, protocol=values.protocol, batch_size=values.batchsize,
                                           progress=sys.stderr.isatty())
            stem = folder / f"{artefact}_{name}_{values.protocol}"
            measured.write_json(stem.with_name(stem.name + ".json"))
            measured.save(stem.with_name(stem.name + ".npz"))
            print(f"{path} on {source.name}={source.folder}, protocol {values.protocol}\n{_numbers(measured)}\n"
                  f"wrote {stem}.json and .npz\n")
            entries.append(html_report.Entry(artefact, measured, predictor.artefact, {
                "graph_path": path, "data": f"{source.name}={source.folder}", "protocol": values.protocol,
                "threshold": predictor.threshold, "handedness": values.handedness, "scale": values.scale,
                "max_hands": most}))
        page = folder / f"report_{name}_{values.protocol}.html"
        html_report.write(page, entries)
        print(f"wrote {page}")
    for text in left_out:
        print(f"left out: {text}", file=sys.stderr)
    return 1 if left_out else 0


def _readable(labels):
    """The labels whose pictures can be read, and one text per picture that cannot."""
    problems = {}
    for path in dict.fromkeys(labels.paths.tolist()):
        try:
            images.read(path)
        except images.BadImage as error:
            problems[path] = str(error)
    return labels.take(np.flatnonzero([path not in problems for path in labels.paths.tolist()])), [*problems.values()]


def _numbers(measured) -> str:
    """The numbers of the whole hand; those of fingers and joints are in the file."""
    return "\n".join(f"{number.name:<20} {number.value:10.4g} {number.unit if number.unit != '1' else '':<3} "
                     f"of {number.count}" for number in measured.numbers() if "/" not in number.name)
