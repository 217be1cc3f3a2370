"""The numbers of `evaluate` for people: a table for the terminal and a line for the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detector.visualization.text_table import terminal


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
