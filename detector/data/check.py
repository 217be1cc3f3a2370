"""`scripts/check_data.py`: what a data set holds and everything that is wrong with it, before a GPU hour is spent."""

from __future__ import annotations

from pathlib import Path

from detector.data.checks.boxes import duplicate_boxes, odd_boxes, overlapping_boxes
from detector.data.checks.classes import class_findings
from detector.data.checks.files import FileFindings, decode_all
from detector.data.checks.finding import Finding, group_of, located
from detector.data.checks.labels import suspected_labels
from detector.data.checks.page.page import data_page
from detector.data.checks.report import PRINTED_SUSPICIONS, Report
from detector.data.checks.similar_images import repeated_images, similar_images
from detector.data.dataset import training_samples
from detector.data.images.orientation import turned_by_exif
from detector.data.index import Index, Problem
from detector.data.options import CheckData
from detector.data.read import has_test, read_split
from detector.data.statistics import statistics
from detector.errors import RunError, UserError
from detector.output import output_folder, write_json, write_picture, write_text
from detector.types import Batch
from detector.visualization.draw import contact_sheet, draw_target

REPORT, JSON, PAGE, SHEET = "report.txt", "report.json", "report.html", "samples.png"


def check(settings: CheckData) -> Report:
    """Reads every split, decodes every image, draws training samples; prints the report and writes it to a folder.

    Raises:
        UserError: no split can be read at all, or the training samples cannot be made.
        RunError: there is something of `settings.fail_on`; all is written by then.
    """
    indices, problems = _read(settings)
    files = {split: decode_all(index) for split, index in indices.items()}
    notes = {
        split: index.notes + files[split].notes + ([line] if (line := turned_by_exif(index)) else [])
        for split, index in indices.items()
    }
    for split, index in indices.items():
        problems[split] += [*files[split].problems, *duplicate_boxes(index, split)]
    found = {split: located(of_split, split, indices.get(split)) for split, of_split in problems.items()}
    for one in [
        *_of_objects(indices, files, settings.image_size, notes),
        *_of_images(indices, files, notes),
        *class_findings(indices),
    ]:
        split = one.where.removeprefix("data.") if one.place is None else one.place[0]
        found[split].append(one)

    folder = output_folder(settings.output, Path("runs") / "check_data")
    report = Report(
        class_names=next(iter(indices.values())).class_names,
        image_size=settings.image_size,
        splits={split: statistics(index, settings.image_size) for split, index in indices.items()},
        indices=indices,
        problems=_grouped(found, suspicions=False),
        suspicions=_grouped(found, suspicions=True),
        notes=notes,
        folder=folder,
    )
    (folder / REPORT).write_text(f"{report}\n", encoding="utf-8")
    write_json(folder / JSON, report.as_json(settings.fail_on))
    print(report.text(PRINTED_SUSPICIONS))
    samples = _samples(settings, indices["train"], files["train"]) if "train" in indices else None
    if samples is not None:
        _write_samples(samples, report)
    write_text(folder / PAGE, data_page(report, samples, settings.report_mb))
    print(f"\nWritten to {folder}; open {PAGE} there")
    if failures := report.failures(settings.fail_on):
        counted = ", ".join(f"{number} × {kind}" for kind, number in sorted(failures.items()))
        raise RunError(f"fail_on=[{','.join(settings.fail_on)}]: {counted}; see {folder / PAGE}")
    return report


def _read(settings: CheckData) -> tuple[dict[str, Index], dict[str, list[Problem]]]:
    """The splits that can be read, and what reading found, by split."""
    data = settings.data
    indices: dict[str, Index] = {}
    problems: dict[str, list[Problem]] = {}
    class_names: tuple[str, ...] | None = None
    failure: UserError | None = None
    for split in ("train", "val", "test"):
        try:
            if split == "test" and not has_test(data):
                continue
            indices[split] = read_split(data, split, class_names)
        except UserError as error:
            failure = failure or error
            problems[split] = [Problem("unreadable split", f"data.{split}", str(error))]
        else:
            class_names = class_names or indices[split].class_names
            problems[split] = [*indices[split].problems]
    if class_names is None:
        assert failure is not None
        raise failure
    return indices, problems


def _of_objects(
    indices: dict[str, Index], files: dict[str, FileFindings], image_size: int, notes: dict[str, list[str]]
) -> list[Finding]:
    found = []
    for split, index in indices.items():
        found += overlapping_boxes(index, split) + odd_boxes(index, image_size, split)
    suspected, lines = suspected_labels({split: (indices[split], files[split].crops) for split in indices})
    notes[next(iter(indices))] += lines
    return found + suspected


def _of_images(indices: dict[str, Index], files: dict[str, FileFindings], notes: dict[str, list[str]]) -> list[Finding]:
    splits = {split: (indices[split], files[split]) for split in indices}
    similar, lines = similar_images(splits)
    notes[next(iter(indices))] += lines
    return repeated_images(splits) + similar


def _grouped(found: dict[str, list[Finding]], suspicions: bool) -> dict[str, list[Finding]]:
    """The suspicions of each split, or all others."""
    return {
        split: [one for one in of_split if (group_of(one.kind) == "suspicions") == suspicions]
        for split, of_split in found.items()
    }


def _samples(settings: CheckData, index: Index, findings: FileFindings) -> Batch | None:
    """Training images that can be read, augmented as in the first epoch; None where there is none or none is asked for."""
    usable = [i for i in range(len(index)) if i not in findings.faulty]
    if not usable or not settings.samples:
        return None
    return training_samples(
        index.subset(usable), settings.image_size, settings.augment, settings.seed, settings.samples
    )


def _write_samples(samples: Batch, report: Report) -> None:
    """Pictures of the samples, and all of them on one sheet."""
    pictures = [
        draw_target(image, target, report.class_names)
        for image, target in zip(samples.images.permute(0, 2, 3, 1).numpy(), samples.targets, strict=True)
    ]
    for number, picture in enumerate(pictures):
        write_picture(report.folder / f"sample_{number:03d}.png", picture)
    captions = [str(target.image_id) for target in samples.targets]
    write_picture(report.folder / SHEET, contact_sheet(pictures, columns=4, captions=captions))
