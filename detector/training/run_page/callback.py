"""Writes `run.html` after every evaluation and at the end."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import lightning as L
from lightning.pytorch.callbacks import Callback

from detector import config
from detector.errors import UserError
from detector.evaluation.results import DETECTIONS, read_flat_results
from detector.output import write_text
from detector.training.module import DetectionModule
from detector.training.progress import surroundings
from detector.training.run_page.content import Progress, run_page
from detector.training.run_page.differences import chosen_parts, differences
from detector.training.run_page.images import PicturedImages
from detector.visualization.pictures import read_curves

RUN_PAGE = "run.html"
IMAGES = 8
_MOST_BYTES = 50_000_000
"""Size of the detections of an earlier process above which a run that goes on does not read them for its page."""


class RunPage(Callback):
    """Writes the page, on the main process alone; it draws no random number and keeps nothing in checkpoints.

    It is to come before `BestDetections`, which drops the detections that it shows, and after `LogsOnDisk`.
    """

    def __init__(self, settings: config.Train, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self._images: PicturedImages | None = None
        self._pictures: list[dict[str, Any]] = []
        self._pictures_epoch: int | None = None
        self._measured = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock, and takes up the detections of a run that goes on."""
        self._started, self._from_epoch = time.perf_counter(), trainer.current_epoch
        module = cast(DetectionModule, pl_module)
        if not trainer.is_global_zero:
            return
        self._images = PicturedImages(module.data.val_index, IMAGES)
        earlier = self.folder / DETECTIONS
        if module.best and earlier.is_file() and earlier.stat().st_size <= _MOST_BYTES:
            with suppress(UserError):  # of images that have gone since
                self._pictures = self._images.pictures(read_flat_results(earlier, module.data.val_index))
                self._pictures_epoch = module.best["epoch"]

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes the detections of the best weights while they are there."""
        module = cast(DetectionModule, pl_module)
        if self._images is None or trainer.sanity_checking:
            return
        self._measured = True
        if module.best_results is not None:
            self._pictures = self._images.pictures(module.best_results)
            self._pictures_epoch = module.best["epoch"]

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes the page, once what was measured in this epoch is in `metrics.csv`."""
        if self._measured:
            self._measured = False
            self._write(trainer, cast(DetectionModule, pl_module), trainer.current_epoch + 1, None)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes the page that stays."""
        self._write(trainer, cast(DetectionModule, pl_module), trainer.current_epoch, "finished")

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Says in the page that the run has stopped, so that it no longer loads itself anew."""
        if not (self.folder / RUN_PAGE).is_file():
            return
        with suppress(OSError):  # on a full disk it is the first error that is to be said
            self._write(trainer, cast(DetectionModule, pl_module), trainer.current_epoch, "stopped")

    def _write(self, trainer: L.Trainer, module: DetectionModule, done: int, state: str | None) -> None:
        if self._images is None:
            return
        planned = int(trainer.max_epochs or 0)
        here = done - self._from_epoch
        pace = (time.perf_counter() - self._started) / here if here else None
        csv = self.folder / "metrics.csv"
        data = module.data
        progress = Progress(
            title=f"{self.settings.name}/{self.folder.name}",
            epochs=done,
            planned=planned,
            state=state,
            seconds_left=None if pace is None else pace * (planned - done),
            written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z"),
            lines=(
                ", ".join(f"{part} {name}" for part, name in chosen_parts(self.settings).items()),
                f"{len(data.train_index):,} training and {len(data.val_index):,} validation images, "
                f"{len(data.class_names)} classes; {surroundings(trainer, data.loading.batch_size)}",
            ),
        )
        html = run_page(
            progress,
            getattr(module, "metrics", None) or {},
            module.best,
            read_curves(csv) if csv.is_file() else {},
            self._pictures,
            self._pictures_epoch,
            differences(self.settings),
        )
        write_text(self.folder / RUN_PAGE, html)
