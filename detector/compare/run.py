"""`scripts/compare.py`: runs side by side, in one table, one plot, and with intervals for their differences."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from detector import config
from detector.benchmark.machine import describe_machine
from detector.command import quoted
from detector.compare.cost import Cost, measure_cost
from detector.compare.detections import resample_runs, validation_index
from detector.compare.groups import Group, group_runs
from detector.compare.plot import plot_costs
from detector.compare.report import check_report, companion, write_section
from detector.compare.runs import Run, find_runs
from detector.compare.table import Measured, as_csv, difference_cells, markdown, results_cells, terminal
from detector.data.index import Index
from detector.errors import UserError
from detector.evaluation.comparison import ResampledAP, difference
from detector.inference.predictor import choose_device
from detector.inference.progress import with_progress
from detector.output import new_folder


def run(given: config.Compare) -> list[Measured]:
    """Prints the table and the paired differences, and writes both with a plot and a CSV file.

    Runs whose configurations differ in nothing but the seed and the run folder are one group, one line of the table.
    Where there are several groups, the AP of each is compared with that of the reference group, image by image.

    Raises:
        UserError: an option, a run folder or the data of a run is not what it should be.
    """
    if given.resamples < 0 or given.resamples == 1:
        raise UserError(f"resamples={given.resamples}: 2 or more, or 0 for none")
    device = choose_device(given.accelerator)
    if given.output:
        check_report(Path(given.output).expanduser(), given.title)
    runs, unfinished = find_runs(given.runs)
    groups = group_runs(runs)
    reference = _reference(given, groups)
    indexes = _validation_indexes(runs)
    for one in unfinished:
        print(f"{one}: not finished (no metrics.json), left out")

    costs = _measure_costs(given, groups, indexes)
    rows = [Measured(group, tuple(costs[one.folder] for one in group.runs)) for group in groups]
    if given.resamples and len(groups) > 1:
        rows = _with_differences(given, rows, reference, indexes)

    file = Path(given.output).expanduser() if given.output else new_folder(Path("runs") / "compare") / "results.md"
    plot, table = companion(file, given.title, ".png"), companion(file, given.title, ".csv")
    plot_costs(rows, plot)
    table.write_text(as_csv(rows), encoding="utf-8")
    notes = _notes(given, groups, unfinished, str(device))
    parts = [results_cells(rows)]
    if any(row.difference for row in rows):
        parts.append(difference_cells(rows, reference))
    print("\n\n".join([*map(terminal, parts), *notes]))
    picture = f"![AP against cost]({plot.relative_to(file.parent).as_posix()})"
    write_section(file, given.title, "\n\n".join([*map(markdown, parts), picture, *notes, _origin(given)]))
    print(f"written: {file}, {table}, {plot}")
    return rows


def _reference(given: config.Compare, groups: Sequence[Group]) -> Group:
    if given.reference is None:
        return groups[0]
    folder = Path(given.reference).expanduser().resolve()
    for group in groups:
        if any(one.folder.resolve() == folder for one in group.runs):
            return group
    raise UserError(f"reference={given.reference}: is not one of the finished runs that are compared")


def _validation_indexes(runs: Sequence[Run]) -> dict[Path, Index]:
    """By run folder; data of one configuration is read once."""
    read: dict[str, Index] = {}
    indexes = {}
    for one in runs:
        key = json.dumps([vars(one.config.data), list(one.metrics["per_class"])], sort_keys=True)
        if key not in read:
            read[key] = validation_index(one)
        indexes[one.folder] = read[key]
    return indexes


def _measure_costs(given: config.Compare, groups: Sequence[Group], indexes: dict[Path, Index]) -> dict[Path, Cost]:
    """One run of each group, then the next one of each: what else happens on the machine meets all groups alike."""
    most = max(len(group.runs) for group in groups)
    order = [group.runs[turn] for turn in range(most) for group in groups if turn < len(group.runs)]
    return {
        one.folder: measure_cost(one.folder / "best.ckpt", indexes[one.folder], given.latency, given.accelerator)
        for one in with_progress(order, len(order), "measuring run")
    }


def _with_differences(
    given: config.Compare, rows: Sequence[Measured], reference: Group, indexes: dict[Path, Index]
) -> list[Measured]:
    runs = [one for row in rows for one in row.group.runs]
    if any(one.metrics["AP"] is None for one in runs):
        return list(rows)  # there is no object in the validation images
    found = resample_runs(runs, [indexes[one.folder] for one in runs], given.resamples, given.seed)
    by_folder = {one.folder: ap for one, ap in zip(runs, found, strict=True)}

    def of_group(group: Group) -> list[ResampledAP]:
        return [by_folder[one.folder] for one in group.runs]

    return [
        row
        if row.group is reference
        else replace(row, difference=difference(of_group(reference), of_group(row.group), given.seed))
        for row in rows
    ]


def _notes(given: config.Compare, groups: Sequence[Group], unfinished: Sequence[Path], device: str) -> list[str]:
    """What a reader must know to take the numbers for what they are."""
    machine = describe_machine()
    hardware = machine["gpu"] if device == "cuda" else f"{machine['cpu']}, {machine['torch_threads']} thread(s)"
    sentences = [
        "AP is COCO's, of the best epoch of each run on the validation images; ± is the standard deviation over "
        "seeds (n − 1); GFLOPs count 2 for each multiply-add of convolutions and matrix products, for one image.",
    ]
    if given.latency:
        sentences.append(
            "Latency is the median for one image from host memory to detections in host memory, suppression included, "
            f"measured on {hardware} (load average {machine['load_average']})."
        )
    if given.resamples and len(groups) > 1:
        sentences.append(
            f"Intervals: {given.resamples} resamples of the validation images, the same for all runs (paired bootstrap, "
            "percentiles). Over images: these trained detectors on other images of the same kind. And over seeds: "
            "trained anew as well, by a Student t term for the spread of the seeds of both groups; the verdict goes "
            "by this one where it is there. No interval is corrected for the number of comparisons."
        )
    commits = {_commit(one) for group in groups for one in group.runs}
    if len(commits) > 1:
        sentences.append(f"The runs were made with {len(commits)} commits of the code: {', '.join(sorted(commits))}.")
    if unfinished:
        sentences.append(f"Left out, not finished: {', '.join(map(str, unfinished))}.")
    return [" ".join(sentences)]


def _commit(one: Run) -> str:
    file = one.folder / "environment.json"
    commit = json.loads(file.read_text()).get("git_commit") if file.is_file() else None
    return commit[:10] if commit else "unknown"


def _origin(given: config.Compare) -> str:
    """Command, date and versions."""
    options = []
    for field in fields(config.Compare):
        value = getattr(given, field.name)
        if field.name != "runs" and value != field.default:
            options.append(f"{field.name}={quoted(str(value))}")
    command = shlex.join(["python", "scripts/compare.py", *given.runs, *options])
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("detector", "torch", "torchvision", "pycocotools", "numpy")
    )
    return f"```\n{command}\n```\n\n{datetime.now():%Y-%m-%d %H:%M}; {versions}."
