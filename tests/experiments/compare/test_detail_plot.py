from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from detector import config
from detector.experiments.compare.classes import ClassAP
from detector.experiments.compare.cost import Cost
from detector.experiments.compare.detail_plot import COLOURS, plot_details
from detector.experiments.compare.groups import Group
from detector.experiments.compare.runs import Run
from detector.experiments.compare.table import Measured

Configure = Callable[..., config.Train]


def coloured(file: Path, colour: str, upper: float = 0.0, lower: float = 1.0) -> int:
    """How many pixels of a part of the picture's height have a colour."""
    picture = np.asarray(Image.open(file).convert("RGB")).astype(int)
    picture = picture[int(upper * len(picture)) : int(lower * len(picture))]
    return int((abs(picture - np.multiply(to_rgb(colour), 255)) <= 2).all(axis=2).sum())


@pytest.fixture
def make(tiny: Configure) -> Callable[..., Measured]:
    def measured(label: str, aps: list[float], stages: dict[str, float]) -> Measured:
        sizes = {"APs": None, "APm": 0.2, "APl": 0.3}
        runs = tuple(Run(Path(label), tiny(seed=n), {"AP": ap, **sizes}) for n, ap in enumerate(aps))
        return Measured(Group(label, runs), tuple(Cost(1.0, 10.0, stages) for _ in aps))

    return measured


def classes(count: int, groups: int) -> list[ClassAP]:
    return [
        ClassAP(f"class {n}", 5, tuple((0.5 + 0.01 * n * group, None) for group in range(groups))) for n in range(count)
    ]


def test_both_groups_have_bars_in_every_panel(make: Callable[..., Measured], tmp_path: Path) -> None:
    one = make("one", [0.5, 0.6], {"features": 3.0, "other": 1.0})
    two = make("two", [0.4], {"proposals": 9.0, "features": 3.0, "other": 1.0})
    plot_details([one, two], classes(5, 2), 0, tmp_path / "a.png")
    for colour in COLOURS[:2]:
        assert coloured(tmp_path / "a.png", colour, 0, 0.5) > 3000
    assert coloured(tmp_path / "a.png", COLOURS[1], 0.55, 0.88) > 3000
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width >= 1000


def test_more_groups_one_class_or_no_times_are_drawn_too(make: Callable[..., Measured], tmp_path: Path) -> None:
    rows = [make(f"{n}", [0.5], {}) for n in range(4)]
    plot_details(rows, classes(80, 4), 2, tmp_path / "many.png")
    assert min(coloured(tmp_path / "many.png", colour) for colour in COLOURS[:4]) > 1000
    with Image.open(tmp_path / "many.png") as picture:
        assert picture.height < 3000  # not all of the 80 classes
    plot_details(rows[:1], classes(1, 1), 0, tmp_path / "one.png")
    assert coloured(tmp_path / "one.png", COLOURS[0]) > 3000
    plot_details(rows[:2], [], 0, tmp_path / "none.png")
    assert coloured(tmp_path / "none.png", COLOURS[1]) > 1000
