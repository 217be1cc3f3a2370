"""What a checkpoint says besides its weights, and how to open one without running anything that it names."""

from __future__ import annotations

import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detector import config
from detector.build import build_detector
from detector.errors import UserError

KEY = "detector"
"""The entry of a Lightning checkpoint under which ours lies."""


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint."""

    path: Path
    config: config.Train
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    epoch: int
    """Finished epochs."""
    weights: dict[str, Tensor]
    """Of the detector: averaged where the run averaged, otherwise as trained."""

    def detector(self) -> nn.Module:
        """The detector, in evaluation mode, on the CPU."""
        detector = build(self.config, len(self.class_names), pretrained=False)
        detector.load_state_dict(self.weights)
        return detector.eval()


def build(train: config.Train, classes: int, pretrained: bool = True) -> nn.Module:
    """The detector of a training configuration; `pretrained=False` skips a download that a checkpoint makes needless."""
    backbone = train.backbone
    if not pretrained:
        backbone = type(backbone)(**{**asdict(backbone), "pretrained": False})
    return build_detector(
        model=train.model,
        backbone=backbone,
        neck=train.neck,
        head=train.head,
        assigner=train.assigner,
        loss=train.loss,
        classes=classes,
    )


def entry(train: config.Train, class_names: tuple[str, ...], category_ids: tuple[int, ...]) -> dict[str, Any]:
    """What a checkpoint carries under `KEY`: plain values only."""
    return {"config": asdict(train), "class_names": list(class_names), "category_ids": list(category_ids)}


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Opens a checkpoint with `weights_only=True`.

    Raises:
        UserError: there is no such file, or it is not a checkpoint of this project, or not a readable one.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"checkpoint={path}: is a folder; give the file, e.g. {path / 'best.ckpt'}")
    if not path.is_file():
        raise UserError(f"checkpoint={path}: no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        ours = content[KEY]
        train = config.from_dict(ours["config"])
        state = content["state_dict"]
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, IndexError, ValueError) as error:
        raise UserError(f"checkpoint={path}: is not a checkpoint of this project ({type(error).__name__})") from error
    averaged = {k.removeprefix("ema.module."): v for k, v in state.items() if k.startswith("ema.module.")}
    trained = {k.removeprefix("detector."): v for k, v in state.items() if k.startswith("detector.")}
    return Checkpoint(
        path,
        train,
        tuple(ours["class_names"]),
        tuple(ours["category_ids"]),
        content["epoch"],
        averaged or trained,
    )
