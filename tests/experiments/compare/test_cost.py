from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from saved_checkpoint import save_checkpoint
from torch import nn

from detector import config
from detector.checkpoint import open_checkpoint
from detector.data.formats.shapes import CLASS_NAMES
from detector.data.read import read_index
from detector.experiments.compare.cost import OTHER, measure_cost
from detector.experiments.compare.memory import peak_memory
from detector.inference.predictor import Predictor
from detector.models.stages import count_regions, stage

Configure = Callable[..., config.Train]


@pytest.mark.parametrize("size", [96, 128])
def test_operations_are_two_for_each_multiply_add_of_every_convolution(
    tiny: Configure, tmp_path: Path, size: int
) -> None:
    train = tiny(image_size=size)
    file = save_checkpoint(tmp_path / "best.ckpt", train, CLASS_NAMES)
    counted = 0

    def count(module: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal counted
        counted += 2 * output.numel() * module.in_channels // module.groups * math.prod(module.kernel_size)

    detector: Any = open_checkpoint(file).detector()
    for module in detector.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    detector(torch.zeros(1, 3, size, size, dtype=torch.uint8))
    cost = measure_cost(file, read_index(train.data, "val"), latency=False, accelerator="cpu")
    # the expected distance of each side's distribution is a matrix product too, a thousandth of the rest
    assert counted / 1e9 <= cost.gflops <= 1.005 * counted / 1e9
    assert cost.latency_ms is None


def test_latency_is_milliseconds_of_one_image(tiny: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = tiny()
    file = save_checkpoint(tmp_path / "best.ckpt", train, CLASS_NAMES)
    monkeypatch.setattr("detector.experiments.compare.cost.SECONDS", 0.0)
    detect = Predictor.detect
    sizes: list[int] = []

    def slow(self: Predictor, batch: Any) -> Any:
        sizes.append(len(batch.targets))
        time.sleep(0.03)
        return detect(self, batch)

    monkeypatch.setattr(Predictor, "detect", slow)
    cost = measure_cost(file, read_index(train.data, "val"), latency=True, accelerator="cpu")
    assert cost.latency_ms is not None
    assert 30 < cost.latency_ms < 20_000
    assert set(sizes) == {1}


def test_operations_and_regions_are_means_over_images_where_they_depend_on_the_image(
    tiny: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = tiny()
    file = save_checkpoint(tmp_path / "best.ckpt", train, CLASS_NAMES)
    index = read_index(train.data, "val")

    def regions_of(image: torch.Tensor) -> int:
        return int(image.long().sum()) % 7 + 1

    def looks_at_regions(self: Predictor, batch: Any) -> list[Any]:
        for _ in range(regions := regions_of(batch.images)):
            torch.ones(10, 20) @ torch.ones(20, 30)
        count_regions(regions)
        return []

    predictor = Predictor(open_checkpoint(file), accelerator="cpu")
    regions = [regions_of(predictor.preprocess([index.image(i)]).images) for i in range(len(index))]
    assert len(set(regions)) > 1
    monkeypatch.setattr(Predictor, "detect", looks_at_regions)
    cost = measure_cost(file, index, latency=False, accelerator="cpu")
    mean = sum(regions) / len(regions)
    assert cost.regions == pytest.approx(mean)
    assert cost.gflops == pytest.approx(mean * 2 * 10 * 20 * 30 / 1e9)


def test_a_detector_that_sees_the_image_as_a_whole_has_no_regions(tiny: Configure, tmp_path: Path) -> None:
    train = tiny()
    file = save_checkpoint(tmp_path / "best.ckpt", train, CLASS_NAMES)
    cost = measure_cost(file, read_index(train.data, "val"), latency=False, accelerator="cpu")
    assert (cost.regions, cost.stages_ms, cost.memory_mib) == (None, {}, None)


def test_stages_come_in_order_with_what_belongs_to_none_and_add_up_to_the_latency(
    tiny: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = tiny()
    file = save_checkpoint(tmp_path / "best.ckpt", train, CLASS_NAMES)
    took = {"heads": 0.04, "proposals": 0.08, OTHER: 0.02, "suppression": 0.01}
    now = 0.0

    def works(self: Predictor, batch: Any) -> list[Any]:
        nonlocal now
        for name, seconds in took.items():
            with nullcontext() if name == OTHER else stage(name):
                now += seconds
        return []

    monkeypatch.setattr("time.perf_counter", lambda: now)
    monkeypatch.setattr(Predictor, "detect", works)
    cost = measure_cost(file, read_index(train.data, "val"), latency=True, accelerator="cpu")
    assert list(cost.stages_ms) == ["proposals", "heads", "suppression", OTHER]
    assert cost.stages_ms == {name: pytest.approx(1000 * seconds) for name, seconds in took.items()}
    assert cost.latency_ms == pytest.approx(150)


def test_a_single_shot_detector_has_its_three_stages(
    tiny: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detector.experiments.compare.cost.SECONDS", 0.5)
    train = tiny()
    file = save_checkpoint(tmp_path / "best.ckpt", train, CLASS_NAMES)
    cost = measure_cost(file, read_index(train.data, "val"), latency=True, accelerator="cpu")
    assert list(cost.stages_ms) == ["features", "heads", "suppression", OTHER]
    assert all(value > 0 for value in cost.stages_ms.values())


def test_a_detector_that_takes_long_is_repeated_for_a_limited_time(
    tiny: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = tiny()
    file = save_checkpoint(tmp_path / "best.ckpt", train, CLASS_NAMES)
    calls = 0

    def slow(self: Predictor, batch: Any) -> list[Any]:
        nonlocal calls
        calls += 1
        time.sleep(0.05)
        return []

    monkeypatch.setattr("detector.experiments.compare.cost.MOST_SECONDS", 0.1)
    monkeypatch.setattr(Predictor, "detect", slow)
    cost = measure_cost(file, read_index(train.data, "val"), latency=True, accelerator="cpu")
    assert cost.latency_ms is not None
    assert calls < 16  # 6 images for operations, and 4 repeats of two, of which 3 warm up


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process cannot forget its peak")
@pytest.mark.slow
def test_memory_grows_by_what_prediction_holds(tiny: Configure, tmp_path: Path) -> None:
    train = tiny()
    file = save_checkpoint(tmp_path / "best.ckpt", train, CLASS_NAMES)
    picture = read_index(train.data, "val").image(0)
    peaks = {}
    for size in (96, 1280):
        predictor = Predictor(open_checkpoint(file), image_size=size, accelerator="cpu")
        peaks[size] = peak_memory(file, [predictor.preprocess([picture])], "cpu")
    # the first convolution alone gives 16 channels of float32 at half of 1280 pixels: 25 MiB; its activation as many
    assert 1 < peaks[96] < 60  # libraries that are imported late are not what the network needs
    assert peaks[1280] - peaks[96] > 40
