"""What Lightning has no callback for: the line after an evaluation, the rate, the pictures of a run."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any, cast

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only

from detector import signals
from detector.evaluation.report import summary
from detector.evaluation.results import DETECTIONS, write_flat_results
from detector.models.detector import detect_batch
from detector.output import write_picture
from detector.training.module import DetectionModule
from detector.types import Batch
from detector.visualization.pictures import batch_picture, curves_picture, predictions_picture

PICTURED_IMAGES = 8


class EvaluationLine(Callback):
    """After each evaluation one line with AP, AP50 and the best AP so far."""

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Prints it, once over all processes."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        module = cast(DetectionModule, pl_module)
        line = summary(module.metrics, best=module.best["AP"])
        module.print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {line}"
        )  # above the bar, if there is one


class EvaluateLastEpoch(Callback):
    """The last epoch is evaluated even if `evaluate_every` does not divide the number of epochs."""

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Before the loop asks whether this epoch is evaluated."""
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1


class BestDetections(Callback):
    """Writes `detections.json`, what the best weights find in the validation images, so that runs can be compared."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Replaces the file only once the new one is whole, as the checkpoint files are."""
        module = cast(DetectionModule, pl_module)
        if trainer.is_global_zero and module.best_results is not None:
            unfinished = self.folder / f".{DETECTIONS}.unfinished"
            with signals.written_whole(unfinished):
                write_flat_results(unfinished, module.data.val_index, module.best_results)
                unfinished.replace(self.folder / DETECTIONS)
        module.best_results = None


class BestCheckpoint(ModelCheckpoint):
    """Keeps the best weights, where something was measured: a validation split without objects has no best."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs after the measurement, if every epoch is measured."""
        if self.monitor in trainer.callback_metrics:
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs after an epoch of training, if not every epoch is measured."""
        if self.monitor in trainer.callback_metrics:
            super().on_validation_end(trainer, pl_module)


class OwnSignalHandlers(Callback):
    """Puts back the handlers of signals that Lightning has replaced by its own.

    Those end a run that was told to stop as if it were finished, and wait for the other processes inside of the handler.
    """

    def __init__(self) -> None:
        self._handlers = {number: signal.getsignal(number) for number in signals.HANDLED}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """The first hook after Lightning has set its own."""
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._handlers.items():
                signal.signal(number, handler)


class LogsOnDisk(Callback):
    """After each epoch everything that was logged is in the files, as the checkpoint of that epoch is.

    Losses and rates are logged at every tenth step, and more often where an epoch has less than forty.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Once the length of an epoch is known."""
        trainer.log_every_n_steps = min(10, max(1, int(trainer.num_training_batches) // 4))  # type: ignore[attr-defined]

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Comes before the checkpoint is written."""
        for logger in trainer.loggers:
            logger.save()


class Stopwatch(Callback):
    """Seconds spent in training steps and images trained on; evaluation not counted. Goes on after a resume."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.images = 0
        self._started: float | None = None

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts."""
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Counts."""
        self.images += len(batch.targets) * trainer.world_size
        if trainer.is_last_batch:
            self._stop()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops."""
        self._stop()

    def _stop(self) -> None:
        if self._started is not None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.seconds += time.perf_counter() - self._started
            self._started = None

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps of it."""
        return {"seconds": self.seconds, "images": self.images}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what the checkpoint kept of it."""
        self.seconds, self.images = state_dict["seconds"], state_dict["images"]


class Pictures(Callback):
    """Writes the first training batch as the model sees it, predictions beside ground truth, and the curves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @rank_zero_only
    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """`train_batch.png`, of the first batch of the run."""
        if trainer.global_step == 0 and batch_idx == 0:
            picture = batch_picture(batch.to("cpu"), cast(DetectionModule, pl_module).class_names)
            write_picture(self.folder / "train_batch.png", picture)

    @rank_zero_only
    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """`predictions.png` and `curves.png`."""
        images: list[np.ndarray] = []
        targets, detections = [], []
        module = cast(DetectionModule, pl_module)
        detector = module.measured.eval()
        # a run that goes on after its last epoch, to conclude, has opened none
        loader = trainer.val_dataloaders or cast(L.LightningDataModule, trainer.datamodule).val_dataloader()  # type: ignore[attr-defined]
        for batch in loader:
            found = detect_batch(detector, batch.to(module.device))
            images += list(batch.images.permute(0, 2, 3, 1).numpy())
            targets += batch.targets
            detections += [one.cpu() for one in found]
            if len(images) >= PICTURED_IMAGES:
                break
        n = PICTURED_IMAGES
        picture = predictions_picture(images[:n], targets[:n], detections[:n], module.class_names)
        write_picture(self.folder / "predictions.png", picture)
        curves_picture(self.folder / "metrics.csv", self.folder / "curves.png")
