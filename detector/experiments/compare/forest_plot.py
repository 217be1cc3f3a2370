"""Forest plots: a line for each group or measure with how far it lies from the reference, and the intervals of that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from detector.evaluation.comparison import CONFIDENCE
from detector.evaluation.difference import Difference
from detector.experiments.compare.groups import Group
from detector.experiments.compare.table import COLUMNS, Measured, column_statistics, mean_and_deviation

IMAGES, SEEDS = "#0072B2", "#E69F00"
SHOWN_OF_MANY = ("AP", "AP50", "AP75")
"""The measures that are drawn of more than two groups."""


def plot_forest(rows: Sequence[Measured], reference: Group, file: Path) -> str | None:
    """Draws the differences from the reference, and gives the figure's title; nothing, and None, where there are none.

    Of two groups there is a line for each measure; of more a panel for AP, AP50 and AP75, with a line for each group.
    """
    compared = [row for row in rows if row.differences]
    if not compared:
        return None
    if len(rows) == 2:
        differences = compared[0].differences
        figure = _figure(8.4, 1.7 + 0.42 * len(differences))
        panel = figure.add_subplot()
        _draw_differences(panel, list(differences), list(differences.values()))
        title = f"{compared[0].group.label} minus {reference.label}"
        panel.set_xlabel(fill(title, 80))
    else:
        measures = [name for name in SHOWN_OF_MANY if all(name in row.differences for row in compared)]
        figure = _figure(3.6 + 3.4 * len(measures), 1.9 + 0.42 * len(rows))
        panels = figure.subplots(1, len(measures), squeeze=False)[0]
        for name, panel in zip(measures, panels, strict=True):
            names = [row.group.label if name == measures[0] else "" for row in rows]
            _draw_differences(panel, names, [row.differences.get(name) for row in rows])
            key = next(column for column in COLUMNS if column.key == name)
            own = next(column_statistics(row, key) for row in rows if row.group is reference)
            panel.set_xlabel(f"{name} (reference {mean_and_deviation(*own, 3)})")
        title = f"{', '.join(measures)} minus those of {reference.label or 'the reference'}"
        figure.suptitle(fill(title, 90), fontsize="medium")
    handles = dict(zip(*reversed(figure.axes[0].get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(file, dpi=120)
    return title


def draw_aps(panel: Axes, rows: Sequence[Measured]) -> str:
    """Each group's AP, with a bar of one standard deviation over its seeds."""
    told = []
    for place, row in enumerate(rows):
        mean, deviation = column_statistics(row, COLUMNS[0])
        told.append(mean_and_deviation(mean, deviation, 3))
        if mean is not None:
            panel.errorbar(mean, place, xerr=deviation or None, fmt="o", color=IMAGES, capsize=4)
    panel.set_xlabel("AP on val (COCO)")
    _finish(panel, [row.group.label for row in rows], told)
    return "AP of each"


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_differences(panel: Axes, names: Sequence[str], differences: Sequence[Difference | None]) -> None:
    """Thick the interval over images, thin the one over images and seeds; the reference, which is None, is a diamond at 0."""
    percent = f"{CONFIDENCE:.0%}"
    told = []
    for place, found in enumerate(differences):
        if found is None:
            panel.plot(0, place, "D", color="black", zorder=4)
            told.append("reference")
            continue
        if found.over_images_and_seeds:
            panel.hlines(
                place, *found.over_images_and_seeds, color=SEEDS, linewidth=2, label=f"{percent} over images and seeds"
            )
        if found.over_images:
            panel.hlines(
                place, *found.over_images, color=IMAGES, linewidth=6, alpha=0.75, label=f"{percent} over images"
            )
        panel.plot(found.ap, place, "o", color="black", zorder=4)
        told.append(f"{found.ap:+.3f}" + ("" if found.verdict == "undecided" else f" {found.verdict}"))
    panel.axvline(0, color="black", linewidth=0.8)
    _finish(panel, names, told)


def _finish(panel: Axes, names: Sequence[str], told: Sequence[str]) -> None:
    """Names on the left, numbers on the right, the first one on top."""
    panel.set_yticks(range(len(names)), [fill(name, 36, break_long_words=False) for name in names])
    panel.set_ylim(len(names) - 0.4, -0.6)
    right = panel.secondary_yaxis("right")
    right.set_yticks(range(len(names)), told)
    right.tick_params(length=0)
    panel.grid(axis="x", alpha=0.3)
    panel.set_axisbelow(True)
