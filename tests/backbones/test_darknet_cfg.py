"""A Darknet classifier as a backbone, against the arithmetic written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from darknet_files import SMALL, write_weights
from torch import Tensor

from detector import config
from detector.backbones.darknet_cfg import DarknetCfg
from detector.checkpoint import open_checkpoint
from detector.errors import OptionError, UserError
from detector.resolve import resolve_files
from detector.training.train import train

Layer = dict[str, np.ndarray]


def convolution(filters: int, size: int, stride: int = 1, activation: str = "leaky", norm: bool = True) -> str:
    return (
        f"[convolutional]\nbatch_normalize={int(norm)}\nfilters={filters}\nsize={size}\nstride={stride}\npad=1\n"
        f"activation={activation}\n"
    )


NET = "[net]\nheight=64\nwidth=64\nchannels=3\nbatch=128\nlearning_rate=0.1\npolicy=poly\npower=4\nmax_crop=448\n"
RESIDUAL = (
    NET
    + convolution(4, 3)
    + convolution(8, 3, 2)
    + convolution(8, 3, 2, "mish")
    + (convolution(4, 1) + convolution(8, 3) + "[shortcut]\nfrom=-3\nactivation=linear\n")
    + convolution(12, 3, 2)
    + convolution(16, 3, 2)
    + convolution(20, 3, 2)
    + (convolution(20, 1) + "[route]\nlayers=-1,-2\n")
)
POOLED = RESIDUAL + "[avgpool]\n" + convolution(10, 1, activation="linear", norm=False) + "[softmax]\ngroups=1\n"
"""As darknet53.cfg: the scores after the pooling."""
SCORED = RESIDUAL + convolution(10, 1, activation="linear", norm=False) + "[avgpool]\n[softmax]\n[cost]\ntype=sse\n"
"""As darknet19.cfg: the scores before it."""
BODY = [
    (3, 4, 3, True),
    (4, 8, 3, True),
    (8, 8, 3, True),
    (8, 4, 1, True),
    (4, 8, 3, True),
    (8, 12, 3, True),
    (12, 16, 3, True),
    (16, 20, 3, True),
    (20, 20, 1, True),
]
WHOLE = [*BODY, (40, 10, 1, False)]


def by_hand(x: Tensor, layer: Layer, stride: int = 1, activation: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    bias, scale, mean, variance = (
        torch.from_numpy(layer[key])[:, None, None] for key in ("bias", "scale", "mean", "variance")
    )
    weight = torch.from_numpy(layer["weight"])
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
    x = scale * (x - mean) / torch.sqrt(variance + 0.00001) + bias
    return activation(x) if activation else torch.where(x > 0, x, 0.1 * x)


@pytest.mark.parametrize("text", [POOLED, SCORED, RESIDUAL], ids=["pooled", "scored", "body alone"])
def test_levels_are_the_last_outputs_of_their_strides(text: str, tmp_path: Path) -> None:
    (tmp_path / "some.cfg").write_text(text)
    w = write_weights(tmp_path / "some.weights", BODY if text == RESIDUAL else WHOLE)
    backbone = DarknetCfg(str(tmp_path / "some.cfg"), weights=str(tmp_path / "some.weights")).eval()
    assert backbone.info.names == ("C2", "C3", "C4", "C5")
    assert backbone.info.strides == (4, 8, 16, 32)
    assert backbone.info.channels == (8, 12, 16, 40)

    images = torch.rand(2, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = backbone(images)
        x = by_hand(by_hand(images, w[0]), w[1], 2)
        c2 = by_hand(x, w[2], 2, lambda x: x * torch.tanh(torch.log(1 + torch.exp(x))))
        c2 = c2 + by_hand(by_hand(c2, w[3]), w[4])
        c3 = by_hand(c2, w[5], 2)
        c4 = by_hand(c3, w[6], 2)
        before = by_hand(c4, w[7], 2)
        c5 = torch.cat([by_hand(before, w[8]), before], dim=1)
    for name, expected in {"C2": c2, "C3": c3, "C4": c4, "C5": c5}.items():
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-4)


def test_squeeze_and_excitation_is_no_end_of_the_network(tmp_path: Path) -> None:
    excited = "[avgpool]\n" + convolution(20, 1, activation="logistic", norm=False) + "[scale_channels]\nfrom=-3\n"
    text = POOLED.replace(convolution(20, 1) + "[route]", excited + convolution(20, 1) + "[route]")
    (tmp_path / "some.cfg").write_text(text)
    backbone = DarknetCfg(str(tmp_path / "some.cfg"))
    assert backbone(torch.rand(1, 3, 64, 64))["C5"].shape == (1, 40, 2, 2)
    assert sum(p.numel() for stage in backbone.stages for p in stage.parameters()) == sum(
        p.numel() for p in backbone.parameters()
    )


def test_the_first_layers_of_a_file_and_frozen_stages(tmp_path: Path) -> None:
    (tmp_path / "some.cfg").write_text(POOLED)
    write_weights(tmp_path / "some.conv.12", BODY)
    backbone = config.DarknetCfgOptions(
        cfg=str(tmp_path / "some.cfg"), weights=str(tmp_path / "some.conv.12"), frozen_stages=2
    ).build()
    assert len(backbone.stages) == 5
    trained = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert trained == {name for name, _ in backbone.named_parameters() if int(name.split(".")[2]) > 5}


@pytest.mark.parametrize(
    ("text", "weights", "said"),
    [
        (POOLED, BODY, r"weights=.*ends within layer 12 .*needs 410 numbers, 0 are left"),
        (POOLED, [*WHOLE, (1, 1, 1, False)], r"2 numbers are left after the last layer, layer 12"),
        (SMALL, None, r"line 33, \[yolo\]: some\.cfg is a detector; give it as model=darknet model\.cfg=FILE"),
        (NET + convolution(4, 3, 2), None, r"some\.cfg: no layer has stride 8, 16, 32 in its image of 64×64"),
        (POOLED.replace("[avgpool]", "[connected]"), None, r"line \d+, \[connected\]: is no layer that can be built"),
        (NET + "[softmax]\n", None, r"no layer has stride 8, 16, 32"),
    ],
)
def test_what_does_not_fit_is_said(
    text: str, weights: list[tuple[int, int, int, bool]] | None, said: str, tmp_path: Path
) -> None:
    (tmp_path / "some.cfg").write_text(text)
    if weights:
        write_weights(tmp_path / "some.weights", weights)
    with pytest.raises((OptionError, UserError), match=said):  # of an argument, or of a line of the file
        DarknetCfg(str(tmp_path / "some.cfg"), weights=str(tmp_path / "some.weights") if weights else None)


@pytest.mark.parametrize(("key", "value"), [("activation", "relu"), ("norm", "group"), ("initialisation", "xavier")])
def test_what_the_cfg_says_cannot_be_chosen(key: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "some.cfg").write_text(POOLED)
    with pytest.raises(OptionError, match=rf"{key}: '{value}'"):
        DarknetCfg(str(tmp_path / "some.cfg"), **{key: value})  # type: ignore[arg-type]


def test_a_run_and_its_checkpoint_need_the_files_no_more(tiny: Callable[..., config.Train], tmp_path: Path) -> None:
    (tmp_path / "some.cfg").write_text(POOLED)
    write_weights(tmp_path / "some.weights", WHOLE)
    backbone = config.DarknetCfgOptions(cfg=str(tmp_path / "some.cfg"), weights=str(tmp_path / "some.weights"))
    settings = tiny(
        backbone=backbone, trainer=config.Trainer(epochs=1, accelerator="cpu", precision="fp32", progress=False)
    )
    assert resolve_files(settings).model.mean == [0.0, 0.0, 0.0]
    folder = train(settings)
    for name in ("some.cfg", "some.weights"):
        (tmp_path / name).unlink()
    assert open_checkpoint(folder / "best.ckpt").detector() is not None
