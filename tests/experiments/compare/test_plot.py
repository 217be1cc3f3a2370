from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from detector import config
from detector.evaluation.difference import Difference
from detector.experiments.compare.cost import Cost
from detector.experiments.compare.forest_plot import plot_forest
from detector.experiments.compare.groups import Group
from detector.experiments.compare.plot import COLOURS, plot_comparison
from detector.experiments.compare.runs import Run
from detector.experiments.compare.table import Measured

Configure = Callable[..., config.Train]


def coloured(file: Path) -> list[int]:
    """How many pixels above the legend have the colour of group 0, 1, 2."""
    picture = np.asarray(Image.open(file).convert("RGB")).astype(int)
    picture = picture[: int(0.8 * len(picture))]
    return [int((abs(picture - np.multiply(colour, 255)) <= 2).all(axis=2).sum()) for colour in COLOURS[:3]]


@pytest.fixture
def measured(tiny: Configure) -> Callable[..., Measured]:
    def make(label: str, aps: list[float], gflops: float, latency: float | None, **found: Any) -> Measured:
        runs = tuple(Run(Path(label), tiny(), {"AP": ap}) for ap in aps)
        costs = tuple(Cost(gflops, latency and latency + n) for n in range(len(aps)))
        return Measured(Group(label, runs), costs, {"AP": Difference(**found, p=0.03, corrected=0.06)} if found else {})

    return make


def spied(monkeypatch: pytest.MonkeyPatch, name: str) -> list[tuple[Any, ...]]:
    """Positional arguments of every call of a method of Axes, which is made all the same."""
    calls: list[tuple[Any, ...]] = []
    method = getattr(Axes, name)

    def spy(self: Axes, *arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return method(self, *arguments, **options)

    monkeypatch.setattr(Axes, name, spy)
    return calls


def test_every_group_has_a_point_where_it_belongs_and_none_hides_another(
    measured: Callable[..., Measured], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = spied(monkeypatch, "errorbar")
    twins = [measured("a", [0.5], 2.0, 10.0), measured("b", [0.5], 2.0, 10.0), measured("c", [0.6, 0.7], 3.0, 20.0)]
    assert plot_comparison(twins, twins[0].group, tmp_path / "both.png") == "AP against cost"
    expected = [(2.0, 0.5), (2.0, 0.5), (3.0, 0.65), (10.0, 0.5), (10.0, 0.5), (20.5, 0.65)]
    assert np.allclose(points, expected)
    assert min(coloured(tmp_path / "both.png")) > 2 * 30  # a marker covers some 50 pixels
    alone = [measured("a", [0.5], 2.0, None)]
    assert plot_comparison(alone, alone[0].group, tmp_path / "one.png") == "AP against cost"
    assert coloured(tmp_path / "one.png")[0] > 30


def test_groups_of_one_cost_are_drawn_by_their_intervals(
    measured: Callable[..., Measured], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, points = spied(monkeypatch, "hlines"), spied(monkeypatch, "plot")
    rows = [
        measured("a", [0.5, 0.52], 2.0, 10.0, ap=-0.05, over_images=(-0.1, 0.01), over_images_and_seeds=(-0.2, 0.1)),
        measured("b", [0.56], 2.0004, 31.0),
        measured("c", [0.6], 2.0, 22.0, ap=0.04, over_images=(0.01, 0.07), over_images_and_seeds=None),
    ]
    assert plot_forest(rows, rows[1].group, tmp_path / "plot.png") == "AP minus those of b"
    assert lines == [(0, -0.2, 0.1), (0, -0.1, 0.01), (2, 0.01, 0.07)]
    assert [one[:2] for one in points] == [(-0.05, 0), (0, 1), (0.04, 2)]
    assert (tmp_path / "plot.png").stat().st_size > 5000
    assert plot_comparison(rows, rows[1].group, tmp_path / "no.png") is None
    assert not (tmp_path / "no.png").exists()


def test_two_groups_have_a_line_for_each_measure(
    measured: Callable[..., Measured], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, points = spied(monkeypatch, "hlines"), spied(monkeypatch, "plot")
    other = measured("b", [0.6], 2.0, None)
    told = Difference(0.1, (0.05, 0.2), None, 0.01, 0.01)
    few = Difference(-0.3, None, None, None, None)
    rows = [measured("a", [0.5], 2.0, None), replace(other, differences={"AP": told, "APs": few})]
    assert plot_forest(rows, rows[0].group, tmp_path / "forest.png") == "b minus a"
    assert lines == [(0, 0.05, 0.2)]
    assert [one[:2] for one in points] == [(0.1, 0), (-0.3, 1)]
    assert plot_forest(rows[:1], rows[0].group, tmp_path / "no.png") is None


def test_groups_of_one_cost_without_differences_are_drawn_by_their_ap(
    measured: Callable[..., Measured], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = spied(monkeypatch, "errorbar")
    rows = [measured("a", [0.5, 0.6], 2.0, None), measured("b", [0.56], 2.0, None)]
    assert plot_comparison(rows, rows[0].group, tmp_path / "plot.png") == "AP of each"
    assert points == [(pytest.approx(0.55), 0), (0.56, 1)]
