from __future__ import annotations

import math

from detector.training.health.flags import Flag, find_flags
from detector.training.health.measure import LayerHealth


def steps(*layers: LayerHealth, number: int = 3) -> list[list[LayerHealth]]:
    return [list(layers)] * number


def problems(flags: list[Flag]) -> list[tuple[str, str]]:
    return [(flag.layer, flag.problem) for flag in flags]


HEALTHY = [LayerHealth(f"conv{i}", "Conv2d", None, 1.0, 0.1 * 2**i, 0.002) for i in range(6)]


def test_a_healthy_network_has_no_flag() -> None:
    assert find_flags(steps(*HEALTHY, LayerHealth("relu", "ReLU", 0.3, 1.0))) == []
    assert find_flags([]) == []


def test_each_problem_is_named_with_its_layer() -> None:
    broken = [
        LayerHealth("relu", "ReLU", 0.75, 0.1),
        LayerHealth("early", "Conv2d", None, 1.0, 1e-6, 1e-8),
        LayerHealth("still", "Conv2d", None, 1.0, 0.0, 0.0),
        LayerHealth("loud", "Conv2d", None, 1.0, 1e5, 0.01),
        LayerHealth("nan", "Conv2d", None, math.nan, math.nan, math.nan),
        LayerHealth("hasty", "Conv2d", None, 1.0, 0.1, 0.8),
    ]
    flags = find_flags(steps(*HEALTHY, *broken))
    assert problems(flags) == [
        ("relu", "dead"),
        ("early", "vanishing"),
        ("still", "vanishing"),
        ("loud", "exploding"),
        ("nan", "exploding"),
        ("hasty", "exploding"),
    ]
    assert "75% of its channels" in str(flags[0])


def test_one_unusual_step_is_no_problem() -> None:
    dead = [LayerHealth("relu", "ReLU", 0.9, 0.1), *HEALTHY]
    well = [LayerHealth("relu", "ReLU", 0.1, 0.1), *HEALTHY]
    assert find_flags([well, well, dead]) == []
    assert problems(find_flags([well, dead, dead])) == [("relu", "dead")]
    assert find_flags([dead, dead, dead, well, well, well]) == []
