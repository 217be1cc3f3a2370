"""The numbers of `evaluate` for people: what is printed before and after, a table for the terminal, a line for the log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detector.data.index import Index
from detector.data.paths import nearest_names
from detector.data.problems import summarise
from detector.output import write_json
from detector.visualization.text_table import terminal

METRICS = "metrics.json"


def introduce(index: Index, split: str) -> None:
    """Prints what will be measured, and what is wrong with it."""
    objects = len(index.annotations)
    print(f"data: {len(index)} images of the {split} split, {objects} objects of {classes_in_words(index.class_names)}")
    for note in index.notes:
        print(note)
    if index.problems:
        print(f"problems in the data: {summarise(index.problems)}")


def measured(index: Index, split: str) -> dict[str, Any]:
    """What `metrics.json` says of the images that its numbers are about."""
    return {
        "split": split,
        "images": len(index),
        "category_ids": dict(zip(index.class_names, index.category_ids, strict=True)),
    }


def conclude(folder: Path, metrics: dict[str, Any], *files: str) -> dict[str, Any]:
    """Writes `metrics.json`, prints its table, and names it and the other files of the folder."""
    write_json(folder / METRICS, metrics)
    print(table(metrics))
    if "images_per_second" in metrics:
        print(f"{metrics['images_per_second']:.1f} images a second, reading included")
    print(f"everything lies in {folder}: {', '.join([METRICS, *files])}")
    return metrics


def classes_in_words(names: tuple[str, ...]) -> str:
    """Such as `3 classes (cat, dog, horse)`."""
    return f"{len(names)} class{'' if len(names) == 1 else 'es'} ({nearest_names(names, '')})"


def summary(metrics: Mapping[str, Any], best: float | None = None) -> str:
    """One line: `AP 0.512 AP50 0.803 (best 0.512)`; `best` is the best AP so far, left out where None."""
    line = f"AP {_number(metrics['AP'])} AP50 {_number(metrics['AP50'])}"
    return line if best is None else f"{line} (best {_number(best)})"


def table(metrics: Mapping[str, Any]) -> str:
    """A table of several lines, without a final line break; a dash stands where there is no object to find."""
    titles = ("AP", "AP50", "AP75", "AR1", "AR10", "AR100")

    def numbers(title: str, *values: float | None) -> list[str]:
        return [title, *map(_number, values)]

    rows = [
        ["", *titles],
        numbers("COCO", *(metrics[key] for key in titles)),
        [],
        ["size", "small", "medium", "large"],
        numbers("AP", metrics["APs"], metrics["APm"], metrics["APl"]),
        numbers("AR", metrics["ARs"], metrics["ARm"], metrics["ARl"]),
        [],
        ["", "11-pt", "area"],
        numbers("VOC50", *_voc(metrics["voc"])),
        [],
        ["class", "AP", "AP50", "11-pt", "area"],
        *(
            numbers(name, values["AP"], values["AP50"], *_voc(metrics["voc"]["per_class"][name]))
            for name, values in metrics["per_class"].items()
        ),
    ]
    return terminal([row + [""] * (1 + len(titles) - len(row)) for row in rows])


def _voc(averages: Mapping[str, Any]) -> tuple[float | None, float | None]:
    return averages["AP50_11point"], averages["AP50_area"]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
