"""`run.html`: how far a training is and what it has reached, as one file to open and to reload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detector.training.progress import clock
from detector.training.run_page.differences import Difference
from detector.visualization.page.shell import Figure, Section, own_text, page
from detector.visualization.pictures import Curve

RELOAD_SECONDS = 60
MOST_POINTS = 300
"""Points of a curve in the page; of more, neighbours are averaged."""
_PANELS = (
    ("AP on val", ("val/AP", "val/AP50", "val/AP75")),
    ("AP by size of objects", ("val/APs", "val/APm", "val/APl")),
    ("AR: how many are found at all", ("val/AR1", "val/AR10", "val/AR100")),
)


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    title: str
    """What is trained on what."""
    epochs: int
    """Epochs done."""
    planned: int
    state: str | None
    """How the run ended; None while it goes on."""
    seconds_left: float | None
    written: str
    """When the page was written."""
    lines: tuple[str, ...]
    """What the run is made of."""


def run_page(
    progress: Progress,
    metrics: Mapping[str, Any],
    best: Mapping[str, Any],
    curves: Mapping[str, Curve],
    images: Sequence[Mapping[str, Any]],
    images_epoch: int | None,
    differences: Sequence[Difference],
) -> str:
    """The page.

    Args:
        progress: how far the run is.
        metrics: the last measurement; empty before the first.
        best: the best one so far, with its `epoch`.
        curves: what was logged (`read_curves`).
        images: validation images with detections (`PicturedImages.pictures`).
        images_epoch: the epoch whose weights they come from.
        differences: settings that are not defaults.
    """
    running = progress.state is None
    when = "running" if running else progress.state
    left = clock(progress.seconds_left) if running and progress.seconds_left is not None else "–"
    figures = [
        Figure(f"{progress.epochs} of {progress.planned}", "epochs", str(when)),
        Figure(_number(best, "AP"), "best AP so far" if running else "best AP", f"epoch {best.get('epoch', '–')}"),
        Figure(_number(metrics, "AP"), "AP of the last evaluation", f"AP50 {_number(metrics, 'AP50')}"),
        Figure(left, "time left", "by the pace so far" if running else "the run is over"),
    ]
    data = {
        "panels": _panels(curves),
        "images": list(images),
        "imagesEpoch": images_epoch,
        "bestEpoch": best.get("epoch") if best.get("AP") is not None else None,
        "differences": [vars(one) for one in differences],
    }
    again = f", and loads itself anew every {RELOAD_SECONDS} s" if running else ""
    html = page(
        progress.title,
        [
            Section("curves", "Curves"),
            Section("images", "Validation images"),
            Section("configuration", "Configuration"),
        ],
        data,
        [own_text(__package__, "run.js")],
        lines=[*progress.lines, f"Written {progress.written}; the page is written after each evaluation{again}."],
        figures=figures,
        keys="arrow keys read curves and walk through pictures",
    )
    if running:
        reload = f'<meta http-equiv="refresh" content="{RELOAD_SECONDS}">'
        html = html.replace('<meta charset="utf-8">', f'<meta charset="utf-8">\n{reload}', 1)
    return html


def _panels(curves: Mapping[str, Curve]) -> list[dict[str, Any]]:
    losses = {column: curve for column, curve in curves.items() if column.startswith("train/")}
    rates = {column: curve for column, curve in curves.items() if column.startswith("lr")}
    ordered = dict(sorted(losses.items(), key=lambda one: one[0] != "train/loss"))
    panels = [("training loss", ordered)]
    panels += [
        (title, {column: curves[column] for column in columns if column in curves}) for title, columns in _PANELS
    ]
    panels.append(("learning rate", rates))
    return [
        {
            "title": title,
            "log": title == "training loss" and _spreads(own),
            "share": title not in ("training loss", "learning rate"),
            "series": [
                {"name": "learning rate" if column.startswith("lr") else column.split("/", 1)[1], **_thinned(curve)}
                for column, curve in own.items()
            ],
        }
        for title, own in panels
        if own
    ]


def _spreads(curves: Mapping[str, Curve]) -> bool:
    """Whether the first losses of an untrained head would dwarf all others."""
    values = np.concatenate([y for _, y in curves.values()]) if curves else np.zeros(1)
    return bool(values.min() > 0 and values.max() > 50 * values.min())


def _thinned(curve: Curve) -> dict[str, list[float]]:
    """The points of a curve, averaged over neighbours where there are more than `MOST_POINTS`."""
    parts = [np.array_split(one, MOST_POINTS) if len(one) > MOST_POINTS else one for one in curve]
    x, y = ([float(f"{np.mean(value):.6g}") for value in part] for part in parts)
    return {"x": x, "y": y}


def _number(metrics: Mapping[str, Any], name: str) -> str:
    value = metrics.get(name)
    return "–" if value is None else f"{value:.3f}"
