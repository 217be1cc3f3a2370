"""`callbacks=health`: how the layers of a run fare, measured every so many steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch.optim import Optimizer

from detector.health.flags import find_flags
from detector.health.history import History
from detector.health.measure import HealthMeter
from detector.health.picture import draw_health
from detector.training.module import DetectionModule

HEALTH, PICTURE = "health.csv", "health.png"


class Health(Callback):
    """Writes `health.csv` as it goes, and at the end `health.png`; then it names the layers that are ill.

    Measured are the first step and then every `every`-th, on the first process alone. The picture takes seconds, as much
    as an epoch of little data: so it is drawn once, also where a training is stopped or fails.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.folder = folder
        self.every = every

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """After a checkpoint's counters are there."""
        if trainer.is_global_zero:
            self.history = History(self.folder / HEALTH, trainer.global_step or None)
            self.meter = HealthMeter(cast(DetectionModule, pl_module).detector)
        self.measuring = False

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """With accumulation a step has several batches; all of them are looked at."""
        if trainer.is_global_zero and not self.measuring and trainer.global_step % self.every == 0:
            self.measuring = True
            self.meter.start()

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        """The gradients of all batches are there, not yet clipped."""
        if self.measuring:
            self.meter.before_update()
            self.step = trainer.global_step + 1

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The optimizer has taken its step, unless more batches are to be accumulated."""
        if self.measuring and trainer.global_step == getattr(self, "step", None):
            self.history.add(self.step, self.meter.finish())
            self.measuring = False

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the heat maps, and says what the last steps show."""
        if not trainer.is_global_zero:
            return
        self._draw()
        flags = find_flags(list(self.history.steps.values()))
        if not flags:
            print("health: no layer is dead, vanishing or exploding")
        for flag in flags:
            print(f"health: {flag}")

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """What led there is worth seeing."""
        if trainer.is_global_zero:
            self._draw()

    def _draw(self) -> None:
        if self.history.steps:
            draw_health(self.folder / PICTURE, {"": self.history.steps})
