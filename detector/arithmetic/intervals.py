"""What the operations of a network do to receptive fields: the first and last pixel that each output row and column needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode, resolve_name

from detector.arithmetic.convolution import PerAxis, per_axis

Interval = tuple[Tensor, Tensor]
"""First and last pixel, int64 [outputs on this axis]."""

NOTHING = 2**40
"""first = NOTHING, last = −NOTHING: no pixel at all."""


@dataclass(frozen=True)
class PixelIntervals:
    """Which pixels of the image a tensor's elements depend on."""

    axes: dict[int, Interval]
    """Intervals by spatial dimension of the tensor, in the order of the image's axes."""
    whole: bool = False
    """Besides, all of it depends on the whole image."""


class Tracker(TorchFunctionMode):
    """While it is entered, what is computed from tensors with known intervals has them too, as far as there is a rule."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, tuple[Tensor, PixelIntervals]] = {}  # the tensor too: while it lives no other has its id

    def start(self, images: Tensor) -> None:
        """Begins with images [B, C, *size], each pixel of which depends on itself."""
        sizes = enumerate(images.shape[2:], start=2)
        self._known[id(images)] = images, PixelIntervals({dim: (torch.arange(n), torch.arange(n)) for dim, n in sizes})

    def intervals_of(self, tensor: Any) -> PixelIntervals | None:
        """None: it does not depend on the images, or by way of an operation without a rule."""
        found = self._known.get(id(tensor))
        return found[1] if found else None

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the operation, then its rule."""
        kwargs = kwargs or {}
        before = [
            (tensor, intervals) for tensor in _tensors(args) if (intervals := self.intervals_of(tensor)) is not None
        ]
        result = function(*args, **kwargs)
        name = (resolve_name(function) or "").rpartition(".")[2].rstrip("_")
        if before and (rule := RULES.get(name)):
            for output in _tensors([result]):
                if (intervals := rule(before, output, *args, **kwargs)) is not None:
                    self._known[id(output)] = output, intervals
        return result


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


Inputs = list[tuple[Tensor, PixelIntervals]]
Rule = Callable[..., PixelIntervals | None]
"""Inputs with known intervals, an output, and the operation's own arguments → the output's intervals; None if unknown."""


def _pointwise(inputs: Inputs, output: Tensor, *_: Any, **__: Any) -> PixelIntervals:
    """Each output depends on the same position of every input; an axis of size 1 stands for all positions."""
    axes: dict[int, Interval] = {}
    for tensor, intervals in inputs:
        for dim, (first, last) in intervals.axes.items():
            at = dim + output.dim() - tensor.dim()
            first, last = (bound.expand(output.shape[at]) for bound in (first, last))
            if at in axes:
                first, last = torch.minimum(first, axes[at][0]), torch.maximum(last, axes[at][1])
            axes[at] = first, last
    return PixelIntervals(axes, any(intervals.whole for _, intervals in inputs))


def _concatenation(inputs: Inputs, output: Tensor, tensors: Sequence[Tensor], dim: int = 0) -> PixelIntervals | None:
    intervals = _pointwise(inputs, output)
    return None if dim % output.dim() in intervals.axes else intervals


def _convolution(
    inputs: Inputs,
    output: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: PerAxis = 1,
    padding: PerAxis | str = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> PixelIntervals | None:
    kernel = weight.shape[2:]
    if padding == "same":
        padding = [d * (k - 1) // 2 for d, k in zip(per_axis(dilation, len(kernel)), kernel, strict=True)]
    elif isinstance(padding, str):
        padding = 0
    return _windows(inputs, output, x, kernel, stride, padding, dilation)


def _max_pooling(
    inputs: Inputs,
    output: Tensor,
    x: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> PixelIntervals | None:
    return _windows(inputs, output, x, kernel_size, stride or kernel_size, padding, dilation)


def _average_pooling(
    inputs: Inputs,
    output: Tensor,
    x: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    *_: Any,
    **__: Any,
) -> PixelIntervals | None:
    return _windows(inputs, output, x, kernel_size, stride or kernel_size, padding, 1)


def _windows(
    inputs: Inputs, output: Tensor, x: Tensor, kernel: PerAxis, stride: PerAxis, padding: PerAxis, dilation: PerAxis
) -> PixelIntervals | None:
    """Output o depends on the inputs o · stride − padding + k · dilation, k = 0 .. kernel − 1, that exist."""

    def needed(outputs: Tensor, size: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
        return outputs[:, None] * stride - padding + torch.arange(kernel) * dilation

    return _by_axis(inputs, output, x, needed, kernel, stride, padding, dilation)


def _transposed_convolution(
    inputs: Inputs,
    output: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
) -> PixelIntervals | None:
    """Input i goes to the outputs i · stride − padding + k · dilation."""

    def needed(outputs: Tensor, size: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
        steps = outputs[:, None] + padding - torch.arange(kernel) * dilation
        return torch.where(steps % stride == 0, steps.div(stride, rounding_mode="floor"), -1)

    return _by_axis(inputs, output, x, needed, weight.shape[2:], stride, padding, dilation)


def _padding(
    inputs: Inputs, output: Tensor, x: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None
) -> PixelIntervals | None:
    """What is added depends on nothing; the numbers are for either end of each axis, the last axis first."""
    if mode != "constant":
        return None
    intervals = inputs[0][1]
    axes = {}
    for dim, (first, last) in intervals.axes.items():
        at = 2 * (x.dim() - 1 - dim)
        ends = tuple(pad[at : at + 2]) or (0, 0)
        axes[dim] = functional.pad(first, ends, value=NOTHING), functional.pad(last, ends, value=-NOTHING)
    return replace(intervals, axes=axes)


def _adaptive_pooling(inputs: Inputs, output: Tensor, x: Tensor, *_: Any, **__: Any) -> PixelIntervals | None:
    """Output o of n depends on the inputs ⌊o · size / n⌋ .. ⌈(o + 1) size / n⌉ − 1; a single output on the whole."""
    if all(n == 1 for n in output.shape[2:]):
        return _over(inputs, output, list(range(2, output.dim())), keepdim=True)

    def needed(outputs: Tensor, size: int) -> Tensor:
        n = len(outputs)
        first = outputs * size // n
        past = -((outputs + 1) * -size // n)
        return torch.minimum(first[:, None] + torch.arange(int((past - first).max())), past[:, None] - 1)

    return _by_axis(inputs, output, x, needed)


def _interpolation(
    inputs: Inputs,
    output: Tensor,
    input: Tensor,  # noqa: A002  # as PyTorch calls it, which hands it on by name
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: Any = None,
    antialias: bool = False,
) -> PixelIntervals | None:
    def nearest(outputs: Tensor, size: int) -> Tensor:
        return (outputs * size // len(outputs))[:, None]

    def linear(outputs: Tensor, size: int) -> Tensor:
        place = ((outputs + 0.5) * size / len(outputs) - 0.5).clamp(0, size - 1)
        return torch.stack([place.floor(), place.ceil()], dim=1).long()

    if mode == "nearest":
        return _by_axis(inputs, output, input, nearest)
    if mode in ("linear", "bilinear", "trilinear") and not align_corners and not antialias:
        return _by_axis(inputs, output, input, linear)
    return None


def _by_axis(
    inputs: Inputs, output: Tensor, x: Tensor, needed: Callable[..., Tensor], *numbers: PerAxis
) -> PixelIntervals | None:
    """`needed`: outputs [n], size of the input and the numbers of this axis → inputs [n, any]; those outside do not exist."""
    intervals = inputs[0][1]
    if x is not inputs[0][0] or not intervals.axes or list(intervals.axes) != list(range(2, x.dim())):
        return None
    each = [per_axis(values, len(intervals.axes)) for values in numbers]
    axes = {}
    for axis, (dim, (first, last)) in enumerate(intervals.axes.items()):
        seen = needed(torch.arange(output.shape[dim]), len(first), *(values[axis] for values in each))
        exists = (seen >= 0) & (seen < len(first))
        seen = seen.clamp(0, len(first) - 1)
        axes[dim] = (
            torch.where(exists, first[seen], NOTHING).amin(1),
            torch.where(exists, last[seen], -NOTHING).amax(1),
        )
    return replace(intervals, axes=axes)


def _reduction(
    inputs: Inputs, output: Tensor, x: Tensor, dim: Any = None, keepdim: bool = False, **_: Any
) -> PixelIntervals | None:
    """Over channels nothing changes; over space the result depends on all of it."""
    dims = list(range(x.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    return _over(inputs, output, [one % x.dim() for one in dims], keepdim)


def _over(inputs: Inputs, output: Tensor, dims: list[int], keepdim: bool) -> PixelIntervals:
    intervals = inputs[0][1]
    axes = {}
    for dim, interval in intervals.axes.items():
        at = dim if keepdim else dim - sum(one < dim for one in dims)
        if dim not in dims:
            axes[at] = interval
        elif keepdim:
            axes[at] = torch.tensor([NOTHING]), torch.tensor([-NOTHING])
    return PixelIntervals(axes, intervals.whole or any(dim in dims for dim in intervals.axes))


def _batch_norm(
    inputs: Inputs,
    output: Tensor,
    x: Tensor,
    mean: Any,
    variance: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    *_: Any,
    **__: Any,
) -> PixelIntervals:
    intervals = _pointwise(inputs, output)
    return replace(intervals, whole=intervals.whole or training)


def _group_norm(inputs: Inputs, output: Tensor, *_: Any, **__: Any) -> PixelIntervals:
    return replace(_pointwise(inputs, output), whole=True)


def _layer_norm(inputs: Inputs, output: Tensor, x: Tensor, shape: Sequence[int], *_: Any, **__: Any) -> PixelIntervals:
    intervals = _pointwise(inputs, output)
    return replace(intervals, whole=intervals.whole or any(dim >= x.dim() - len(shape) for dim in intervals.axes))


def _linear(inputs: Inputs, output: Tensor, x: Tensor, *_: Any, **__: Any) -> PixelIntervals | None:
    intervals = inputs[0][1]
    return None if x is not inputs[0][0] or x.dim() - 1 in intervals.axes else intervals


def _permutation(inputs: Inputs, output: Tensor, x: Tensor, *dims: Any) -> PixelIntervals | None:
    order = list(dims[0] if isinstance(dims[0], list | tuple) else dims)
    intervals = inputs[0][1]
    return replace(intervals, axes={order.index(dim): interval for dim, interval in intervals.axes.items()})


def _transposition(inputs: Inputs, output: Tensor, x: Tensor, a: int, b: int) -> PixelIntervals | None:
    order = list(range(x.dim()))
    order[a], order[b] = order[b], order[a]
    return _permutation(inputs, output, x, order)


def _splitting(inputs: Inputs, output: Tensor, x: Tensor, sizes: Any, dim: int = 0) -> PixelIntervals | None:
    intervals = inputs[0][1]
    return None if dim % x.dim() in intervals.axes else intervals


POINTWISE = (
    "add",
    "sub",
    "rsub",
    "mul",
    "div",
    "pow",
    "neg",
    "abs",
    "exp",
    "sqrt",
    "clamp",
    "where",
    "maximum",
    "minimum",
    "relu",
    "leaky_relu",
    "elu",
    "gelu",
    "silu",
    "mish",
    "hardswish",
    "hardsigmoid",
    "hardtanh",
    "relu6",
    "prelu",
    "sigmoid",
    "tanh",
    "softplus",
    "dropout",
    "dropout2d",
    "dropout3d",
    "contiguous",
    "clone",
    "detach",
    "to",
    "float",
    "double",
    "half",
    "type_as",
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(POINTWISE, _pointwise),
    **dict.fromkeys(("__add__", "__radd__", "__mul__", "__rmul__"), _pointwise),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed_convolution),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d"), _max_pooling),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _average_pooling),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"), _adaptive_pooling),
    "interpolate": _interpolation,
    "pad": _padding,
    **dict.fromkeys(("cat", "concat"), _concatenation),
    **dict.fromkeys(("mean", "sum", "amax"), _reduction),
    "batch_norm": _batch_norm,
    **dict.fromkeys(("group_norm", "instance_norm"), _group_norm),
    "layer_norm": _layer_norm,
    "linear": _linear,
    "permute": _permutation,
    "transpose": _transposition,
    **dict.fromkeys(("split", "chunk", "split_with_sizes"), _splitting),
}
