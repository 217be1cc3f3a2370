from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from seminar_experiments import condition, fulfilled

from detector.seminar.gradient_sizes import vanishing_and_exploding


def test_gradients_vanish_and_explode_with_the_depth_and_each_way_out_helps_as_said(tmp_path: Path) -> None:
    found = fulfilled(lambda: vanishing_and_exploding(steps=140), tmp_path)
    lines = {one.name: one.y for one in found.panels[0].series}
    falling = lines["nothing changed"]
    assert falling[-1] / falling[0] > 1e6
    assert all(after > 2 * before for before, after in pairwise(falling))
    growing = {one.name: one.y for one in found.panels[1].series}["nothing changed"]
    assert growing[0] / growing[-1] > 100
    assert condition(found, "clipping leaves").holds
