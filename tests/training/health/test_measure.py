from __future__ import annotations

import pytest
import torch
from torch import nn

from detector.training.health.measure import HealthMeter, LayerHealth


def step(network: nn.Module, images: torch.Tensor, batches: int = 1) -> dict[str, LayerHealth]:
    """One step of gradient descent, measured."""
    meter = HealthMeter(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    meter.start()
    for _ in range(batches):
        network(images).square().mean().backward()
    meter.before_update()
    optimizer.step()
    return {layer.name: layer for layer in meter.finish()}


def test_every_number_is_what_its_definition_says() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.Conv2d(8, 2, 3))
    first, last = network[0], network[2]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(last, nn.Conv2d)
    assert first.bias is not None
    with torch.no_grad():
        first.bias[:3] = -100.0
        first.bias[3] = 100.0
    images = torch.randn(4, 3, 9, 9)
    with torch.no_grad():
        before = first(images)
        hidden = before.relu()
        output = last(hidden)
    weight = last.weight.detach().clone()
    found = step(network, images)

    assert list(found) == ["0", "1", "2"]
    assert found["1"].dead == pytest.approx(3 / 8)
    assert found["0"].dead is None
    assert found["0"].activation == pytest.approx(before.square().mean().sqrt().item(), rel=1e-5)
    assert found["1"].activation == pytest.approx(hidden.square().mean().sqrt().item(), rel=1e-5)
    assert found["2"].activation == pytest.approx(output.square().mean().sqrt().item(), rel=1e-5)
    assert last.weight.grad is not None
    assert found["2"].gradient == pytest.approx((last.weight.grad.norm() / weight.norm()).item(), rel=1e-5)
    assert found["2"].update == pytest.approx(((last.weight - weight).norm() / weight.norm()).item(), rel=1e-4)
    assert (found["1"].gradient, found["1"].update) == (None, None)
    assert not any(layer._forward_hooks for layer in network.modules())


def test_a_channel_that_one_batch_of_several_or_one_run_of_several_wakes_is_alive() -> None:
    relu = nn.ReLU()

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu, self.weight = relu, nn.Parameter(torch.ones(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(x * self.weight) + self.relu(-x.flip(0) * self.weight)

    x = torch.tensor([[1.0, -1.0, 0.0]])
    assert step(Shared(), x)["relu"].dead == pytest.approx(1 / 3)


def test_gradients_of_accumulated_batches_are_their_sum() -> None:
    torch.manual_seed(0)
    network, x = nn.Linear(3, 2), torch.randn(5, 3)
    one = step(network, x)[""].gradient
    network.zero_grad()
    torch.manual_seed(0)
    again = nn.Linear(3, 2)
    assert one is not None
    assert step(again, x, batches=2)[""].gradient == pytest.approx(2 * one, rel=1e-5)


def test_a_layer_that_takes_no_part_is_left_out_and_a_frozen_one_has_no_gradient() -> None:
    network = nn.ModuleDict({"used": nn.Linear(3, 3), "frozen": nn.Linear(3, 2), "idle": nn.Linear(3, 2)})
    network["frozen"].requires_grad_(False)
    meter = HealthMeter(network)
    meter.start()
    network["frozen"](network["used"](torch.randn(2, 3))).sum().backward()
    meter.before_update()
    layers = {layer.name: layer for layer in meter.finish()}
    assert list(layers) == ["used", "frozen"]
    assert layers["frozen"].gradient is None
    assert layers["used"].update == 0.0


def test_weights_of_zero_give_finite_numbers() -> None:
    network = nn.Linear(3, 2)
    nn.init.zeros_(network.weight)
    found = step(network, torch.randn(2, 3))[""]
    assert found.gradient is not None
    assert 0 <= found.gradient < 1e4
