"""Heat maps of a network's health: layers from the image downwards, steps from left to right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from detector.training.health.measure import LayerHealth

PANELS = (
    ("dead", "share of dead channels", False, (0.0, 1.0)),
    ("activation", "size of activations, log₁₀", True, (-4.0, 4.0)),
    ("gradient", "relative gradient, log₁₀", True, (-8.0, 2.0)),
    ("update", "relative update, log₁₀", True, (-6.0, 0.0)),
)
"""Measure, title, whether on a log scale, and the range of colours, the same for all pictures: so two can be compared."""
MOST_NAMES = 40


def draw_health(file: Path, histories: Mapping[str, Mapping[int, Sequence[LayerHealth]]]) -> None:
    """Writes a PNG: a row of heat maps for each history (title → step → layers). Grey: not finite, or not measured."""
    figure = Figure(figsize=(16, 1 + 4.2 * len(histories)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(histories), len(PANELS), squeeze=False)
    for axes_of_row, (title, history) in zip(rows, histories.items(), strict=True):
        for axes, (measure, name, is_log, limits) in zip(axes_of_row, PANELS, strict=True):
            layers, values = _matrix(history, measure)
            axes.set_title(name, fontsize=10)
            if axes is axes_of_row[0]:
                axes.set_ylabel(title, fontsize=12)
            if not layers:
                absent = "no ReLU here:\nnothing that could be dead" if measure == "dead" else "not measured"
                axes.text(0.5, 0.5, absent, ha="center", va="center", transform=axes.transAxes)
                axes.set_xticks([])
                axes.set_yticks([])
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                shown = np.log10(np.maximum(values, 10.0 ** limits[0])) if is_log else values
            colours = axes.imshow(
                shown, aspect="auto", interpolation="nearest", vmin=limits[0], vmax=limits[1], cmap="viridis"
            )
            axes.set_facecolor("0.7")
            figure.colorbar(colours, ax=axes)
            steps = list(history)
            at = np.linspace(0, len(steps) - 1, min(5, len(steps))).round().astype(int)
            axes.set_xticks(at, [str(steps[i]) for i in at])
            axes.set_xlabel("step", fontsize=8)
            every = -(-len(layers) // MOST_NAMES)
            axes.set_yticks(range(0, len(layers), every), layers[::every], fontsize=5 if len(layers) > 12 else 7)
    figure.savefig(file, dpi=100)


def _matrix(history: Mapping[int, Sequence[LayerHealth]], measure: str) -> tuple[list[str], np.ndarray]:
    """The layers that have the measure, and its values [layers, steps], NaN where a step has none."""
    values = {
        (layer.name, step): value
        for step, layers in history.items()
        for layer in layers
        if (value := getattr(layer, measure)) is not None
    }
    names = list(dict.fromkeys(name for name, _ in values))
    return names, np.array([[values.get((name, step), np.nan) for step in history] for name in names])
