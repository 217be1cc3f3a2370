"""What a training says while it runs: on what it runs, a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar

from detector.optimizers import OptimizerOptions
from detector.training.module import DetectionModule
from detector.types import Batch

FIRST_LINE, LONGEST_SILENCE = 5.0, 60.0
"""Seconds until the first line of a log, and between two later ones; in between each silence is twice the one before."""
BETWEEN_REFRESHES = 0.25
"""Seconds."""
ROOM_OF_THE_REST = 62
"""Characters that `epoch 12/100:  35%|███| 306/875 [01:30<02:40, 3.49it/s]` takes at most, with a short bar."""
DTYPES = {"32": "fp32", "16": "fp16", "bf16": "bf16"}
"""Lightning's precision up to its hyphen → ours."""


class Surroundings(Callback):
    """One line at the start: the device, the precision, the size of a step, the learning rate."""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Prints the line, once the device is known."""
        if trainer.is_global_zero:
            module = cast(DetectionModule, pl_module)
            line = surroundings(trainer, module.data.loading.batch_size)
            print(f"{line}, {learning_rate(module.optim, module.images_a_step, module.scale_lr)}", flush=True)


def surroundings(trainer: L.Trainer, batch_size: int) -> str:
    """`training on cpu (2 threads) in bf16, batches of 8`: what decides how fast a training is, and how a step averages."""
    device = trainer.strategy.root_device
    if device.type == "cuda":
        place = torch.cuda.get_device_name(device)
    elif device.type == "cpu":
        place = f"cpu ({_counted(torch.get_num_threads(), 'thread')})"
    else:
        place = device.type
    processes = trainer.world_size
    precision = DTYPES[str(trainer.precision).split("-")[0]]
    line = f"training on {f'{processes} × ' if processes > 1 else ''}{place} in {precision}, batches of {batch_size}"
    if processes > 1:
        line += f" a process, {processes * batch_size} together"
    if trainer.accumulate_grad_batches > 1:
        line += f", a step every {trainer.accumulate_grad_batches} batches"
    return line


def learning_rate(optim: OptimizerOptions, images: int, scaled: bool) -> str:
    """`learning rate 0.004`, and where a step has far more or fewer images than it was chosen for, what follows from that."""
    adapted = optim.for_batch(images)
    if scaled:
        return f"learning rate {adapted.lr:.3g} ({optim.lr:.3g} for {optim.lr_batch} images a step, trainer.scale_lr)"
    line = f"learning rate {optim.lr:.3g}"
    if 0.5 <= images / optim.lr_batch <= 2:
        return line
    return (
        f"{line} (optim.lr_batch: for {optim.lr_batch} images a step; trainer.scale_lr=true makes it {adapted.lr:.3g})"
    )


class Bar(TQDMProgressBar):
    """Lightning's bar with epochs that count from 1, and with as many losses as leave room for rate and time left."""

    train_description, validation_description = "starting", "measuring"
    _refreshed = 0.0

    def _should_update(self, current: int, total: int) -> bool:
        """Refreshes by time: reading the losses waits for a GPU, and a slow step should be seen."""
        if self.is_disabled or (current != total and time.perf_counter() - self._refreshed < BETWEEN_REFRESHES):
            return False
        self._refreshed = time.perf_counter()
        return True

    def on_train_epoch_start(self, trainer: L.Trainer, *_: Any) -> None:
        """Lightning's would count the epochs from 0."""
        self._begin(self.train_progress_bar, self.total_train_batches)
        self.train_progress_bar.set_description(_epoch(trainer))

    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Lightning's would add the number of the loader, of which there is one."""
        if self.has_dataloader_changed(dataloader_idx):
            self._begin(self.val_progress_bar, self.total_val_batches_current_dataloader)

    @staticmethod
    def _begin(bar: Any, total: int | float) -> None:
        bar.reset()
        bar.total = int(total)
        bar.initial = 0

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """The losses, the sum first."""
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
        return losses_in(columns - ROOM_OF_THE_REST, trainer.callback_metrics)


def losses_in(room: int, metrics: Mapping[str, Any]) -> dict[str, str]:
    """Name → number of the losses `train/...` that fit into so many characters; the sum is always there."""
    named = {key.removeprefix("train/"): value for key, value in metrics.items() if key.startswith("train/")}
    shown: dict[str, str] = {}
    for name in sorted(named, key=lambda one: one != "loss"):
        number = f"{float(named[name]):.3g}"
        room -= len(f", {name}={number}")
        if shown and room < 0:
            break
        shown[name] = number
    return shown


class LogLines(Callback):
    """Prints now and then a line with the loss, the rate and the time left, for a log without a terminal for a bar.

    The loss is the mean over the batches since the last line, the rate that of training alone. The time left is that of
    the whole run, by what its batches and evaluations have taken so far.
    """

    def __init__(self) -> None:
        self._silence = FIRST_LINE

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock."""
        self._started = self._last = time.perf_counter()
        self._evaluating = 0.0
        self._batches = self._before = 0
        self._losses: list[torch.Tensor] = []

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Prints a line when it is time for one; only then it waits for the device."""
        self._batches += 1
        self._losses.append(outputs["loss"].detach())
        now = time.perf_counter()
        if now - self._last < self._silence or not trainer.is_global_zero:
            return
        loss = float(torch.stack(self._losses).float().mean()) * trainer.accumulate_grad_batches
        an_epoch = int(trainer.num_training_batches)
        rate = (self._batches - self._before) / (now - self._last - self._evaluating)
        done = trainer.current_epoch * an_epoch + batch_idx + 1
        left = (cast(int, trainer.max_epochs) * an_epoch - done) * (now - self._started) / self._batches
        print(
            f"{_epoch(trainer)}, batch {batch_idx + 1}/{an_epoch}: loss {loss:.3g}, {rate:.3g} batches a second, "
            f"{clock(left)} left",
            flush=True,
        )
        self._last, self._before, self._losses, self._evaluating = now, self._batches, [], 0.0
        self._silence = min(2 * self._silence, LONGEST_SILENCE)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Notes when the evaluation begins, whose seconds do not count as training."""
        self._evaluation_started = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Adds the seconds of this evaluation."""
        self._evaluating += time.perf_counter() - self._evaluation_started


def clock(seconds: float) -> str:
    """`0:42`, `12:05`, `1:02:05`."""
    minutes, seconds = divmod(round(seconds) if math.isfinite(seconds) else 0, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _epoch(trainer: L.Trainer) -> str:
    return f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
