"""Which pixels a layer's outputs depend on: in theory, through branches and concatenations, and in effect, by gradient.

For a chain of layers the field grows by (kernel − 1) · stride so far at each layer (Araujo et al. 2019, "Computing Receptive
Fields of Convolutional Neural Networks"). Real networks branch, join, upsample, attend and cut at borders; here the network is
run on tensors without content (PyTorch's meta device), and each operation hands on, for every element of its output, the first
and the last row and column of the image that it depends on (`dependence`). That is exact, and as cheap as reading the layers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from detector.arithmetic.dependence import Dependence
from detector.arithmetic.pixel_intervals import NO_PLACES, PixelIntervals, intervals_of
from detector.arithmetic.tracker import Tracker, Unknown

SIDES = (2048, 3072, 6144, 12288, 24576, 49152)
"""Sides of the images that are tried: in the middle of one that is large enough no border cuts a field off. What counts is what
is the same in two neighbours: what depends on the size of the image, as adaptive pooling does, is found out."""
MIDDLE = 64
"""Outputs in the middle of an axis that are looked at, at most."""


@dataclass(frozen=True)
class ReceptiveField:
    """Receptive field of one layer, for each spatial axis of the image (rows, columns)."""

    size: tuple[int, ...]
    """Pixels from the first to the last that an output in the middle of a large image depends on; the largest, where
    outputs differ (as behind an upsampling). 0 where it depends on the image as a whole only, as a mean over it does."""
    stride: tuple[float, ...]
    """Pixels between the fields of neighbouring outputs: their mean, where steps differ."""
    offset: tuple[float, ...]
    """Centre of the field of output 0, borders aside, in continuous pixels: that of pixel 0 is 0.5."""
    whole: bool
    """Besides, every output depends on the whole image: through attention, a mean over it (squeeze and excitation), or a norm
    that takes its statistics there (group norm)."""


@dataclass(frozen=True)
class FieldsFound:
    """Receptive fields of a network's layers, and why some are missing."""

    fields: dict[str, ReceptiveField] = field(default_factory=dict)
    """Name of the submodule → its field (`receptive_fields`)."""
    unknown: dict[str, str] = field(default_factory=dict)
    """Name of a submodule whose output depends on the image in a way that is not known → why. What has no places in the
    image any more, as the vectors of windows of a transformer, is in neither."""


def receptive_fields(module: nn.Module, channels: int = 3, axes: int = 2) -> dict[str, ReceptiveField]:
    """The receptive field of every layer of a network, as it is in evaluation mode.

    Args:
        module: takes images [1, channels, *size] of any size that is a multiple of 64.
        channels: of the images.
        axes: spatial axes of the images.

    Returns:
        Name of the submodule → its field, in the order in which they run. Of outputs that are a dictionary each entry has its
        own, `name.key`; the network itself is "" and its entries `key`. A submodule that runs several times has as many
        entries, `name`, `name:2`, ... Missing is what has no places in the image any more, and what is computed, on whatever
        path, by an operation without a rule: `find_receptive_fields` names it.
    """
    return find_receptive_fields(module, channels, axes=axes).fields


def find_receptive_fields(
    module: nn.Module, channels: int = 3, size: tuple[int, ...] | None = None, axes: int = 2
) -> FieldsFound:
    """The receptive fields of a network's layers, with the reasons why some are not known.

    Args:
        module: as in `receptive_fields`.
        channels: of the images.
        size: of the images that it takes, for a module that takes no others: its fields are those in such images, "whole"
            where they reach over all of it.
        axes: spatial axes of the images, where `size` is not given.
    """
    axes = axes if size is None else len(size)
    found, order = FieldsFound(), {}
    before, failed = _run(module, (1, channels, *(SIDES[0],) * axes))
    order.update(dict.fromkeys(before))
    for sides in pairwise(SIDES):
        after, error = _run(module, (1, channels, *(sides[1],) * axes))
        failed = failed or error
        if not _compare(found, before, after, sides):
            break
        before = after
    if failed is not None:
        if size is None:
            raise failed
        outputs, error = _run(module, (1, channels, *size))
        if error is not None:
            raise error
        order = dict.fromkeys(outputs)
        for name, output in outputs.items():
            if name not in found.fields and name not in found.unknown:
                _note(found, name, _field_at(output, size))
    return FieldsFound(
        {name: found.fields[name] for name in order if name in found.fields},
        {name: found.unknown[name] for name in order if name in found.unknown},
    )


Output = PixelIntervals | Unknown
CUT = Unknown(f"its field reaches over more than {SIDES[-2]} pixels along an axis, or over all of it")


def _compare(found: FieldsFound, first: dict[str, Output], second: dict[str, Output], sides: tuple[int, int]) -> bool:
    """Notes what is the same in images of two sizes; whether the border of the images cut a field off."""
    cut = False
    for name in first.keys() & second.keys():
        a, b = (
            _field(one, (side,) * len(one.axes)) if isinstance(one, PixelIntervals) else one
            for one, side in zip((first[name], second[name]), sides, strict=True)
        )
        cut |= CUT in (a, b)
        if isinstance(a, ReceptiveField) and isinstance(b, ReceptiveField) and not _alike(a, b):
            a = Unknown("it depends on the size of the image")
        if name not in found.fields:
            found.unknown.pop(name, None)
            _note(found, name, b if b == CUT else a)
    return cut


def _note(found: FieldsFound, name: str, what: ReceptiveField | Unknown | None) -> None:
    if isinstance(what, ReceptiveField):
        found.fields[name] = what
    elif isinstance(what, Unknown) and what != NO_PLACES:
        found.unknown[name] = what.reason


def pixel_intervals(module: nn.Module, shape: tuple[int, ...]) -> dict[str, PixelIntervals]:
    """For images of one shape [B, C, *size], the first and last pixel that each output row and column depends on.

    Names and what is missing as in `receptive_fields`. At the border there are fewer pixels to depend on.
    """
    outputs = intervals_or_reasons(module, shape)
    return {name: one for name, one in outputs.items() if isinstance(one, PixelIntervals)}


def intervals_or_reasons(module: nn.Module, shape: tuple[int, ...]) -> dict[str, PixelIntervals | Unknown]:
    """`pixel_intervals`, and why those that are missing there are not known."""
    outputs, error = _run(module, shape)
    if error is not None:
        raise error
    return outputs


def _run(module: nn.Module, shape: tuple[int, ...]) -> tuple[dict[str, Output], Exception | None]:
    """What comes out of each submodule, and the error that ended the run."""
    tracker = Tracker()
    seen: dict[str, tuple[Dependence | Unknown, tuple[int, ...]]] = {}
    runs: Counter[str] = Counter()

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            runs[name] += 1
            own = name if runs[name] == 1 else f"{name}:{runs[name]}"
            outputs = {own: output}
            if isinstance(output, Mapping):
                outputs = {f"{own}.{key}".lstrip("."): value for key, value in output.items()}
            for key, value in outputs.items():
                if isinstance(value, Tensor) and (dependence := tracker.dependence_of(value)) is not None:
                    seen[key] = dependence, tuple(value.shape)

        return hook

    hooks = [submodule.register_forward_hook(note(name)) for name, submodule in module.named_modules()]
    training = {name: submodule.training for name, submodule in module.named_modules()}
    tensors = {
        name: tensor.to("meta", torch.float32) if tensor.is_floating_point() else tensor.to("meta")
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }
    images = torch.zeros(shape, device="meta")
    error = None
    try:
        module.eval()
        tracker.start(images)
        with torch.no_grad(), tracker:
            functional_call(module, tensors, (images,))
    except Exception as raised:  # a module that takes images of one size only says so in words of its own
        error = raised
    finally:
        for hook in hooks:
            hook.remove()
        for name, submodule in module.named_modules():
            submodule.training = training[name]
    found: dict[str, Output] = {}
    known: dict[tuple[int, tuple[int, ...]], Output] = {}  # batch norms and activations change nothing
    for name, (dependence, size) in seen.items():
        if isinstance(dependence, Unknown):
            found[name] = dependence
            continue
        key = id(dependence), size
        if key not in known:
            known[key] = intervals_of(dependence, size)
        found[name] = known[key]
    return found, error


def _field(intervals: PixelIntervals, sides: tuple[int, ...]) -> ReceptiveField | Unknown | None:
    """CUT where the border of the image cuts the field off, None where there is none."""
    each = []
    for (first, last), side in zip(intervals.axes.values(), sides, strict=True):
        count = 1
        while count < MIDDLE and 4 * count <= len(first):
            count *= 2
        middle = torch.arange(count) + (len(first) - count) // 2
        low, high = first[middle], last[middle]
        seeing = low <= high
        if not seeing.any():
            each.append((0, 0.0, 0.0))
            continue
        if low[seeing].min() <= 0 or high[seeing].max() >= side - 1:
            return CUT
        half, centre = count // 2, (low + high + 1) / 2
        pairs = seeing[:half] & seeing[half:]
        if not pairs.any():
            return CUT
        stride = ((centre[half:] - centre[:half])[pairs].double().mean() / half).item()
        offset = (centre - middle * stride)[seeing].double().mean().item()
        each.append((int((high - low)[seeing].max()) + 1, stride, offset))
    if all(size == 0 for size, _, _ in each) and not intervals.whole:
        return None
    sizes, strides, offsets = zip(*each, strict=True)
    return ReceptiveField(sizes, strides, offsets, intervals.whole)


def _alike(a: ReceptiveField, b: ReceptiveField) -> bool:
    near = (abs(x - y) < 1e-6 for x, y in zip((*a.stride, *a.offset), (*b.stride, *b.offset), strict=True))
    return (a.size, a.whole) == (b.size, b.whole) and all(near)


def _field_at(output: Output, size: tuple[int, ...]) -> ReceptiveField | Unknown | None:
    """The field in images of one size only."""
    if isinstance(output, Unknown):
        return output
    field = _field(output, size)
    if field != CUT:
        return field
    if all(
        (first <= 0).all() and (last >= side - 1).all()
        for (first, last), side in zip(output.axes.values(), size, strict=True)
    ):
        none = (0,) * len(size)
        return ReceptiveField(none, none, none, True)
    return Unknown("the border of the images that the module takes cuts its field off")


def effective_receptive_field(
    module: nn.Module, images: Tensor, level: str | None = None, at: tuple[int, int] | None = None
) -> Tensor:
    """How much each pixel matters to an output: mean over images of |∂ Σ_c output[c, at] / ∂ pixel|, summed over colours.

    Luo et al. 2016, "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", section 3: it is
    much smaller than the theoretical field, and fades from the middle like a Gaussian.

    Args:
        module: as it is (training or evaluation mode); its output is [B, C, H', W'] or a dictionary of such.
        images: float [B, C, H, W], as the module takes them; random ones or real ones.
        level: key of the output, where it is a dictionary.
        at: row and column of the output; by default the middle.

    Returns:
        [H, W], in 0..1: divided by its largest value.
    """
    images = images.detach().requires_grad_()
    output = module(images)
    if level is not None:
        output = output[level]
    row, column = at or (output.shape[-2] // 2, output.shape[-1] // 2)
    (gradient,) = torch.autograd.grad(output[:, :, row, column].sum(), images)
    influence: Tensor = gradient.abs().sum(1).mean(0)
    return influence / influence.max()
