from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from darknet_files import FIVE, FIVE_SHAPES, write_weights
from torch import Tensor

from detector import config
from detector.checkpoint import build, open_checkpoint
from detector.errors import OptionError
from detector.models.darknet import darknet, images_line, introduction
from detector.resolve import resolve_files
from detector.training.run_folder import read_config
from detector.training.train import train
from detector.types import Target

Configure = Callable[..., config.Train]


@pytest.fixture
def files(tmp_path: Path) -> config.DarknetOptions:
    (tmp_path / "five.cfg").write_text(FIVE)
    write_weights(tmp_path / "five.weights", FIVE_SHAPES)
    return config.DarknetOptions(cfg=str(tmp_path / "five.cfg"), weights=str(tmp_path / "five.weights"))


def images(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8, generator=generator)


def target(boxes: list[list[float]], labels: list[int]) -> Target:
    count = len(labels)
    return Target(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(labels, dtype=torch.int64),
        torch.zeros(count, dtype=torch.bool),
        torch.ones(count),
        0,
        (64, 64),
        torch.eye(3),
    )


def test_the_network_sees_rgb_in_0_to_1(tiny: Configure, files: config.DarknetOptions) -> None:
    detector: Any = build(tiny(model=files), 5).eval()
    with torch.no_grad():
        expected = detector.head(detector.backbone(images(1) / 255))
        found = detector(images(1))
    assert all(torch.allclose(found[name], expected[name], atol=1e-5) for name in expected)


def test_detections_of_a_batch_are_those_of_its_images(tiny: Configure, files: config.DarknetOptions) -> None:
    detector: Any = build(tiny(model=files), 5).eval()
    for i, found in enumerate(detector.detect(images(3))):
        (alone,) = detector.detect(images(3)[i : i + 1])
        assert 0 < len(found) <= 100
        torch.testing.assert_close(found.scores, alone.scores, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.boxes, alone.boxes, atol=1e-2, rtol=1e-4)


@pytest.mark.parametrize(
    "assigner",
    [config.TaskAlignedAssignerOptions(), config.SimOTAAssignerOptions(), config.MaxIoUAssignerOptions()],
    ids=lambda one: one.name,
)
@pytest.mark.parametrize("empty", [False, True], ids=["objects", "no object"])
def test_losses_and_gradients_are_finite_with_every_assigner(
    tiny: Configure, files: config.DarknetOptions, assigner: config.AssignerOptions, empty: bool
) -> None:
    detector: Any = build(tiny(model=files, assigner=assigner), 5).train()
    filled = target([[4, 4, 20, 30], [30, 30, 30, 40], [10, 10, 60, 60]], [0, 3, 4])
    nothing = target([], [])
    losses = detector.losses(images(2), [nothing if empty else filled, nothing])
    assert losses.keys() == {"class", "box", "objectness"}
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in detector.parameters())


def test_with_the_backbone_frozen_only_predictions_are_trained(tiny: Configure, files: config.DarknetOptions) -> None:
    detector: Any = build(tiny(model=files), 5)
    detector.backbone.freeze(len(detector.backbone.stages))
    trained = [name for name, p in detector.named_parameters() if p.requires_grad]
    assert trained
    assert all(name.startswith("head.") for name in trained)


def test_for_another_number_of_classes_predictions_are_new_and_the_rest_is_loaded(files: config.DarknetOptions) -> None:
    own, _ = darknet(files.cfg, 5, weights=files.weights)
    network, head = darknet(files.cfg, 2, weights=files.weights)
    assert all(torch.equal(value, own.state_dict()[name]) for name, value in network.state_dict().items())
    lines = introduction(files.cfg, FIVE, files.weights, network, head)
    assert "layers 3, 8 are new: five.cfg predicts 5 classes, the data has 2" in lines


def test_a_file_of_the_first_layers_is_loaded_into_those(files: config.DarknetOptions, tmp_path: Path) -> None:
    written = write_weights(tmp_path / "five.conv.3", FIVE_SHAPES[:2])
    network, head = darknet(files.cfg, 5, weights=str(tmp_path / "five.conv.3"))
    convolution: Any = network.stages[2]
    np.testing.assert_array_equal(convolution.convolution.weight.detach(), written[1]["weight"])
    assert f"weights: {tmp_path / 'five.conv.3'}: the first 3 layers" in introduction(
        files.cfg, FIVE, str(tmp_path / "five.conv.3"), network, head
    )
    (tmp_path / "five.conv.4").write_bytes((tmp_path / "five.conv.3").read_bytes())
    with pytest.raises(OptionError, match=r"ends within layer 3 \(\[convolutional\], line 26 of five\.cfg\)"):
        darknet(files.cfg, 5, weights=str(tmp_path / "five.conv.4"))


def test_weights_of_another_network_are_refused_with_layer_and_line(
    files: config.DarknetOptions, tmp_path: Path
) -> None:
    write_weights(tmp_path / "other.weights", [*FIVE_SHAPES, (3, 3, 3, True)])
    with pytest.raises(OptionError, match=r"weights=.*93 numbers are left after the last layer, layer 8 .*line 49"):
        darknet(files.cfg, 5, weights=str(tmp_path / "other.weights"))


def test_a_run_its_checkpoint_and_its_resume_need_the_files_no_more(
    tiny: Configure, files: config.DarknetOptions
) -> None:
    settings = tiny(model=files, trainer=config.Trainer(epochs=1, accelerator="cpu", precision="fp32", progress=False))
    folder = train(settings)
    Path(files.cfg).unlink()
    assert files.weights is not None
    Path(files.weights).unlink()

    opened = open_checkpoint(folder / "best.ckpt")
    detector: Any = opened.detector()
    assert detector.backbone.stages[0].convolution.weight.shape == (8, 3, 3, 3)
    assert all(torch.equal(value, opened.weights[name]) for name, value in detector.state_dict().items())
    resumed = replace(read_config(folder), resume=str(folder))
    longer = replace(resumed, trainer=replace(resumed.trainer, epochs=2))
    assert train(longer) == folder


def test_a_configuration_that_carries_its_text_survives_a_dictionary(
    tiny: Configure, files: config.DarknetOptions
) -> None:
    settings = resolve_files(tiny(model=files))
    assert isinstance(settings.model, config.DarknetOptions)
    assert settings.model.cfg_text == FIVE
    assert config.from_dict(asdict(settings)) == settings


@pytest.mark.parametrize(
    ("mean", "expected"), [(config.SingleShotOptions().mean, [0.0, 0.0, 0.0]), ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])]
)
def test_weights_of_darknet53_are_given_rgb_in_0_to_1_unless_a_mean_is_chosen(
    tiny: Configure, mean: list[float], expected: list[float]
) -> None:
    backbone = config.Darknet53Options(weights="darknet53.conv.74")
    settings = resolve_files(tiny(backbone=backbone, model=config.SingleShotOptions(mean=mean)))
    assert settings.model.mean == expected


def test_a_checkpoint_older_than_the_choice_is_letterboxed(tiny: Configure, files: config.DarknetOptions) -> None:
    for settings in (resolve_files(tiny(model=files)), tiny()):
        values = asdict(settings)
        del values["model"]["resize"]
        assert config.from_dict(values).model.resize == "letterbox"
    assert resolve_files(tiny(model=files)).model.resize == "stretch"


def test_a_cfg_for_images_that_are_no_square_is_said_to_score_otherwise() -> None:
    cfg = "[net]\nwidth=96\nheight={}\nchannels=3\n[convolutional]\nfilters=4\n"
    assert images_line("a/x.cfg", cfg.format(96), "stretch", 96) == "images: RGB in 0..1, stretched to 96×96 pixels"
    wide = images_line("a/x.cfg", cfg.format(64), "letterbox", 96)
    assert wide.startswith("images: RGB in 0..1, letterboxed to 96×96 pixels; x.cfg was made for 96×64, ")
