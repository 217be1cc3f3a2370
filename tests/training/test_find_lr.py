import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from detector import config
from detector.errors import UserError
from detector.training import find_lr as find_lr_file
from detector.training.find_lr import find_lr, has_diverged, read_curve

Configure = Callable[..., config.Train]


def search(settings: config.Train, **options: object) -> config.FindLR:
    shared = {field.name: getattr(settings, field.name) for field in dataclasses.fields(config.Experiment)}
    return config.FindLR(**{**shared, **options})


def falling(
    rates: np.ndarray, at: float, noise: float, seed: int, top: float = 50.0, bottom: float = 20.0
) -> np.ndarray:
    """Losses that fall from `top` to `bottom` around the rate `at`, explode a thousand times above it, and are noisy."""
    decades = np.log10(rates / at)
    clean = bottom + (top - bottom) / (1 + 10 ** (2 * decades)) + 0.5 * np.exp(3 * (decades - 2))
    return clean * np.exp(noise * np.random.default_rng(seed).standard_normal(len(rates)))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("at", [3e-4, 3e-3, 3e-2])
def test_the_rate_of_the_steepest_fall_is_found_in_noise(at: float, seed: int) -> None:
    rates = np.geomspace(1e-6, 1.0, 100)
    suggestion = read_curve(rates.tolist(), falling(rates, at, 0.1, seed).tolist()).suggestion
    assert suggestion is not None
    assert at / 3 < suggestion < 3 * at


def test_steps_and_scale_of_the_loss_move_nothing_much() -> None:
    found = []
    for steps in (40, 100, 400):
        rates = np.geomspace(1e-6, 1.0, steps)
        for scale in (1e-3, 1.0, 1e3):
            losses = scale * falling(rates, 2e-3, 0.0, 0)
            found.append(read_curve(rates.tolist(), losses.tolist()).suggestion)
    assert None not in found
    assert max(found) / min(found) < 1.7  # type: ignore[type-var, operator]


def test_the_smoothed_curve_of_a_power_law_is_the_power_law() -> None:
    """A line in both logarithms, at its ends as well: local linear regression has no bias there."""
    rates = np.geomspace(1e-5, 1e-1, 60)
    curve = read_curve(rates.tolist(), (3 * rates**-0.2).tolist())
    assert np.allclose(curve.smoothed, 3 * rates**-0.2, rtol=1e-9)


def test_what_comes_after_the_lowest_loss_or_a_loss_that_is_not_finite_is_no_suggestion() -> None:
    rates = np.geomspace(1e-6, 1.0, 100)
    losses = falling(rates, 1e-3, 0.02, 0)
    losses[90:] = [1e3, 20, 1e3, 15, 1e2, 10, np.nan, 1, 0.1, 0.01]
    curve = read_curve(rates.tolist(), losses.tolist())
    assert len(curve.losses) == 96
    assert curve.suggestion is not None
    assert 3e-4 < curve.suggestion < 3e-3


@pytest.mark.parametrize("losses", [[5.0] * 30, list(np.linspace(5, 9, 30)), [5.0, 4.0, float("nan")] + [1.0] * 27])
def test_a_loss_that_does_not_fall_suggests_nothing(losses: list[float]) -> None:
    assert read_curve(np.geomspace(1e-6, 1.0, 30).tolist(), losses).suggestion is None


def test_a_loss_has_diverged_where_it_stays_far_above_its_lowest() -> None:
    assert has_diverged([1.0, float("nan")])
    assert not has_diverged([1.0] * 10 + [12.0])  # one bad batch
    assert has_diverged([1.0] * 10 + [12.0] * 3)
    assert not has_diverged([9.0] * 10 + [1.0] * 10)


@pytest.mark.parametrize(
    "optim",
    [
        config.AdamWOptions(),
        *(pytest.param(one, marks=pytest.mark.slow) for one in (config.SGDOptions(), config.ScheduleFreeOptions())),
    ],
    ids=lambda part: part.name,
)
@pytest.mark.parametrize("accumulate", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_the_rate_of_each_step_is_the_next_of_a_geometric_row(
    tiny: Configure,
    optim: config.OptimizerOptions,
    accumulate: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    used: list[float] = []
    step = find_lr_file.DetectionModule.optimizer_step

    def optimizer_step(self: Any, epoch: int, batch: int, optimizer: torch.optim.Optimizer, closure: Any) -> None:
        used.append(optimizer.param_groups[0]["lr"])
        step(self, epoch, batch, optimizer, closure)

    monkeypatch.setattr(find_lr_file.DetectionModule, "optimizer_step", optimizer_step)
    monkeypatch.setattr(find_lr_file, "LEAST_FALL", -1.0)  # so short a search need not find anything
    trainer = config.Trainer(accelerator="cpu", precision="fp32", progress=False, accumulate=accumulate, scale_lr=True)
    folder = find_lr(search(tiny(optim=optim, trainer=trainer), lowest=1e-6, highest=1e-2, steps=20))
    expected = [1e-6 * 10 ** (4 * k / 19) for k in range(20)]
    assert used[:: len(used) // 20] == pytest.approx(expected)
    curve = json.loads((folder / "curve.json").read_text())
    assert curve["lr"] == pytest.approx(expected)
    assert curve["suggestion"] in curve["lr"]
    assert {file.name for file in folder.iterdir()} == {"curve.png", "curve.json"}
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith("training on cpu (")
    assert said.out.splitlines()[-1] == (
        f"suggestion: optim.lr={curve['suggestion']:.2g} optim.lr_batch={4 * accumulate}"
    )
    assert said.err == ""


def test_a_loss_that_explodes_ends_the_search(tiny: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_lr_file, "LEAST_FALL", -1.0)
    folder = find_lr(search(tiny(optim=config.SGDOptions()), lowest=1e-4, highest=1e9, steps=40))
    curve = json.loads((folder / "curve.json").read_text())
    assert len(curve["lr"]) < 40
    assert curve["lr"][-1] < 1e9


def test_rates_that_are_all_too_small_are_answered(tiny: Configure) -> None:
    with pytest.raises(UserError, match="the loss does not fall"):
        find_lr(search(tiny(optim=config.SGDOptions()), lowest=1e-12, highest=1e-10, steps=20))


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
