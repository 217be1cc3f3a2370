"""What is said of two groups of runs, or of different kinds of models, beyond the table of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detector.data.index import Index
from detector.experiments.compare.classes import class_aps, class_cells
from detector.experiments.compare.detail_plot import plot_details
from detector.experiments.compare.detections import same_objects
from detector.experiments.compare.report import companion, link
from detector.experiments.compare.table import Measured, detail_cells


@dataclass
class Details:
    """Parts of a section."""

    tables: list[list[list[str]]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    """Links in Markdown, to `files`."""
    files: list[Path] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def write_details(
    rows: Sequence[Measured], reference: int, indexes: Mapping[Path, Index], file: Path, title: str
) -> Details:
    """Tables of stages and of classes, and their figure, which is written beside the Markdown `file`.

    `indexes` are the validation splits by run folder.
    """
    details = Details()
    if cells := detail_cells(rows):
        details.tables.append(cells)
    splits = [indexes[one.folder] for row in rows for one in row.group.runs]
    shared = all(same_objects(one, splits[0]) for one in splits)
    classes = class_aps(rows, splits[0]) if shared else []
    if shared:
        details.tables.append(class_cells(rows, classes, reference))
    else:
        details.remarks.append("The runs were measured on different validation data: no AP of classes, no page.")

    figure = companion(file, title, ".details.png")
    plot_details(rows, classes, reference, figure)
    details.files.append(figure)
    details.links.append(f"!{link('Stages, AP by size, AP of classes', figure, file)}")
    return details
