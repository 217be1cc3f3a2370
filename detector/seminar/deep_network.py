"""A deep fully connected network on a small task: problems of gradients, and each way out, can be watched in a second."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn import functional

from detector.layers import make_activation

SIDE, CLASSES, WIDTH, BATCH = 8, 4, 32, 64
GUESSING = math.log(CLASSES)
"""Cross-entropy of a network that gives every class the same probability."""


@dataclass(frozen=True)
class Setup:
    """How the network is built and trained."""

    depth: int
    lr: float
    """Learning rate of plain gradient descent."""
    gain: float = math.sqrt(2)
    """Weights have σ = gain / √fan_in: √2 is Kaiming's for ReLU (He et al. 2015), 1 Xavier's where a layer has as many inputs
    as outputs (Glorot & Bengio 2010)."""
    mean: float = 0.0
    """Weights have the mean `mean` / fan_in."""
    bias: float = 0.0
    """Bias of every layer at the beginning."""
    activation: str = "relu"
    norm: bool = False
    """Batch normalisation before each activation."""
    residual: bool = False
    """Each layer's output, divided by √depth, is added to its input."""
    clip: float = 0.0
    """Largest norm of the gradient; 0 does not clip."""


@dataclass(frozen=True)
class Course:
    """What became of a training."""

    losses: tuple[float, ...]
    """Loss of each step, on new images."""
    dead: tuple[float, ...]
    """Share of each layer's units that are 0 for every image of the first batch, before training."""
    gradients: tuple[float, ...]
    """‖∂L/∂a_l‖ of each layer's output, from the image on, at the first step."""

    @property
    def final_loss(self) -> float:
        """Mean of the last ten steps; not finite if one of them is not."""
        return fmean(self.losses[-10:])


class DeepNetwork(nn.Module):
    """Layers of one width, and a classifier."""

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.residual = setup.residual
        self.linear = nn.ModuleList(nn.Linear(SIDE**2 if i == 0 else WIDTH, WIDTH) for i in range(setup.depth))
        self.norms = nn.ModuleList(nn.BatchNorm1d(WIDTH) if setup.norm else nn.Identity() for _ in range(setup.depth))
        self.activation = make_activation(setup.activation)
        self.classifier = nn.Linear(WIDTH, CLASSES)
        for layer in self.linear:
            assert isinstance(layer, nn.Linear)
            fan_in = layer.in_features
            nn.init.normal_(layer.weight, setup.mean / fan_in, setup.gain / math.sqrt(fan_in))
            nn.init.constant_(layer.bias, setup.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Images [B, 64] → class logits [B, 4], and each layer's output [B, 32]."""
        outputs = []
        for number, (linear, norm) in enumerate(zip(self.linear, self.norms, strict=True)):
            y = self.activation(norm(linear(x)))
            x = x + y / math.sqrt(len(self.linear)) if self.residual and number else y
            outputs.append(x)
        return self.classifier(x), outputs


@cache
def train(setup: Setup, seed: int, steps: int) -> Course:
    """Trains in float64, where a deep network without norms does the same whatever number of threads.

    The same seed means the same images and, as far as two set-ups draw alike, the same weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DeepNetwork(setup).double()
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=setup.lr)
    losses: list[float] = []
    dead: tuple[float, ...] = ()
    gradients: tuple[float, ...] = ()
    for step in range(steps):
        images, labels = stripes(generator)
        optimizer.zero_grad()
        logits, outputs = network(images)
        if step == 0:
            for one in outputs:
                one.retain_grad()
        loss = functional.cross_entropy(logits, labels)
        loss.backward()
        if step == 0:
            dead = tuple((one <= 0).all(0).double().mean().item() for one in outputs)
            gradients = tuple(_norm(one.grad) for one in outputs)
        if setup.clip:
            nn.utils.clip_grad_norm_(network.parameters(), setup.clip)
        optimizer.step()
        losses.append(loss.item())
    return Course(tuple(losses), dead, gradients)


def _norm(gradient: Tensor | None) -> float:
    assert gradient is not None
    return gradient.norm().item()


def stripes(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images [64, 64] of 8 × 8 pixels, stripes at 0, 45, 90 or 135 degrees in noise, and which of them, int64 [64]."""
    labels = torch.randint(CLASSES, (BATCH,), generator=generator)
    angle = labels * math.pi / CLASSES
    places = torch.arange(SIDE, dtype=torch.float64) - (SIDE - 1) / 2
    along = angle.cos()[:, None, None] * places + angle.sin()[:, None, None] * places[:, None]
    images = torch.cos(1.6 * along)
    return (images + 0.5 * torch.randn(images.shape, generator=generator)).flatten(1), labels
