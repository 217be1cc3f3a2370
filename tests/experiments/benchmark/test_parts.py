"""The time of a training step is found in the part where it was spent."""

import dataclasses
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from detector import config
from detector.assigners.task_aligned import TaskAlignedAssigner
from detector.experiments.benchmark.borders import PARTS
from detector.experiments.benchmark.parts import busy, measure_parts, table
from detector.heads.anchor_free import AnchorFreeHead
from detector.losses.criterion import Criterion
from detector.necks.pan import PAN
from detector.training.ema import AveragedDetector
from detector.training.module import DetectionModule

Configure = Callable[..., config.Train]
PAUSE = 0.1
"""Seconds; a step of the network below takes less in all."""


@pytest.fixture
def settings(tiny: Configure) -> config.Benchmark:
    data = config.Shapes(scene_size=64, train_images=2, val_images=1, batch_size=2, workers=0)
    experiment = tiny(data=data, image_size=64, augment=config.Augment(name="none"))
    return config.Benchmark(
        **{field.name: getattr(experiment, field.name) for field in dataclasses.fields(config.Experiment)},
        warmup=1,
        repeats=2,
        seconds=0.0,
    )


class SlowBackward(torch.autograd.Function):
    """The same tensor; its gradient comes late."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        time.sleep(PAUSE)
        return gradient


def late(function: Callable[..., Any], first: bool = True, last: Callable[[Any], Any] = lambda found: found) -> Any:
    def slow(*arguments: Any, **named: Any) -> Any:
        if first:
            time.sleep(PAUSE)
        return last(function(*arguments, **named))

    return slow


def in_backward(found: dict[str, Tensor]) -> dict[str, Tensor]:
    name = next(iter(found))
    return {**found, name: SlowBackward.apply(found[name])}


@pytest.mark.parametrize(
    ("owner", "method", "part", "backwards"),
    [
        (DetectionModule, "transfer_batch_to_device", "copy", False),
        (AnchorFreeHead, "forward", "network", False),
        (TaskAlignedAssigner, "__call__", "assigner", False),
        (Criterion, "_box_loss", "loss", False),
        (DetectionModule, "configure_gradient_clipping", "clip", False),
        (AveragedDetector, "update", "averaging", False),
        (DetectionModule, "_watch", "other", False),
        (Criterion, "__call__", "loss", True),
        (PAN, "forward", "backward", True),
    ],
)
def test_a_pause_is_found_in_the_part_that_it_lies_in(
    settings: config.Benchmark, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, part: str, backwards: bool
) -> None:
    slow = late(getattr(owner, method), first=not backwards, last=in_backward if backwards else lambda found: found)
    monkeypatch.setattr(owner, method, slow)
    report = measure_parts(settings)
    parts = {name: value["median"] for name, value in report["parts"].items()}
    assert set(parts) <= set(PARTS)
    assert report["step"]["median"] == pytest.approx(sum(parts.values()), rel=0.02)
    assert parts.pop(part) >= 1000 * PAUSE
    assert max(parts.values()) < 1000 * PAUSE
    whole = sum(parts.values()) + report["parts"][part]["median"]
    inside = sum(report["parts"][name]["median"] for name in ("normalise", "network", "backward"))
    assert report["outside_network"] == pytest.approx(1 - inside / whole, abs=0.01)
    lines = table(report).splitlines()
    assert [line.split()[0] for line in lines[1:-2]] == list(report["parts"])
    assert lines[-2].split()[0] == "step"
    assert lines[-1].startswith("outside the network")


def test_what_a_device_was_busy_with_at_once_counts_once() -> None:
    draw = random.Random(0)
    for _ in range(50):
        starts = [draw.randrange(60) for _ in range(8)]
        spans = [(start, start + draw.randrange(12)) for start in starts]
        assert busy(spans) == len({moment for start, end in spans for moment in range(start, end)})
    assert busy([]) == 0
