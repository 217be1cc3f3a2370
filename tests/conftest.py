from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from detector import config
from detector.data import processes

Configure = Callable[..., config.Train]

processes.PRELOADED.append("albumentations")  # once, for all loader processes that tests start


@pytest.fixture(autouse=True)
def caches_of_tests(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept in the user's own folder; tests share what they compute."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def tiny(tmp_path: Path) -> Configure:
    """A training configuration that runs in seconds; keyword arguments replace whole parts."""

    def configure(**parts: object) -> config.Train:
        defaults = config.Train(
            data=config.Shapes(scene_size=96, train_images=12, val_images=6, test_images=4, batch_size=4, workers=0),
            augment=config.Augment(name="light", mosaic=0.5, flip_horizontal=0.5, scale=0.2, hue=0.02, saturation=0.3),
            model=config.SingleShot(),
            backbone=config.CSPDarknet(depth=0.33, width=0.125),
            neck=config.PAN(depth=0.33, width=0.125),
            head=config.AnchorFree(convolutions=1),
            assigner=config.TaskAligned(),
            loss=config.Loss(name="ciou"),
            optim=config.AdamW(warmup_epochs=1.0),
            trainer=config.Trainer(epochs=2, accelerator="cpu", precision="fp32", progress=False),
            logger=config.Csv(),
            name="tiny",
            image_size=96,
            runs=str(tmp_path / "runs"),
        )
        if isinstance(parts.get("model"), config.Darknet):
            parts = {"backbone": None, "neck": None, "head": None, **parts}
        if isinstance(parts.get("model"), config.TwoStage):
            parts = {"head": None, "assigner": None, "loss": None, **parts}
        if isinstance(parts.get("model"), config.RCNN):
            parts = {"neck": None, "head": None, "assigner": None, "loss": None, **parts}
        return dataclasses.replace(defaults, **parts)  # type: ignore[arg-type]

    return configure
