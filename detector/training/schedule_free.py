"""The two faces of a schedule-free optimizer, and batch-norm statistics that fit the one that is measured."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from detector.training.module import DetectionModule
from detector.types import Batch

STATISTICS_BATCHES = 32
"""About as many as the running statistics of training remember (`NORM_MOMENTUM` of `layers.py`)."""


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
        module = cast(DetectionModule, pl_module)
        batches = itertools.islice(cast(Iterable[Batch], trainer.train_dataloader), STATISTICS_BATCHES)
        renewed = renew_statistics(module.detector, (batch.to(module.device) for batch in batches))
        if trainer.world_size > 1:
            for buffer in renewed:
                buffer.copy_(trainer.strategy.reduce(buffer.clone(), reduce_op="mean"))


@torch.no_grad()
def renew_statistics(detector: nn.Module, batches: Iterable[Batch]) -> list[Tensor]:
    """Replaces the running statistics of every batch norm that is trained by their mean over `batches`.

    Everything else is in evaluation mode meanwhile; frozen norms keep theirs. It is the losses that are asked for, because
    some detectors show their network not images but the regions that a step samples. Gives the buffers that were renewed.
    """
    modes = {module: module.training for module in detector.modules()}
    detector.train()
    norms = [module for module in detector.modules() if isinstance(module, _BatchNorm) and module.training]
    detector.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for the plain mean over all batches
    for batch in batches if norms else ():
        detector.losses(batch.images, batch.targets)  # type: ignore[operator]
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode
    return [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var) if buffer is not None]
