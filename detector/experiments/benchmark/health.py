"""What `callbacks=health` adds to a training, measured in pairs of steps: one with it, one without."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from detector import config
from detector.experiments.benchmark.clock import device_wait, figure
from detector.experiments.benchmark.training import repeat_a_step
from detector.training.health.callback import Health
from detector.types import Batch


def measure_health(settings: config.Benchmark) -> dict[str, Any]:
    """Measures the ratio of the times of two neighbouring steps, which other work on the machine slows alike.

    `settings.seconds` is of no use here: there are `settings.repeats` pairs, after `settings.warmup` others.

    Returns:
        `step_ratio`: time of a step that is measured divided by that of the next, which is not. `overhead`: what that adds
        to a training in which every `callbacks.health_every`-th step is measured, as a share of its time. Besides, a
        training draws one picture at its end, which is in neither.
    """
    # stdout is for the figures: what ails an untrained detector is not of interest here
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        timing = _Pairs(settings)
        repeat_a_step(settings, [timing, Health(Path(folder), every=2)])
    every = settings.callbacks.health_every
    return {
        "step_ratio": figure(timing.ratios, "ratio"),
        "overhead": figure([(ratio - 1) / every for ratio in timing.ratios], "share"),
        "every": every,
    }


class _Pairs(Callback):
    """Comes before `Health`, so that a tick at the start of a batch ends all that belongs to the step before it."""

    def __init__(self, settings: config.Benchmark) -> None:
        self.settings = settings
        self.ratios: list[float] = []
        """Ratio of the times of each pair of steps that counts."""
        self._ticks: list[float] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        if batch_idx % (2 * trainer.accumulate_grad_batches) not in (0, trainer.accumulate_grad_batches):
            return
        device_wait(pl_module.device)()
        self._ticks.append(time.perf_counter())
        pairs = (len(self._ticks) - 1) // 2
        if len(self._ticks) % 2 and pairs > self.settings.warmup:
            first, second, end = self._ticks[-3:]
            self.ratios.append((second - first) / (end - second))
            trainer.should_stop = len(self.ratios) == self.settings.repeats
