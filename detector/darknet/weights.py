"""Darknet's `.weights` format: a header, then float32 numbers in the order of the convolutions, nothing between them.

The header is three int32, version major, minor and revision, and the number of images seen in training: int64 from version
0.2 on, int32 before. A convolution with batch norm has its bias, scale, running mean and running variance, then the kernels
[out, in / groups, height, width]; one without has its bias and the kernels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from detector.darknet.layers import Convolution
from detector.darknet.network import Plan
from detector.errors import OptionError


@dataclass(frozen=True)
class Slot:
    """A convolution of the file."""

    where: str
    """How messages call it."""
    convolution: nn.Conv2d
    norm: nn.Module
    """A batch norm, or anything else where the convolution has a bias."""

    def tensors(self) -> list[Tensor]:
        """What the file holds of it, in the file's order."""
        convolution, norm = self.convolution, self.norm
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            return [norm.bias, norm.weight, norm.running_mean, norm.running_var, convolution.weight]
        assert convolution.bias is not None
        return [convolution.bias, convolution.weight]


@torch.no_grad()
def load_weights(path: str | Path, slots: Sequence[Slot]) -> int:
    """Copies a whole file into the convolutions.

    Returns:
        How many numbers the file holds.

    Raises:
        OptionError: of `weights`: the file is not there or has no header, ends too early, holds more than the convolutions
            need, or holds numbers that cannot be weights.
    """
    numbers = _numbers(_read(path), path)
    needed = sum(tensor.numel() for slot in slots for tensor in slot.tensors())
    position = 0
    for slot in slots:
        tensors = slot.tensors()
        count = sum(tensor.numel() for tensor in tensors)
        if position + count > len(numbers):
            raise OptionError(
                "weights",
                f"ends within {slot.where}: that needs {count:,} numbers, {len(numbers) - position:,} are left; "
                f"all layers together need {needed:,}, the file holds {len(numbers):,}",
                path,
            )
        for tensor in tensors:
            values = numbers[position : position + tensor.numel()]
            if not np.isfinite(values).all():
                raise OptionError("weights", f"has numbers that are not finite in {slot.where}; it is damaged", path)
            if isinstance(slot.norm, nn.BatchNorm2d) and tensor is slot.norm.running_var and (values < 0).any():
                raise OptionError(
                    "weights",
                    f"has negative variances in {slot.where}: the file belongs to another network, or is damaged",
                    path,
                )
            tensor.copy_(torch.from_numpy(values.copy()).reshape(tensor.shape))
            position += tensor.numel()
    if position < len(numbers):
        raise OptionError(
            "weights",
            f"{len(numbers) - position:,} numbers are left after the last layer, {slots[-1].where}: "
            f"all layers together need {needed:,}, the file holds {len(numbers):,}; it belongs to another network",
            path,
        )
    return len(numbers)


def _read(path: str | Path) -> bytes:
    try:
        if Path(path).is_file():
            return Path(path).read_bytes()
        said = "is a folder; give a Darknet weights file" if Path(path).is_dir() else "no such file"
    except (OSError, ValueError) as error:
        raise OptionError("weights", f"cannot be read ({getattr(error, 'strerror', None) or error})", path) from error
    raise OptionError("weights", said, path)


def _numbers(content: bytes, path: str | Path) -> np.ndarray:
    if len(content) < 12:
        raise OptionError("weights", f"has {len(content)} bytes, fewer than the header of a Darknet weights file", path)
    major, minor, _ = (int(number) for number in np.frombuffer(content[:12], dtype="<i4"))
    if not (0 <= major < 1000 and 0 <= minor < 1000):
        raise OptionError("weights", f"is no Darknet weights file: its version would be {major}.{minor}", path)
    header = 20 if major * 10 + minor >= 2 else 16
    if len(content) < header or (len(content) - header) % 4:
        raise OptionError(
            "weights",
            f"has {len(content):,} bytes, not a header of {header} and whole numbers of 4; it is cut off or damaged",
            path,
        )
    return np.frombuffer(content, dtype="<f4", offset=header)


def slots(plan: Plan, first: int | None = None) -> list[Slot]:
    """The convolutions among the `first` layers, by default all; without those that say dontload=1."""
    return [
        Slot(
            f"layer {i} ([{layer.section.name}], line {layer.section.line} of {plan.file})",
            layer.module.convolution,
            layer.module.norm,
        )
        for i, layer in enumerate(plan.layers[:first])
        if isinstance(layer.module, Convolution) and not layer.section.integer("dontload", 0)
    ]


def layers_held(weights: str) -> int | None:
    """N of a file called NAME.conv.N; None where the file holds all layers."""
    found = re.search(r"\.conv\.(\d+)$", weights)
    return int(found.group(1)) if found else None
