"""What a checkpoint says besides its weights, and how to open one without running anything that it names.

A checkpoint is a file of Lightning's with an entry of ours under `KEY`, of plain values: the number of its `format`; `model`,
all that is needed to detect with the weights (the options of the detector, the names of its classes, their ids in the data);
and `run`, what made them (the rest of the configuration, what was reached, the random state).
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detector import config
from detector.build_detector import DetectorOptions
from detector.digest import digest
from detector.errors import UserError, shown
from detector.types import ImageId

KEY = "detector"
"""The entry of a Lightning checkpoint under which ours lies."""
FORMAT = 2
"""The format of the entry. Files without a number are of format 1: one configuration for detector and run."""
DIGEST = "digest"
"""Key within that entry: the digest of everything else in the file."""


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint."""

    path: Path
    described: DetectorOptions | None
    """What the detector was built from; None where it is not one of this project's."""
    class_names: tuple[str, ...]
    category_ids: tuple[ImageId, ...]
    epoch: int
    """Finished epochs."""
    weights: dict[str, Tensor]
    """Weights of the detector: averaged where the run averaged, otherwise as trained."""
    run: config.Train | None = None
    """The configuration of the run that made it; None where a trainer of the user's own did."""
    history: tuple[dict[str, float], ...] = ()
    """What each evaluation of the run up to this file measured (`detector.training.history.History`): `epoch`, `step`, `lr`,
    `train/loss`, `val/AP` and so on. Empty in files of earlier versions and in imported ones."""

    @property
    def options(self) -> DetectorOptions:
        """What the detector is made of.

        Raises:
            UserError: it is a module of the user's own, of which the file has the weights alone.
        """
        if self.described is None:
            raise UserError(
                f"checkpoint={self.path}: holds the weights of a module that is not one of this project's; build that module "
                "yourself and give it open_checkpoint(...).weights"
            )
        return self.described

    def detector(self) -> nn.Module:
        """The detector, in evaluation mode, on the CPU; without assigner and losses, which only a training needs.

        Raises:
            UserError: the weights are not those of the detector that the options describe, or there are no options.
        """
        classes = len(self.class_names)
        with torch.device("meta"):  # costs no memory, however large the options say that the detector is
            described = self.options.build(classes, pretrained=False, criterion=False).state_dict()
        weights = {name: value for name, value in self.weights.items() if not name.startswith("criterion.")}
        if reason := misfit(described, weights):
            raise UserError(
                f"checkpoint={self.path}: its weights are not those of the detector that its configuration describes; "
                f"it may come from another version of this project ({reason})"
            )
        detector = self.options.build(classes, pretrained=False, criterion=False)
        detector.load_state_dict(weights)
        return detector.eval()

    def suppressing(self, kind: str | None, iou_threshold: float | None) -> Checkpoint:
        """The same weights, with another suppression or threshold of it (see `detector.nms.NMS`).

        Raises:
            UserError: a threshold is given for soft suppression, which has none.
        """
        model = self.options.model
        kind = model.suppression if kind is None else kind
        if kind == "soft" and iou_threshold is not None:
            raise UserError(
                f"iou_threshold={iou_threshold}: has no meaning with suppression=soft, which has no threshold"
            )
        threshold = model.iou_threshold if iou_threshold is None else iou_threshold
        changed = replace(model, suppression=kind, iou_threshold=threshold)
        return replace(self, described=replace(self.options, model=changed))


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
    return DetectorOptions.of(train).build(classes, pretrained)


MODEL_KEYS = {one.name for one in fields(DetectorOptions)}


def entry(
    detector: DetectorOptions | None,
    class_names: tuple[str, ...],
    category_ids: tuple[ImageId, ...],
    train: config.Train | None,
    **reached: Any,
) -> dict[str, Any]:
    """What a checkpoint carries under `KEY`: plain values, and in `reached` what a run that goes on needs."""
    rest = None if train is None else {key: value for key, value in asdict(train).items() if key not in MODEL_KEYS}
    return {
        "format": FORMAT,
        "model": {
            "options": None if detector is None else asdict(detector),
            "class_names": list(class_names),
            "category_ids": list(category_ids),
        },
        "run": {"config": rest, **reached},
    }


def in_this_format(entry: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """The entry of a checkpoint of any format as `entry` makes it now; its values are not looked at.

    Raises:
        UserError: in one line, which begins with `where`: a newer version of this project has written it, or something is
            missing in it.
    """
    number = entry.get("format", 1)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise UserError(f"{where}is not a checkpoint of this project: its format is {shown(number)}")
    if number > FORMAT:
        raise UserError(
            f"{where}has format {number}, of a newer version of this project than this one, which reads formats up to "
            f"{FORMAT}: update it (pip install -U detector-lab)"
        )
    needed = ("config", "class_names", "category_ids") if number == 1 else ("model", "run")
    if missing := [name for name in needed if name not in entry]:
        raise UserError(
            f"{where}is not a checkpoint of this project, or of another version of it: it lacks {missing[0]}"
        )
    if number == FORMAT:
        return dict(entry)
    model = {"class_names": entry["class_names"], "category_ids": entry["category_ids"]}
    run = {key: value for key, value in entry.items() if key not in (*model, "config", DIGEST)}
    settings = entry["config"]
    if not isinstance(settings, dict):
        raise UserError(f"{where}the configuration is {shown(settings)}: keys with values are expected")
    options = {key: value for key, value in settings.items() if key in MODEL_KEYS}
    rest = {key: value for key, value in settings.items() if key not in MODEL_KEYS}
    return {"format": FORMAT, "model": {"options": options, **model}, "run": {"config": rest, **run}}


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
    """Everything that a checkpoint file holds, with our entry in the format of today.

    Nothing that the file names is run, and no byte of it differs from what was written.

    Files of earlier versions have no digest; of these every number is believed that is finite.

    Raises:
        UserError: there is no such file, it is no checkpoint of this project, or one of a newer version, it has changed since
            it was written, or a weight is not finite.
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
    current = in_this_format(ours, f"{key}={path}: ")
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
    return {**content, KEY: current}


def from_content(content: dict[str, Any], path: Path, key: str = "checkpoint") -> Checkpoint:
    """The checkpoint that `read_content` has read; raises as `open_checkpoint`."""
    where = f"{key}={path}: "
    refused = f"{where}is not a checkpoint of this project"
    state, epoch = content["state_dict"], content.get("epoch")
    model, run = content[KEY]["model"], content[KEY]["run"]
    for part, needed in ((model, ("options", "class_names", "category_ids")), (run, ("config",))):
        if not isinstance(part, dict):
            raise UserError(f"{refused}: {shown(part)} stands where keys with values are expected")
        if missing := [name for name in needed if name not in part]:
            raise UserError(f"{refused}, or of another version of it: it lacks {missing[0]}")
    names, ids = model["class_names"], model["category_ids"]
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{refused}: its class_names are no list of texts")
    if (
        not isinstance(ids, list | tuple)
        or len(ids) != len(names)
        or not all(isinstance(one, int | str) for one in ids)
    ):
        raise UserError(f"{refused}: its category_ids are no list of ids, one a class")
    if not isinstance(epoch, int) or isinstance(epoch, bool) or not 0 <= epoch < 2**63:
        raise UserError(f"{refused}: its epoch is no number of epochs")
    averaged = {k.removeprefix("ema.module."): v for k, v in state.items() if k.startswith("ema.module.")}
    trained = {k.removeprefix("detector."): v for k, v in state.items() if k.startswith("detector.")}
    described, train = _configuration(model["options"], run["config"], where)
    history = run.get("history", [])
    if not isinstance(history, list) or not all(_is_row(one) for one in history):
        raise UserError(f"{refused}: its history is no list of named numbers")
    return Checkpoint(path, described, tuple(names), tuple(ids), epoch, averaged or trained, train, tuple(history))


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(number, int | float) for name, number in value.items()
    )


def _configuration(options: Any, rest: Any, where: str) -> tuple[DetectorOptions | None, config.Train | None]:
    """What the detector was built from and what the run was, each None where the file has none."""
    if options is None:
        return None, None
    if rest is None:
        return config.detector_from_dict(options, where), None
    if not isinstance(options, dict) or not isinstance(rest, dict):
        wrong = rest if isinstance(options, dict) else options
        raise UserError(f"{where}the configuration is {shown(wrong)}: keys with values are expected")
    train = config.from_dict({**options, **rest}, where)
    return DetectorOptions.of(train), train


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
