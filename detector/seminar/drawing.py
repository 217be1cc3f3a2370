"""A figure without a window, and where it goes."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """A new figure; `width` and `height` are in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, folder: Path, question: str) -> Path:
    """Writes `folder/QUESTION.png`."""
    file = folder / f"{question}.png"
    figure.savefig(file, dpi=110)
    return file
