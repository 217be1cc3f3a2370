"""A deep fully connected network on a small task: problems of gradients, and each way out, can be watched in a second."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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


class DeepNetworks:
    """Layers of one width and a classifier, for set-ups that differ in their initial weights alone, side by side.

    Such small networks cost what their operations cost one by one, whose number does not grow with that of the networks.
    """

    def __init__(self, runs: Sequence[tuple[Setup, int]]) -> None:
        self.setup = runs[0][0]
        drawn = [_initial(setup, seed) for setup, seed in runs]
        self.parameters = [torch.stack(one).requires_grad_() for one in zip(*drawn, strict=True)]
        """Weights [N, in, out] and biases [N, 1, out] of the layers and the classifier; scale and shift of the norms."""

    def __call__(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Images [N, B, 64] of N networks → class logits [N, B, 4], and each layer's output [N, B, 32]."""
        activation = make_activation(self.setup.activation)
        outputs: list[Tensor] = []
        weights = iter(self.parameters)
        for number, (weight, bias, scale, shift) in enumerate(zip(*[weights] * 4, strict=False)):
            y = torch.baddbmm(bias, x, weight)
            if self.setup.norm:
                y = (
                    scale * (y - y.mean(1, keepdim=True)) / (y.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
                    + shift
                )
            y = activation(y)
            x = x + y / math.sqrt(self.setup.depth) if self.setup.residual and number else y
            outputs.append(x)
        return torch.baddbmm(self.parameters[-1], x, self.parameters[-2]), outputs


def _initial(setup: Setup, seed: int) -> list[Tensor]:
    """What `DeepNetworks.parameters` of one network are, in float64."""
    drawn = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        linear = [nn.Linear(SIDE**2 if i == 0 else WIDTH, WIDTH) for i in range(setup.depth)]
        classifier = nn.Linear(WIDTH, CLASSES)
        for layer in linear:
            fan_in = layer.in_features
            nn.init.normal_(layer.weight, setup.mean / fan_in, setup.gain / math.sqrt(fan_in))
            nn.init.constant_(layer.bias, setup.bias)
            drawn += [layer.weight.T, layer.bias[None], torch.ones(1, WIDTH), torch.zeros(1, WIDTH)]
    return [one.detach().double() for one in (*drawn, classifier.weight.T, classifier.bias[None])]


def train(setups: Mapping[str, Setup], seeds: Sequence[int], steps: int) -> dict[str, list[Course]]:
    """Trains each set-up with each seed: name → its courses, seed by seed.

    In float64, where a deep network without norms does the same whatever number of threads. The same seed means the same
    images and, as far as two set-ups draw alike, the same weights.
    """
    batches = {seed: _batches(seed, steps) for seed in seeds}
    alike: dict[Setup, list[tuple[Setup, int]]] = {}
    for setup in dict.fromkeys(setups.values()):
        alike.setdefault(replace(setup, gain=0.0, mean=0.0, bias=0.0), []).extend((setup, seed) for seed in seeds)
    courses = {run: course for runs in alike.values() for run, course in _train_alike(runs, batches).items()}
    return {name: [courses[setup, seed] for seed in seeds] for name, setup in setups.items()}


Batches = tuple[Tensor, Tensor]
"""Images [steps, 64, 64] and labels [steps, 64]."""


def _batches(seed: int, steps: int) -> Batches:
    generator = torch.Generator().manual_seed(seed)
    images, labels = zip(*(stripes(generator) for _ in range(steps)), strict=True)
    return torch.stack(images), torch.stack(labels)


def _train_alike(runs: Sequence[tuple[Setup, int]], batches: Mapping[int, Batches]) -> dict[tuple[Setup, int], Course]:
    networks = DeepNetworks(runs)
    setup = networks.setup
    images, labels = (torch.stack(one, dim=1) for one in zip(*(batches[seed] for _, seed in runs), strict=True))
    losses, first_outputs, first_gradients = [], list[Tensor](), tuple[Tensor, ...]()
    for step in range(len(images)):
        logits, outputs = networks(images[step])
        each = functional.cross_entropy(logits.flatten(0, 1), labels[step].flatten(), reduction="none")
        loss = each.view(len(runs), -1).mean(1)
        losses.append(loss.detach())
        watched = outputs if step == 0 else []
        # a network's gradients are those of its own loss, whatever is added; the norms' are missing where there is none
        gradients = torch.autograd.grad(loss.sum(), [*watched, *networks.parameters], allow_unused=True)
        if step == 0:
            first_outputs, first_gradients = outputs, gradients[: len(outputs)]
        found = [
            (parameter, gradient)
            for parameter, gradient in zip(networks.parameters, gradients[len(watched) :], strict=True)
            if gradient is not None
        ]
        share = torch.ones(len(runs), 1, 1, dtype=torch.float64)
        if setup.clip:
            norm = torch.stack([gradient.norm(dim=(1, 2)) for _, gradient in found]).norm(dim=0)
            share = (setup.clip / norm).clamp(max=1)[:, None, None]
        with torch.no_grad():
            for parameter, gradient in found:
                parameter -= setup.lr * share * gradient
    dead = torch.stack([(one <= 0).all(1).double().mean(1) for one in first_outputs], dim=1)
    sizes = torch.stack([one.norm(dim=(1, 2)) for one in first_gradients], dim=1)
    by_run = zip(torch.stack(losses, dim=1).tolist(), dead.tolist(), sizes.tolist(), strict=True)
    return {run: Course(*map(tuple, one)) for run, one in zip(runs, by_run, strict=True)}


def stripes(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images [64, 64] of 8 × 8 pixels, stripes at 0, 45, 90 or 135 degrees in noise, and which of them, int64 [64]."""
    labels = torch.randint(CLASSES, (BATCH,), generator=generator)
    angle = labels * math.pi / CLASSES
    places = torch.arange(SIDE, dtype=torch.float64) - (SIDE - 1) / 2
    along = angle.cos()[:, None, None] * places + angle.sin()[:, None, None] * places[:, None]
    images = torch.cos(1.6 * along)
    return (images + 0.5 * torch.randn(images.shape, generator=generator)).flatten(1), labels
