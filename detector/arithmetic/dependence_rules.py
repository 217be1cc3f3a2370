"""What each operation of PyTorch does to what its tensors depend on; an operation that is not here has no rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from detector.arithmetic.dependence import Dependence, shrunk, union
from detector.arithmetic.moving_rules import (
    Call,
    Found,
    Rule,
    channel_shuffle,
    concatenated,
    flipped,
    moved,
    per_axis_of,
    pixel_shuffle,
    pixel_unshuffle,
    reordered,
    repeated,
    restrided,
    rolled,
    stacked,
    unfolded,
    viewed,
)
from detector.arithmetic.windows import (
    adaptive_windows,
    kernel_windows,
    padded_places,
    resampled_places,
    spread_windows,
)


def rule_of(function: Any) -> Rule | None:
    """The rule of an operation, or of the one that it is in place of another."""
    name = function._schema.name.removeprefix("aten::")
    for one in (name, name.removesuffix("_")):
        if one in RULES:
            return RULES[one]
    return _pointwise if _is_pointwise(function) else None


def _is_pointwise(function: Any) -> bool:
    """PyTorch tags such operations, but not all of those that write in place."""
    packet = getattr(torch.ops.aten, function._schema.name.removeprefix("aten::").removesuffix("_"), None)
    returning = getattr(packet, function._overloadname, function)
    return torch.Tag.pointwise in function.tags or torch.Tag.pointwise in returning.tags


def _pointwise(call: Call) -> Dependence | None:
    """Each output depends on the same position of every input; an axis of size 1 stands for all positions."""
    count = call.outputs[0].dim()
    return union([one.with_dimensions(count) for one in call.known.values()])


def _constant(call: Call) -> list[None]:
    return [None] * len(call.outputs)


def _copied(call: Call) -> Found:
    """What is written over is gone."""
    source = call.of(call.args[1])
    return [None] if source is None else source.with_dimensions(call.outputs[0].dim())


def _over_dimensions(call: Call) -> Found:
    """A mean, sum or maximum over some dimensions or all; over space the result depends on all of it."""
    own, count = call.of_only_the_first(), call.first.dim()
    if own is None:
        return None
    dims = call["dim"] if call.has("dim") else None
    dims = [dims] if isinstance(dims, int) else dims
    dims = sorted({dim % count for dim in dims}) if dims else list(range(count))
    reduced = own.over(dims)
    if call.has("keepdim") and call["keepdim"]:
        return reduced
    return reduced.each(lambda term: term.reshape([size for dim, size in enumerate(term.shape) if dim not in dims]))


def _along_dimension(call: Call) -> Found:
    """A softmax, a sorting or the largest few: along the dimension each depends on all."""
    own = call.of_only_the_first()
    return own and own.over([call["dim"] % call.first.dim()])


def _running(call: Call) -> Found:
    """A running sum depends on all that came before."""
    own, dim = call.of_only_the_first(), call["dim"] % call.first.dim()
    return own and own.each(lambda term: term.cummax(dim).values)


def _gated(call: Call) -> Found:
    """A gated linear unit: one half of the channels times the other."""
    own, dim = call.of_only_the_first(), call["dim"] % call.first.dim()
    return own and union(
        [own.each(lambda t, i=i: t if t.shape[dim] == 1 else t.chunk(2, dim)[i]) for i in (0, 1)]  # type: ignore[misc]
    )


def _batch_norm(call: Call) -> Found:
    """In training the statistics of a channel are those of all its places, and of the whole batch."""
    own = call.of_only_the_first()
    if own is None or not call["training"]:
        return own
    return union([own, own.over([dim for dim in range(call.first.dim()) if dim != 1])])


def _group_norm(call: Call) -> Found:
    own, groups = call.of_only_the_first(), call["group"]
    shape = call.first.shape

    def of_group(term: Tensor) -> Tensor:
        if term.shape[1] == 1:
            return term
        return term.unflatten(1, (groups, -1)).amax(2).repeat_interleave(shape[1] // groups, dim=1)

    if own is None:
        return None
    return union([own, own.over(list(range(2, len(shape)))).each(of_group)])


def _layer_norm(call: Call) -> Found:
    own, count = call.of_only_the_first(), call.first.dim()
    dims = list(range(count - len(call["normalized_shape"]), count))
    return own and union([own, own.over(dims)])


def _matrix_product(left: str, right: str) -> Rule:
    """Row i and column j of the product depend on row i of the left and on column j of the right matrix."""

    def rule(call: Call) -> Found:
        parts = []
        count = call.outputs[0].dim()
        if (rows := call.of(call[left])) is not None:
            parts.append(rows.over([count - 1]))
        if (columns := call.of(call[right])) is not None:
            parts.append(columns.over([count - 2]))
        if call.has("self") and left != "self" and (added := call.of(call["self"])) is not None:
            parts.append(added.with_dimensions(count))
        return union(parts)

    return rule


def _convolution(call: Call) -> Found:
    x, weight, groups = call["input"], call["weight"], call["groups"]
    own = call.of_only_the_first()
    if own is None:
        return None
    inputs, outputs = x.shape[1], call.outputs[0].shape[1]

    def of_channels(term: Tensor) -> Tensor:
        if term.shape[1] == 1:
            return term
        return shrunk(term.unflatten(1, (groups, inputs // groups)).amax(2).repeat_interleave(outputs // groups, dim=1))

    make = spread_windows if call["transposed"] else kernel_windows
    numbers = call["stride"], call["padding"], call["dilation"]
    windows = [
        make(size, new, kernel, *each)
        for size, new, kernel, *each in zip(
            x.shape[2:],
            call.outputs[0].shape[2:],
            weight.shape[2:],
            *(per_axis_of(value, x.dim() - 2) for value in numbers),
            strict=True,
        )
    ]
    return _windowed(own.each(of_channels), windows)


def _pooling(call: Call) -> Found:
    own, x = call.of_only_the_first(), call.first
    kernel = call["kernel_size"]
    axes = 3 if "3d" in call.function._schema.name else 2
    numbers = kernel, call["stride"] or kernel, call["padding"], call["dilation"] if call.has("dilation") else 1
    sizes = x.shape[-axes:], call.outputs[0].shape[-axes:], *(per_axis_of(value, axes) for value in numbers)
    return own and _windowed(own, [kernel_windows(*each) for each in zip(*sizes, strict=True)])


def _adaptive_pooling(call: Call) -> Found:
    own, x, axes = call.of_only_the_first(), call.first, len(call["output_size"])
    sizes = zip(x.shape[-axes:], call.outputs[0].shape[-axes:], strict=True)
    return own and _windowed(own, [adaptive_windows(size, new) for size, new in sizes])


def _padding(mode: str) -> Rule:
    def rule(call: Call) -> Found:
        own, pad = call.of_only_the_first(), call["pad" if mode == "constant" else "padding"]
        if own is None:
            return None
        for i in range(len(pad) // 2):
            dim = call.first.dim() - 1 - i
            own = own.taken(dim, padded_places(call.first.shape[dim], pad[2 * i], pad[2 * i + 1], mode)[:, None])
        return own

    return rule


def _resampling(call: Call) -> Found:
    own, x = call.of_only_the_first(), call.first
    options = {argument.name: call[argument.name] for argument in call.function._schema.arguments}
    places = [
        resampled_places(call.function, options, axis, x.dim() - 2, size, new)
        for axis, (size, new) in enumerate(zip(x.shape[2:], call.outputs[0].shape[2:], strict=True))
    ]
    return own and _windowed(own, places)


def _windowed(own: Dependence, windows: Sequence[Tensor]) -> Dependence:
    """Windows of the last dimensions, one after the other; a single one is computed over all that it holds."""
    for dim, index in enumerate(windows, start=-len(windows)):
        dim += next(term.dim() for term in own.axes[0].last)
        single_one = len(index) == 1 and index.shape[1] > 1
        own = own.taken(dim, index.T).over([dim]) if single_one else own.taken(dim, index)
    return own


def _rules(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


RULES: dict[str, Rule] = {
    **_rules("alias detach expand permute transpose t unsqueeze squeeze slice select", moved),
    **_rules("split split_with_sizes unbind diagonal unfold", moved),
    **_rules("view _unsafe_view _reshape_alias", viewed),
    **_rules("clone native_dropout _prelu_kernel hardswish hardsigmoid hardtanh leaky_relu _to_copy", _pointwise),
    **_rules("mean sum amax amin max min prod var std var_mean std_mean logsumexp", _over_dimensions),
    **_rules("norm linalg_vector_norm any all argmax argmin", _over_dimensions),
    **_rules("_softmax _safe_softmax _log_softmax topk sort", _along_dimension),
    "cumsum": _running,
    **_rules("zeros_like ones_like empty_like full_like rand_like randn_like", _constant),
    **_rules("new_zeros new_ones new_empty new_full new_empty_strided fill zero uniform normal", _constant),
    "copy": _copied,
    "cat": concatenated,
    "stack": stacked,
    "pixel_shuffle": reordered(pixel_shuffle),
    "pixel_unshuffle": reordered(pixel_unshuffle),
    **_rules("channel_shuffle native_channel_shuffle", reordered(channel_shuffle)),
    "as_strided_": restrided,
    "roll": rolled,
    "flip": flipped,
    "repeat": repeated,
    "im2col": unfolded,
    "glu": _gated,
    "native_batch_norm": _batch_norm,
    "native_group_norm": _group_norm,
    "native_layer_norm": _layer_norm,
    **_rules("mm bmm", _matrix_product("self", "mat2")),
    "addmm": _matrix_product("mat1", "mat2"),
    "baddbmm": _matrix_product("batch1", "batch2"),
    "convolution": _convolution,
    **_rules("max_pool2d_with_indices max_pool3d_with_indices avg_pool2d avg_pool3d", _pooling),
    **_rules("_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d", _adaptive_pooling),
    "constant_pad_nd": _padding("constant"),
    **_rules("reflection_pad1d reflection_pad2d reflection_pad3d", _padding("reflect")),
    **_rules("replication_pad1d replication_pad2d replication_pad3d", _padding("replicate")),
    **_rules("upsample_nearest1d upsample_nearest2d upsample_nearest3d", _resampling),
    **_rules("_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d", _resampling),
    **_rules("upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d", _resampling),
    **_rules("_upsample_bilinear2d_aa _upsample_bicubic2d_aa", _resampling),
}
"""By name of the operation, whatever its overload. Besides, PyTorch says itself which operations are pointwise."""
