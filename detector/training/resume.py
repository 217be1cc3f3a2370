"""A stopped run as it goes on: everything in its folder is looked at before anything is trained."""

from __future__ import annotations

import csv
import hashlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from detector.checkpoint import KEY, from_content, is_finite, misfit, read_content
from detector.data.index import Index, in_order
from detector.data.module import DetectionData
from detector.errors import UserError
from detector.training.more_epochs import Progress, progress_of

STATE: Mapping[str, type] = {
    "optimizer_states": list,
    "lr_schedulers": list,
    "loops": dict,
    "callbacks": dict,
    "global_step": int,
    "pytorch-lightning_version": str,
}
"""What Lightning needs besides the weights, and its type."""
OUR_STATE: Mapping[str, type] = {"best": dict, "random_state": Tensor, "cuda_random_state": list}
"""What the run's part of our own entry holds besides its configuration."""


@dataclass(frozen=True)
class Stopped:
    """The last checkpoint of a run that goes on."""

    path: Path
    class_names: tuple[str, ...]
    weights: Mapping[str, Tensor]
    """Weights of everything that is trained or averaged, as the file has them."""
    training_images: Mapping[str, Any] | None
    """See `fingerprint`; None where an earlier version of this project wrote the file."""
    progress: Progress

    def order_classes(self, data: DetectionData) -> None:
        """Puts the data's classes in the order in which the run has learned them; what the data lists may have another.

        Raises:
            UserError: the data has other classes.
        """
        names, own = self.class_names, data.class_names
        if sorted(own) != sorted(names):
            raise UserError(
                f"resume: the run was trained on {len(names)} classes ({_listed(names)}); "
                f"the data has {len(own)} ({_listed(own)})"
            )
        data.train_index = in_order(data.train_index, names)
        data.val_index = in_order(data.val_index, names)

    def check_weights(self, module: nn.Module) -> None:
        """Raises a UserError unless the weights are those of the module that `config.yaml` describes."""
        if reason := misfit(module.state_dict(), self.weights):
            raise UserError(
                f"resume={self.path}: its weights are not those of the detector that config.yaml beside it "
                f"describes: {reason}"
            )

    def say_changed_images(self, index: Index) -> None:
        """One line where the training images are no longer those that the run began with."""
        now = fingerprint(index)
        if self.training_images is None or dict(self.training_images) == now:
            return
        before = self.training_images.get("images")
        counts = f"{before} → {now['images']}" if before != now["images"] else "other images, sizes or objects"
        print(
            f"resume: since the run began the training images have changed ({counts}): it goes on, but not exactly",
            file=sys.stderr,
        )


def stopped_run(folder: Path) -> Stopped | None:
    """The last checkpoint of a run folder; None where the run was stopped before its first epoch was complete.

    Raises:
        UserError: in one line, which file of the folder is not what the run wrote, and why.
    """
    file = folder / "last.ckpt"
    if not os.path.lexists(file):
        return None
    content = read_content(file, "resume")
    checkpoint = from_content(content, file, "resume")
    ours = content[KEY]["run"]
    for values, state in ((content, STATE), (ours, OUR_STATE)):
        for name, wanted in state.items():
            if not isinstance(values.get(name), wanted):
                raise UserError(
                    f"resume={file}: lacks what a run needs to go on ({name}), as files of weights alone do; "
                    f"a new run starts from its weights with init={file}"
                )
    if (count := len(content["optimizer_states"])) != 1:
        raise UserError(f"resume={file}: its state cannot be taken up (of {count} optimizers; a run has one)")
    if not all(is_finite(tensor) for tensor in _tensors(content["optimizer_states"])):
        raise UserError(f"resume={file}: the state of its optimizer is not finite")
    _check_log(folder / "metrics.csv")
    images = ours.get("training_images")
    try:
        progress = progress_of(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"resume={file}: does not say how far the run has come ({type(error).__name__}: {error})"
        ) from error
    return Stopped(
        file, checkpoint.class_names, content["state_dict"], images if isinstance(images, dict) else None, progress
    )


@contextmanager
def taking_up(checkpoint: Path | None) -> Iterator[None]:
    """What Lightning cannot take up of a checkpoint becomes a UserError; everything else passes as it is."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        restoring = ("restore_training_state", "_restore_modules_and_callbacks", "resume_start")
        frames = traceback.extract_tb(error.__traceback__)
        if checkpoint is None or not any(
            frame.name in restoring and frame.filename.endswith("checkpoint_connector.py") for frame in frames
        ):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"resume={checkpoint}: its state cannot be taken up ({reason})") from error


def fingerprint(index: Index) -> dict[str, Any]:
    """What tells the images of a split and their objects from others, wherever the folder lies: plain values."""
    found = hashlib.sha256()
    names = [os.path.basename(file) for file in index.files.tolist()]
    for part in ("\n".join(names).encode("utf-8", "surrogateescape"), index.sizes, index.offsets, index.labels):
        found.update(part if isinstance(part, bytes) else np.ascontiguousarray(part, dtype=np.int64).tobytes())
    found.update(np.ascontiguousarray(index.boxes, dtype=np.float32).tobytes())
    return {"images": len(index), "digest": found.hexdigest()}


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:12]) + ", ..." * (len(names) > 12)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


def _check_log(file: Path) -> None:
    """The rows so far are kept, so they must be rows."""
    if not file.exists():
        return
    try:
        with open(file, newline="", encoding="utf-8") as opened:
            rows = list(csv.DictReader(opened, strict=True))
        right = all(None not in row and None not in row.values() for row in rows)
    except (OSError, ValueError, csv.Error):
        right = False
    if not right:
        raise UserError(
            f"{file}: is not the table that the run wrote; move it away, and the run goes on with a new one"
        )
