"""The ledger of a network: what each layer is and what it costs, by formula, and checked against PyTorch's own counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from detector.arithmetic.convolution import CONVOLUTIONS, TRANSPOSED, Convolution, FullyConnected


@dataclass(frozen=True)
class Layer:
    """One run of one layer."""

    name: str
    """Name of the submodule; `name:2` is its second run."""
    kind: str
    """Class of the layer."""
    kernel: tuple[int, ...] | None
    """Sides of the window of a convolution or pooling; None for other layers."""
    stride: tuple[int, ...] | None
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None
    """Shape of the first output; None where there is none, or where the layer does not run."""
    parameters: int
    """Parameters of the layer's own, trained or frozen; of a layer that runs several times only its first run has them."""
    multiply_accumulates: int
    """Multiply-accumulates by the formulas of convolutions and fully connected layers, which do nearly all of the work."""
    counted_flops: int
    """What `torch.utils.flop_counter` saw meanwhile: two for each multiply-accumulate."""
    activation_bytes: int
    """Bytes of the layer's output; 0 where that is its input itself, as of one that works in place or does nothing."""


@dataclass(frozen=True)
class Ledger:
    """All layers in the order in which they run, then those with parameters that do not."""

    layers: tuple[Layer, ...]
    counted_parameters: int
    """Parameters of the whole network, counted by PyTorch."""
    flops_outside: Mapping[str, int]
    """Operation → what the counter saw of it outside all layers: products of tensors that no layer stands for."""

    @property
    def parameters(self) -> int:
        """Sum over the layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_accumulates(self) -> int:
        """Sum over the layers."""
        return sum(layer.multiply_accumulates for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        """Sum over the layers: about what a training step keeps for its backward pass."""
        return sum(layer.activation_bytes for layer in self.layers)

    def mistakes(self) -> list[str]:
        """Where formulas and PyTorch's own counts differ; empty if all is well."""
        wrong = [
            f"{layer.name}: {2 * layer.multiply_accumulates} operations by formula, {layer.counted_flops} counted"
            for layer in self.layers
            if 2 * layer.multiply_accumulates != layer.counted_flops
        ]
        if self.parameters != self.counted_parameters:
            wrong.append(f"{self.parameters} parameters in the layers, {self.counted_parameters} in the network")
        return wrong


def take_ledger(module: nn.Module, run: Callable[[], Any]) -> Ledger:
    """The ledger of a network, taken while it runs once.

    A layer is a submodule that has no submodules, or has parameters of its own beside them.

    Args:
        module: on the meta device it costs nothing to run, where all that it does is possible there.
        run: runs it on an input of choice, such as `lambda: module(images)`.
    """
    book = _Book()
    hooks: list[Any] = []
    layers = {name: one for name, one in module.named_modules() if _own(one) or not list(one.children())}
    for name, layer in layers.items():
        hooks += [layer.register_forward_pre_hook(book.before), layer.register_forward_hook(book.after(name))]
    try:
        with torch.no_grad(), book.counter:
            run()
    finally:
        for hook in hooks:
            hook.remove()
    idle = [
        Layer(name, type(layer).__name__, None, None, None, None, _own(layer), 0, 0, 0)
        for name, layer in layers.items()
        if _own(layer) and not book.runs[name]
    ]
    outside = book.flops()
    outside.subtract(book.inside)
    return Ledger(
        (*book.layers, *idle),
        sum(parameter.numel() for parameter in module.parameters()),
        {operation: flops for operation, flops in outside.items() if flops},
    )


class _Book:
    """What the layers write down while they run."""

    def __init__(self) -> None:
        self.counter = FlopCounterMode(display=False)
        self.layers: list[Layer] = []
        self.runs: Counter[str] = Counter()
        self.inside: Counter[str] = Counter()
        """Operations counted inside of layers."""
        self._counts_before: list[Counter[str]] = []

    def flops(self) -> Counter[str]:
        """Operation → operations counted so far."""
        counts = self.counter.get_flop_counts().get("Global", {})
        return Counter({str(operation): flops for operation, flops in counts.items()})

    def before(self, *_: Any) -> None:
        self._counts_before.append(self.flops())

    def after(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            counted = self.flops()
            counted.subtract(self._counts_before.pop())
            if list(module.children()):  # what it does is done by layers inside
                counted = Counter()
            self.inside.update(counted)
            self.runs[name] += 1
            again = self.runs[name] > 1
            taken, given = _shape(inputs), _shape(output)
            self.layers.append(
                Layer(
                    f"{name}:{self.runs[name]}" if again else name,
                    type(module).__name__,
                    _per_axis(module, "kernel_size", taken),
                    _per_axis(module, "stride", taken),
                    taken,
                    given,
                    0 if again else _own(module),
                    _multiply_accumulates(module, taken, given),
                    counted.total(),
                    _new_bytes(inputs, output),
                )
            )

        return hook


def _own(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters(recurse=False))


def _new_bytes(inputs: Any, output: Any) -> int:
    known = {id(tensor) for tensor in _tensors(inputs)}
    return sum(tensor.nbytes for tensor in _tensors(output) if id(tensor) not in known)


def _multiply_accumulates(module: nn.Module, taken: tuple[int, ...] | None, given: tuple[int, ...] | None) -> int:
    if taken is None:
        return 0
    if isinstance(module, CONVOLUTIONS + TRANSPOSED):
        axes = len(module.kernel_size)
        batch = prod(taken[: -axes - 1])  # of an input without a batch 1
        if isinstance(module, CONVOLUTIONS) and type(module) not in CONVOLUTIONS and given is not None:
            # a kind of its own may pad by itself, as timm's Conv2dSame: what came out says how often its weights were used
            return batch * module.weight.numel() * prod(given[-axes:])
        return batch * Convolution.cost(module, taken[-axes:])
    if isinstance(module, nn.Linear):
        return prod(taken[:-1]) * FullyConnected(module.in_features, module.out_features).multiply_accumulates
    return 0


def _per_axis(module: nn.Module, key: str, taken: tuple[int, ...] | None) -> tuple[int, ...] | None:
    value = getattr(module, key, None)
    if isinstance(value, int) and taken is not None:
        return (value,) * _spatial_axes(module, taken)
    return tuple(value) if isinstance(value, tuple) else None


def _spatial_axes(module: nn.Module, taken: tuple[int, ...]) -> int:
    """The axes that the name of a pooling gives, as `MaxPool2d`; of others those behind batch and channels."""
    digits = [int(one) for one in type(module).__name__ if one in "123"]
    return digits[-1] if digits and type(module).__name__.endswith("d") else len(taken) - 2


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)


def _shape(value: Any) -> tuple[int, ...] | None:
    """Shape of the first tensor in `value`; None where there is none."""
    first = next(_tensors(value), None)
    return None if first is None else tuple(first.shape)
