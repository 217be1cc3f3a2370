"""A run that is described by Python objects instead of YAML, and what it leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from detector import config
from detector.build_detector import DetectorOptions, options_of_detector
from detector.checkpoint import open_checkpoint
from detector.data.formats.layout import complete
from detector.data.module import DetectionData
from detector.errors import UserError
from detector.inference.predictor import Predictor
from detector.options import PARTS
from detector.training.checkpoint_files import LAST
from detector.training.train import train


@dataclass(frozen=True)
class TrainedRun:
    """A finished run; everything of it lies in its folder."""

    folder: Path
    """The run folder: checkpoints, curves, pictures, configuration."""

    @property
    def checkpoint(self) -> Path:
        """`best.ckpt`; `last.ckpt` where nothing could be measured."""
        best = self.folder / "best.ckpt"
        return best if best.is_file() else self.folder / LAST

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The numbers of the best epoch, in 0..1: `AP`, `AP50`, `per_class`, ... (`detector.evaluation.evaluate.evaluate`);
        also `best_epoch`, `epochs`, `parameters`, `train_seconds`. Empty where nothing was measured."""
        file = self.folder / "metrics.json"
        numbers: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
        return numbers

    def predictor(self, image_size: int | None = None, accelerator: str = "auto", precision: str = "auto") -> Predictor:
        """The trained detector, ready to `predict`; as `detector.load(run.checkpoint)`."""
        return Predictor(open_checkpoint(self.checkpoint), image_size, accelerator, precision)


def train_from_python(
    data: str | config.Data | DetectionData,
    model: Any,
    parts: dict[str, Any],
    choices: dict[str, Any],
    *,
    image_size: int | None,
    epochs: int | None,
    **rest: Any,
) -> TrainedRun:
    """Trains as `detector.train` describes it.

    Args:
        data: a name, options, or images and objects.
        model: a name, options, or a detector that `detector.build` has made.
        parts: group → choice of the parts of the model, None for the default.
        choices: group → choice of everything else, None for the default.
        image_size: side of the square that the model sees, in pixels.
        epochs: replaces `trainer.epochs`.
        rest: fields of `config.Train` that are no groups.

    Raises:
        UserError: something is given twice or cannot be.
    """
    if isinstance(data, DetectionData):
        own, described = data, None
        _refuse({"image_size": image_size, "augment": choices["augment"]}, "stands in DetectionData")
        image_size, choices = own.image_size, {**choices, "augment": own.augment}
    else:
        own = None
        described, found = complete(config.choose("data", data))
        if found:
            print(found)
    detector, options = _detector(model, parts, image_size)
    if own is not None and options.image_size != own.image_size:
        raise UserError(
            f"image_size: the detector was built for {options.image_size} pixels, DetectionData is for {own.image_size}"
        )
    chosen = {group: config.choose(group, choice) for group, choice in choices.items()}
    if epochs is not None:
        chosen["trainer"] = replace(chosen["trainer"], epochs=epochs)
    settings = config.Train(data=described, **vars(options), **chosen, **rest)  # type: ignore[arg-type]  # None: own data
    return TrainedRun(train(settings, detector, own))


def _detector(model: Any, parts: dict[str, Any], image_size: int | None) -> tuple[nn.Module | None, DetectorOptions]:
    """The detector that is given, if one is, and its options."""
    if not isinstance(model, nn.Module):
        size = {} if image_size is None else {"image_size": image_size}
        return None, config.choose_detector(model, **size, **parts)
    if (options := options_of_detector(model)) is None:
        raise UserError(
            f"model: a {type(model).__name__} that detector.build has not made: train it with "
            "lightning.Trainer().fit(DetectionModule(model), datamodule=DetectionData(...))"
        )
    given = {**{group: parts[group] for group in PARTS}, "image_size": image_size}
    _refuse({key: value for key, value in given.items() if value is not None}, "stands in the detector that is given")
    return model, options


def _refuse(given: dict[str, Any], why: str) -> None:
    if twice := [key for key, value in given.items() if value is not None]:
        raise UserError(f"{twice[0]}: {why}; leave it out here")
