from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from detector import config
from detector.data import processes
from detector.options import PARTS

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
            model=config.SingleShotOptions(),
            backbone=config.CSPDarknetOptions(depth=0.33, width=0.125),
            neck=config.PANOptions(depth=0.33, width=0.125),
            head=config.AnchorFreeHeadOptions(convolutions=1),
            assigner=config.TaskAlignedAssignerOptions(),
            loss=config.CriterionOptions(name="ciou"),
            optim=config.AdamWOptions(warmup_epochs=1.0),
            trainer=config.Trainer(epochs=2, accelerator="cpu", precision="fp32", progress=False),
            logger=config.Csv(),
            name="tiny",
            image_size=96,
            runs=str(tmp_path / "runs"),
        )
        model = parts.get("model", defaults.model)
        absent = {part: None for part in PARTS if part not in model.parts}  # type: ignore[attr-defined]
        parts = {**absent, **parts}
        return dataclasses.replace(defaults, **parts)  # type: ignore[arg-type]

    return configure
