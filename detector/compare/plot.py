"""AP against what it costs, as a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from detector.compare.table import COLUMNS, Column, Measured, column_statistics

MARKERS = "osD^v<>Pp*Xhd"
SIDE_BY_SIDE = 0.015
"""Distance of groups of the same cost, as a share of the largest cost: a point rather too far right than hidden."""
COLOURS = colormaps["tab10"].colors  # type: ignore[attr-defined]


def plot_costs(rows: Sequence[Measured], file: Path) -> None:
    """One panel for GFLOPs, and one for latency where it was measured: a point a group, bars of one standard deviation."""
    by_key = {column.key: column for column in COLUMNS}
    costs = [by_key[key] for key in ("gflops", "latency_ms") if column_statistics(rows[0], by_key[key])[0] is not None]
    figure = Figure(figsize=(4.6 * len(costs) + 0.4, 4.2 + 0.22 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for panel, cost in zip(panels, costs, strict=True):
        _draw(panel, rows, cost, by_key["AP"])
    panels[0].set_ylabel("AP on val (COCO)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", fontsize="small")
    figure.savefig(file, dpi=120)


def _draw(panel: Axes, rows: Sequence[Measured], cost: Column, ap: Column) -> None:
    points = [(column_statistics(row, cost), column_statistics(row, ap)) for row in rows]
    largest = max((x for (x, _), _ in points if x is not None), default=0.0)
    drawn_at: Counter[float] = Counter()
    for number, ((x, x_deviation), (y, y_deviation)) in enumerate(points):
        if x is None or y is None:
            continue
        panel.errorbar(
            x + drawn_at[x] * SIDE_BY_SIDE * largest,
            y,
            xerr=x_deviation or None,
            yerr=y_deviation or None,
            fmt=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            capsize=3,
            label=rows[number].group.label,
        )
        drawn_at[x] += 1
    panel.set_xlabel(cost.title)
    panel.set_xlim(0, 1.08 * panel.dataLim.x1 or None)
    panel.grid(alpha=0.3)
