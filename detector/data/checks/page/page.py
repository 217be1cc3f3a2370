"""`report.html`: what a data set holds, what is wrong with it and what training sees of it, as one file to open."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import numpy as np

from detector.data.checks.finding import group_of
from detector.data.checks.page.distributions import distributions
from detector.data.checks.page.pictures import Pictures, of_findings
from detector.data.checks.report import Report
from detector.types import Batch
from detector.visualization.page.shell import Figure, Section, own_text, page

SCRIPTS = ("findings", "contents", "training")
_SAMPLES_MEGABYTES = 2.0
_ORDER = ("leaks", "files", "objects", "duplicates", "suspicions")


def data_page(report: Report, samples: Batch | None, megabytes: float) -> str:
    """The page.

    Args:
        report: what was found.
        samples: training images as the model sees them; None where none were drawn.
        megabytes: the most that pictures take, samples included.
    """
    findings = sorted(report.findings(), key=lambda one: _ORDER.index(group_of(one[1].kind)))
    root = _common_folder(report)
    room = min(_SAMPLES_MEGABYTES, megabytes / 2) if samples is not None else 0.0
    pictures = Pictures(report.indices, root, report.folder, room)
    shown_samples = [] if samples is None else _samples(pictures, samples, report.class_names)
    pictures.left = 1e6 * megabytes - (1e6 * room - pictures.left)
    of_finding = of_findings(pictures, findings)
    sections = [
        Section("findings", "What was found"),
        Section("copies", "Pictures that are there twice"),
        Section("contents", "What is in it"),
        Section("positions", "Where objects lie"),
        Section("training", "What training sees"),
    ]
    data: dict[str, Any] = {
        "classNames": report.class_names,
        "imageSize": report.image_size,
        "splits": [
            {
                "name": split,
                "images": found.images,
                "withoutObjects": found.without_objects,
                "objects": found.objects,
                "crowds": found.crowds,
                "perClass": found.per_class,
                "perSize": found.per_size,
                "imagesOfClass": _images_of_class(report, split),
            }
            for split, found in report.splits.items()
        ],
        "findings": [
            {
                "kind": one.kind,
                "group": group_of(one.kind),
                "split": split,
                "where": one.where.removeprefix(root),
                "what": one.what.replace(root, "") if root else one.what,
                "boxes": one.boxes,
                "picture": of_finding.get(n, (None, None))[0],
                "other": of_finding.get(n, (None, None))[1],
                "hasPlace": one.place is not None,
                "isPair": one.other is not None,
            }
            for n, (split, one) in enumerate(findings)
        ],
        "notes": [f"{split}: {note}" for split, found in report.notes.items() for note in found],
        "pictures": pictures.shown,
        "samples": shown_samples,
        "distributions": distributions(report.indices, report.image_size),
    }
    splits = ", ".join(f"{split} {found.images:,}" for split, found in report.splits.items())
    problems, suspicions = (sum(map(len, found.values())) for found in (report.problems, report.suspicions))
    groups = Counter(group_of(one.kind) for _, one in findings)
    figures = [
        Figure(f"{sum(s.images for s in report.splits.values()):,}", "images", splits),
        Figure(f"{sum(s.objects for s in report.splits.values()):,}", "objects", f"{len(report.class_names)} classes"),
        Figure(f"{problems:,}", "problem" if problems == 1 else "problems", "certainly wrong"),
        Figure(f"{suspicions:,}", "suspicion" if suspicions == 1 else "suspicions", "want a look"),
        Figure(f"{groups['leaks']:,}", "leaks between splits", f"{groups['duplicates']:,} copies within a split"),
    ]
    return page(
        "Data set check",
        sections if samples is not None else sections[:-1],
        data,
        [own_text(__package__, f"{name}.js") for name in SCRIPTS],
        lines=[f"Names of files are those below {root}"] if root else [],
        figures=figures,
        styles=[own_text(__package__, "page.css")],
        keys="arrow keys walk through tables, pictures and charts",
        links_images=True,
    )


def _samples(pictures: Pictures, samples: Batch, class_names: tuple[str, ...]) -> list[int]:
    images = samples.images.permute(0, 2, 3, 1).numpy()
    return [
        pictures.sample(
            image,
            target.boxes.numpy(),
            [class_names[label] for label in target.labels.tolist()],
            str(target.image_id),
        )
        for image, target in zip(images, samples.targets, strict=True)
    ]


def _images_of_class(report: Report, split: str) -> list[int]:
    index = report.indices[split]
    owners = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    distinct = np.unique(np.column_stack([owners, index.labels]), axis=0)
    return [int(n) for n in np.bincount(distinct[:, 1], minlength=len(report.class_names))]


def _common_folder(report: Report) -> str:
    """The folder, with a slash at its end, that all image files lie below; empty where there is none or all are drawn."""
    folders = {os.path.dirname(file) for index in report.indices.values() for file in index.files.tolist()}
    if not all(folders):
        return ""
    common = os.path.commonpath([os.path.abspath(folder) for folder in folders])
    relative = os.path.commonpath(folders) if len({os.path.isabs(folder) for folder in folders}) == 1 else ""
    return f"{relative}/" if relative and len(common) > 1 else ""
