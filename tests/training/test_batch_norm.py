from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from detector import config
from detector.checkpoint import open_checkpoint
from detector.data.module import DetectionData
from detector.training import batch_norm
from detector.training import module as module_file
from detector.training.batch_norm import renew_statistics, trained_norms
from detector.training.run_folder import read_config
from detector.training.train import train
from detector.types import Batch, Target

Configure = Callable[..., config.Train]


def trainer(**options: object) -> config.Trainer:
    return config.Trainer(accelerator="cpu", precision="fp32", progress=False, **options)  # type: ignore[arg-type]


def measured(folder: Path) -> list[str]:
    with open(folder / "metrics.csv", newline="") as opened:
        return [row["val/AR100"] for row in csv.DictReader(opened) if row["val/AR100"]]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("ema", [0.998, 0.0])
@pytest.mark.parametrize("checkpoint", ["best.ckpt", "last.ckpt"])
def test_a_short_run_is_measured_and_kept_with_the_statistics_of_its_weights(
    tiny: Configure, ema: float, checkpoint: str
) -> None:
    settings = tiny(trainer=trainer(epochs=1, ema=ema))
    detector = open_checkpoint(train(settings) / checkpoint).detector()
    data = DetectionData.read(settings.data, settings.augment, settings.image_size, settings.seed, epochs=1)
    # by hand, for the first batch norm of the network: its input does not depend on any other's statistics
    norm = next(module for module in detector.modules() if isinstance(module, nn.BatchNorm2d))
    inputs: list[torch.Tensor] = []
    norm.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    with torch.no_grad():
        for batch in data.train_dataloader():
            detector(batch.images)
    assert len(inputs) == 3
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean = torch.stack([one.mean(dim=(0, 2, 3)) for one in inputs]).mean(dim=0)
    variance = torch.stack([one.var(dim=(0, 2, 3)) for one in inputs]).mean(dim=0)
    assert torch.allclose(norm.running_mean, mean, rtol=1e-4, atol=1e-5)
    assert torch.allclose(norm.running_var, variance, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_what_is_measured_later_is_not_changed_by_a_bit(
    tiny: Configure, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Epochs of three batches: with 0.1 / 0.03 the first alone is measured with renewed statistics."""
    data = config.Shapes(scene_size=96, train_images=12, val_images=6, batch_size=4, workers=workers)
    settings = tiny(data=data, trainer=trainer(epochs=2))
    monkeypatch.setattr(batch_norm, "SETTLED", 0.0)
    never = train(settings)
    monkeypatch.setattr(batch_norm, "SETTLED", 0.1)
    early = train(settings)
    assert measured(never)[0] != measured(early)[0]
    assert measured(never)[1:] == measured(early)[1:]
    expected, found = weights(never), weights(early)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())

    step = module_file.DetectionModule.training_step

    def power_cut(self: module_file.DetectionModule, batch: object, index: int) -> torch.Tensor:
        if self.current_epoch == 1:
            raise RuntimeError("power cut")
        return step(self, batch, index)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(module_file.DetectionModule, "training_step", power_cut)
        with pytest.raises(RuntimeError, match="power cut"):
            train(settings)
    stopped = (early.parent / "latest").resolve()
    found = weights(stopped)
    assert not all(torch.equal(value, found[name]) for name, value in expected.items())
    train(dataclasses.replace(read_config(stopped), resume=str(stopped)))
    assert measured(stopped)[1:] == measured(never)[1:]
    found = weights(stopped)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


class Drawing(nn.Module):
    """A detector whose losses are random, as those of a second stage are that samples regions."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4, momentum=0.5))

    def losses(self, images: torch.Tensor, targets: list[Target]) -> dict[str, torch.Tensor]:
        return {"loss": self.network(images + torch.rand(()))}


def test_renewing_draws_nothing_from_the_random_numbers_of_the_training() -> None:
    detector, batch = Drawing(), Batch(torch.randn(2, 3, 8, 8), [])
    state = torch.get_rng_state()
    renewed = renew_statistics(detector, [batch, batch])
    assert len(renewed) == 4
    assert torch.equal(torch.get_rng_state(), state)
    assert [norm.momentum for norm in trained_norms(detector).values()] == [0.1, 0.5]


def test_the_norms_of_a_backbone_that_is_frozen_for_now_keep_the_statistics_it_is_trained_with(tiny: Configure) -> None:
    settings = tiny(trainer=trainer(epochs=1, frozen_epochs=1))
    found = weights(train(settings))
    frozen = {k: v for k, v in found.items() if k.startswith("ema.module.backbone.") and k.endswith("running_mean")}
    renewed = {k: v for k, v in found.items() if k.startswith("ema.module.neck.") and k.endswith("running_mean")}
    assert frozen
    assert renewed
    assert not any(value.any() for value in frozen.values())
    assert all(value.any() for value in renewed.values())
