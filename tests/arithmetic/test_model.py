from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from detector import config
from detector.arithmetic.model import take_ledger
from detector.build_detector import build_detector
from detector.models.single_shot import SingleShot

BACKBONES: list[config.BackboneOptions] = [
    config.VGGOptions(depth=11),
    config.ResNetOptions(depth=18),
    config.Darknet19Options(),
    config.Darknet53Options(),
    config.CSPDarknetOptions(),
    config.EfficientNetOptions(),
]
NECKS: list[config.NeckOptions] = [
    config.FPNOptions(),
    config.PANOptions(spp=True, attention="sam"),
    config.NoNeckOptions(),
]
HEADS: list[config.HeadOptions] = [config.AnchorFreeHeadOptions(depthwise=True), config.AnchorBasedHeadOptions()]


@pytest.mark.parametrize("head", HEADS, ids=lambda part: part.name)
@pytest.mark.parametrize("neck", NECKS, ids=lambda part: part.name)
@pytest.mark.parametrize(
    "backbone",
    [pytest.param(part, marks=[pytest.mark.slow] if part.name != "csp_darknet" else []) for part in BACKBONES],
    ids=lambda part: part.name,
)
def test_totals_of_every_detector_are_pytorchs_to_the_last_parameter_and_operation(
    backbone: config.BackboneOptions, neck: config.NeckOptions, head: config.HeadOptions
) -> None:
    if isinstance(backbone, config.CSPDarknetOptions) and neck.spp:
        backbone = config.CSPDarknetOptions(spp=False)
    detector = on_meta(backbone, neck, head)
    images = torch.zeros(2, 3, 128, 192, dtype=torch.uint8, device="meta")
    ledger = take_ledger(detector, lambda: detector(images))
    assert ledger.mistakes() == []
    assert ledger.flops_outside == {}
    assert ledger.parameters == sum(parameter.numel() for parameter in detector.parameters())
    with FlopCounterMode(display=False) as counter:
        detector(images)
    assert 2 * ledger.multiply_accumulates == counter.get_total_flops()


def on_meta(backbone: config.BackboneOptions, neck: config.NeckOptions, head: config.HeadOptions) -> SingleShot:
    with torch.device("meta"):
        detector = build_detector(
            model=config.SingleShotOptions(),
            backbone=backbone,
            neck=neck,
            head=head,
            assigner=config.SimOTAAssignerOptions(),
            loss=config.CriterionOptions(name="ciou"),
            classes=80,
            image_size=128,
        )
    assert isinstance(detector, SingleShot)
    return detector.eval()


def test_published_counts() -> None:
    """Simonyan & Zisserman 2015, table 2 less the classifier, and He et al. 2016, as torchvision states them.

    ImageNet's networks at 224 px: 15.47 G and 4.09 G multiply-accumulates (torchvision's model pages), of which the
    classifiers, that a backbone lacks, have 123.6 M and 2.0 M. Darknet-53: 18.7 billion operations at 256 px, two for each
    multiply-accumulate (Redmon & Farhadi 2018, table 2).
    """
    for backbone, side, expected, tolerance in (
        (config.VGGOptions(depth=16), 224, 15.47e9 - 0.1236e9, 0.01e9),
        (config.ResNetOptions(depth=50), 224, 4.09e9 - 0.002e9, 0.005e9),
        (config.Darknet53Options(), 256, 18.7e9 / 2, 0.1e9),
    ):
        with torch.device("meta"):
            body = backbone.build()
        images = torch.zeros(1, 3, side, side, device="meta")
        ledger = take_ledger(body, lambda body=body, images=images: body(images))  # type: ignore[misc]
        assert ledger.multiply_accumulates == pytest.approx(expected, abs=tolerance)


class Odd(nn.Module):
    """A layer used twice, one that is idle, parameters beside submodules, a product that is no layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.idle = nn.Linear(5, 6)
        self.scale = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.twice(x)) * self.scale
        return x @ x.transpose(2, 3)


def test_shared_idle_and_nameless_work_is_accounted_for() -> None:
    network = nn.Sequential(Odd())
    ledger = take_ledger(network, lambda: network(torch.zeros(1, 4, 8, 8)))
    assert [layer.name for layer in ledger.layers] == ["0.twice", "0.twice:2", "0", "0.idle"]
    assert [layer.parameters for layer in ledger.layers] == [4 * 4 * 9 + 4, 0, 4, 36]
    assert [layer.multiply_accumulates for layer in ledger.layers] == [4 * 4 * 9 * 64, 4 * 4 * 9 * 64, 0, 0]
    assert ledger.layers[0].activation_bytes == 4 * 64 * 4
    assert ledger.layers[-1].output_shape is None
    assert ledger.mistakes() == []
    assert ledger.flops_outside == {"aten.bmm": 2 * 4 * 8 * 8 * 8}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


class PadsItself(nn.Conv2d):
    """As timm's Conv2dSame."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return super().forward(nn.functional.pad(input, (0, 1, 0, 1)))


def test_a_convolution_that_pads_by_itself_is_counted_by_what_comes_out() -> None:
    network = nn.Sequential(PadsItself(4, 6, 3, stride=2, groups=2))
    ledger = take_ledger(network, lambda: network(torch.zeros(2, 4, 8, 8)))
    assert ledger.layers[0].multiply_accumulates == 2 * 6 * (4 // 2) * 9 * 4 * 4
    assert ledger.mistakes() == []


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("kernel", [(3, 4), (2, 2), (5, 1)])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_convolutions_of_any_padding_and_kernel_are_counted(mode: str, kernel: tuple[int, int]) -> None:
    layers: list[nn.Module] = [
        nn.Conv2d(4, 6, kernel, padding="same", dilation=(1, 2), groups=2, padding_mode=mode),  # type: ignore[arg-type]
        nn.Conv2d(6, 6, kernel, stride=(2, 1), padding=(1, 2), padding_mode=mode),  # type: ignore[arg-type]
        nn.Conv2d(6, 2, kernel, padding="valid"),
    ]
    network = nn.Sequential(*layers)
    ledger = take_ledger(network, lambda: network(torch.zeros(2, 4, 12, 15)))
    assert ledger.mistakes() == []
    assert all(layer.multiply_accumulates for layer in ledger.layers)


def test_a_fully_connected_layer_of_tokens_and_an_image_without_a_batch_are_counted() -> None:
    tokens = nn.Linear(5, 7)
    ledger = take_ledger(tokens, lambda: tokens(torch.zeros(2, 3, 4, 5)))
    assert ledger.layers[0].multiply_accumulates == 2 * 3 * 4 * 5 * 7
    assert ledger.mistakes() == []
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 2, 3))
    ledger = take_ledger(network, lambda: network(torch.zeros(3, 9, 8)))
    assert ledger.mistakes() == []


@pytest.mark.parametrize(
    ("layer", "shape", "kernel", "stride"),
    [
        (nn.MaxPool2d(3, 2), (1, 3, 9, 9), (3, 3), (2, 2)),
        (nn.MaxPool2d(3, 2), (3, 9, 9), (3, 3), (2, 2)),
        (nn.AvgPool3d(2), (1, 3, 4, 4, 4), (2, 2, 2), (2, 2, 2)),
        (nn.AvgPool1d(4), (1, 3, 9), (4,), (4,)),
        (nn.Conv2d(3, 4, (3, 5), stride=(1, 2)), (1, 3, 9, 9), (3, 5), (1, 2)),
        (nn.ReLU(), (1, 3, 9, 9), None, None),
    ],
)
def test_kernels_and_strides_have_an_entry_for_each_axis(
    layer: nn.Module, shape: tuple[int, ...], kernel: Any, stride: Any
) -> None:
    (line,) = take_ledger(layer, lambda: layer(torch.zeros(shape))).layers
    assert (line.kernel, line.stride) == (kernel, stride)


def test_what_is_no_new_tensor_takes_no_memory() -> None:
    network = nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.ReLU())
    ledger = take_ledger(network, lambda: network(torch.zeros(1, 3, 8, 8)))
    assert [layer.activation_bytes for layer in ledger.layers] == [0, 4 * 4 * 64, 0, 4 * 4 * 64]


def test_a_wrong_formula_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detector.arithmetic.convolution.Convolution.output_size", lambda *_: (9, 9))
    network = nn.Conv2d(3, 4, 3, padding=1)
    ledger = take_ledger(network, lambda: network(torch.zeros(1, 3, 8, 8)))
    assert ledger.mistakes() == [": 17496 operations by formula, 13824 counted"]
