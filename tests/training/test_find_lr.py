import dataclasses
import json
from collections.abc import Callable

import pytest

from detector import config
from detector.errors import UserError
from detector.training.find_lr import find_lr

Configure = Callable[..., config.Train]


def search(settings: config.Train, **options: object) -> config.FindLR:
    shared = {field.name: getattr(settings, field.name) for field in dataclasses.fields(config.Experiment)}
    return config.FindLR(**{**shared, **options})


@pytest.mark.parametrize("optim", [config.SGD(), config.AdamW(), config.ScheduleFree()], ids=lambda part: part.name)
def test_the_search_climbs_evenly_and_suggests_a_rate_of_its_curve(
    tiny: Configure, optim: config.Optim, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = find_lr(search(tiny(optim=optim), lowest=1e-6, highest=1e-2, steps=24))
    assert (folder / "curve.png").stat().st_size > 1000
    curve = json.loads((folder / "curve.json").read_text())
    assert curve["suggestion"] in curve["lr"]
    # 10^4 in 24 steps; Lightning's climb leaves out the first of them
    assert curve["lr"] == pytest.approx([1e-6 * 10 ** (4 * k / 24) for k in (0, *range(2, 25))])
    assert f"suggestion: optim.lr={curve['suggestion']:.2g}" in capsys.readouterr().out
    assert not list(folder.glob("*.ckpt"))
    assert not list(folder.glob(".*"))


def test_a_loss_that_explodes_ends_the_search(tiny: Configure) -> None:
    folder = find_lr(search(tiny(optim=config.SGD()), lowest=1e-4, highest=1e9, steps=40))
    curve = json.loads((folder / "curve.json").read_text())
    assert len(curve["lr"]) < 40
    assert curve["lr"][-1] < 1e9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lowest": 0.1, "highest": 0.01}, "must be 0 < lowest < highest"),
        ({"lowest": 0.0}, "must be 0 < lowest < highest"),
        ({"steps": 5}, "steps=5: must be 20 or more"),
    ],
)
def test_a_search_that_cannot_be_is_refused(tiny: Configure, options: dict[str, float], words: str) -> None:
    with pytest.raises(UserError, match=words):
        find_lr(search(tiny(), **options))
