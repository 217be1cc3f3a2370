"""Any network of timm with features of stride 8, 16 and 32 (Wightman 2019, PyTorch Image Models)."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from detector.backbones.backbone import LEVELS, OwnLayersOptions, refuse_layers
from detector.errors import OptionError, UserError
from detector.freezing import FreezableBackbone
from detector.options import MISSING, Pattern, arguments
from detector.types import FeatureInfo

SIZES = ((128, 192), (320, 320))
"""Heights and widths at which a network is tried; some take only the size that their weights were trained at."""


@dataclass
class TimmOptions(OwnLayersOptions):
    """Any network of timm with features of stride 8, 16 and 32; needs `pip install timm`."""

    name: str = "timm"
    model: Annotated[str, Pattern(r"[\w.]+", "a name of timm's, such as convnext_tiny or resnet50.a1_in1k")] = MISSING
    """timm's name, such as convnext_tiny or resnet50.a1_in1k."""

    def build(self) -> Timm:
        """timm's network, with its weights where `pretrained`."""
        return Timm(**arguments(self))


class Timm(FreezableBackbone):
    """timm's network called `model` through `features_only`, with its own activation, norm and initialisation.

    A stage holds the parameters that reach the features of one stride and none of a smaller one: five stages where the
    network has features of stride 2, otherwise four. `normalisation` is the (mean, std) that `pretrained` weights were
    trained with, else None.

    Raises `UserError` where timm is not installed, and `OptionError` where it has no such model or cannot download the
    weights, where the network lacks a level or does not take images of any size, and on an `activation`, `norm` or
    `initialisation` but "own".
    """

    def __init__(
        self,
        model: str,
        pretrained: bool = False,
        frozen_stages: int = 0,
        freeze_norm: bool = False,
        activation: str = "own",
        norm: str = "own",
        initialisation: str = "own",
    ) -> None:
        super().__init__()
        refuse_layers(
            "to a network of timm, which has its own", activation=activation, norm=norm, initialisation=initialisation
        )
        _require(model)
        plan = _plan(model)
        indices = [index for stride, index in plan.taps.items() if stride in LEVELS]
        self.model = _create(model, pretrained, out_indices=indices, **plan.options)
        strides = tuple(stride for stride in plan.taps if stride in LEVELS)
        self.info = FeatureInfo(
            tuple(LEVELS[stride] for stride in strides), tuple(self.model.feature_info.channels()), strides
        )
        self.stages: list[nn.Module] = _stages(self.model, plan.stage_of)  # not registered: each is a view of `model`
        weights = self.model.pretrained_cfg
        self.normalisation = (list(weights["mean"]), list(weights["std"])) if pretrained else None
        self.freeze(frozen_stages, freeze_norm)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Normalised float images [B, 3, H, W] → {"C3": [B, c3, H/8, W/8], ..., "C5": [B, c5, H/32, W/32]}, maybe C2."""
        return dict(zip(self.info.names, _features(self.model, images), strict=True))


class _Plan:
    """What has to be known before the network is made."""

    def __init__(self, taps: dict[int, int], options: dict[str, Any], stage_of: dict[str, int]) -> None:
        self.taps = taps
        """Stride → timm's index of the features, for strides 2, 4, 8, 16, 32 as far as there are."""
        self.options = options
        self.stage_of = stage_of
        """Name of a parameter → its stage; without those that reach no features."""


def _require(model: str) -> None:
    try:
        import timm
    except ImportError as error:
        raise UserError("networks of timm need another package: pip install timm") from error
    if not timm.is_model(model.split(".")[0]):
        close = difflib.get_close_matches(model, timm.list_models(), n=3)
        raise OptionError(
            "model",
            f"timm has no network called {model!r}; "
            + (f"close to it are {', '.join(close)}" if close else "timm.list_models() names them all"),
        )


def _create(model: str, pretrained: bool = False, **options: Any) -> Any:
    import timm

    try:
        return timm.create_model(model, pretrained=pretrained, features_only=True, **options)
    except Exception as error:  # timm, huggingface_hub and each network have exceptions of their own
        if pretrained:
            raise OptionError(
                "pretrained",
                f"timm cannot load weights for {model} ({_first_line(error)}); "
                "give pretrained=false or a model of which timm can",
                "true",
            ) from error
        raise OptionError("model", f"timm cannot build {model} with features_only ({_first_line(error)})") from error


def _plan(model: str) -> _Plan:
    """Tries the network on the meta device, where it neither takes memory nor computes."""
    with torch.device("meta"):
        info = _create(model).feature_info
        strides = dict(zip(info.reduction(), info.out_indices, strict=True))
        if missing := [stride for stride in (8, 16, 32) if stride not in strides]:
            raise OptionError(
                "model",
                f"{model} has no features of stride {' and '.join(map(str, missing))}, "
                "which C3, C4 and C5 need; choose a network with a pyramid of features",
            )
        taps = {stride: index for stride, index in strides.items() if stride in (2, *LEVELS)}
        refused = None
        # windowed attention (Swin) takes any size only when asked to; other networks do not know the option
        for options in ({}, {"strict_img_size": False}):
            try:
                network = _create(model, out_indices=list(taps.values()), **options).eval()
                return _Plan(taps, options, _stage_of(network, tuple(taps)))
            except Exception as error:  # whatever a network raises on a size that it does not take
                refused = refused or error
    raise OptionError(
        "model",
        f"{model} does not give features of stride {', '.join(map(str, taps))} for images of any size "
        f"({_first_line(refused)}); choose another network",
    )


def _stage_of(network: Any, strides: tuple[int, ...]) -> dict[str, int]:
    """Parameter → the first features that it reaches; raises where features do not have their channels and stride."""
    for height, width in SIZES:
        features = _features(network, torch.empty(1, 3, height, width))
        for feature, channels, stride in zip(features, network.feature_info.channels(), strides, strict=True):
            expected = (1, channels, height // stride, width // stride)
            if feature.shape != expected:
                raise ValueError(f"{tuple(feature.shape)} instead of {expected} for {height}×{width} pixels")
    names, parameters = zip(*network.named_parameters(), strict=True)
    stage_of: dict[str, int] = {}
    for stage, feature in enumerate(features):
        gradients = torch.autograd.grad(feature.sum(), parameters, allow_unused=True, retain_graph=True)
        for name, gradient in zip(names, gradients, strict=True):
            if gradient is not None:
                stage_of.setdefault(name, stage)
    return stage_of


def _features(network: Any, images: Tensor) -> list[Tensor]:
    features: list[Tensor] = network(images)
    if str(getattr(network, "output_fmt", "NCHW")).endswith("NHWC"):  # Swin's
        return [feature.permute(0, 3, 1, 2) for feature in features]
    return features


def _stages(network: nn.Module, stage_of: dict[str, int]) -> list[nn.Module]:
    """The largest modules whose parameters are all of one stage, by stage."""
    stages = [nn.ModuleList() for _ in range(max(stage_of.values()) + 1)]

    def collect(module: nn.Module, prefix: str) -> None:
        found = {stage_of.get(prefix + name) for name, _ in module.named_parameters()}
        if len(found) == 1 and (only := found.pop()) is not None:
            stages[only].append(module)
            return
        for name, parameter in module.named_parameters(recurse=False):
            if (stage := stage_of.get(prefix + name)) is not None:
                stages[stage].append(nn.ParameterList([parameter]))
        for name, child in module.named_children():
            collect(child, f"{prefix}{name}.")

    collect(network, "")
    return list(stages)


def _first_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
