"""`scripts/compare.py`: runs side by side, in one table, one plot, and with intervals for their differences."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from detector import config
from detector.data.index import Index
from detector.errors import UserError
from detector.experiments.compare.cost import Cost, measure_cost
from detector.experiments.compare.details import Details, write_details
from detector.experiments.compare.detections import resample_runs, validation_index
from detector.experiments.compare.differences import with_differences
from detector.experiments.compare.forest_plot import plot_forest
from detector.experiments.compare.groups import LONGEST_LABEL, Group, group_runs, label_by_difference
from detector.experiments.compare.notes import notes, origin
from detector.experiments.compare.page.page import leave_page
from detector.experiments.compare.plot import plot_comparison
from detector.experiments.compare.report import check_report, companion, link, write_section
from detector.experiments.compare.runs import Run, find_runs
from detector.experiments.compare.table import Measured, as_csv, difference_cells, results_cells
from detector.inference.predictor import choose_device
from detector.output import new_folder
from detector.visualization.text_table import markdown, terminal


def run(given: config.Compare) -> list[Measured]:
    """Prints the table and the paired differences, and writes both with plots, a CSV file and a page.

    Of two groups, of different kinds of models, or where it is asked for: also the details (`write_details`).

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
    remarks = []
    if len(reference.label.split()) > LONGEST_LABEL:
        place, in_full = groups.index(reference), reference.label
        groups = label_by_difference(reference, groups)
        reference = groups[place]
        remarks = [f"{reference.label} in full: {in_full}"]
    indexes = _validation_indexes(runs)
    for one in unfinished:
        print(f"{one}: not finished (no metrics.json), left out")

    detailed = given.details or asks_for_details(groups)
    costs = _measure_costs(given, groups, indexes, memory=detailed and given.latency)
    rows = [Measured(group, tuple(costs[one.folder] for one in group.runs)) for group in groups]
    if given.resamples and len(groups) > 1:
        rows = _with_differences(given, rows, reference, indexes)

    file = Path(given.output).expanduser() if given.output else new_folder(Path("runs") / "compare") / "results.md"
    links, files = [], [companion(file, given.title, ".csv")]
    files[0].write_text(as_csv(rows), encoding="utf-8")
    for suffix, draw in ((".forest.png", plot_forest), (".png", plot_comparison)):
        if title := draw(rows, reference, plot := companion(file, given.title, suffix)):
            links.append(f"!{link(title, plot, file)}")
            files.append(plot)
    place = groups.index(reference)
    details = write_details(rows, place, indexes, file, given.title) if detailed else Details()
    if page := leave_page(given, rows, place, indexes, companion(file, given.title, ".html")):
        links.append(link("The page with all differences and the images", page, file))
        files.append(page)

    tables = [results_cells(rows)]
    if any(row.difference for row in rows):
        tables.append(difference_cells(rows, reference))
    tables += details.tables
    links += details.links
    explained = [*remarks, *details.remarks, notes(given, rows, unfinished, str(device), detailed)]
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    prose = [textwrap.fill(one, columns) for one in explained] if columns else explained
    print("\n\n".join([*(terminal(one, columns) for one in tables), *prose]))
    write_section(file, given.title, "\n\n".join([*map(markdown, tables), *links, *explained, origin(given)]))
    print(f"written: {', '.join(map(str, [file, *files, *details.files]))}")
    return rows


def asks_for_details(groups: Sequence[Group]) -> bool:
    """Two groups, or different kinds of models."""
    return len(groups) == 2 or len({group.runs[0].config.model.name for group in groups}) > 1


def _reference(given: config.Compare, groups: Sequence[Group]) -> Group:
    if given.reference is None:
        return groups[0]
    folder = Path(given.reference).expanduser().resolve()
    for group in groups:
        if any(one.folder.resolve() == folder for one in group.runs):
            return group
    raise UserError(f"reference={given.reference}: is not one of the finished runs that are compared")


def _validation_indexes(runs: Sequence[Run]) -> dict[Path, Index]:
    """Validation indexes by run folder; data of one configuration is read once."""
    read: dict[str, Index] = {}
    indexes = {}
    for one in runs:
        key = json.dumps([vars(one.config.data), list(one.metrics["per_class"])], sort_keys=True)
        if key not in read:
            read[key] = validation_index(one)
        indexes[one.folder] = read[key]
    return indexes


def _measure_costs(
    given: config.Compare, groups: Sequence[Group], indexes: dict[Path, Index], memory: bool
) -> dict[Path, Cost]:
    """One run of each group, then the next one of each: what else happens on the machine meets all groups alike."""
    most = max(len(group.runs) for group in groups)
    order = [group.runs[turn] for turn in range(most) for group in groups if turn < len(group.runs)]
    return {
        one.folder: measure_cost(
            one.folder / "best.ckpt", indexes[one.folder], given.latency, given.accelerator, memory
        )
        for one in tqdm(order, "measured runs", leave=False, disable=None)
    }


def _with_differences(
    given: config.Compare, rows: Sequence[Measured], reference: Group, indexes: dict[Path, Index]
) -> list[Measured]:
    runs = [one for row in rows for one in row.group.runs]
    if any(one.metrics["AP"] is None for one in runs):
        return list(rows)  # there is no object in the validation images
    found = resample_runs(runs, [indexes[one.folder] for one in runs], given.resamples, given.seed)
    return with_differences(
        rows, reference, {one.folder: aps for one, aps in zip(runs, found, strict=True)}, given.seed
    )
