"""Question 2a: what weight sharing gives, each of its three claims measured."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from detector.arithmetic.equivariance import LocallyConnected2d, shift_equivariance_error
from detector.seminar.answer import Answer, Condition, Panel, Series, Table

SIDE, FILTERS, KERNEL = 24, 4, 5
SHIFTS = range(7)
"""Pixels, down and to the right: so far the object stays inside."""
ROUNDED = 1e-12
"""Largest difference of float64 sums that counts as rounding."""
BUDGET, CHANNELS = 10_000_000, 16
"""Parameters that a plain network may have, and its channels."""
SEEDS = (0, 1, 2)


def what_it_gives(seeds: Sequence[int] = SEEDS, steps: int = 150) -> Answer:
    """2a"""
    layers, image = equivariance_layers(), _cross()
    parameters = {name: sum(one.numel() for one in layer.parameters()) for name, layer in layers.items()}
    errors = {
        name: tuple(shift_equivariance_error(layer, image, (shift, shift), margin=2) for shift in SHIFTS)
        for name, layer in layers.items()
    }
    shared, strided, own, full = layers
    deepest = {kind: deepest_network(kind == "shared") for kind in ("shared", "own")}
    places = {kind: [recognised(kind == "shared", seed, steps) for seed in seeds] for kind in ("shared", "own")}
    return Answer(
        "2a",
        "what weight sharing gives",
        f"fewer parameters, so that networks can be deep: {BUDGET:,} parameters allow {deepest['shared'][0]:,} "
        "convolutions, but "
        f"{deepest['own'][0]} layers without sharing; translation equivariance: an object that moves moves its features along; "
        "and an object is recognised wherever it lies, also where none lay in training",
        (
            Condition("parameters: convolution / locally connected", parameters[shared] / parameters[own], "<", 0.01),
            Condition("parameters: locally connected / fully connected", parameters[own] / parameters[full], "<", 0.1),
            Condition("parameters of the deepest shared network that fits", deepest["shared"][1], "<", BUDGET + 1),
            Condition("parameters with one more layer", deepest["shared"][2], ">", BUDGET),
            Condition("parameters of the deepest network of own weights that fits", deepest["own"][1], "<", BUDGET + 1),
            Condition("parameters with one more layer", deepest["own"][2], ">", BUDGET),
            Condition(
                "depth with shared weights / with own weights",
                deepest["shared"][0] / deepest["own"][0],
                ">",
                SIDE**2 / 2,
            ),
            Condition("convolution: equivariance error at every shift", errors[shared], "<", ROUNDED),
            Condition("stride 2: equivariance error at even shifts", errors[strided][::2], "<", ROUNDED),
            Condition("stride 2: equivariance error at odd shifts", errors[strided][1::2], ">", 0.1),
            Condition("locally connected: equivariance error", errors[own][1:], ">", 0.1),
            Condition("fully connected: equivariance error", errors[full][1:], ">", 0.1),
            Condition("shared: share recognised on the left, as in training", _side(places["shared"], 0), ">", 0.9),
            Condition("shared: share recognised on the right", _side(places["shared"], 1), ">", 0.9),
            Condition("own weights: share recognised on the left", _side(places["own"], 0), ">", 0.9),
            Condition("own weights: share recognised on the right (guessing 0.25)", _side(places["own"], 1), "<", 0.45),
        ),
        "f(S x) = S f(x) for shifts S",
        steps=(
            "a convolution has kernel² · channels · filters weights; without sharing as many for every output position",
            "sharing means that a shift of the input is a shift of the output: the same sums are made one position further",
            "with stride s that holds for shifts by multiples of s",
            "what is learned at one position is known at all of them",
        ),
        experiment=f"layers with {KERNEL} × {KERNEL} filters from {SIDE} × {SIDE} × 1 to {FILTERS} channels and an "
        "object moved by 0 to "
        f"{SHIFTS[-1]} pixels: ‖f(Sx) − S f(x)‖ / ‖f(x)‖; plain networks of 3 × 3 filters and {CHANNELS} channels on "
        f"{SIDE} × {SIDE} "
        f"positions; and a layer with maximum over positions and classifier, which learns four shapes on the left half of "
        f"images, tested on both halves ({steps} steps of Adam, seeds {', '.join(map(str, seeds))})",
        tables=(
            Table(
                "parameters, and equivariance error when moved by 1 and 2 pixels",
                ("layer", "parameters", "moved by 1", "moved by 2"),
                tuple((name, parameters[name], errors[name][1], errors[name][2]) for name in layers),
            ),
            Table(
                f"deepest plain network with at most {BUDGET:,} parameters",
                ("weights", "layers", "parameters", "with one layer more"),
                tuple((kind, *deepest[kind]) for kind in deepest),
            ),
            Table(
                "share of shapes recognised, trained on the left",
                ("weights", "left, seed by seed", "right, seed by seed"),
                tuple((kind, _side(one, 0), _side(one, 1)) for kind, one in places.items()),
            ),
        ),
        panels=(
            Panel(
                "parameters of one layer",
                "bars",
                (Series("parameters", tuple(map(float, parameters.values()))),),
                ticks=tuple(parameters),
                log_y=True,
            ),
            Panel(
                "‖f(Sx) − S f(x)‖ / ‖f(x)‖",
                "lines",
                tuple(Series(name, one, tuple(map(float, SHIFTS))) for name, one in errors.items()),
                x_label="shift in pixels, down and right",
            ),
            Panel(
                "recognised, trained on the left",
                "bars",
                tuple(
                    Series(
                        f"{'left' if half == 0 else 'right'}, seed {seed}",
                        tuple(one[i][half] for one in places.values()),
                    )
                    for half in (0, 1)
                    for i, seed in enumerate(seeds)
                ),
                ticks=("shared weights", "own weights"),
                levels={"guessing": 0.25},
            ),
        ),
        sources=(
            "LeCun et al. 1989, Generalization and network design strategies",
            "Zhang 2019, Making Convolutional Networks Shift-Invariant Again (strides)",
        ),
    )


def _side(results: Sequence[tuple[float, float]], half: int) -> tuple[float, ...]:
    return tuple(one[half] for one in results)


def equivariance_layers() -> dict[str, nn.Module]:
    """Layers from [B, 1, 24, 24] to four channels, with the same random weights every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = {
            "convolution": nn.Conv2d(1, FILTERS, KERNEL, padding=KERNEL // 2),
            "convolution, stride 2": nn.Conv2d(1, FILTERS, KERNEL, stride=2, padding=KERNEL // 2),
            "locally connected": LocallyConnected2d(1, FILTERS, (SIDE, SIDE), (KERNEL, KERNEL), padding=KERNEL // 2),
            "fully connected": nn.Sequential(
                nn.Flatten(), nn.Linear(SIDE**2, FILTERS * SIDE**2), nn.Unflatten(1, (FILTERS, SIDE, SIDE))
            ),
        }
    return {name: layer.double() for name, layer in layers.items()}


def _cross() -> Tensor:
    """A cross in the middle of nothing: [1, 1, 24, 24]."""
    image = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    image[..., 7:16, 10:13] = image[..., 10:13, 7:16] = 1
    return image


def deepest_network(shared: bool) -> tuple[int, int, int]:
    """Layers of the deepest plain network that fits the budget, its parameters, and those of one that is a layer deeper.

    Counted on the layers themselves: the first, from one channel, and one of the others.
    """
    first, following = (_parameters(shared, channels) for channels in (1, CHANNELS))
    depth = 1 + (BUDGET - first) // following
    return depth, first + (depth - 1) * following, first + depth * following


def _parameters(shared: bool, channels: int) -> int:
    with torch.device("meta"):
        layer = _layer(shared, channels, CHANNELS, (SIDE, SIDE), 3)
    return sum(one.numel() for one in layer.parameters())


def _layer(shared: bool, channels: int, filters: int, size: tuple[int, int], kernel: int) -> nn.Module:
    if shared:
        return nn.Conv2d(channels, filters, kernel, padding=kernel // 2)
    return LocallyConnected2d(channels, filters, size, (kernel, kernel), padding=kernel // 2)


class OneLayer(nn.Module):
    """A layer with shared weights or with its own at each position, the maximum over positions, and a classifier."""

    def __init__(self, shared: bool, size: tuple[int, int], classes: int, filters: int = 8, kernel: int = 5) -> None:
        super().__init__()
        self.layer = _layer(shared, 1, filters, size, kernel)
        self.classifier = nn.Linear(filters, classes)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 1, H, W] → class logits [B, K]."""
        logits: Tensor = self.classifier(self.layer(images).relu().amax((2, 3)))
        return logits


def fit(network: nn.Module, images: Tensor, labels: Tensor, steps: int, generator: torch.Generator) -> None:
    """Trains with Adam on batches of 64."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(steps):
        chosen = torch.randint(len(images), (64,), generator=generator)
        optimizer.zero_grad()
        functional.cross_entropy(network(images[chosen]), labels[chosen]).backward()
        optimizer.step()


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of the images whose class has the largest logit."""
    return (network(images).argmax(1) == labels).double().mean().item()


SHAPES = torch.tensor(
    [
        [[0, 0, 1, 0, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]],
        [[1, 0, 0, 0, 1], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0], [0, 1, 0, 1, 0], [1, 0, 0, 0, 1]],
        [[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]],
        [[0, 0, 1, 0, 0], [0, 1, 0, 1, 0], [1, 0, 0, 0, 1], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0]],
    ],
    dtype=torch.float32,
)
"""A plus, a cross, a square and a diamond."""
HALF = (9, 9)
"""Rows and columns of one half of an image."""


def recognised(shared: bool, seed: int, steps: int) -> tuple[float, float]:
    """Share of shapes recognised on the left half of new images, as in training, and on the right half."""
    generator = torch.Generator().manual_seed(seed)
    training = shapes(512, generator, right=False)
    left, right = shapes(400, generator, right=False), shapes(400, generator, right=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = OneLayer(shared, (HALF[0], 2 * HALF[1]), len(SHAPES))
    fit(network, *training, steps, generator)
    return accuracy(network, *left), accuracy(network, *right)


def shapes(number: int, generator: torch.Generator, right: bool) -> tuple[Tensor, Tensor]:
    """Images [N, 1, 9, 18] with a shape anywhere on one half, in noise, and which shape."""
    labels = torch.randint(len(SHAPES), (number,), generator=generator)
    rows = torch.randint(HALF[0] - 4, (number,), generator=generator)
    columns = torch.randint(HALF[1] - 4, (number,), generator=generator) + right * HALF[1]
    images = 0.2 * torch.randn(number, 1, HALF[0], 2 * HALF[1], generator=generator)
    for image, label, row, column in zip(images, labels, rows.tolist(), columns.tolist(), strict=True):
        image[0, row : row + 5, column : column + 5] += SHAPES[label]
    return images, labels
