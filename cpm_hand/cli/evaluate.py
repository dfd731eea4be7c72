"""`test.py --evaluate`: how good artefacts are on labelled sets, in numbers, arrays and a page."""

import os
import pathlib
import sys

import numpy as np
from absl import flags

from cpm_hand import images
from cpm_hand.cli import command, predictors


def run(pictures: list[str], values: flags.FlagValues) -> int:
    """Measure each artefact on each set; print the main numbers, write all of them and what was found.

    Args:
        pictures: that were named without labels, which is a mistake.
        values: the flags.

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
    from cpm_hand import evaluation, html_report, results, runtimes, sets

    folder = pathlib.Path(values.output_dir or "out/evaluation")
    _check_folder(folder)
    artefacts = dict(zip(values.graph_path, results.unique_names(values.graph_path)))
    sources = sets.parse(values.data, weighted=False)
    names = results.unique_names([f"{source.name}_{pathlib.Path(source.folder).name}.x" for source in sources])
    loaded = {path: runtimes.load(path) for path in artefacts}
    read = [_labels(source, values.skip_bad) for source in sources]
    for artefact in loaded.values():
        for labels, _ in read:
            evaluation.check_joints(artefact, labels)
    for source, name, (labels, left_out) in zip(sources, names, read):
        most = max(values.max_hands, evaluation.most_hands(labels))
        entries = []
        for path, artefact in artefacts.items():
            predictor = predictors.make(loaded[path], values, max_hands=most)
            stem = folder / f"{artefact}_{name}_{values.protocol}"
            measured = _measured(path, predictor, stem, source, labels, left_out, values)
            entries.append(html_report.Entry(artefact, *measured))
        page = folder / f"report_{name}_{values.protocol}.html"
        html_report.write(page, entries)
        print(f"wrote {page}")
    return 1 if any(left_out for _, left_out in read) else 0


def _check_folder(folder: pathlib.Path) -> None:
    """Refuse before the work what could not be written after it."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"--output_dir={folder}: {there} is no folder that can be written to; give another.")


def _labels(source, skip_bad: bool) -> tuple:
    """A set's labels and one text for each sample left out, which are printed before the long work."""
    from cpm_hand import datasets

    labels, left_out = datasets.read(source.name, source.folder, skip_bad)
    if skip_bad:
        problems = images.unreadable(labels.paths.tolist())
        labels = labels.take(np.flatnonzero([path not in problems for path in labels.paths.tolist()]))
        left_out = [*left_out, *problems.values()]
        if not labels.num_hands:
            raise ValueError(f"{source.folder}: all samples are bad; the first: {left_out[0]}")
    for text in left_out:
        print(f"left out: {text}", file=sys.stderr)
    return labels, left_out


def _measured(path: str, predictor, stem: pathlib.Path, source, labels, left_out: list[str],
              values: flags.FlagValues) -> tuple:
    """Measure one artefact on one set and write its files: (Evaluation, Artefact, settings), for the page."""
    from cpm_hand import evaluation

    measured = evaluation.evaluate(predictor, labels, protocol=values.protocol, batch_size=values.batchsize,
                                   progress=sys.stderr.isatty())
    measured.write_json(stem.with_name(stem.name + ".json"), left_out)
    measured.save(stem.with_name(stem.name + ".npz"))
    print(f"{path} on {source.name}={source.folder}, protocol {values.protocol}\n{_numbers(measured)}\n"
          f"wrote {stem}.json and .npz\n")
    return measured, predictor.artefact, {
        **predictors.settings(path, predictor, values.protocol == "G"), "data": f"{source.name}={source.folder}",
        "protocol": values.protocol, "skip_bad": f"{len(left_out)} left out" if values.skip_bad else False}


def _numbers(measured) -> str:
    """The numbers of the whole hand; those of fingers and joints are in the file."""
    return "\n".join(f"{number.name:<20} {number.value:10.4g} {number.unit if number.unit != '1' else '':<3} "
                     f"of {number.count}" for number in measured.numbers() if "/" not in number.name)
