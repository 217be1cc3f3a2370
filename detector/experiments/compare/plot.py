"""The figure of AP: against what it costs, or of each group where all cost the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from detector.experiments.compare.forest_plot import draw_aps
from detector.experiments.compare.groups import Group
from detector.experiments.compare.table import COLUMNS, Column, Measured, column_statistics

MARKERS = "osD^v<>Pp*Xhd"
COLOURS = colormaps["tab10"].colors  # type: ignore[attr-defined]
SAME_COST = 0.001
"""Relative difference of GFLOPs, which depend on nothing but the network and the sizes of the images."""
TIED = 0.01
"""Share of both axes within which a marker would hide another."""


def plot_comparison(rows: Sequence[Measured], reference: Group, file: Path) -> str | None:
    """Draws AP, and gives the figure's title.

    Where the groups cost different GFLOPs: AP against GFLOPs, and against latency where it was measured, a point a group
    with bars of one standard deviation. Where all cost the same: each AP; nothing, and None, where their differences are
    known, which `plot_forest` draws.
    """
    if len(rows) > 1 and cost_the_same(rows):
        if any(row.differences for row in rows):
            return None
        figure = Figure(figsize=(8.4, 1.7 + 0.42 * len(rows)), layout="constrained")
        FigureCanvasAgg(figure)
        title = draw_aps(figure.add_subplot(), rows)
    else:
        figure = _costs(rows)
        title = "AP against cost"
    figure.savefig(file, dpi=120)
    return title


def cost_the_same(rows: Sequence[Measured]) -> bool:
    """Whether no group has more GFLOPs than another."""
    found = [column_statistics(row, _column("gflops"))[0] for row in rows]
    values = [value for value in found if value is not None]
    return len(values) == len(rows) and max(values) - min(values) <= SAME_COST * max(values)


def _column(key: str) -> Column:
    return next(column for column in COLUMNS if column.key == key)


def _costs(rows: Sequence[Measured]) -> Figure:
    costs = [one for one in map(_column, ("gflops", "latency_ms")) if column_statistics(rows[0], one)[0] is not None]
    figure = Figure(figsize=(4.6 * len(costs) + 0.4, 4.2 + 0.22 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for panel, cost in zip(panels, costs, strict=True):
        _draw(panel, rows, cost)
    panels[0].set_ylabel("AP on val (COCO)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", fontsize="small")
    return figure


def _draw(panel: Axes, rows: Sequence[Measured], cost: Column) -> None:
    """Points lie where they belong; of those in one place a later one is smaller and lies on top."""
    points = [(column_statistics(row, cost), column_statistics(row, _column("AP"))) for row in rows]
    known = [(x, y) for (x, _), (y, _) in points if x is not None and y is not None]
    wide, high = max((x for x, _ in known), default=1.0), max((y for _, y in known), default=1.0)

    def beneath(number: int) -> int:
        """How many later points lie in the place of this one."""
        (x, _), (y, _) = points[number]
        later = [(x2, y2) for (x2, _), (y2, _) in points[number + 1 :] if x2 is not None and y2 is not None]
        return sum(abs(x2 - x) <= TIED * wide and abs(y2 - y) <= TIED * high for x2, y2 in later)  # type: ignore[operator]

    for number, ((x, x_deviation), (y, y_deviation)) in enumerate(points):
        if x is None or y is None:
            continue
        panel.errorbar(
            x,
            y,
            xerr=x_deviation or None,
            yerr=y_deviation or None,
            fmt=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            markersize=6 + 5 * beneath(number),
            capsize=3,
            label=rows[number].group.label,
        )
    panel.set_xlabel(cost.title)
    panel.set_xlim(0, 1.08 * panel.dataLim.x1 or None)
    panel.grid(alpha=0.3)
