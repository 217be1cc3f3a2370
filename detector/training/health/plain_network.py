"""A deep plain network on a small task, on which problems of gradients and their fixes can be watched in seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from detector.layers import make_activation, make_norm
from detector.training.health.flags import Flag, find_flags
from detector.training.health.measure import HealthMeter, LayerHealth

WIDTH, SIDE, CLASSES, BATCH = 16, 12, 4, 32


@dataclass(frozen=True)
class Setup:
    """How the network is built and trained."""

    depth: int = 24
    """Convolutions."""
    activation: str = "relu"
    norm: str = "none"
    residual: bool = False
    """Each layer's output, divided by √depth, is added to its input: the sum stays of one size (Zhang et al. 2019, Fixup)."""
    gain: float = math.sqrt(2)
    """Weights are drawn with σ = gain / √fan_in; √2 keeps the size of what passes through ReLUs (He et al. 2015)."""
    bias: float = 0.0
    """Bias of every convolution at the beginning."""
    lr: float = 0.02
    """Learning rate of plain gradient descent."""
    clip: float = 0.0
    """Largest norm of the gradient; 0 does not clip."""


@dataclass(frozen=True)
class Course:
    """What became of a training."""

    losses: tuple[float, ...]
    """Loss of each step; guessing has log 4 = 1.39."""
    history: dict[int, list[LayerHealth]]
    flags: tuple[Flag, ...]

    @property
    def final_loss(self) -> float:
        """Mean of the last ten steps."""
        return sum(self.losses[-10:]) / len(self.losses[-10:])


class PlainNetwork(nn.Module):
    """3 × 3 convolutions of one width, each with norm and activation, and a classifier of their mean."""

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.residual = setup.residual
        channels = [3, *[WIDTH] * setup.depth]
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 3, padding=1),
                make_norm(setup.norm, after),
                make_activation(setup.activation),
            )
            for before, after in pairwise(channels)
        )
        self.classifier = nn.Linear(WIDTH, CLASSES)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                assert layer.bias is not None
                nn.init.normal_(layer.weight, std=setup.gain / math.sqrt(9 * layer.in_channels))
                nn.init.constant_(layer.bias, setup.bias)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] → class logits [B, 4]."""
        x = self.layers[0](images)
        for layer in list(self.layers)[1:]:
            x = x + layer(x) / len(self.layers) ** 0.5 if self.residual else layer(x)
        logits: Tensor = self.classifier(x.mean(dim=(2, 3)))
        return logits


def train_plain(
    setup: Setup, steps: int = 60, every: int = 4, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Course:
    """Trains a plain network to tell four oriented gratings apart, measuring its layers as it goes.

    The same seed means the same images and, as far as two set-ups have the same layers, the same weights. Deep networks
    without a norm amplify what is rounded, which depends on the number of threads: float64 keeps their courses alike.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PlainNetwork(setup).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=setup.lr)
    meter = HealthMeter(network)
    losses, history = [], {}
    for step in range(1, steps + 1):
        images, labels = gratings(generator)
        measured = (step - 1) % every == 0
        if measured:
            meter.start()
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(images.to(dtype)), labels)
        loss.backward()
        if measured:
            meter.before_update()
        if setup.clip:
            nn.utils.clip_grad_norm_(network.parameters(), setup.clip)
        optimizer.step()
        losses.append(loss.item())
        if measured:
            history[step] = meter.finish()
    return Course(tuple(losses), history, tuple(find_flags(list(history.values()))))


def gratings(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images [32, 3, 12, 12] of stripes at 0, 45, 90 or 135 degrees in noise, and which of them, int64 [32]."""
    labels = torch.randint(CLASSES, (BATCH,), generator=generator)
    angle = labels * math.pi / CLASSES
    places = torch.arange(SIDE, dtype=torch.float32)
    along = angle.cos()[:, None, None] * places + angle.sin()[:, None, None] * places[:, None]
    phase = 2 * math.pi * torch.rand(BATCH, 1, 1, generator=generator)
    stripes = torch.sin(1.6 * along + phase)[:, None].expand(-1, 3, -1, -1)
    return stripes + 0.3 * torch.randn(stripes.shape, generator=generator), labels
