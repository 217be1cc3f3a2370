from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from detector import config
from detector.checkpoint import build, open_checkpoint
from detector.data.module import DetectionData
from detector.training import module as module_file
from detector.training.batch_norm import STATISTICS_BATCHES, renew_statistics
from detector.training.train import train
from detector.types import Batch, Target

Configure = Callable[..., config.Train]
OPTIM = config.ScheduleFreeOptions(warmup_epochs=1.0)


def trainer(**options: object) -> config.Trainer:
    return config.Trainer(accelerator="cpu", precision="fp32", progress=False, **options)  # type: ignore[arg-type]


def test_evaluation_and_both_checkpoints_hold_the_average_and_training_does_not(
    tiny: Configure, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "head.class_branches.P3.0.convolution.weight"
    seen: dict[str, list[torch.Tensor]] = {"train": [], "evaluate": []}
    step = module_file.DetectionModule.training_step
    measure = module_file.DetectionModule.validation_step

    def training_step(self: module_file.DetectionModule, batch: object, index: int) -> torch.Tensor:
        seen["train"].append(self.detector.get_parameter(name).detach().clone())
        return step(self, batch, index)  # type: ignore[arg-type]

    def validation_step(self: module_file.DetectionModule, batch: object, index: int) -> None:
        seen["evaluate"].append(self.measured.get_parameter(name).detach().clone())
        measure(self, batch, index)  # type: ignore[arg-type]

    monkeypatch.setattr(module_file.DetectionModule, "training_step", training_step)
    monkeypatch.setattr(module_file.DetectionModule, "validation_step", validation_step)
    folder = train(tiny(optim=OPTIM, trainer=trainer(epochs=2)))
    assert "trainer.ema is off: optim=schedule_free averages the weights itself" in capsys.readouterr().out

    last = torch.load(folder / "last.ckpt", weights_only=True)
    assert not any(key.startswith("ema.") for key in last["state_dict"])
    average = last["state_dict"][f"detector.{name}"]
    assert torch.equal(average, seen["evaluate"][-1])
    # the same module built again, to find the parameter's state: x = y + (1 − 1/β) (z − y), so y = x + (1 − β) (z − x)
    parameters = [k for k, p in build(tiny(), classes=5).named_parameters() if p.ndim > 1]
    z = last["optimizer_states"][0]["state"][parameters.index(name)]["z"]
    assert not torch.equal(average, z)
    assert not torch.equal(average, seen["train"][-1])
    # the second epoch starts from y of the average that the first evaluation saw
    first_average = seen["evaluate"][0]
    assert not torch.equal(seen["train"][len(seen["train"]) // 2], first_average)
    assert all(group["train_mode"] is False for group in last["optimizer_states"][0]["param_groups"])
    assert torch.equal(open_checkpoint(folder / "last.ckpt").weights[name], average)
    best = open_checkpoint(folder / "best.ckpt")
    assert any(torch.equal(best.weights[name], weights) for weights in seen["evaluate"])


@pytest.mark.parametrize("evaluate_every", [1, 2])
def test_saved_batch_norm_statistics_are_those_of_the_saved_weights(tiny: Configure, evaluate_every: int) -> None:
    settings = tiny(optim=OPTIM, trainer=trainer(epochs=2, evaluate_every=evaluate_every))
    folder = train(settings)
    detector = open_checkpoint(folder / "last.ckpt").detector()
    data = DetectionData.read(settings.data, settings.augment, settings.image_size, settings.seed, epochs=2)
    loader = data.train_dataloader()
    loader.sampler.set_epoch(1)  # type: ignore[attr-defined]
    images = [batch.images for batch in loader]
    assert len(images) == 3 <= STATISTICS_BATCHES

    # by hand, for the first batch norm of the network: its input does not depend on any other's statistics
    name, norm = next((k, m) for k, m in detector.named_modules() if isinstance(m, nn.BatchNorm2d))
    inputs: list[torch.Tensor] = []
    norm.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    with torch.no_grad():
        for one in images:
            detector(one)
    mean = torch.stack([one.mean(dim=(0, 2, 3)) for one in inputs]).mean(dim=0)
    variance = torch.stack([one.var(dim=(0, 2, 3)) for one in inputs]).mean(dim=0)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert torch.allclose(norm.running_mean, mean, rtol=1e-4, atol=1e-5), name
    assert torch.allclose(norm.running_var, variance, rtol=1e-4, atol=1e-5), name


class Bare(nn.Module):
    """A network with the face of a detector."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def losses(self, images: torch.Tensor, targets: list[Target]) -> None:
        self.network(images)


def test_frozen_norms_and_modes_stay_as_they_are_when_statistics_are_renewed() -> None:
    torch.manual_seed(0)
    settings = config.CSPDarknetOptions(depth=0.33, width=0.125, frozen_stages=2)

    backbone = settings.build().train()
    for norm in (m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)):
        assert norm.running_mean is not None
        norm.running_mean.fill_(7.0)
    modes = [module.training for module in backbone.modules()]
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    renewed = renew_statistics(Bare(backbone), [Batch(torch.randn(2, 3, 64, 64), [])])
    assert [module.training for module in backbone.modules()] == modes
    assert len(renewed) > 0
    for name, value in backbone.state_dict().items():
        frozen = name.startswith(("stages.0.", "stages.1."))
        statistic = "running" in name or "num_batches" in name
        assert torch.equal(value, before[name]) == (frozen or not statistic), name


def test_a_network_without_batch_norm_has_nothing_to_renew() -> None:
    def never() -> Batch:
        raise AssertionError("no forward pass is needed")

    assert renew_statistics(nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4)), (never() for _ in range(1))) == []


def test_a_backbone_that_is_frozen_at_first_is_trained_afterwards(tiny: Configure) -> None:
    folder = train(tiny(optim=OPTIM, trainer=trainer(epochs=2, frozen_epochs=1)))
    assert (Path(folder) / "metrics.json").is_file()
