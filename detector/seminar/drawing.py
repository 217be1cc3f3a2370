"""Draws the panels of an answer; everything that a figure shows stands in them as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from detector.seminar.answer import Panel

MARKERS = "osD^v<>Pp*X"
ACROSS = 3
"""Panels in a row."""


def draw(panels: Sequence[Panel], file: Path) -> Path:
    """Writes a figure of the panels as PNG."""
    across = 2 if len(panels) == 4 else min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(5.2 * across, 4.4 * down), layout="constrained")
    FigureCanvasAgg(figure)
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(down, across, number)
        {"lines": _lines, "bars": _bars, "image": _image}[panel.kind](axes, panel)
        axes.set_title(panel.title, fontsize=10)
        axes.set_xlabel(panel.x_label)
        axes.set_ylabel(panel.y_label)
    figure.savefig(file, dpi=110)
    return file


def _lines(axes: Axes, panel: Panel) -> None:
    for number, one in enumerate(panel.series):
        y = [value if isfinite(value) else nan for value in one.y]  # a line ends where the numbers do
        marker = MARKERS[number % len(MARKERS)] if len(one.x) <= 30 else ""
        width = max(1.2, 4 - 0.7 * number)  # a line below another one stays visible
        axes.plot(one.x, y, marker=marker, markersize=4, linewidth=width, label=one.name, alpha=0.8)
    if panel.log_x:
        axes.set_xscale("log", base=2)
        places = sorted({value for one in panel.series for value in one.x})
        axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.grid(alpha=0.3)
    _finish(axes, panel)


def _bars(axes: Axes, panel: Panel) -> None:
    width = 0.8 / len(panel.series)
    for number, one in enumerate(panel.series):
        places = [place + width * (number - (len(panel.series) - 1) / 2) for place in range(len(one.y))]
        heights = [value if isfinite(value) else 0.0 for value in one.y]
        bars = axes.bar(places, heights, 0.92 * width, label=one.name)
        texts = [f"{value:.3g}" if isfinite(value) else "not finite" for value in one.y]
        axes.bar_label(bars, texts, fontsize=7, rotation=90 if len(panel.series) * len(one.y) > 12 else 0, padding=2)
    slanted = max(map(len, panel.ticks)) * len(panel.ticks) > 48
    axes.set_xticks(
        range(len(panel.ticks)), panel.ticks, rotation=30 if slanted else 0, ha="right" if slanted else "center"
    )
    axes.tick_params(axis="x", labelsize=8)
    axes.margins(y=0.45 if len(panel.series) > 1 else 0.18)  # room for the legend
    _finish(axes, panel)


def _image(axes: Axes, panel: Panel) -> None:
    shown = axes.imshow(panel.values, cmap="viridis")
    if len(panel.values) * len(panel.values[0]) <= 36:
        middle = sum(shown.get_clim()) / 2
        for row, values in enumerate(panel.values):
            for column, value in enumerate(values):
                colour = "white" if value < middle else "black"
                axes.text(column, row, f"{value:.2g}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(panel.ticks)), panel.ticks)
    axes.set_yticks(range(len(panel.rows)), panel.rows)


def _finish(axes: Axes, panel: Panel) -> None:
    if panel.log_y:
        axes.set_yscale("log")
    for name, level in panel.levels.items():
        axes.axhline(level, color="0.5", linestyle=":", linewidth=1.2, label=name)
    if panel.largest is not None:
        axes.set_ylim(top=panel.largest)
    if len(panel.series) + len(panel.levels) > 1:
        axes.legend(fontsize=7, **({"loc": "upper center", "ncols": 3} if panel.kind == "bars" else {}))
