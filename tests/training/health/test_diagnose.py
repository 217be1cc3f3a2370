from __future__ import annotations

import math
from pathlib import Path

import cv2
import pytest
import torch

from detector import config
from detector.errors import UserError
from detector.training.health.diagnose import PROBLEMS, diagnose
from detector.training.health.plain_network import Setup, train_plain


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_problem_is_found_and_each_fix_removes_it(
    problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guessing among four classes has a loss of log 4."""
    courses = diagnose(config.Diagnose(problem=problem, output=str(tmp_path / "out")))
    assert list(courses) == [problem]
    (_, broken), *fixed = courses[problem].items()
    assert problem in {flag.problem for flag in broken.flags}
    assert not broken.final_loss < math.log(4) - 0.01
    for title, course in fixed:
        assert course.flags == (), title
        if title in ("norm=batch", "residual"):  # 60 steps suffice for these
            assert course.final_loss < 1.25, title
    picture = cv2.imread(str(tmp_path / "out" / f"{problem}.png"))
    assert picture is not None
    assert picture.std() > 10
    assert ("not finite" in capsys.readouterr().out) == (problem == "exploding")


def test_the_same_seed_gives_the_same_course_whatever_is_measured() -> None:
    few, none = (train_plain(Setup(depth=3), steps=6, every=every) for every in (1, 100))
    assert few.losses == none.losses
    assert few.losses != train_plain(Setup(depth=3), steps=6, seed=1).losses
    before = torch.get_rng_state()
    train_plain(Setup(depth=2), steps=1)
    assert torch.equal(before, torch.get_rng_state())


def test_an_unknown_problem_is_named() -> None:
    with pytest.raises(UserError, match="choose one of all, dead, vanishing, exploding"):
        diagnose(config.Diagnose(problem="ded"))
