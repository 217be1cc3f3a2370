import json
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from detector import config
from detector.training import batch_norm
from detector.training.ema import AveragedDetector
from detector.training.train import train


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def test_every_parameter_and_buffer_follows_the_recursion_by_hand() -> None:
    """d(n) = min(decay, n / (n + 9)); 120 updates: the ramp reaches 0.9 at update 81 and the limit counts from there."""
    decay, module = 0.9, network().train()
    average = AveragedDetector(module, decay)
    expected: dict[str, Tensor] = {name: value.double().clone() for name, value in module.state_dict().items()}
    generator = torch.Generator().manual_seed(1)
    ramp = []
    for n in range(1, 121):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator))
        module(torch.randn(2, 3, 8, 8, generator=generator) * n)  # moves the running statistics
        average.update(module)
        d = min(decay, n / (n + 9))
        ramp.append(d)
        for name, value in module.state_dict().items():
            expected[name] = d * expected[name] + (1 - d) * value.double()
    assert ramp[0] == 0.1
    assert sum(d == decay for d in ramp) == 40

    found = average.module.state_dict()
    assert {"1.running_mean", "1.running_var", "0.weight", "2.bias"} <= found.keys()
    for name, value in found.items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-4, atol=1e-4)
    assert found["1.num_batches_tracked"] == 120


def test_the_first_update_forgets_nine_tenths_of_the_random_start() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = AveragedDetector(module, 0.9998)
    nn.init.ones_(module.weight)
    average.update(module)
    torch.testing.assert_close(average.module.weight, torch.tensor([[0.9]]))


def test_a_resumed_average_goes_on_counting() -> None:
    module = network()
    first = AveragedDetector(module, 0.99)
    for _ in range(5):
        first.update(module)
    second = AveragedDetector(module, 0.99)
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    first.update(module)
    second.update(module)
    assert int(second.updates) == 6
    for a, b in zip(first.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(a, b)


class Tied(nn.Module):
    """A weight that two layers share, a buffer that is not saved, and one that moving to another place replaces."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.second.weight = self.first.weight
        self.seen: Tensor
        self.derived: Tensor
        self.register_buffer("derived", torch.ones(2), persistent=False)
        self.register_buffer("seen", torch.zeros(2))


def test_a_tied_weight_moves_once_and_replaced_buffers_are_followed() -> None:
    module = Tied()
    nn.init.zeros_(module.first.weight)
    average = AveragedDetector(module, 0.9998)
    copy = average.module
    assert isinstance(copy, Tied)
    nn.init.ones_(module.first.weight)
    average.update(module)  # decay 1 / 10
    torch.testing.assert_close(copy.second.weight, torch.full((2, 2), 0.9))
    module.seen, module.derived = torch.full((2,), 11.0), torch.full((2,), 7.0)
    copy.seen = copy.seen.clone()
    average.update(module)  # decay 2 / 11
    torch.testing.assert_close(copy.seen, torch.full((2,), 9.0))
    assert torch.equal(copy.derived, torch.ones(2))
    assert copy.first.weight is copy.second.weight


def test_the_average_with_statistics_of_its_own_learns_to_detect(
    tiny: Callable[..., config.Train], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No statistics are renewed before the evaluation: what is measured is the average of everything, as in a long run.

    With buffers left out of the average the network would be measured with the statistics it began with.
    """
    monkeypatch.setattr(batch_norm, "SETTLED", 0.0)
    settings = tiny(
        data=config.Shapes(scene_size=64, train_images=96, val_images=16, batch_size=16, workers=0, cache="ram"),
        augment=config.Augment(name="flip", flip_horizontal=0.5),
        neck=config.FPNOptions(channels=32),
        optim=config.AdamWOptions(lr=0.01, warmup_epochs=1.0),
        trainer=config.Trainer(
            epochs=20, evaluate_every=20, accelerator="cpu", precision="fp32", progress=False, ema=0.93
        ),
        image_size=64,
    )
    metrics = json.loads((train(settings) / "metrics.json").read_text())
    assert metrics["AP"] > 0.1
