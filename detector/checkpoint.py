"""What a checkpoint says besides its weights, and how to open one without running anything that it names."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detector import config
from detector.build import build_detector
from detector.errors import UserError
from detector.types import ImageId

KEY = "detector"
"""The entry of a Lightning checkpoint under which ours lies."""


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint."""

    path: Path
    config: config.Train
    class_names: tuple[str, ...]
    category_ids: tuple[ImageId, ...]
    epoch: int
    """Finished epochs."""
    weights: dict[str, Tensor]
    """Of the detector: averaged where the run averaged, otherwise as trained."""

    def detector(self) -> nn.Module:
        """The detector, in evaluation mode, on the CPU."""
        detector = build(self.config, len(self.class_names), pretrained=False)
        try:
            detector.load_state_dict(self.weights)
        except RuntimeError as error:
            first = str(error).split(":")[0]
            raise UserError(
                f"checkpoint={self.path}: its weights are not those of the detector that its configuration describes; "
                f"it may come from another version of this project ({first})"
            ) from error
        return detector.eval()

    def suppressing(self, kind: str | None, iou_threshold: float | None) -> Checkpoint:
        """The same weights, with another suppression or threshold of it (see `detector.nms.Suppression`).

        Raises:
            UserError: a threshold is given for soft suppression, which has none.
        """
        model = self.config.model
        kind = model.suppression if kind is None else kind
        if kind == "soft" and iou_threshold is not None:
            raise UserError(
                f"iou_threshold={iou_threshold}: has no meaning with suppression=soft, which has no threshold"
            )
        threshold = model.iou_threshold if iou_threshold is None else iou_threshold
        changed = replace(model, suppression=kind, iou_threshold=threshold)
        return replace(self, config=replace(self.config, model=changed))


def build(train: config.Experiment, classes: int, pretrained: bool = True) -> nn.Module:
    """The detector of a configuration; `pretrained=False` skips downloads and files that a checkpoint spares."""
    model, backbone = train.model, train.backbone
    if not pretrained:
        model, backbone = _without_weights(model), _without_weights(backbone)
    return build_detector(
        model=model,
        backbone=backbone,
        neck=train.neck,
        head=train.head,
        assigner=train.assigner,
        loss=train.loss,
        classes=classes,
        image_size=train.image_size,
    )


def _without_weights(part: Any) -> Any:
    if part is None:
        return None
    new: dict[str, Any] = {"pretrained": False, "weights": None}
    return replace(part, **{key: value for key, value in new.items() if hasattr(part, key)})


def entry(train: config.Train, class_names: tuple[str, ...], category_ids: tuple[ImageId, ...]) -> dict[str, Any]:
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
    refused = f"checkpoint={path}: is not a checkpoint of this project"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # what unpickling raises on bytes that are no pickle is not documented
        raise UserError(f"{refused} ({type(error).__name__})") from error
    if not isinstance(content, dict) or not isinstance(ours := content.get(KEY), dict):
        raise UserError(f"{refused}: it has no entry {KEY!r}")
    try:
        state = content["state_dict"]
        averaged = {k.removeprefix("ema.module."): v for k, v in state.items() if k.startswith("ema.module.")}
        trained = {k.removeprefix("detector."): v for k, v in state.items() if k.startswith("detector.")}
        return Checkpoint(
            path,
            config.from_dict(ours["config"]),
            tuple(ours["class_names"]),
            tuple(ours["category_ids"]),
            content["epoch"],
            averaged or trained,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{refused}, or of another version of it ({type(error).__name__}: {error})") from error
