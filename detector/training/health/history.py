"""The health of a training over time, in a CSV file that grows with it: what a resumed run goes on with."""

from __future__ import annotations

import csv
from pathlib import Path

from detector.training.health.measure import MEASURES, LayerHealth

COLUMNS = ("step", "layer", "kind", *MEASURES)


class History:
    """Steps measured and their layers; each `add` appends to the file."""

    def __init__(self, file: Path, before: int | None = None) -> None:
        """Reads what the file holds of the steps up to `before`, which a run that resumes has taken; drops the rest."""
        self.file = file
        self.steps: dict[int, list[LayerHealth]] = {}
        if before is not None and file.is_file():
            with open(file, newline="", encoding="utf-8") as opened:
                for row in csv.DictReader(opened):
                    if int(row["step"]) <= before:
                        values = {name: float(row[name]) if row[name] else None for name in MEASURES}
                        layer = LayerHealth(row["layer"], row["kind"], **values)
                        self.steps.setdefault(int(row["step"]), []).append(layer)
        with open(file, "w", newline="", encoding="utf-8") as opened:
            csv.writer(opened).writerow(COLUMNS)
        for step, layers in self.steps.items():
            self._append(step, layers)

    def add(self, step: int, layers: list[LayerHealth]) -> None:
        """What was measured in a step."""
        self.steps[step] = layers
        self._append(step, layers)

    def _append(self, step: int, layers: list[LayerHealth]) -> None:
        with open(self.file, "a", newline="", encoding="utf-8") as opened:
            writer = csv.writer(opened)
            for layer in layers:
                values = (getattr(layer, name) for name in MEASURES)
                writer.writerow((step, layer.name, layer.kind, *("" if one is None else one for one in values)))
