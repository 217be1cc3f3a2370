"""How the layers of a network fare in one training step: units that are dead, sizes of activations, gradients and updates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)
RELUS = (nn.ReLU, nn.ReLU6)
"""Activations with a gradient of exactly 0: only of these can a unit be dead."""

SMALLEST_WEIGHT = 1e-3
"""Weights that are smaller on average, such as zeros, count as so large where they are divided by."""

MEASURES = ("dead", "activation", "gradient", "update")


@dataclass(frozen=True)
class LayerHealth:
    """Measures of one layer in one step; None where one has no meaning for it, or it took no part in the step."""

    name: str
    """Name of the submodule."""
    kind: str
    """Class of the layer."""
    dead: float | None = None
    """Share of a ReLU's channels, 0..1, that are 0 at all positions of all images of the batch."""
    activation: float | None = None
    """Root of the mean square of its output."""
    gradient: float | None = None
    """‖∂L/∂w‖ / ‖w‖ of its weight, before clipping: how fast the loss falls if the weight changes by its own size."""
    update: float | None = None
    """‖Δw‖ / ‖w‖: what the optimizer made of it; about 0.001 is usual."""


class HealthMeter:
    """Measures the convolutions, fully connected layers and ReLUs of a network.

    A step is measured between `start` and `finish`; in between come the forward and the backward pass,
    `before_update`, and the optimizer's step. Between steps nothing of it is left in the network. Numbers stay on the
    device until `finish`, which waits for it once.
    """

    def __init__(self, module: nn.Module) -> None:
        layers = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, WEIGHTED + RELUS)]
        self.layers = dict(layers)
        self._hooks: list[Any] = []
        self._alive: dict[str, Tensor] = {}
        self._squares: dict[str, list[Tensor]] = {}
        self._before: dict[str, tuple[Tensor, Tensor]] = {}

    def start(self) -> None:
        """Begins to measure the outputs of layers."""
        self._alive, self._squares, self._before = {}, {}, {}
        self._hooks = [layer.register_forward_hook(self._look(name)) for name, layer in self.layers.items()]

    def _look(self, name: str) -> Any:
        def hook(layer: nn.Module, _: Any, output: Tensor) -> None:
            output = output.detach()
            self._squares.setdefault(name, []).append(output.float().square().mean())
            if isinstance(layer, RELUS):
                channel = 1 if output.dim() > 1 else 0
                alive = (output > 0).transpose(0, channel).flatten(1).any(1)
                self._alive[name] = alive | self._alive[name] if name in self._alive else alive

        return hook

    @torch.no_grad()
    def before_update(self) -> None:
        """Gradients are complete; the optimizer has not used them."""
        self._remove_hooks()
        for name, layer in self.layers.items():
            weight = getattr(layer, "weight", None)
            if isinstance(weight, Tensor) and weight.grad is not None:
                self._before[name] = weight.detach().clone(), weight.grad.float().norm()

    @torch.no_grad()
    def finish(self) -> list[LayerHealth]:
        """Called after the optimizer's step: every layer that took part, in the order of the network."""
        self._remove_hooks()
        names, numbers = [], []
        for name, layer in self.layers.items():
            if name not in self._squares and name not in self._before:
                continue
            values: dict[str, Tensor] = {}
            if name in self._alive:
                values["dead"] = 1 - self._alive[name].float().mean()
            if name in self._squares:
                values["activation"] = torch.stack(self._squares[name]).mean().sqrt()
            if name in self._before:
                weight, gradient = self._before[name]
                size = weight.float().norm().clamp(min=SMALLEST_WEIGHT * weight.numel() ** 0.5)
                values["gradient"] = gradient / size
                values["update"] = (layer.weight - weight).float().norm() / size
            names.append((name, type(layer).__name__, tuple(values)))
            numbers += list(values.values())
        return _read(names, numbers)

    def _remove_hooks(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []


def _read(names: Sequence[tuple[str, str, tuple[str, ...]]], numbers: Sequence[Tensor]) -> list[LayerHealth]:
    values = iter(torch.stack(list(numbers)).tolist() if numbers else ())
    return [
        LayerHealth(name, kind, **{measure: next(values) for measure in measures}) for name, kind, measures in names
    ]
