"""How far a run has come, and what it means to let it train longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from detector import config
from detector.checkpoint import KEY
from detector.data.augment.random_views import mixing_epochs


@dataclass(frozen=True)
class Progress:
    """What `last.ckpt` says of the run that wrote it."""

    epochs: int
    """Complete ones."""
    planned: int
    """Epochs that its schedule was made for."""
    steps: int
    """Optimizer steps."""
    patience_ended: bool
    """`trainer.patience` has ended it before the last epoch."""

    @property
    def finished(self) -> bool:
        """There is nothing left to train as long as no more epochs are asked for."""
        return self.patience_ended or self.epochs >= self.planned


def progress_of(content: Mapping[str, Any]) -> Progress:
    """What the content of a `last.ckpt`, as `detector.checkpoint.read_content` gives it, says of its run.

    Raises KeyError, TypeError or AttributeError where it is no `last.ckpt`.
    """
    stopping = [state for key, state in content["callbacks"].items() if key.startswith("EarlyStopping")]
    return Progress(
        content["epoch"] + 1,
        content[KEY]["run"]["config"]["trainer"]["epochs"],
        content["global_step"],
        any(state["wait_count"] >= state["patience"] for state in stopping),
    )


def finished_line(folder: Path, progress: Progress) -> str:
    """What is said of a run that has nothing left to do."""
    longer = f"resume={folder} trainer.epochs={2 * progress.planned} trains longer"
    if progress.epochs < progress.planned:
        return f"finished: {progress.epochs} of {progress.planned} epochs, ended by trainer.patience; {longer}"
    return f"finished: {progress.epochs} of {progress.planned} epochs; {longer}"


class OtherLength(Callback):
    """A run that goes on to another number of epochs than it was begun for follows the schedule of the new number at once.

    What that means is printed: the rate at this point, and until when images are mixed. The best AP so far stays.
    """

    def __init__(self, settings: config.Train, progress: Progress) -> None:
        self.settings = settings
        self.progress = progress

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Takes over only the step of the schedule's state: some schedules keep their length there."""
        kept = ("last_epoch", "_step_count", "_last_lr", "lr_lambdas")
        checkpoint["lr_schedulers"] = [
            {key: value for key, value in state.items() if key in kept} for state in checkpoint["lr_schedulers"]
        ]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The restored optimizer has the rate of the old schedule; moving to the step it is at sets that of the new one."""
        before = trainer.optimizers[0].param_groups[0]["lr"]
        for entry in trainer.lr_scheduler_configs:
            entry.scheduler.last_epoch -= 1
            entry.scheduler.step()  # type: ignore[call-arg]
        if trainer.is_global_zero:
            print(self._line(before, trainer.optimizers[0].param_groups[0]["lr"]), flush=True)

    def _line(self, before: float, now: float) -> str:
        epochs, schedule = self.settings.trainer.epochs, self.settings.optim.schedule
        done, planned = self.progress.epochs, self.progress.planned
        parts = [f"goes on to {epochs} epochs instead of {planned}, {done} are done"]
        if schedule == "constant":
            parts.append(f"the learning rate stays {now:.3g}")
        else:
            parts.append(
                f"the schedule ({schedule}) now covers {epochs} epochs: "
                f"the learning rate goes from {before:.3g} to {now:.3g} here"
            )
        augment = self.settings.augment
        if mixing := [name for name in ("mosaic", "mixup", "cutmix") if getattr(augment, name)]:
            last = mixing_epochs(augment, epochs)
            until = f"on until epoch {last}" if last > done else "off"
            parts.append(f"{' and '.join(mixing)} {'is' if len(mixing) == 1 else 'are'} {until}")
        parts.append("the best AP so far stays")
        return "; ".join(parts)
