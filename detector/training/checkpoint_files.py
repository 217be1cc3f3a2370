"""Checkpoint files that are whole or not there, and carry a digest of what they hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.fabric.utilities.types import _PATH

from detector.checkpoint import DIGEST, KEY, without_digest
from detector.digest import digest
from detector.errors import UserError
from detector.signals import Stopped, held, written_whole

LAST = "last.ckpt"


class WholeFiles(TorchCheckpointIO):
    """Writes beside the file and renames: a run killed while it saves leaves the checkpoint of the epoch before."""

    def __init__(self, finished_epochs: int = 0) -> None:
        self.finished_epochs = finished_epochs
        """Epochs finished in `last.ckpt` as it lies on the disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:
        """Raises a UserError where the file cannot be written, as on a full disk."""
        if KEY in checkpoint:
            checkpoint[KEY][DIGEST] = digest(without_digest(checkpoint))
        final = Path(path)
        unfinished = final.with_name(f".{final.name}.unfinished")
        try:
            with written_whole(unfinished):
                final.parent.mkdir(parents=True, exist_ok=True)
                with open(unfinished, "wb") as file:
                    torch.save(checkpoint, file)
                    file.flush()
                    os.fsync(file.fileno())
                with held():
                    os.replace(unfinished, final)
                    if final.name == LAST:
                        self.finished_epochs = checkpoint["epoch"] + 1
        except (OSError, RuntimeError) as error:
            # torch, closing the file after what has broken off the writing, raises a RuntimeError of its own over it
            cause = error if isinstance(error, OSError) else error.__context__
            if isinstance(cause, Stopped):
                raise cause from None
            if not isinstance(cause, OSError):
                raise
            raise UserError(f"{final} cannot be written: {cause.strerror}") from error
