"""What the training loop hands to the detector and to the optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from detector import config
from detector.models.single_shot import SingleShot
from detector.training.module import DetectionModule
from detector.training.train import train
from detector.types import Target

Configure = Callable[..., config.Train]


def trainer(**options: Any) -> config.Trainer:
    return config.Trainer(**{"accelerator": "cpu", "precision": "fp32", "progress": False, "epochs": 1, **options})


def each_step(monkeypatch: pytest.MonkeyPatch, look: Callable[[Optimizer], None]) -> None:
    """Calls `look` with the optimizer just before each of its steps, after whatever the loop does to the gradients."""
    clip = DetectionModule.configure_gradient_clipping

    def after_clipping(self: DetectionModule, optimizer: Optimizer, *arguments: Any, **named: Any) -> None:
        clip(self, optimizer, *arguments, **named)
        look(optimizer)

    monkeypatch.setattr(DetectionModule, "configure_gradient_clipping", after_clipping)


def rates(settings: config.Train, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seen: list[float] = []
    with monkeypatch.context() as patched:
        each_step(patched, lambda optimizer: seen.append(optimizer.param_groups[0]["lr"]))
        train(settings)
    return seen


def test_recorded_graphs_may_be_written_over_once_a_step(tiny: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(len(stepped)))
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **_: None)  # there is no GPU that could record
    stepped: list[Optimizer] = []
    each_step(monkeypatch, stepped.append)
    train(tiny(trainer=trainer(compile="network", cuda_graphs=True)))
    training, validation = [0, 1, 2], [3, 3]
    assert begun == training + validation
    for recorded in (begun, stepped):
        recorded.clear()
    train(tiny(trainer=trainer(compile="network", cuda_graphs=True, accumulate=2)))
    assert begun == [0, 1, 2, 2]
    begun.clear()
    train(tiny(trainer=trainer(compile="network")))
    assert not begun


def test_multi_scale_training_moves_the_boxes_with_the_images(tiny: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    step, losses = DetectionModule.training_step, SingleShot.losses
    given: list[tuple[Tensor, list[Target]]] = []
    received: list[tuple[Tensor, list[Target]]] = []
    stepping: list[bool] = []

    def training_step(self: DetectionModule, batch: Any, index: int) -> Tensor:
        given.append((batch.images.clone(), batch.targets))
        stepping.append(True)
        total = step(self, batch, index)
        stepping.clear()
        return total

    def measured(self: SingleShot, images: Tensor, targets: list[Target]) -> dict[str, Tensor]:
        if stepping:  # not where statistics are renewed for an evaluation
            received.append((images.clone(), targets))
        return losses(self, images, targets)

    monkeypatch.setattr(DetectionModule, "training_step", training_step)
    monkeypatch.setattr(SingleShot, "losses", measured)
    train(tiny(trainer=trainer(epochs=3, multi_scale=0.5)))
    sides = set()
    for (images, targets), (scaled, moved) in zip(given, received, strict=True):
        side = scaled.shape[-1]
        sides.add(side)
        assert side % 32 == 0
        assert scaled.shape[-2] == side
        for before, after in zip(targets, moved, strict=True):
            torch.testing.assert_close(after.boxes, before.boxes * side / images.shape[-1])
        mean = scaled.float().mean(dim=(2, 3))
        torch.testing.assert_close(mean, images.float().mean(dim=(2, 3)), atol=2.0, rtol=0.02)
    assert len(sides) > 1


def test_only_detection_in_validation_images_computes_in_the_precision_of_validation(
    tiny: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    convolve, step = torch.nn.Conv2d.forward, DetectionModule.validation_step
    validating: list[bool] = []
    seen: set[tuple[bool, torch.dtype]] = set()
    kept: list[torch.dtype] = []

    def convolved(self: torch.nn.Conv2d, image: Tensor) -> Tensor:
        out = convolve(self, image)
        seen.add((bool(validating), out.dtype))
        return out

    def validation_step(self: DetectionModule, batch: Any, index: int) -> None:
        validating.append(True)
        step(self, batch, index)
        validating.clear()
        kept.extend(one.dtype for one in self.measured.parameters())
        assert "forward" not in vars(self.measured)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", convolved)
    monkeypatch.setattr(DetectionModule, "validation_step", validation_step)
    train(tiny(trainer=trainer(validation_precision="bf16"), image_size=64))
    assert seen == {(False, torch.float32), (True, torch.bfloat16)}
    assert set(kept) == {torch.float32}
    assert config.Trainer().validation_precision == "fp32"


def test_the_schedule_counts_steps_and_not_batches(tiny: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """12 images in batches of 4, two accumulated: 2 steps an epoch, 6 in all, of which the cosine's last is step 5."""
    optim = config.AdamWOptions(lr=0.01, warmup_epochs=0.0, final_lr=0.1)
    seen = rates(tiny(optim=optim, trainer=trainer(epochs=3, accumulate=2)), monkeypatch)
    wanted = [0.01 * (0.1 + 0.9 * (1 + math.cos(math.pi * step / 6)) / 2) for step in range(6)]
    assert seen == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("optim", "lr_batch", "scale_lr", "expected"),
    [
        (config.AdamWOptions, 2, True, 0.02),  # 4 images in each of 2 batches: 4 times as many
        (config.SGDOptions, 2, True, 0.04),
        (config.SGDOptions, 32, True, 0.0025),
        (config.SGDOptions, 2, False, 0.01),
    ],
)
def test_the_rate_belongs_to_the_images_of_a_step_where_that_is_asked_for(
    tiny: Configure,
    monkeypatch: pytest.MonkeyPatch,
    optim: type[config.OptimizerOptions],
    lr_batch: int,
    scale_lr: bool,
    expected: float,
) -> None:
    part = optim(lr=0.01, lr_batch=lr_batch, warmup_epochs=0.0, schedule="constant")
    seen = rates(tiny(optim=part, trainer=trainer(epochs=1, accumulate=2, scale_lr=scale_lr)), monkeypatch)
    assert seen == pytest.approx([expected] * 2, rel=1e-12)


def test_the_warm_up_lasts_as_many_epochs_as_it_says(tiny: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 steps an epoch: 6 of warm-up, each 1/7 of the rate more than the one before, then the whole rate."""
    optim = config.AdamWOptions(lr=0.01, warmup_epochs=2.0, schedule="constant")
    seen = rates(tiny(optim=optim, trainer=trainer(epochs=3)), monkeypatch)
    assert seen == pytest.approx([0.01 * min(step / 7, 1) for step in range(1, 10)])


@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_gradients_reach_the_optimizer_no_longer_than_clip(
    tiny: Configure, monkeypatch: pytest.MonkeyPatch, clip: float
) -> None:
    norms: list[float] = []

    def look(optimizer: Optimizer) -> None:
        gradients = [
            p.grad.flatten() for group in optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        norms.append(float(torch.cat(gradients).norm()))

    each_step(monkeypatch, look)
    train(tiny(trainer=trainer(clip=clip)))
    assert len(norms) == 3
    if clip:
        assert norms == pytest.approx([clip] * 3, rel=1e-3)
    else:
        assert min(norms) > 0.1


def test_after_the_frozen_epochs_the_backbone_s_own_options_hold_again(
    tiny: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epoch 0: all of the backbone is frozen. Epoch 1: the first two stages and every batch norm, as the user asked."""
    seen: list[tuple[list[bool], bool]] = []
    step = DetectionModule.training_step

    def training_step(self: DetectionModule, batch: Any, index: int) -> Tensor:
        if index == 0:
            backbone = self.detector.backbone
            trained = [any(p.requires_grad and p.ndim > 1 for p in stage.parameters()) for stage in backbone.stages]
            norms = [module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
            seen.append((trained, any(norm.training or norm.weight.requires_grad for norm in norms)))
        return step(self, batch, index)

    monkeypatch.setattr(DetectionModule, "training_step", training_step)
    backbone = config.CSPDarknetOptions(depth=0.33, width=0.125, frozen_stages=2, freeze_norm=True)
    train(tiny(backbone=backbone, trainer=trainer(epochs=2, frozen_epochs=1)))
    assert seen == [([False] * 5, False), ([False, False, True, True, True], False)]


def test_a_frozen_stage_has_no_gradient_and_its_statistics_stay(tiny: Configure) -> None:
    from detector.checkpoint import build, open_checkpoint

    settings = tiny(
        backbone=config.CSPDarknetOptions(depth=0.33, width=0.125, frozen_stages=2), trainer=trainer(epochs=1, ema=0.0)
    )
    import lightning

    lightning.seed_everything(settings.seed, verbose=False)
    untrained = build(settings, classes=5).state_dict()
    trained = open_checkpoint(train(settings) / "last.ckpt").weights
    frozen = ("backbone.stages.0.", "backbone.stages.1.")
    for name, value in trained.items():
        if name.startswith(frozen):
            assert torch.equal(value, untrained[name]), name
    assert not torch.equal(
        trained["backbone.stages.2.0.norm.running_mean"], untrained["backbone.stages.2.0.norm.running_mean"]
    )
