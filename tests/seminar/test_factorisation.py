from __future__ import annotations

from pathlib import Path

from seminar_experiments import fulfilled

from detector.seminar.factorisation import factorisation
from detector.seminar.run import answer


def test_each_condition_on_cost_and_time_holds(tmp_path: Path) -> None:
    found = fulfilled(lambda: answer("5e"), tmp_path)
    assert found.result == (49_152, 49_152 * 16 * 28 * 28)
    assert "fewer weights while M < 144, fewer operations while M < 144 (stride 2 over time: 82.3)" in found.answer
    assert found.steps[0] == "1 × 3 × 3 from 64 to 64: 36,864 weights; 3 × 1 × 1 from 64 to 64: 12,288"
    assert "on a grey clip the 3D layer has 1,728 weights: the pair has more from M = 9 on" in found.steps


def test_a_pair_above_the_bound_is_said_not_to_be_cheaper() -> None:
    found = factorisation(channels=16, filters=16, between=64, repeats=1)
    texts = [condition.text for condition in found.conditions[:3]]
    assert texts[1:] == [
        "weights of the pair (M does not lie below its bound: not fewer)",
        "operations of the pair (M does not lie below its bound: not fewer)",
    ]
    assert all(condition.holds for condition in found.conditions[:9])
