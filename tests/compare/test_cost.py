from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from saved_checkpoint import save_checkpoint
from torch import nn

from detector import config
from detector.checkpoint import open_checkpoint
from detector.compare.cost import measure_cost
from detector.data.read import read_index
from detector.data.shapes import CLASS_NAMES

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
    monkeypatch.setattr("detector.compare.cost.SECONDS", 0.0)
    from detector.inference.predictor import Predictor

    detect = Predictor.detect
    sizes: list[int] = []

    def slow(self: Predictor, batch: Any) -> Any:
        import time

        sizes.append(len(batch.targets))
        time.sleep(0.03)
        return detect(self, batch)

    monkeypatch.setattr(Predictor, "detect", slow)
    cost = measure_cost(file, read_index(train.data, "val"), latency=True, accelerator="cpu")
    assert cost.latency_ms is not None
    assert 30 < cost.latency_ms < 1000
    assert set(sizes) == {1}
