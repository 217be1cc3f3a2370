from __future__ import annotations

from pathlib import Path
from typing import Any

from seminar_experiments import fulfilled

from detector.seminar.sharing import what_it_gives


def test_each_claim_on_sharing_holds_and_the_depths_that_a_budget_allows_are_those_of_real_layers(
    tmp_path: Path,
) -> None:
    found = fulfilled(lambda: what_it_gives(seeds=(0,), steps=110), tmp_path)
    rows: dict[Any, Any] = {row[0]: row[1:] for row in found.tables[1].rows}
    shared = 160 + (rows["shared"][0] - 1) * (9 * 16 * 16 + 16)
    own = 24 * 24 * (10 * 16 + (rows["own"][0] - 1) * (9 * 16 * 16 + 16))
    assert shared == rows["shared"][1] <= 10_000_000 < rows["shared"][2] == shared + 2320
    assert own == rows["own"][1] <= 10_000_000 < rows["own"][2] == own + 24 * 24 * 2320
    assert f"{rows['shared'][0]:,} convolutions, but {rows['own'][0]} layers" in found.answer
