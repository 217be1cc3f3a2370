from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from detector import config
from detector.errors import UserError
from detector.training.health.callback import _learning
from detector.training.health.flags import find_flags
from detector.training.health.measure import LayerHealth
from detector.training.train import train

Configure = Callable[..., config.Train]
WATCHED = config.Callbacks(name="health", health_every=2)


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "health.csv", newline="") as opened:
        return list(csv.DictReader(opened))


def test_a_run_leaves_its_layers_health_and_the_same_weights(
    tiny: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tiny()
    plain = train(dataclasses.replace(settings, runs=str(tmp_path / "plain")))
    assert not (plain / "health.csv").exists()
    capsys.readouterr()
    watched = train(dataclasses.replace(settings, callbacks=WATCHED, runs=str(tmp_path / "watched")))
    steps = sorted({int(row["step"]) for row in rows(watched)})
    assert steps == list(range(1, steps[-1] + 1, 2))
    assert {"backbone.stages.0.0"} <= {".".join(row["layer"].split(".")[:4]) for row in rows(watched)}
    assert all(row["update"] for row in rows(watched) if row["kind"] == "Conv2d" and row["gradient"])
    picture = cv2.imread(str(watched / "health.png"))
    assert picture is not None
    assert picture.std() > 10
    assert "health: " in capsys.readouterr().out
    for a, b in zip(*(torch.load(f / "last.ckpt")["state_dict"].values() for f in (plain, watched)), strict=True):
        assert torch.equal(a, b)


@pytest.mark.slow
def test_dead_units_are_flagged_by_name_and_the_fixed_twin_is_not(
    tiny: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A learning rate far too high without norm, warm-up or clipping kills ReLUs; with a norm and AdamW's own none dies."""
    scenes = config.Shapes(scene_size=96, train_images=32, val_images=4, batch_size=4, workers=0)
    trainer = config.Trainer(epochs=2, accelerator="cpu", precision="fp32", progress=False, clip=0.0)
    broken = tiny(
        data=scenes,
        backbone=config.VGGOptions(depth=11, norm="none"),
        optim=config.SGDOptions(lr=1.0, warmup_epochs=0.0),
        trainer=trainer,
        callbacks=WATCHED,
        runs=str(tmp_path / "broken"),
    )
    fixed = tiny(data=scenes, backbone=config.VGGOptions(depth=11), callbacks=WATCHED, runs=str(tmp_path / "fixed"))
    dead = []
    for settings in (broken, fixed):
        train(settings)
        said = capsys.readouterr().out.splitlines()
        dead.append([line for line in said if line.startswith("health: backbone.stages.") and ": dead: " in line])
    assert dead[0]
    assert not dead[1]


@pytest.mark.parametrize(
    ("trainer", "callbacks", "words"),
    [
        ({"compile": "network"}, WATCHED, "trainer.compile"),
        ({}, config.Callbacks(name="health", health_every=-1), "health_every=-1"),
    ],
)
def test_what_cannot_be_watched_is_refused(
    tiny: Configure, trainer: dict[str, Any], callbacks: config.Callbacks, words: str
) -> None:
    settings = tiny(callbacks=callbacks)
    settings = dataclasses.replace(settings, trainer=dataclasses.replace(settings.trainer, **trainer))
    with pytest.raises(UserError, match=words):
        train(settings)


@pytest.mark.slow
def test_a_level_without_objects_is_said_and_not_flagged(
    tiny: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Objects of 6 pixels, far from the shapes of the anchors of P5."""
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / "data" / kind / split).mkdir(parents=True)
        for number in range(8):
            picture = np.full((96, 96, 3), 90, np.uint8)
            lines = []
            for x, y in ((30, 28 + number), (60 + number, 32)):
                picture[y - 3 : y + 3, x - 3 : x + 3] = 200
                lines.append(f"0 {x / 96} {y / 96} {6 / 96} {6 / 96}")
            cv2.imwrite(str(tmp_path / "data" / "images" / split / f"{number}.png"), picture)
            (tmp_path / "data" / "labels" / split / f"{number}.txt").write_text("\n".join(lines))
    (tmp_path / "data" / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [dot]\n")
    data = config.Yolo(root=str(tmp_path / "data"), batch_size=4, workers=0)
    train(
        tiny(
            data=data,
            augment=config.Augment(name="none"),
            callbacks=WATCHED,
            head=config.AnchorBasedHeadOptions(),
            assigner=config.MaxIoUAssignerOptions(),
        )
    )
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("health: no object")]
    assert len(said) == 1
    assert said[0].startswith("health: no object was assigned to P5 in the 2 steps measured: ")


def test_a_gradient_of_0_where_there_was_no_object_is_no_measurement() -> None:
    still = LayerHealth("head.box_branches.P5.0.convolution", "Conv2d", None, 1.0, 0.0, 0.001)
    assert _learning(still, {"P3": 9, "P5": 0}) == dataclasses.replace(still, gradient=None)
    moved = dataclasses.replace(still, gradient=1e-9)
    for layer, taken in ((still, {"P5": 1}), (still, {}), (still, {"P4": 0, "P5": 2}), (moved, {"P5": 0})):
        assert _learning(layer, taken) == layer
    assert find_flags([[_learning(still, {"P5": 0})]] * 3) == []
    assert [flag.problem for flag in find_flags([[still]] * 3)] == ["vanishing"]
