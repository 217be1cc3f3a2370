"""Ceilings on the operations of a training step and on how often a GPU would be waited for."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from detector import config
from detector.experiments.benchmark.operations import PARTS, StepCounter, measure_operations, table
from detector.experiments.benchmark.training import repeat_a_step
from detector.losses.criterion import Criterion
from detector.models import proposal_network
from detector.options import PARTS as PARTS_OF_A_MODEL

Configure = Callable[..., config.Train]


@pytest.fixture
def settings(tiny: Configure) -> config.Benchmark:
    data = config.Shapes(scene_size=64, train_images=16, val_images=1, batch_size=16, workers=0)
    experiment = tiny(data=data, image_size=64, augment=config.Augment(name="none"))
    return config.Benchmark(**{f.name: getattr(experiment, f.name) for f in dataclasses.fields(config.Experiment)})


def test_a_step_of_any_size_has_as_many_operations_and_waits_for_nothing(settings: config.Benchmark) -> None:
    report = measure_operations(settings)
    small, large = report["batch_2"], report["batch_16"]
    assert small == large
    operations, waits = large["operations"], large["waits"]
    assert not any(waits.values())
    assert operations["assigner"] > 0
    assert operations["assigner"] + operations["loss"] + operations["normalise"] <= 220
    assert 0 < operations["copy"] <= 8
    assert 0 < operations["averaging"] <= 3
    assert all(operations[part] > 0 for part in PARTS)
    assert operations["all"] == sum(operations[part] for part in PARTS)
    lines = table(report).splitlines()
    assert [line.split()[0] for line in lines] == ["part", *PARTS, "all"]
    assert lines[-1].split()[1:] == [f"{operations['all']:,}", "0"] * 2


def test_a_step_of_two_stages_waits_for_a_gpu_twice_whatever_the_batch(
    settings: config.Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as on a GPU, where suppression takes many groups at once
    on_a_gpu = functools.partial(proposal_network.suppressed_apart, together=proposal_network.TOGETHER)
    monkeypatch.setattr(proposal_network, "suppressed_apart", on_a_gpu)
    model = config.FasterRCNNOptions(channels=8, width=8, sampled_regions=8)
    absent: dict[str, Any] = {part: None for part in PARTS_OF_A_MODEL if part not in model.parts}
    counter = StepCounter()
    repeat_a_step(dataclasses.replace(settings, model=model, **absent), [counter])
    assert counter.batch_size == 16
    assert {part: number for part, number in counter.report()["waits"].items() if number} == {"loss": 2, "all": 2}


def test_every_way_of_waiting_for_a_device_is_counted_where_it_happens(
    settings: config.Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Criterion.__call__

    def waiting(self: Criterion, head: Any, raw: dict[str, Tensor], *rest: Any) -> dict[str, Tensor]:
        logits = raw["class_logits"].detach().flatten()
        positive = logits > 0
        logits[positive]
        positive.nonzero()
        logits.masked_select(positive)
        logits.round().unique()
        logits.max().item()
        logits[:2].tolist()
        logits[:2].cpu()
        if positive.any():
            logits.new_ones(3).repeat_interleave(torch.ones(3, dtype=torch.int64))
        logits[positive] = 0.0  # needs no number of them
        return call(self, head, raw, *rest)

    monkeypatch.setattr(Criterion, "__call__", waiting)
    counter = StepCounter()
    repeat_a_step(settings, [counter])
    assert {part: number for part, number in counter.report()["waits"].items() if number} == {"loss": 9, "all": 9}
