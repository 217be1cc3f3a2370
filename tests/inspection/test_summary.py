from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import alexnet, resnet18

from detector.inspection import inspect


def test_counts_and_shapes_are_those_of_a_real_run() -> None:
    network = resnet18(num_classes=7).train()
    summary = inspect(network, (2, 3, 96, 64))
    with FlopCounterMode(display=False) as counter:
        network(torch.rand(2, 3, 96, 64))
    assert 2 * summary.multiply_accumulates == counter.get_total_flops()
    assert summary.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert summary.ledger.layers[0].output_shape == (2, 64, 48, 32)
    assert summary.ledger.layers[-1].output_shape == (2, 7)
    assert summary.fields["layer4"].size == (435, 435)
    assert summary.unknown_fields == {}


def test_the_text_has_all_layers_the_totals_and_what_was_checked() -> None:
    text = str(inspect(alexnet(), (1, 3, 224, 224)))
    lines = text.splitlines()
    assert sum(line.split()[1:2] == ["Conv2d"] for line in lines) == 5
    last = next(line for line in lines if line.split()[:2] == ["12", "MaxPool2d"])
    assert last.split()[-2:] == ["195×195", "32×32"]
    assert "256×6×6" in last
    assert next(line for line in lines if line.startswith("total")).split()[-1] == "all"
    assert next(line for line in lines if line.startswith("avgpool")).split()[-1] == "?"
    assert "checked: 61,100,840 parameters" in text
    assert "not known: the receptive field of avgpool: it depends on the size of the image" in text
    assert not any("Conv2d" in line for line in str(inspect(alexnet(), (1, 3, 224, 224), depth=1)).splitlines())


def test_the_example_of_the_documentation_is_real() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "inspect.md").read_text(encoding="utf-8")
    assert f"```text\n{inspect(alexnet(), (1, 3, 224, 224), depth=1)}\n```" in page


class Transformed(nn.Module):
    """A branch without a rule, and a product that no layer stands for."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = self.last(x + torch.fft.fft2(x).real)
        return x @ x.transpose(2, 3)


def test_what_is_not_known_or_not_checked_is_said() -> None:
    summary = inspect(Transformed(), (1, 3, 16, 16))
    text = str(summary)
    assert list(summary.fields) == ["first"]
    assert list(summary.unknown_fields) == ["last", ""]
    assert "not known: the receptive field of last and 1 more: " in text
    assert f"not checked: {2 * 4 * 16**3:,} operations of aten.bmm outside of layers" in text
    cells = {line.split()[0]: line.split()[-1] for line in text.splitlines() if line[:5] in ("first", "last ", "total")}
    assert cells == {"first": "1×1", "last": "?", "total": "?"}


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).train()
    network[1].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    inspect(network, (1, 3, 8, 8))
    assert [module.training for module in network.modules()] == [True, True, False, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_signals_volumes_vectors_and_half_precision() -> None:
    assert inspect(nn.Conv1d(2, 3, 5), (1, 2, 50)).fields[""].size == (5,)
    assert inspect(nn.Conv3d(2, 3, (1, 2, 3)), (1, 2, 8, 8, 8)).fields[""].size == (1, 2, 3)
    vector = inspect(nn.Linear(5, 7).half(), (4, 5))
    assert (vector.multiply_accumulates, vector.fields, vector.unknown_fields) == (4 * 5 * 7, {}, {})


@pytest.mark.parametrize(
    ("size", "depth", "words"),
    [
        ((1, 4, 8, 8), 0, r"Conv2d does not run on an input of \(1, 4, 8, 8\)"),
        ((1, 3, 2, 2), 0, "does not run"),
        ((3,), 0, r"input_size=\(3,\)"),
        ((0, 3, 8, 8), 0, "input_size="),
        ((1, 3, 8, 8), -1, "depth=-1"),
    ],
)
def test_what_cannot_be_inspected_is_said(size: tuple[int, ...], depth: int, words: str) -> None:
    network = nn.Conv2d(3, 4, 3)
    with pytest.raises(ValueError, match=words):
        inspect(network, size, depth)
    assert network.training
