"""`callbacks=health`: activations, gradients and updates of a run's layers, measured every so many steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch.optim import Optimizer

from detector.training.health.assignments import AssignmentCounter
from detector.training.health.flags import advice, find_flags
from detector.training.health.history import History
from detector.training.health.measure import HealthMeter, LayerHealth
from detector.training.health.picture import draw_health
from detector.training.module import DetectionModule

HEALTH, PICTURE = "health.csv", "health.png"


class Health(Callback):
    """Writes `health.csv` as it goes, and at the end `health.png`; then it names the layers with problems.

    Measured are the first step and then every `every`-th, on the first process alone. The picture takes seconds, as much
    as an epoch of little data: so it is drawn once, also where a training is stopped or fails.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.folder = folder
        self.every = every

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begins after a checkpoint's counters are there."""
        if trainer.is_global_zero:
            self.history = History(self.folder / HEALTH, trainer.global_step or None)
            detector = cast(DetectionModule, pl_module).detector
            self.meter = HealthMeter(detector)
            self.assignments = AssignmentCounter(detector)
            self.taken: dict[str, int] = {}
            self.measured_steps = 0
        self.measuring = False

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """With accumulation a step has several batches; all of them are looked at."""
        if trainer.is_global_zero and not self.measuring and trainer.global_step % self.every == 0:
            self.measuring = True
            self.meter.start()
            self.assignments.start()

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
            taken = self.assignments.finish()
            self.history.add(self.step, [_learning(layer, taken) for layer in self.meter.finish()])
            self.taken = {level: number + self.taken.get(level, 0) for level, number in taken.items()}
            self.measured_steps += 1
            self.measuring = False

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the heat maps, and says what the last steps show."""
        if not trainer.is_global_zero:
            return
        self._draw()
        flags = find_flags(list(self.history.steps.values()))
        if not flags:
            print("health: no layer is dead, vanishing or exploding")
        run = cast(DetectionModule, pl_module).run
        for flag in flags:
            tried = [] if run is None else advice(flag, run)
            print(f"health: {flag}" + (f"; try {', '.join(tried)}" if tried else ""))
        if without := [level for level, number in self.taken.items() if not number]:
            print(
                f"health: no object was assigned to {' or '.join(without)} in the {self.measured_steps} steps measured: "
                "what predicts boxes there had nothing to learn from"
            )

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """What led there is worth seeing."""
        if trainer.is_global_zero:
            self._draw()

    def _draw(self) -> None:
        if self.history.steps:
            draw_health(self.folder / PICTURE, {"": self.history.steps})


def _learning(layer: LayerHealth, taken: Mapping[str, int]) -> LayerHealth:
    """Without the gradient where it is 0 because the layer's level had no object in the step."""
    idle = any(not taken.get(word, 1) for word in layer.name.split("."))
    return replace(layer, gradient=None) if idle and layer.gradient == 0 else layer
