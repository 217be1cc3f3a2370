"""The two faces of a schedule-free optimizer, and batch-norm statistics that fit the one that is measured."""

from __future__ import annotations

from typing import Any, cast

import lightning as L
from lightning.pytorch.callbacks import Callback

from detector.training.batch_norm import renew_on_training_batches
from detector.training.module import DetectionModule
from detector.types import Batch


class AveragedWeights(Callback):
    """Evaluation and checkpoints see the average x, training goes on at y = (1 − β) z + β x (Defazio et al. 2024, eq. 1).

    After the last batch of an epoch the parameters become x, and the batch norms of the network, whose running
    statistics belong to y, are given those that x has on the first batches of the epoch. Both checkpoints and the
    evaluation come later; the next epoch starts with y again (`DetectionModule.on_train_epoch_start`). A resumed run
    takes up x and z, as the run itself does at every epoch, so it goes on exactly.
    """

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Comes before the stopwatch stops: this is part of what the optimizer costs."""
        if not trainer.is_last_batch:
            return
        for optimizer in trainer.optimizers:
            cast(Any, optimizer).eval()
        renew_on_training_batches(trainer, cast(DetectionModule, pl_module))
