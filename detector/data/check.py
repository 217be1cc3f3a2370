"""`scripts/check_data.py`: what a data set holds and everything that is wrong with it, before a GPU hour is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.data.dataset import training_samples
from detector.data.images.orientation import turned_by_exif
from detector.data.index import Index, Problem
from detector.data.options import CheckData
from detector.data.read import has_test, read_split
from detector.data.statistics import (
    QUANTILES,
    FileFindings,
    Statistics,
    decode_all,
    duplicate_boxes,
    repeated_images,
    statistics,
)
from detector.errors import UserError
from detector.output import output_folder, write_picture
from detector.visualization.draw import contact_sheet, draw_target
from detector.visualization.text_table import terminal

REPORT, SHEET = "report.txt", "samples.png"


@dataclass(frozen=True)
class Report:
    """What `check` found."""

    class_names: tuple[str, ...]
    image_size: int
    splits: dict[str, Statistics]
    problems: dict[str, list[Problem]]
    """Problems by split; those between splits are with the later one."""
    notes: dict[str, list[str]]
    """Notes by split: how its files were understood."""
    folder: Path
    """The folder of the report and the pictures."""

    def __str__(self) -> str:
        notes = [f"{split}: {note}" for split, found in self.notes.items() for note in found]
        parts = [_table(self), *notes, *(_problem_list(split, found) for split, found in self.problems.items())]
        return "\n\n".join(parts)


def check(settings: CheckData) -> Report:
    """Reads every split, decodes every image, draws training samples; prints the report and writes it to a folder.

    Raises:
        UserError: no split can be read at all, or the training samples cannot be made.
    """
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
            problems[split] = [*indices[split].problems, *duplicate_boxes(indices[split])]
    if class_names is None:
        assert failure is not None
        raise failure

    findings = {split: decode_all(index) for split, index in indices.items()}
    for split, found in findings.items():
        problems[split] += found.problems
    for problem in repeated_images({split: (indices[split], findings[split]) for split in indices}):
        problems[problem.what.split()[0]].append(problem)

    folder = output_folder(settings.output, Path("runs") / "check_data")
    report = Report(
        class_names=class_names,
        image_size=settings.image_size,
        splits={split: statistics(index, settings.image_size) for split, index in indices.items()},
        problems=problems,
        notes={
            split: index.notes + findings[split].notes + ([line] if (line := turned_by_exif(index)) else [])
            for split, index in indices.items()
        },
        folder=folder,
    )
    (folder / REPORT).write_text(f"{report}\n", encoding="utf-8")
    print(report)
    if "train" in indices and settings.samples > 0:
        _draw_samples(settings, indices["train"], findings["train"], folder)
    print(f"\nWritten to {folder}")
    return report


def _draw_samples(settings: CheckData, index: Index, findings: FileFindings, folder: Path) -> None:
    """Pictures of training samples, augmented as in the first epoch, and all of them on one sheet."""
    usable = [i for i in range(len(index)) if i not in findings.faulty]
    if not usable:
        return
    batch = training_samples(
        index.subset(usable), settings.image_size, settings.augment, settings.seed, settings.samples
    )
    pictures = [
        draw_target(image, target, index.class_names)
        for image, target in zip(batch.images.permute(0, 2, 3, 1).numpy(), batch.targets, strict=True)
    ]
    for number, picture in enumerate(pictures):
        write_picture(folder / f"sample_{number:03d}.png", picture)
    captions = [str(target.image_id) for target in batch.targets]
    write_picture(folder / SHEET, contact_sheet(pictures, columns=4, captions=captions))


def _table(report: Report) -> str:
    splits = list(report.splits.values())
    rows: list[tuple[str, Sequence[object]]] = [
        ("", list(report.splits)),
        ("images", [s.images for s in splits]),
        ("  without objects", [s.without_objects for s in splits]),
        ("objects", [s.objects for s in splits]),
        ("  of these crowd or difficult", [s.crowds for s in splits]),
        *((f"  {name}", [s.per_class[label] for s in splits]) for label, name in enumerate(report.class_names)),
        ("annotated area (pixels² of the image)", [""] * len(splits)),
        ("  small, under 32²", [s.per_size[0] for s in splits]),
        ("  medium, under 96²", [s.per_size[1] for s in splits]),
        ("  large", [s.per_size[2] for s in splits]),
        (f"box side at image_size={report.image_size} (pixels)", [""] * len(splits)),
        *(
            (f"  {_quantile_name(q)}", [f"{s.sides[n]:.1f}" if s.sides else "-" for s in splits])
            for n, q in enumerate(QUANTILES)
        ),
    ]
    return terminal([[name, *map(str, values)] for name, values in rows])


def _quantile_name(quantile: float) -> str:
    return {0.0: "smallest", 0.5: "median", 1.0: "largest"}.get(quantile, f"{quantile:.0%} are below")


def _problem_list(split: str, problems: Sequence[Problem]) -> str:
    if not problems:
        return f"{split}: no problem"
    lines = [f"{problem.kind}: {problem.where}: {problem.what}" for problem in sorted(problems, key=lambda p: p.kind)]
    return "\n".join(
        [f"{split}: {len(problems)} problem{'s' if len(problems) > 1 else ''}", *(f"  {x}" for x in lines)]
    )
