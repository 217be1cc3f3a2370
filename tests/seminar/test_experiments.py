from __future__ import annotations

import pytest

from detector.seminar.run import EXPERIMENTS, answer


@pytest.mark.slow
@pytest.mark.parametrize("question", EXPERIMENTS)
def test_every_condition_holds_for_every_seed_at_full_size(question: str) -> None:
    """The ordinary tests have each experiment with fewer seeds or steps."""
    found = answer(question)
    assert [one for one in found.conditions if not one.holds] == []
    assert found.question == question
