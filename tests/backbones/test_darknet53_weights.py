import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from detector import config
from detector.backbones.darknet import Darknet53
from detector.checkpoint import build
from detector.errors import OptionError

# Table 1 of the paper, row by row: filters and size of each convolution, and how many residual blocks follow
ROWS = [(32, 3, 0), (64, 3, 1), (128, 3, 2), (256, 3, 8), (512, 3, 8), (1024, 3, 4)]
PUBLISHED_BYTES = 162_482_580
"""Of darknet53.conv.74, counted from its download."""


def convolutions() -> list[tuple[int, int, int, int]]:
    """(in, out, size, stride) of all convolutions, in the order of the table."""
    found, channels = [], 3
    for filters, size, blocks in ROWS:
        found.append((channels, filters, size, 1 if channels == 3 else 2))
        found += [(filters, filters // 2, 1, 1), (filters // 2, filters, 3, 1)] * blocks
        channels = filters
    return found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the format of darknet53.conv.74, whose numbers keep activations near 1."""
    path = tmp_path_factory.mktemp("darknet") / "darknet53.conv.74"
    random = np.random.default_rng(0)
    with open(path, "wb") as opened:
        opened.write(struct.pack("<iiiq", 0, 2, 0, 123))
        for inputs, outputs, size, _ in convolutions():
            for values in (
                random.normal(0, 0.1, outputs),
                random.uniform(0.5, 1, outputs),
                random.normal(0, 0.1, outputs),
                random.uniform(0.5, 1, outputs),
                random.normal(0, (1 / (inputs * size * size)) ** 0.5, outputs * inputs * size * size),
            ):
                opened.write(values.astype("<f4").tobytes())
    return path


def forward(path: Path, images: Tensor) -> list[Tensor]:
    """C2 to C5 computed from the bytes, the table and Darknet's formulas alone."""
    numbers, position = np.fromfile(path, "<f4", offset=20), 0

    def take(*shape: int) -> Tensor:
        nonlocal position
        position += int(np.prod(shape))
        return torch.from_numpy(numbers[position - int(np.prod(shape)) : position]).reshape(shape)

    def convolution(x: Tensor, filters: int, size: int, stride: int) -> Tensor:
        bias, scale, mean, variance = (take(filters)[:, None, None] for _ in range(4))
        x = F.conv2d(x, take(filters, x.shape[1], size, size), stride=stride, padding=size // 2)
        return F.leaky_relu((x - mean) / (variance + 1e-6).sqrt() * scale + bias, 0.1)

    x, features = images, []
    for filters, size, blocks in ROWS:
        x = convolution(x, filters, size, stride=2 if blocks else 1)
        for _ in range(blocks):
            x = x + convolution(convolution(x, filters // 2, 1, 1), filters, 3, 1)
        features.append(x)
    assert position == len(numbers)
    return features[2:]


def test_the_published_file_has_exactly_the_numbers_of_the_52_convolutions(file: Path) -> None:
    assert len(convolutions()) == 52
    numbers = sum(4 * outputs + inputs * outputs * size**2 for inputs, outputs, size, _ in convolutions())
    assert numbers == 40_620_640
    assert 20 + 4 * numbers == PUBLISHED_BYTES == file.stat().st_size
    backbone = Darknet53()
    running = sum(b.numel() for name, b in backbone.named_buffers() if "running" in name)
    assert sum(p.numel() for p in backbone.parameters()) + running == numbers


def test_loaded_features_are_those_computed_from_the_bytes(file: Path) -> None:
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = Darknet53(weights=str(file)).eval()(images)
        for name, expected in zip(["C2", "C3", "C4", "C5"], forward(file, images), strict=True):
            torch.testing.assert_close(features[name], expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_a_checkpoint_needs_the_file_no_more(tiny: Callable[..., config.Train], file: Path) -> None:
    trained = build(tiny(backbone=config.Darknet53Options(weights=str(file))), 5)
    opened = build(tiny(backbone=config.Darknet53Options(weights="gone.conv.74")), 5, pretrained=False)
    opened.load_state_dict(trained.state_dict())
    images = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = trained.eval()(images), opened.eval()(images)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_file_cut_off_is_refused(file: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.conv.74").write_bytes(file.read_bytes()[:-4])
    said = r"ends within convolution 52 of 52: that needs 4,722,688 numbers, 4,722,687 are left"
    with pytest.raises(OptionError, match=said):
        Darknet53(weights=str(tmp_path / "cut.conv.74"))


@pytest.mark.parametrize("other", [{"activation": "relu"}, {"norm": "group"}])
def test_another_activation_or_norm_than_the_weights_were_trained_with_is_refused(other: dict[str, str]) -> None:
    with pytest.raises(OptionError, match=r"weights=any.*leaky_relu"):
        Darknet53(weights="any", **other)  # type: ignore[arg-type]
