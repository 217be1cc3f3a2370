from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from saved_checkpoint import save_checkpoint
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from detector import config
from detector.backbones import BackboneOptions
from detector.checkpoint import Checkpoint, build, open_checkpoint
from detector.data.formats.shapes import CLASS_NAMES
from detector.errors import UserError
from detector.inference.folding import fold_batch_norms
from detector.inference.precision import dtype_of
from detector.inference.predictor import Predictor
from detector.layers import ConvNormActivation
from detector.types import Batch, Target

Configure = Callable[..., config.Train]


def with_statistics(network: nn.Module) -> nn.Module:
    """Batch norms as after a training: no mean is 0, no variance 1."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean.normal_(0, 0.3)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, 0, 0.3)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, _BatchNorm) for module in network.modules())


def difference(network: nn.Module, folded: nn.Module, images: Tensor) -> float:
    """The largest difference between the outputs, as a share of the largest number."""
    with torch.no_grad():
        ours, expected = folded(images), network(images)
    return max(float((ours[k] - expected[k]).abs().max() / expected[k].abs().max()) for k in expected)


BACKBONES: dict[str, tuple[BackboneOptions, int]] = {
    "resnet": (config.ResNetOptions(depth=18, freeze_norm=True), 0),
    "csp_darknet": (config.CSPDarknetOptions(depth=0.33, width=0.125), 0),
    "efficientnet": (config.EfficientNetOptions(), 0),
    # its first norms follow sums and maps that others use as well
    "timm densenet": (config.TimmOptions(model="densenet121"), 62),
    "timm with activations in its norms": (config.TimmOptions(model="mobilenetv3_small_050"), 0),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if "densenet" in name else name for name in BACKBONES]
)
def test_a_folded_backbone_computes_the_same(name: str) -> None:
    options, left = BACKBONES[name]
    if isinstance(options, config.TimmOptions):
        pytest.importorskip("timm")
    network: Any = with_statistics(options.build())  # type: ignore[arg-type]
    folded = copy.deepcopy(network)
    fold_batch_norms(folded)
    assert (norms(network) > 0, norms(folded)) == (True, left)
    assert difference(network, folded, torch.rand(2, 3, 64, 96) * 255) < 2e-5


def test_a_folded_convolution_is_the_formula_worked_out_by_hand() -> None:
    layer = ConvNormActivation(1, 1, 1, activation="none")
    nn.init.constant_(layer.convolution.weight, 3.0)
    norm: Any = layer.norm
    norm.running_mean.fill_(5.0), norm.running_var.fill_(4.0 - norm.eps)
    nn.init.constant_(norm.weight, 10.0), nn.init.constant_(norm.bias, 7.0)
    network = nn.Sequential(nn.Conv2d(3, 1, 1), layer).eval()
    fold_batch_norms(network)
    assert layer.convolution.weight.item() == pytest.approx(3 * 10 / 2)
    assert layer.convolution.bias is not None
    assert layer.convolution.bias.item() == pytest.approx(7 - 5 * 10 / 2)


class _Awkward(nn.Module):
    """Convolutions whose outputs or weights serve more than once, and a norm that comes first by name alone."""

    def __init__(self) -> None:
        super().__init__()
        self.seen_twice = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.shared = nn.Conv2d(4, 4, 1)
        self.shared_norm = nn.BatchNorm2d(4)
        self.activation = nn.SiLU(inplace=False)
        self.last = nn.Conv2d(4, 4, 1)
        self.before_last = nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = self.seen_twice(images)
        x = x + self.norm(x)
        x = self.shared_norm(self.shared(self.shared(x)))
        return {"x": x + self.activation(x), "y": self.last(self.before_last(x))}


def test_what_cannot_be_folded_stays() -> None:
    network: Any = with_statistics(_Awkward())
    folded = copy.deepcopy(network)
    fold_batch_norms(folded)
    assert norms(folded) == 3
    assert not folded.activation.inplace
    assert difference(network, folded, torch.rand(2, 3, 16, 16)) == 0


@pytest.fixture
def checkpoint(tiny: Configure, tmp_path: Any) -> Checkpoint:
    train = tiny()
    opened = open_checkpoint(save_checkpoint(tmp_path / "a.ckpt", train, CLASS_NAMES))
    network = build(train, len(CLASS_NAMES))
    network.load_state_dict(opened.weights)
    opened.weights.update(with_statistics(network).state_dict())
    return opened


def _batch(count: int = 2) -> Batch:
    images = torch.randint(0, 256, (count, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    empty = torch.zeros(0)
    return Batch(
        images,
        [
            Target(empty.reshape(0, 4), empty.long(), empty.bool(), empty, i, (96, 96), torch.eye(3))
            for i in range(count)
        ],
    )


def test_a_predictor_finds_what_the_unfolded_detector_finds_and_leaves_its_checkpoint_alone(
    checkpoint: Checkpoint,
) -> None:
    before = {name: value.clone() for name, value in checkpoint.weights.items()}
    predictor = Predictor(checkpoint, accelerator="cpu")
    unfolded: Any = checkpoint.detector()
    found, expected = predictor.detect(_batch()), unfolded.detect(_batch().images)
    assert norms(checkpoint.detector()) > 0
    assert norms(predictor._detector) == 0  # type: ignore[arg-type]
    for one, other in zip(found, expected, strict=True):
        assert len(other) > 5
        torch.testing.assert_close(one.scores, other.scores, rtol=0, atol=1e-5)
        torch.testing.assert_close(one.boxes, other.boxes.clamp(0, 96), rtol=0, atol=1e-2)
    assert all(torch.equal(before[name], value) for name, value in checkpoint.weights.items())


@pytest.mark.parametrize("precision", ["bf16", pytest.param("fp16", marks=pytest.mark.slow)])
def test_half_precision_changes_scores_a_little_and_only_where_it_is_asked_for(
    precision: str, checkpoint: Checkpoint
) -> None:
    whole, half = (Predictor(checkpoint, accelerator="cpu", precision=one) for one in ("fp32", precision))
    networks: list[Any] = [half._detector, whole._detector]
    raw, expected = (network(_batch().images) for network in networks)
    for key, value in raw.items():
        assert value.dtype == torch.float32
        off = (value - expected[key]).abs().max() / expected[key].abs().max()
        assert 1e-5 < off < 0.05
    assert half.detect(_batch())[0].boxes.dtype == torch.float32


def test_auto_is_float32_on_a_cpu_that_does_not_multiply_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for multiplies, expected in ((False, torch.float32), (True, torch.bfloat16)):
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, name, lambda multiplies=multiplies: multiplies)
        assert dtype_of("auto", cpu) == expected
    assert dtype_of("fp16", cpu) == torch.float16
    with pytest.raises(UserError, match="precision=half: choose one of auto, fp32, bf16, fp16"):
        dtype_of("half", cpu)
