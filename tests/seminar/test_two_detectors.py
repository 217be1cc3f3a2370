from __future__ import annotations

from pathlib import Path

from seminar_experiments import condition, fulfilled

from detector.seminar.stages import one_or_two


def test_three_differences_are_measured_and_the_heads_reach_is_not_said_to_be_what_one_stage_sees(
    tmp_path: Path,
) -> None:
    found = fulfilled(lambda: one_or_two(proposals=80), tmp_path)
    assert any("but each cell of P3 sees 679 pixels of the image" in step for step in found.steps)
    assert condition(found, "R-CNN: pixels outside").value == 0
