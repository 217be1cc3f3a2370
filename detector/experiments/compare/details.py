"""What is said of two groups of runs, or of different kinds of models, beyond the table of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detector.data.index import Index
from detector.evaluation.per_image import match_detections
from detector.experiments.compare.classes import class_aps, class_cells
from detector.experiments.compare.detail_plot import plot_details
from detector.experiments.compare.detections import same_objects, stored_detections
from detector.experiments.compare.disagreement import Answers, answers
from detector.experiments.compare.page import disagreement_page
from detector.experiments.compare.report import companion, link
from detector.experiments.compare.runs import Run
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
    """Tables of stages and of classes and their figure; of two groups also the page of images where they disagree most.

    Figure and page are written beside the Markdown `file`. `indexes` are the validation splits by run folder.

    Raises:
        UserError: an image or a run's detections cannot be read.
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
        details.remarks.append("The runs were measured on different validation data: no AP of classes, no images.")

    figure = companion(file, title, ".details.png")
    plot_details(rows, classes, reference, figure)
    details.files.append(figure)
    details.links.append(f"!{link('Stages, AP by size, AP of classes', figure, file)}")
    if len(rows) == 2 and shared:
        pair = [rows[reference].group, rows[1 - reference].group]
        chosen = [group.runs[0] for group in pair]
        labels = [
            group.label + (f" (seed {group.runs[0].config.seed})" if len(group.runs) > 1 else "") for group in pair
        ]
        page = companion(file, title, ".html")
        page.write_text(
            disagreement_page(title, labels, [_answers(one, splits[0]) for one in chosen]), encoding="utf-8"
        )
        details.files.append(page)
        details.links.append(link("The images on which the two disagree most", page, file))
    return details


def _answers(run: Run, index: Index) -> Answers:
    return answers(match_detections(index, stored_detections(run, index)))
