"""Convolution and fully connected layers in numbers: parameters, output sizes, cost, and how one becomes the other.

A fully connected layer multiplies all inputs by a matrix of their own for each output. A convolution is the same product on
each patch of its input, with one matrix for all patches (LeCun et al. 1989, "Backpropagation Applied to Handwritten Zip Code
Recognition"): that is all that sets the two apart, and the reason why each can be written as the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from math import prod
from typing import Any

from torch import nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

PerAxis = int | Sequence[int]
"""One number for each spatial axis, or one for all."""


@dataclass(frozen=True)
class FullyConnected:
    """y = W x + b with W [outputs, inputs]."""

    inputs: int
    outputs: int
    bias: bool = True

    @property
    def parameters(self) -> int:
        """inputs · outputs, and one bias an output."""
        return self.inputs * self.outputs + self.bias * self.outputs

    @property
    def multiply_accumulates(self) -> int:
        """Multiply-accumulates of one vector: inputs · outputs. As everywhere here, adding a bias is not counted."""
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Convolution:
    """An N-d convolution of any kind; N is the number of axes of `kernel`.

    Convolution(3, 5, kernel=(5, 5)) is a 2D one; stride, padding and dilation are given for each axis or once for all.

    Raises:
        ValueError: a number is out of range, has the wrong number of axes, or groups do not divide the channels.
    """

    in_channels: int
    out_channels: int
    kernel: tuple[int, ...]
    stride: PerAxis = 1
    padding: PerAxis = 0
    """Zeros on either side; "same" padding of an odd kernel is dilation · (kernel − 1) / 2."""
    dilation: PerAxis = 1
    groups: int = 1
    bias: bool = True
    transposed: bool = False
    output_padding: PerAxis = 0
    """Only for transposed convolutions: positions more at the end, which resolve what the stride leaves open."""

    def __post_init__(self) -> None:
        axes = len(self.kernel)
        for name, least in (("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1), ("output_padding", 0)):
            values = per_axis(getattr(self, name), axes, name)
            if min(values) < least:
                raise ValueError(f"{name}={values}: must be at least {least}")
            object.__setattr__(self, name, values)
        for name in ("in_channels", "out_channels", "groups"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(f"groups={self.groups}: must divide {self.in_channels} and {self.out_channels} channels")
        if any(self.output_padding) and not self.transposed:  # type: ignore[arg-type]
            raise ValueError("output_padding: only a transposed convolution has it")

    @classmethod
    def of(cls, module: nn.Module) -> Convolution:
        """The numbers of one of PyTorch's convolutions with zero padding.

        Raises:
            ValueError: it is another module, or pads with anything but zeros.
        """
        if not isinstance(module, CONVOLUTIONS + TRANSPOSED):
            raise ValueError(f"{type(module).__name__} is no convolution")
        if module.padding_mode != "zeros":
            raise ValueError(f"padding_mode={module.padding_mode}: only zeros are counted here")
        padding: PerAxis
        match module.padding:
            case "same":
                reach = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
                if any(one % 2 for one in reach):
                    raise ValueError('padding="same" of an even kernel is not the same on both sides')
                padding = [one // 2 for one in reach]
            case "valid":
                padding = 0
            case numbers:
                padding = numbers  # type: ignore[assignment]
        return cls._of(module, padding)

    @classmethod
    def cost(cls, module: nn.Module, size: Sequence[int]) -> int:
        """Multiply-accumulates of one of PyTorch's convolutions for an input of `size` positions, however it pads.

        What is padded is multiplied like all else, whatever stands there. "Same" padding adds dilation · (kernel − 1)
        positions in all, for an even kernel one more at the end.

        Raises:
            ValueError: it is another module.
        """
        if not isinstance(module, CONVOLUTIONS + TRANSPOSED):
            raise ValueError(f"{type(module).__name__} is no convolution")
        padding: PerAxis = 0
        if module.padding == "same":
            size = [n + d * (k - 1) for n, d, k in zip(size, module.dilation, module.kernel_size, strict=True)]
        elif module.padding != "valid":
            padding = module.padding  # type: ignore[assignment]
        return cls._of(module, padding).multiply_accumulates(size)

    @classmethod
    def _of(cls, module: Any, padding: PerAxis) -> Convolution:
        return cls(
            module.in_channels,
            module.out_channels,
            tuple(module.kernel_size),
            module.stride,
            padding,
            module.dilation,
            module.groups,
            module.bias is not None,
            isinstance(module, TRANSPOSED),
            module.output_padding,
        )

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight as PyTorch has it: [out, in / groups, *kernel], or transposed [in, out / groups, *kernel]."""
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        return first, second // self.groups, *self.kernel

    @property
    def weights_of_a_filter(self) -> int:
        """Number of weights that make one output channel: in / groups · ∏ kernel."""
        return self.in_channels // self.groups * prod(self.kernel)

    @property
    def parameters(self) -> int:
        """out · in / groups · ∏ kernel, and one bias an output channel; the size of the input plays no part."""
        return self.out_channels * (self.weights_of_a_filter + self.bias)

    def output_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """⌊(n + 2 padding − dilation (kernel − 1) − 1) / stride⌋ + 1 on each axis.

        Transposed: (n − 1) stride − 2 padding + dilation (kernel − 1) + output_padding + 1 (Dumoulin & Visin 2016, "A guide
        to convolution arithmetic for deep learning", relationships 6 and 14, and dilation in section 5.1).

        Raises:
            ValueError: the padded input is smaller than the kernel, or nothing would come out.
        """
        return tuple(self._outputs(n, *numbers) for n, *numbers in self._axes(size))

    def _outputs(self, n: int, kernel: int, stride: int, padding: int, dilation: int, output_padding: int) -> int:
        reach = dilation * (kernel - 1) + 1
        if self.transposed:
            outputs = (n - 1) * stride - 2 * padding + reach + output_padding
            if outputs < 1:
                raise ValueError(f"an input of {n} with padding {padding} leaves no output")
            return outputs
        if n + 2 * padding < reach:
            raise ValueError(
                f"an input of {n} with padding {padding} is smaller than the kernel, which reaches over {reach}"
            )
        return (n + 2 * padding - reach) // stride + 1

    def multiply_accumulates(self, size: Sequence[int]) -> int:
        """Multiply-accumulates for an input of `size` positions: weights of a filter · output channels · output positions.

        A product with a padded zero is counted, as `torch.utils.flop_counter` does. Transposed: each input position is
        multiplied by the weights that it meets, in · out / groups · ∏ kernel · input positions.
        """
        outputs = self.output_size(size)
        positions = prod(size) if self.transposed else prod(outputs)
        return prod(self.weight_shape) * positions

    def module(self) -> nn.Module:
        """PyTorch's layer of these numbers, with new weights, for one, two or three axes."""
        options = {field.name: getattr(self, field.name) for field in fields(self)}
        options["kernel_size"] = options.pop("kernel")
        kinds = TRANSPOSED if options.pop("transposed") else CONVOLUTIONS
        if not self.transposed:
            del options["output_padding"]
        if len(self.kernel) > len(kinds):
            raise ValueError(f"PyTorch has no convolution of {len(self.kernel)} axes")
        return kinds[len(self.kernel) - 1](**options)

    def _axes(self, size: Sequence[int]) -> Iterator[tuple[int, ...]]:
        if len(size) != len(self.kernel):
            raise ValueError(f"size={tuple(size)}: a kernel of {len(self.kernel)} axes needs as many")
        numbers = (getattr(self, name) for name in ("kernel", "stride", "padding", "dilation", "output_padding"))
        return zip(size, *numbers, strict=True)


def per_axis(value: PerAxis, axes: int, name: str = "value") -> tuple[int, ...]:
    """One number for each of so many axes.

    Raises:
        ValueError: another number of them is given.
    """
    values = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(values) != axes or not axes:
        raise ValueError(f"{name}={values}: one number for all axes or {axes or 'at least one'} are expected")
    return values
