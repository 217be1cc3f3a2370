from __future__ import annotations

import re
from pathlib import Path

from seminar_experiments import fulfilled

from detector.seminar import dead_units


def test_each_way_out_helps_where_it_is_said_to_and_not_elsewhere(tmp_path: Path) -> None:
    found = fulfilled(lambda: dead_units.dying_relus(steps=140), tmp_path)
    (judged,) = (one.value for one in found.conditions if "in which it comes back" in one.text)
    (said,) = (re.search(r"comes back in (\d+) of 10 trials", step) for step in found.steps if "comes back in" in step)
    assert said is not None
    assert int(said[1]) == judged


def test_a_dead_unit_has_no_gradient_and_comes_back_only_while_the_layer_below_learns() -> None:
    learning = [dead_units.revival(trial, frozen_below=False) for trial in range(4)]
    frozen = [dead_units.revival(trial, frozen_below=True) for trial in range(4)]
    assert all(one.positive[0] == 0 and one.while_dead == 0 for one in (*learning, *frozen))
    assert any(max(one.positive) > 0 for one in learning)
    assert all(max(one.positive) == 0 for one in frozen)


def test_all_ways_out_of_the_sheet_are_tried_alone() -> None:
    names = list(dead_units.ways_out(dead_units.BY_WEIGHTS))
    assert [name.partition(":")[0] for name in names] == [
        "nothing changed",
        "normalisation",
        *["initialisation"] * 2,
        *["activation"] * 3,
        "residual connections",
    ]
    for cause in (dead_units.BY_WEIGHTS, dead_units.BY_BIASES):
        first, *others = dead_units.ways_out(cause).values()
        assert first == cause
        kept = [sum(getattr(one, field) != getattr(cause, field) for field in vars(cause)) for one in others]
        assert max(kept) <= 2, "mean and σ of the weights are one initialisation"
