from __future__ import annotations

import math
from pathlib import Path

import cv2
import pytest
import torch

from detector import config
from detector.errors import UserError
from detector.health.diagnose import ILLNESSES, diagnose
from detector.health.plain_network import Setup, train_plain


@pytest.mark.slow
@pytest.mark.parametrize("illness", ILLNESSES)
def test_an_illness_is_found_and_each_remedy_heals_it(
    illness: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guessing among four classes has a loss of log 4."""
    courses = diagnose(config.Diagnose(illness=illness, output=str(tmp_path / "out")))
    assert list(courses) == [illness]
    (_, ill), *healed = courses[illness].items()
    assert illness in {flag.illness for flag in ill.flags}
    assert not ill.final_loss < math.log(4) - 0.01
    for title, course in healed:
        assert course.flags == (), title
        if title in ("norm=batch", "residual"):  # 60 steps suffice for these
            assert course.final_loss < 1.25, title
    picture = cv2.imread(str(tmp_path / "out" / f"{illness}.png"))
    assert picture is not None
    assert picture.std() > 10
    assert ("not finite" in capsys.readouterr().out) == (illness == "exploding")


def test_the_same_seed_gives_the_same_course_whatever_is_measured() -> None:
    few, none = (train_plain(Setup(depth=3), steps=6, every=every) for every in (1, 100))
    assert few.losses == none.losses
    assert few.losses != train_plain(Setup(depth=3), steps=6, seed=1).losses
    before = torch.get_rng_state()
    train_plain(Setup(depth=2), steps=1)
    assert torch.equal(before, torch.get_rng_state())


def test_an_unknown_illness_is_named() -> None:
    with pytest.raises(UserError, match="choose one of all, dead, vanishing, exploding"):
        diagnose(config.Diagnose(illness="ded"))
