"""What a checkpoint says besides its weights, and how to open one without running anything that it names."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detector import config
from detector.build import build_detector
from detector.digest import digest
from detector.errors import UserError
from detector.types import ImageId

KEY = "detector"
"""The entry of a Lightning checkpoint under which ours lies."""
DIGEST = "digest"
"""Key within that entry: the digest of everything else in the file."""


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
    """Weights of the detector: averaged where the run averaged, otherwise as trained."""

    def detector(self) -> nn.Module:
        """The detector, in evaluation mode, on the CPU."""
        with torch.device("meta"):  # costs no memory, however large the configuration says that the detector is
            described = build(self.config, len(self.class_names), pretrained=False).state_dict()
        if reason := misfit(described, self.weights):
            raise UserError(
                f"checkpoint={self.path}: its weights are not those of the detector that its configuration describes; "
                f"it may come from another version of this project ({reason})"
            )
        detector = build(self.config, len(self.class_names), pretrained=False)
        detector.load_state_dict(self.weights)
        return detector.eval()

    def suppressing(self, kind: str | None, iou_threshold: float | None) -> Checkpoint:
        """The same weights, with another suppression or threshold of it (see `detector.nms.NMS`).

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


def misfit(expected: Mapping[str, Tensor], found: Mapping[str, Any]) -> str | None:
    """The first difference between two sets of tensors, in names or shapes; None where there is none."""
    for name, tensor in expected.items():
        if name not in found:
            return f"{name} is missing"
        if tensor.shape != found[name].shape:
            return f"{name} is {_shape(found[name])} instead of {_shape(tensor)}"
    return next((f"{name[:200]} belongs to no part" for name in found if name not in expected), None)


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "one number"


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


def open_checkpoint(path: str | Path, key: str = "checkpoint") -> Checkpoint:
    """Opens a checkpoint with `weights_only=True`.

    Args:
        path: the file.
        key: the key of the configuration that names it, for messages.

    Raises:
        UserError: in one line, what `read_content` says, or that something of what a checkpoint must say is missing, has
            another type or cannot be.
    """
    path = Path(path)
    return from_content(read_content(path, key), path, key)


def read_content(path: Path, key: str = "checkpoint") -> dict[str, Any]:
    """Everything that a checkpoint file holds: nothing that it names is run, and no byte differs from what was written.

    Files of earlier versions have no digest; of these every number is believed that is finite.

    Raises:
        UserError: there is no such file, it is no checkpoint of this project, it has changed since it was written, or a
            weight is not finite.
    """
    if path.is_dir():
        raise UserError(f"{key}={path}: is a folder; give the file, e.g. {path / 'best.ckpt'}")
    if not path.is_file():
        raise UserError(f"{key}={path}: no such file")
    refused = f"{key}={path}: is not a checkpoint of this project"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # a place in the file that would lie before its beginning
            raise UserError(f"{refused}, or damaged") from error
        raise UserError(f"{key}={path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # what unpickling raises on bytes that are no pickle is not documented
        raise UserError(f"{refused}, or damaged ({type(error).__name__})") from error
    if not isinstance(content, dict) or not isinstance(ours := content.get(KEY), dict):
        raise UserError(f"{refused}: it has no entry {KEY!r}")
    try:
        _check_tensors(content)
        if DIGEST in ours and ours[DIGEST] != digest(without_digest(content)):
            raise UserError(f"{key}={path}: has changed since it was written: it is damaged, or was edited")
    except (TypeError, ValueError, RuntimeError, RecursionError) as error:
        raise UserError(f"{refused}, or damaged ({' '.join(str(error).split())[:200]})") from error
    state = content.get("state_dict")
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) and isinstance(k, str) for k, v in state.items()):
        raise UserError(f"{refused}: it has no weights (state_dict)")
    if wrong := [name for name, value in state.items() if not is_finite(value)]:
        raise UserError(
            f"{key}={path}: {len(wrong)} of its tensors have weights that are not finite, first {wrong[0][:200]}"
        )
    return content


def from_content(content: dict[str, Any], path: Path, key: str = "checkpoint") -> Checkpoint:
    """The checkpoint that `read_content` has read; raises as `open_checkpoint`."""
    where = f"{key}={path}: "
    ours, state, epoch = content[KEY], content["state_dict"], content.get("epoch")
    if missing := [name for name in ("config", "class_names", "category_ids") if name not in ours]:
        raise UserError(
            f"{where}is not a checkpoint of this project, or of another version of it: it lacks {missing[0]}"
        )
    names, ids = ours["class_names"], ours["category_ids"]
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{where}is not a checkpoint of this project: its class_names are no list of texts")
    if (
        not isinstance(ids, list | tuple)
        or len(ids) != len(names)
        or not all(isinstance(one, int | str) for one in ids)
    ):
        raise UserError(f"{where}is not a checkpoint of this project: its category_ids are no list of ids, one a class")
    if not isinstance(epoch, int) or isinstance(epoch, bool) or not 0 <= epoch < 2**63:
        raise UserError(f"{where}is not a checkpoint of this project: its epoch is no number of epochs")
    averaged = {k.removeprefix("ema.module."): v for k, v in state.items() if k.startswith("ema.module.")}
    trained = {k.removeprefix("detector."): v for k, v in state.items() if k.startswith("detector.")}
    return Checkpoint(
        path, config.from_dict(ours["config"], where), tuple(names), tuple(ids), epoch, averaged or trained
    )


def without_digest(content: dict[str, Any]) -> dict[str, Any]:
    """What the digest of a checkpoint is taken of: everything else."""
    ours = {name: value for name, value in content[KEY].items() if name != DIGEST}
    return {name: ours if name == KEY else value for name, value in content.items()}


def is_finite(tensor: Tensor) -> bool:
    """Whether every element is a finite number; the sum is looked at first, which takes a tenth of the time."""
    if not tensor.is_floating_point() or bool(torch.isfinite(tensor.sum())):
        return True
    return bool(torch.isfinite(tensor).all())


def _check_tensors(value: Any) -> None:
    """Raises a ValueError where a tensor has more elements than memory: a file of a few bytes may say anything."""
    match value:
        case Tensor():
            if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
                raise ValueError("it has a tensor that is not dense")
            if value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise ValueError(f"it has a tensor of shape {tuple(value.shape)} without as many elements")
        case dict():
            for item in value.values():
                _check_tensors(item)
        case list() | tuple():
            for item in value:
                _check_tensors(item)
