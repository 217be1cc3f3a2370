"""Receptive fields by gradient: what the fields that are computed are compared with.

    python tests/arithmetic/measured_fields.py              the table of all networks of timm in the list; ten minutes
    python tests/arithmetic/measured_fields.py swin vit     those whose name holds one of the words

A network is run on one image with random weights, and the gradient of single elements of its output, in the middle and in the
corner, is looked at: the first and last row and column where it is not 0. The exit code is 1 if a computed field differs.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode, resolve_name

from detector.arithmetic.receptive_field import PixelIntervals, Unknown, intervals_or_reasons

Box = tuple[tuple[int, int], ...]
"""First and last pixel on each axis of the image."""

FLAT = {"relu", "relu6", "hardtanh", "hardswish", "clamp", "clip"}


class Measurable(TorchFunctionMode):
    """Functions that are flat somewhere, or take one of several values, are replaced by some with a gradient there."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = (resolve_name(function) or "").rpartition(".")[2].rstrip("_")
        if name in FLAT:
            return functional.leaky_relu(args[0], 0.5)
        if name == "hardsigmoid":
            return args[0].sigmoid()
        if name in ("max_pool1d", "max_pool2d"):
            given = dict(
                zip(("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode"), args, strict=False)
            )
            given |= kwargs
            pool = functional.avg_pool1d if name == "max_pool1d" else functional.avg_pool2d
            given["stride"] = given.get("stride") or given["kernel_size"]
            own = {key: given[key] for key in ("stride", "padding", "ceil_mode") if given.get(key) is not None}
            return pool(given["input"], given["kernel_size"], **own)
        if name in ("adaptive_max_pool2d", "adaptive_max_pool1d"):
            return getattr(functional, name.replace("max", "avg"))(*args[:2])
        if name in ("amax", "max") and (len(args) > 1 or "dim" in kwargs):
            mean = torch.mean(*args, **kwargs)
            return mean if name == "amax" else torch.return_types.max((mean, mean.long()))
        return function(*args, **kwargs)


def randomised(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """In evaluation mode and double precision, with no weight that is 0, and statistics of batch norms that are those there."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=parameter[0].numel() ** -0.5)
            else:
                parameter.uniform_(0.5, 1.5)
    module.double().eval()
    norms = [one for one in module.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train().momentum = 1.0
    if norms:
        with torch.no_grad(), Measurable():
            module(torch.rand(2, *shape[1:], dtype=torch.float64))
    return module.eval()


def gradient_boxes(output: Tensor, images: Tensor, places: list[tuple[int, ...]], dims: list[int]) -> list[Box]:
    """For elements of the output at places along some of its dimensions, whatever the others: where their gradient is not 0."""
    boxes = []
    for place in places:
        at: list[Any] = [slice(None)] * output.dim()
        for dim, one in zip(dims, place, strict=True):
            at[dim] = one
        element = output[tuple(at)]
        (gradient,) = torch.autograd.grad(
            (element * torch.rand(element.shape, dtype=element.dtype)).sum(), images, retain_graph=True
        )
        assert gradient.isfinite().all()
        assert gradient.any()
        seen = gradient.abs().sum((0, 1)) > 0
        axes = [seen.movedim(axis, 0).reshape(side, -1).any(1) for axis, side in enumerate(seen.shape)]
        boxes.append(tuple((int(one.nonzero()[0]), int(one.nonzero()[-1])) for one in axes))
    return boxes


@dataclass(frozen=True)
class Comparison:
    """One output of a network."""

    name: str
    computed: Box | str
    """In the middle of the output; or why it is not known."""
    measured: Box | None
    verdict: str
    """equal, unknown, TOO SMALL or TOO LARGE."""


def compared(module: nn.Module, names: list[str] | None, shape: tuple[int, ...]) -> Iterator[Comparison]:
    """Computed and measured fields of the outputs of some submodules, or of all."""
    found = intervals_or_reasons(randomised(module, shape), shape)
    outputs: dict[str, Tensor] = {}
    names = [name for name in found if names is None or name in names]

    def note(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            outputs.setdefault(name, output)

        return hook

    hooks = [module.get_submodule(name).register_forward_hook(note(name)) for name in names if ":" not in name]
    images = torch.rand(shape, dtype=torch.float64).requires_grad_()
    with Measurable():
        module(images)
    for hook in hooks:
        hook.remove()
    for name in names:
        if (output := outputs.get(name)) is None:
            continue
        computed = found[name]
        if isinstance(computed, Unknown):
            yield Comparison(name, computed.reason, None, "unknown")
            continue
        yield comparison(name, computed, output, images)


def comparison(name: str, computed: PixelIntervals, output: Tensor, images: Tensor) -> Comparison:
    """Of one output, in its middle and in its corner."""
    sides = images.shape[2:]
    dims = list(computed.axes)
    placed = output.dim() == len(sides) + 2
    if not placed:  # no rows and columns: all of it depends on the whole image
        dims = list(range(1, output.dim()))
    places = [tuple(output.shape[dim] // 2 for dim in dims), (0,) * len(dims)]
    measured = gradient_boxes(output, images, places, dims)
    expected: list[Box] = []
    for place in places:
        if computed.whole:
            expected.append(tuple((0, side - 1) for side in sides))
        else:
            own = place if placed else (0,) * len(sides)
            bounds = zip(computed.axes.values(), own, strict=True)
            expected.append(tuple((int(first[at]), int(last[at])) for (first, last), at in bounds))
    verdict = "equal"
    for a, b in zip(expected, measured, strict=True):
        if any(own[0] > seen[0] or own[1] < seen[1] for own, seen in zip(a, b, strict=True)):
            verdict = "TOO SMALL"
        elif a != b and verdict == "equal":
            verdict = "TOO LARGE"
    return Comparison(name, expected[0], measured[0], verdict)


TALL = 384, 64
"""Of networks that take images of any size: so high that the fields of some stages end in it."""
NETWORKS = {
    "resnet18": TALL,
    "seresnet50": TALL,
    "ecaresnet26t": TALL,
    "resnext50_32x4d": TALL,
    "res2net50_26w_4s": TALL,
    "resnest14d": TALL,
    "skresnet18": TALL,
    "gcresnext26ts": TALL,
    "densenet121": TALL,
    "vgg11_bn": TALL,
    "inception_v3": (384, 96),
    "xception41": TALL,
    "mobilenetv2_050": TALL,
    "mobilenetv3_small_050": TALL,
    "mobilenetv4_conv_small_050": TALL,
    "efficientnet_b0": TALL,
    "tf_efficientnet_lite0": TALL,
    "mnasnet_small": TALL,
    "ghostnet_050": TALL,
    "ghostnetv2_100": TALL,
    "repghostnet_050": TALL,
    "regnetx_002": TALL,
    "regnety_002": TALL,
    "dla34": TALL,
    "hrnet_w18_small": TALL,
    "repvgg_a0": TALL,
    "mobileone_s0": TALL,
    "convnext_atto": TALL,
    "convnextv2_atto": TALL,
    "cspresnet50": TALL,
    "darknet53": TALL,
    "selecsls42": TALL,
    "ese_vovnet19b_slim": TALL,
    "dpn48b": TALL,
    "nf_regnet_b0": TALL,
    "rexnet_100": TALL,
    "poolformer_s12": TALL,
    "pvt_v2_b0": TALL,
    "edgenext_xx_small": TALL,
    "mobilevit_xxs": TALL,
    "fastvit_t8": TALL,
    "hgnetv2_b0": TALL,
    "inception_next_atto": TALL,
    "mambaout_femto": TALL,
    "starnet_s1": TALL,
    "lcnet_050": TALL,
    "focalnet_tiny_srf": TALL,
    "convmixer_768_32": (112, 112),
    "swin_tiny_patch4_window7_224": (224, 224),
    "swinv2_cr_tiny_ns_224": (224, 224),
    "maxvit_pico_rw_256": (256, 256),
    "vit_tiny_patch16_224": (224, 224),
    "mixer_s32_224": (224, 224),
    "levit_128s": (224, 224),
    "efficientformer_l1": (224, 224),
    "repvit_m0_9": TALL,
    "halonet26t": (256, 256),
    "volo_d1_224": (224, 224),
    "davit_tiny": (224, 224),
    "xcit_nano_12_p16_224": (224, 224),
    "coatnet_nano_rw_224": (224, 224),
    "shvit_s1": (224, 224),
    "fasternet_t0": (256, 64),
}
"""Network of timm → size of the image."""


def of_timm(name: str) -> list[Comparison]:
    """The stages of a network, and what comes last."""
    import timm

    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False, num_classes=0, exportable=False)
    stages = [one["module"] for one in network.feature_info] if getattr(network, "feature_info", None) else []
    stages = list(dict.fromkeys(stages))
    names = [*stages[:4], *stages[-1:], ""]
    return list(compared(network, names, (1, 3, *NETWORKS[name])))


def main(words: list[str]) -> int:
    """Prints the table; 1 if a field differs from the gradient's."""
    wrong = 0
    chosen = [name for name in NETWORKS if not words or any(word in name for word in words)]
    for name in chosen:
        started = time.monotonic()
        try:
            found = of_timm(name)
        except Exception as error:
            print(f"{name:32} ERROR {type(error).__name__}: {str(error)[:150]}", flush=True)
            wrong += 1
            continue
        verdicts = [one.verdict for one in found]
        wrong += any(one.startswith("TOO") for one in verdicts) or not found
        sizes = " ".join(
            "?" if isinstance(one.computed, str) else "x".join(str(last - first + 1) for first, last in one.computed)
            for one in found
        )
        counts = ", ".join(f"{verdicts.count(one)} {one}" for one in dict.fromkeys(verdicts))
        reasons = {one.computed for one in found if isinstance(one.computed, str)}
        print(
            f"{name:32} {'x'.join(map(str, NETWORKS[name])):8}{counts:22} {sizes}  {'; '.join(sorted(reasons))} "
            f"({time.monotonic() - started:.0f} s)",
            flush=True,
        )
        for one in found:
            if one.verdict.startswith("TOO"):
                print(f"    {one.name}: computed {one.computed}, measured {one.measured}: {one.verdict}")
    print(f"{len(chosen)} networks, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
