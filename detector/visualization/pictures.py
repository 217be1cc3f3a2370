"""Pictures of a training: what the model is shown, what it answers, and how its numbers move."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from detector.errors import UserError
from detector.types import Batch, Detections, Target
from detector.visualization.draw import contact_sheet, draw_boxes, draw_target

Curve = tuple[np.ndarray, np.ndarray]

PREFIXES = ("train/", "val/", "lr")
"""What columns of losses, measurements and learning rates begin with."""
MAIN = ("val/AP", "val/AP50")
"""They have a panel of their own."""
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours that colour-blind people can distinguish too (Okabe & Ito 2008, Color Universal Design)."""
LINES = {
    "loss": ("#000000", "-"),
    "AP": ("#0072B2", "-"),
    "AP50": ("#D55E00", "-"),
    "AP75": ("#000000", "-"),
    **{
        f"{kind}{size}": (colour, line)
        for size, colour in (("s", "#CC79A7"), ("m", "#E69F00"), ("l", "#009E73"))
        for kind, line in (("AP", "-"), ("AR", "--"))
    },
    **{f"AR{number}": (colour, "--") for number, colour in ((1, "#56B4E9"), (10, "#0072B2"), (100, "#000000"))},
}
"""Name → colour and line. Small, medium and large objects have a colour each; recall is dashed."""


def batch_picture(batch: Batch, class_names: Sequence[str], most: int = 16, columns: int | None = None) -> np.ndarray:
    """The first `most` images of a training batch as the model sees them, with their boxes: uint8 RGB [H, W, 3].

    By default there are as many columns as rows.
    """
    images = batch.images[:most].permute(0, 2, 3, 1).cpu().numpy()
    targets = batch.targets[:most]
    drawn = [draw_target(image, target, class_names) for image, target in zip(images, targets, strict=True)]
    columns = columns or math.ceil(math.sqrt(len(drawn)))
    return contact_sheet(drawn, columns, [_counted(target) for target in targets])


def predictions_picture(
    images: Sequence[np.ndarray],
    targets: Sequence[Target],
    detections: Sequence[Detections],
    class_names: Sequence[str],
    score: float = 0.3,
) -> np.ndarray:
    """Pairs of pictures, uint8 RGB [H, W, 3]: left what is annotated, right what is detected with at least `score`.

    `images` are uint8 RGB [H, W, 3] of any sizes; the boxes of `targets` and `detections` are in their pixels.
    """
    cells, captions = [], []
    for image, target, found in zip(images, targets, detections, strict=True):
        shown = found.cpu()
        shown = shown[shown.scores >= score]
        cells += [
            draw_target(image, target, class_names),
            draw_boxes(image, shown.boxes, shown.labels, class_names, shown.scores),
        ]
        best = f" (best {float(found.scores.max()):.2f})" if len(found) and not len(shown) else ""
        captions += [f"annotated: {_counted(target)}", f"detected: {len(shown)} with score ≥ {score:g}{best}"]
    return contact_sheet(cells, 2 if len(images) <= 3 else 4, captions)


def curves_picture(csv_path: Path, out: Path) -> None:
    """Draws losses, AP and learning rate over epochs: Lightning's `metrics.csv` (CSVLogger) → the image file `out`.

    Columns `train/...` are losses, `val/...` measurements, `lr...` learning rates; each row has only some of them. Rows
    are placed by their step, which all have, in epochs: the last step of each epoch is its end.

    Raises UserError where the file has no row to draw.
    """
    if not (curves := read_curves(csv_path)):
        raise UserError(f"{csv_path}: has no row with a train/, val/ or lr column; a metrics.csv of a run is expected")
    draw_curves(curves, out)


def draw_curves(curves: Mapping[str, Curve], out: Path) -> None:
    """Draws curves, of which there is at least one, with the names of `read_curves`, into the image file `out`."""
    losses, measured, rates = (
        {column: curve for column, curve in curves.items() if column.startswith(prefix)} for prefix in PREFIXES
    )
    panels = {
        "training loss": dict(sorted(losses.items(), key=lambda one: one[0] != "train/loss")),
        "AP on val": {column: curve for column, curve in measured.items() if column in MAIN},
        "more numbers on val": {column: curve for column, curve in measured.items() if column not in MAIN},
        "learning rate": rates,
    }
    panels = {title: curves for title, curves in panels.items() if curves}
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    width, height = 6.4 * across, 4.6 * down
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    # Inches around the panels, for titles and numbers: a layout that measures them draws everything twice.
    figure.subplots_adjust(0.6 / width, 0.6 / height, 1 - 0.15 / width, 1 - 0.4 / height, 0.14, 0.24)
    end = max(x[-1] for curves in panels.values() for x, _ in curves.values())
    for place, (title, curves) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(down, across, place)
        axes.set_xlim(0, 1.02 * end)
        _draw_panel(axes, title, curves)
    figure.savefig(out, dpi=110)


def read_curves(csv_path: Path) -> dict[str, Curve]:
    """Column of Lightning's `metrics.csv` → (epochs done [P], values [P]), for losses `train/...`, measurements `val/...` and
    learning rates `lr...` that have a finite value; of rates that are the same all the time the first."""
    with csv_path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    epochs = _epochs(rows)
    losses, measured, rates = (_curves(rows, prefix, epochs) for prefix in PREFIXES)
    return {**losses, **measured, **_without_twins(rates)}


def curves_of_history(history: Sequence[Mapping[str, float]]) -> dict[str, Curve]:
    """The same of the rows that a checkpoint carries (`detector.training.history.History`)."""
    columns = dict.fromkeys(column for row in history for column in row if column.startswith(PREFIXES))
    curves = {}
    for column in columns:
        points = [(row["epoch"], row[column]) for row in history if np.isfinite(row.get(column, np.nan))]
        if points:
            curves[column] = (np.array([x for x, _ in points], float), np.array([y for _, y in points], float))
    return curves


def _draw_panel(axes: Axes, title: str, curves: dict[str, Curve]) -> None:
    for number, (column, (x, y)) in enumerate(curves.items()):
        name = column.split("/", 1)[-1]
        colour, line = LINES.get(name, (OKABE_ITO[number % len(OKABE_ITO)], "-"))
        wide = 2.4 if name in ("loss", "AP") else 1.6
        last = f" {y[-1]:.3f}" if title.endswith("on val") else ""
        axes.plot(
            x, y, line, color=colour, label=name + last, linewidth=wide, marker="o" if len(x) < 12 else None, ms=4
        )
    values = np.concatenate([y for _, y in curves.values()])
    axes.set(title=title, xlabel="epochs done")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if title.endswith("on val"):
        axes.set_ylim(0, 1)
    elif title == "training loss" and values.min() > 0 and values.max() > 50 * values.min():
        axes.set_yscale("log")  # the first losses of an untrained head dwarf all others
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if title != "learning rate" or len(curves) > 1:
        axes.legend(ncols=2 if len(curves) > 4 else 1)


def _without_twins(curves: dict[str, Curve]) -> dict[str, Curve]:
    """Keeps the first of curves that are the same, as the rates of parameters with and without weight decay."""
    kept: dict[str, Curve] = {}
    for column, curve in curves.items():
        if not any(all(map(np.array_equal, curve, other)) for other in kept.values()):
            kept[column] = curve
    return kept


def _epochs(rows: Sequence[dict[str, str]]) -> np.ndarray:
    """float64 [rows]: how many epochs are over at each row's step."""
    steps = np.array([int(row["step"]) for row in rows])
    ends = {int(row["epoch"]) + 1: 0 for row in rows if row.get("epoch")}
    for row, step in zip(rows, steps.tolist(), strict=True):
        if row.get("epoch"):
            epoch = int(row["epoch"]) + 1
            ends[epoch] = max(ends[epoch], step + 1)
    epochs = sorted(ends)
    return np.interp(steps + 1, [0, *(ends[epoch] for epoch in epochs)], [0, *epochs])


def _curves(rows: Sequence[dict[str, str]], prefix: str, epochs: np.ndarray) -> dict[str, Curve]:
    """Column → (epochs [P], values [P]) of the rows that have a finite value, for the columns that have any."""
    curves = {}
    for column in (key for key in (rows[0] if rows else {}) if key.startswith(prefix)):
        values = np.array([float(row[column] or "nan") for row in rows])
        present = np.flatnonzero(np.isfinite(values))
        if len(present):
            ordered = present[np.argsort(epochs[present], kind="stable")]
            curves[column] = (epochs[ordered], values[ordered])
    return curves


def _counted(target: Target) -> str:
    objects = len(target.labels)
    return f"{target.image_id}: {objects} object{'' if objects == 1 else 's'}"
