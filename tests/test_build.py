"""Options that parts share, tried on every part that there is."""

from typing import Any, cast

import pytest
import torch
from torch import nn

from detector import config
from detector.errors import OptionError
from detector.layers import ACTIVATIONS, NORMS
from detector.types import FeatureInfo

FEATURES = FeatureInfo(("C2", "C3", "C4", "C5"), (16, 32, 64, 64), (4, 8, 16, 32))
PYRAMID = FeatureInfo(("P3", "P4", "P5"), (16, 16, 16), (8, 16, 32))
KINDS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "batch": nn.BatchNorm2d,
    "group": nn.GroupNorm,
}
PARTS = [
    pytest.param(group, part, id=f"{group}-{part.name}")  # type: ignore[attr-defined]
    for group in ("backbone", "neck", "head")
    for part in config.GROUPS[group]
    if part
    not in (
        config.TimmOptions,
        config.DarknetCfgOptions,
    )  # keep their own: tests/backbones/test_timm.py, test_darknet_cfg.py
]


def made(group: str, part: type, **options: Any) -> nn.Module:
    """A new part in `torch.device("meta")`, after a forward pass."""
    needs_spp: dict[str, Any] = {"spp": True} if part is config.NoNeckOptions else {}
    settings = part(**options, **needs_spp)
    module: nn.Module
    if group == "backbone":
        module = settings.build()
        module(torch.empty(2, 3, 64, 64))
        return module
    given = FEATURES if group == "neck" else PYRAMID
    module = settings.build(given) if group == "neck" else cast(nn.Module, settings.build(given, 3, 64))
    levels = zip(given.names, given.channels, given.strides, strict=True)
    module({name: torch.empty(2, channels, 64 // stride, 64 // stride) for name, channels, stride in levels})
    return module


@pytest.mark.parametrize(("group", "part"), PARTS)
@pytest.mark.parametrize(
    ("activation", "norm"), [*((name, "group") for name in ACTIVATIONS), *(("elu", name) for name in NORMS)]
)
def test_every_part_has_the_activation_and_the_norm_of_that_name_and_no_other(
    group: str, part: type, activation: str, norm: str
) -> None:
    with torch.device("meta"):
        module = made(group, part, activation=activation, norm=norm)
    found = {name for name, kind in KINDS.items() if any(isinstance(m, kind) for m in module.modules())}
    assert found == {activation, norm} - {"none"}


@pytest.mark.parametrize(("group", "part"), PARTS)
@pytest.mark.parametrize("key", ["activation", "norm"])
def test_every_part_refuses_an_unknown_name(group: str, part: type, key: str) -> None:
    with torch.device("meta"), pytest.raises(OptionError, match=rf"{key}: 'swish' is unknown; choose one of"):
        made(group, part, **{key: "swish"})
