"""The page of a comparison: what tells each group from the reference, and on which images, as one HTML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from detector import config
from detector.data.index import Index
from detector.evaluation.page.pictures import embedded, links
from detector.experiments.compare.detections import same_objects
from detector.experiments.compare.notes import differences_explained
from detector.experiments.compare.page.content import page_content
from detector.experiments.compare.page.found import Found, found_by
from detector.experiments.compare.table import Measured, interval_text, mean_and_deviation, p_text, statistics_of
from detector.output import write_text
from detector.visualization.page.shell import Figure, Section, own_text, page

SCRIPTS = ("comparison", "forest", "differences", "classes", "error_kinds", "boxes", "images", "start")
"""The page's own scripts, in the order in which they stand in it."""
SECTIONS = (
    Section("differences", "Differences"),
    Section("classes", "Classes"),
    Section("kinds", "Error kinds"),
    Section("images", "Images"),
    Section("groups", "Groups"),
)


def leave_page(
    given: config.Compare, rows: Sequence[Measured], reference: int, indexes: Mapping[Path, Index], file: Path
) -> Path | None:
    """Writes the page of two groups or more to `file`, and returns it; None where they were not measured on the same objects.

    Args:
        given: the options of the command.
        rows: all groups.
        reference: the place of the reference among them.
        indexes: the validation splits by run folder.
        file: a file that may exist.

    Raises:
        UserError: the detections of a run cannot be read.
    """
    index, *others = [indexes[one.folder] for row in rows for one in row.group.runs]
    if len(rows) == 1 or not all(same_objects(one, index) for one in others):
        return None
    found = [found_by(row.group, index) for row in rows]
    write_text(file, comparison_page(given, rows, reference, found, index, file.parent))
    return file


def comparison_page(
    given: config.Compare,
    rows: Sequence[Measured],
    reference: int,
    found: Sequence[Found],
    index: Index,
    folder: Path,
) -> str:
    """The page as HTML; the arguments are those of `leave_page`, with what each group found and the folder of the page."""
    content = page_content(rows, reference, found, index)
    pictures, unreadable = embedded(_most_different(found, reference), index, given.report_mb)
    drawn = index.painter is not None
    content["pictures"] = {str(image): uri for image, uri in pictures.items()}
    content["links"] = [""] * len(index) if drawn else links(index.files.tolist(), folder.resolve())
    content["turned"] = not index.as_stored
    content["explained"] = (
        differences_explained(rows, given.resamples) if any(row.differences for row in rows) else None
    )
    absent = len(index) - len(pictures)
    lines = [
        f"{len(index):,} validation images with {int((~index.annotations.crowd).sum()):,} objects of "
        f"{len(index.class_names):,} classes; {len(rows)} groups of runs, the reference is {rows[reference].group.label}."
    ]
    if absent:
        come = "are left out" if drawn else "are read from their files where the page was written"
        lines.append(
            f"{len(pictures):,} pictures are inside the page, first those of the images whose costs differ most; the other "
            f"{absent:,} {come}." + (f" {unreadable:,} could not be read when it was made." if unreadable else "")
        )
    return page(
        given.title,
        SECTIONS,
        content,
        [own_text(__package__, f"{name}.js") for name in SCRIPTS],
        lines=lines,
        figures=_summary(rows, reference),
        styles=[own_text(__package__, "page.css")],
        keys="f goes to the images; arrow keys walk through tables and images, Enter opens",
        links_images=not drawn,
    )


def _most_different(found: Sequence[Found], reference: int) -> Iterator[int]:
    """All images, the largest difference of a group's cost from the reference's first."""
    costs = np.stack([one.costs for one in found])
    yield from np.argsort(-np.abs(costs - costs[reference]).max(axis=0), kind="stable").tolist()


def _summary(rows: Sequence[Measured], reference: int) -> list[Figure]:
    def ap(row: Measured) -> str:
        return mean_and_deviation(*statistics_of([run.metrics["AP"] for run in row.group.runs]), 3)

    def shown(row: Measured) -> Figure:
        return Figure(ap(row), "AP", row.group.label)

    others = [row for i, row in enumerate(rows) if i != reference]
    if len(others) > 1:
        verdicts = Counter(row.difference.verdict for row in others if row.difference)
        counted = [Figure(str(verdicts[word]), word, "than the reference in AP") for word in ("better", "worse")]
        return [shown(rows[reference]), *(counted if verdicts else [])]
    difference = others[0].difference
    figures = [shown(rows[reference]), shown(others[0])]
    if difference:
        figures.append(Figure(f"{difference.ap:+.3f}", "difference", f"95 %: {interval_text(difference.interval)}"))
        figures.append(Figure(difference.verdict, "verdict", _p(difference.corrected)))
    return figures


def _p(value: float | None) -> str:
    return "no interval" if value is None else f"corrected p {p_text(value)}"
