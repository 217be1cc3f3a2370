"""Forest plots: a line for each group with its AP, or with how far its AP lies from the reference's, and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

from matplotlib.axes import Axes

from detector.evaluation.comparison import CONFIDENCE
from detector.experiments.compare.groups import Group
from detector.experiments.compare.table import COLUMNS, Measured, column_statistics, mean_and_deviation

IMAGES, SEEDS = "#0072B2", "#E69F00"


def draw_differences(panel: Axes, rows: Sequence[Measured], reference: Group) -> str:
    """Each group's AP minus the reference's: thick the interval over images, thin the one over images and seeds."""
    percent = f"{CONFIDENCE:.0%}"
    for place, row in enumerate(rows):
        found = row.difference
        if found is None:
            panel.plot(0, place, "D", color="black", zorder=4)
            continue
        if found.over_images_and_seeds:
            panel.hlines(
                place, *found.over_images_and_seeds, color=SEEDS, linewidth=2, label=f"{percent} over images and seeds"
            )
        panel.hlines(place, *found.over_images, color=IMAGES, linewidth=6, alpha=0.75, label=f"{percent} over images")
        panel.plot(found.ap, place, "o", color="black", zorder=4)
    panel.axvline(0, color="black", linewidth=0.8)
    name = reference.label or "the reference"
    title = f"AP minus AP of {name} ({mean_and_deviation(*_ap(rows, reference), 3)})"
    panel.set_xlabel(fill(title, 60))
    told = [(row.difference and f"{row.difference.ap:+.3f}") or "reference" for row in rows]
    _finish(panel, rows, told)
    handles = dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
    panel.legend(
        handles.values(), handles.keys(), loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False
    )
    return f"AP minus AP of {name}"


def draw_aps(panel: Axes, rows: Sequence[Measured], reference: Group) -> str:
    """Each group's AP, with a bar of one standard deviation over its seeds."""
    told = []
    for place, row in enumerate(rows):
        mean, deviation = column_statistics(row, COLUMNS[0])
        told.append(mean_and_deviation(mean, deviation, 3))
        if mean is not None:
            panel.errorbar(mean, place, xerr=deviation or None, fmt="o", color=IMAGES, capsize=4)
    panel.set_xlabel("AP on val (COCO)")
    _finish(panel, rows, told)
    return "AP of each"


def _ap(rows: Sequence[Measured], reference: Group) -> tuple[float | None, float | None]:
    return next(column_statistics(row, COLUMNS[0]) for row in rows if row.group is reference)


def _finish(panel: Axes, rows: Sequence[Measured], told: Sequence[str]) -> None:
    """Names on the left, numbers on the right, the first group on top."""
    panel.set_yticks(range(len(rows)), [fill(row.group.label, 36, break_long_words=False) for row in rows])
    panel.set_ylim(len(rows) - 0.4, -0.6)
    right = panel.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), told)
    right.tick_params(length=0)
    panel.grid(axis="x", alpha=0.3)
    panel.set_axisbelow(True)
