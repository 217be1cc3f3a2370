"""A picture of what groups of runs differ in: the stages of a detection, AP by size of the objects, AP by class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from detector.experiments.compare.classes import ClassAP, by_difference
from detector.experiments.compare.table import COLUMNS, STAGE_COLUMNS, Column, Measured, column_statistics, present

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
"""Colours that colour-blind people can distinguish too (Okabe & Ito 2008); in groups of many bars the hatches help."""
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "ooo", "+++")
MOST_CLASSES = 20
WIDTH = 0.8
"""Width of all bars at one place together, as a share of the distance between places."""


def plot_details(rows: Sequence[Measured], classes: Sequence[ClassAP], reference: int, file: Path) -> None:
    """A panel for AP by size, one for the stages where they were measured, one for the classes where there are several.

    Bars have lines of one standard deviation where there are several runs. With many classes those are shown whose AP
    differs most.
    """
    stages = present(STAGE_COLUMNS, rows)
    differing = _most_different(classes, reference) if len(rows) > 1 else []
    places = len(differing) * (len(rows) - 1)
    panels = [["stages", "sizes"] if stages else ["sizes", "sizes"]] + ([["classes", "classes"]] if differing else [])
    heights = [4.0] + ([1.1 + 0.24 * max(places, 3)] if differing else [])
    figure = Figure(figsize=(10, sum(heights) + 0.25 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes: dict[str, Axes] = figure.subplot_mosaic(panels, height_ratios=heights)
    if stages:
        _draw_bars(axes["stages"], rows, stages)
        axes["stages"].set(title="one image, by stage", ylabel="ms")
        axes["stages"].set_xticks(range(len(stages)), [one.title.removesuffix(" ms") for one in stages])
    sizes = [column for column in COLUMNS if column.key in ("AP", "APs", "APm", "APl")]
    _draw_bars(axes["sizes"], rows, sizes)
    axes["sizes"].set(title="AP on val (COCO), of all objects and by size")
    axes["sizes"].set_xticks(range(len(sizes)), [one.title for one in sizes])
    if differing:
        _draw_classes(axes["classes"], rows, differing, reference)
        shown = "" if len(differing) == len(classes) else f", the {len(differing)} classes that differ most"
        axes["classes"].set_title(f"AP of a class minus that of {_short(rows[reference].group.label)}{shown}")
    figure.legend(*axes["sizes"].get_legend_handles_labels(), loc="outside lower center")
    figure.savefig(file, dpi=120)


def _most_different(classes: Sequence[ClassAP], reference: int) -> list[ClassAP]:
    """At most `MOST_CLASSES`, the highest difference first; none where there is but one class."""
    if len(classes) == 1:
        return []

    def largest(one: ClassAP) -> float:
        return max(abs(one.difference(group, reference) or 0.0) for group in range(len(one.aps)) if group != reference)

    found = [one for one in classes if one.objects]
    return by_difference(sorted(found, key=largest, reverse=True)[:MOST_CLASSES], reference)


def _draw_bars(panel: Axes, rows: Sequence[Measured], columns: Sequence[Column]) -> None:
    """A bar for each group at each column, with its value on top."""
    highest = 0.0
    for number, row in enumerate(rows):
        for place, column in enumerate(columns):
            mean, deviation = column_statistics(row, column)
            if mean is None:
                continue
            x = place + _offset(number, len(rows))
            panel.bar(x, mean, WIDTH / len(rows), yerr=deviation or None, capsize=3, **_look(number))
            top = mean + (deviation or 0.0)
            panel.annotate(
                f"{mean:.{column.digits}f}", (x, top), (0, 2), textcoords="offset points", ha="center",
                fontsize=9 if len(rows) < 3 else 8, rotation=0 if len(rows) < 3 else 90,
            )  # fmt: skip
            highest = max(highest, top)
        panel.bar(0, 0, 0, label=_short(row.group.label), **_look(number))  # for the legend, whatever is missing
    panel.set_ylim(0, (1.12 if len(rows) < 3 else 1.2) * highest or 1)
    panel.grid(axis="y", alpha=0.3)
    panel.set_axisbelow(True)


def _draw_classes(panel: Axes, rows: Sequence[Measured], classes: Sequence[ClassAP], reference: int) -> None:
    """A horizontal bar for each group but the reference at each class, the first class on top."""
    others = [group for group in range(len(rows)) if group != reference]
    widest = 0.0
    for place, one in enumerate(classes):
        for number, group in enumerate(others):
            change = one.difference(group, reference)
            if change is None:
                continue
            y = place + _offset(number, len(others))
            panel.barh(y, change, WIDTH / len(others), **_look(group))
            side = 1 if change >= 0 else -1
            panel.annotate(
                f"{change:+.3f}", (change, y), (3 * side, 0), textcoords="offset points",
                ha="left" if side > 0 else "right", va="center", fontsize=9 if len(others) < 3 else 7,
            )  # fmt: skip
            widest = max(widest, abs(change))
    panel.set_yticks(range(len(classes)), [f"{_short(one.name, 24)} ({one.objects})" for one in classes])
    panel.invert_yaxis()
    panel.set_xlim(-1.2 * widest or -1, 1.2 * widest or 1)
    panel.axvline(0, color="black", linewidth=0.8)
    panel.grid(axis="x", alpha=0.3)
    panel.set_axisbelow(True)


def _offset(number: int, of: int) -> float:
    return ((number + 0.5) / of - 0.5) * WIDTH


def _look(number: int) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "hatch": HATCHES[number % len(HATCHES)],
        "edgecolor": "white" if HATCHES[number % len(HATCHES)] else "none",
    }


def _short(text: str, most: int = 70) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
