from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from detector import config
from detector.compare.cost import Cost
from detector.compare.groups import Group
from detector.compare.plot import COLOURS, plot_costs
from detector.compare.runs import Run
from detector.compare.table import Measured

Configure = Callable[..., config.Train]


def coloured(file: Path) -> list[int]:
    """How many pixels above the legend have the colour of group 0, 1, 2."""
    picture = np.asarray(Image.open(file).convert("RGB")).astype(int)
    picture = picture[: int(0.8 * len(picture))]
    return [int((abs(picture - np.multiply(colour, 255)) <= 2).all(axis=2).sum()) for colour in COLOURS[:3]]


def test_every_group_has_a_point_in_every_panel_also_where_two_are_the_same(tiny: Configure, tmp_path: Path) -> None:
    def measured(label: str, aps: list[float], gflops: float, latency: float | None) -> Measured:
        runs = tuple(Run(Path(label), tiny(), {"AP": ap}) for ap in aps)
        return Measured(Group(label, runs), tuple(Cost(gflops, latency and latency + n) for n in range(len(aps))))

    twins = [measured("a", [0.5], 2.0, 10.0), measured("b", [0.5], 2.0, 10.0), measured("c", [0.6, 0.7], 3.0, 20.0)]
    plot_costs(twins, tmp_path / "both.png")
    assert min(coloured(tmp_path / "both.png")) > 2 * 30  # a marker covers some 50 pixels
    plot_costs([measured(row.group.label, [0.1, 0.2], 1.0, None) for row in twins], tmp_path / "one.png")
    assert min(coloured(tmp_path / "one.png")) > 30
