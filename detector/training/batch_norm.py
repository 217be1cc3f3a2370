"""Batch-norm statistics that fit the weights that are measured."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from detector.errors import UserError
from detector.training.module import DetectionModule
from detector.types import Batch

STATISTICS_BATCHES = 32
"""About as many as the running statistics of training remember (`NORM_MOMENTUM` of `layers.py`)."""
SETTLED = 10.0
"""Running statistics have forgotten what they began with after so many times 1 / momentum batches: e⁻¹⁰ of it is left."""


class EarlyStatistics(Callback):
    """Until the running statistics have settled, evaluation uses those that its weights have on training batches.

    Running statistics begin as mean 0 and variance 1 and move by `momentum` (0.03 here) a batch, the averaged ones behind
    them: after 8 batches four fifths of what is measured with are still those beginnings, and detections make no sense.
    So an evaluation within the first 10 / momentum batches (333) is preceded by a pass over at most 32 training batches,
    without gradients, whose mean statistics take their place ("precise BN", Wu & Johnson 2021, section 3).

    Both checkpoints of such an epoch hold the renewed statistics. Training takes up the running ones again with its next
    batch, also after a resume, for which `last.ckpt` has them: nothing that is measured later changes by a bit.
    """

    def __init__(self) -> None:
        self._running: dict[str, Tensor] = {}
        """What training goes on with, by the name of the buffer in the measured detector."""

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Renews the statistics of what is measured."""
        module = cast(DetectionModule, pl_module)
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        norms = trained_norms(module.detector)
        slowest = min((norm.momentum for norm in norms.values() if norm.momentum), default=None)
        batches = trainer.global_step * trainer.accumulate_grad_batches
        if slowest is None or batches >= SETTLED / slowest:
            return
        prefixes = tuple(f"{name}." for name in norms)
        buffers = module.measured.named_buffers()
        self._running = {name: buffer.clone() for name, buffer in buffers if name.startswith(prefixes)}
        renew_on_training_batches(trainer, module)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Takes up the running statistics again."""
        if self._running:
            buffers = dict(cast(DetectionModule, pl_module).measured.named_buffers())
            for name, value in self._running.items():
                if name not in buffers or buffers[name].shape != value.shape:
                    raise UserError(f"last.ckpt: the batch-norm statistics of {name} are not those of this detector")
                buffers[name].copy_(value)
            self._running = {}

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps of it."""
        return {"running": self._running} if self._running else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what the checkpoint kept of it."""
        self._running = state_dict.get("running", {})


def renew_on_training_batches(trainer: L.Trainer, module: DetectionModule) -> None:
    """Renews the statistics of the measured detector on the first batches of the epoch, the mean over all processes."""
    batches = itertools.islice(cast(Iterable[Batch], trainer.train_dataloader), STATISTICS_BATCHES)
    names = list(trained_norms(module.detector))
    renewed = renew_statistics(module.measured, (batch.to(module.device) for batch in batches), names)
    if trainer.world_size > 1:
        for buffer in renewed:
            buffer.copy_(trainer.strategy.reduce(buffer.clone(), reduce_op="mean"))


def trained_norms(detector: nn.Module) -> dict[str, _BatchNorm]:
    """Name → batch norm, of those whose running statistics a training step moves: not the frozen ones."""
    modes = {module: module.training for module in detector.modules()}
    detector.train()
    found = detector.named_modules()
    norms = {k: m for k, m in found if isinstance(m, _BatchNorm) and m.training and m.track_running_stats}
    for module, mode in modes.items():
        module.training = mode
    return norms


@torch.no_grad()
def renew_statistics(detector: nn.Module, batches: Iterable[Batch], names: Iterable[str] | None = None) -> list[Tensor]:
    """Replaces the running statistics of batch norms by their mean over `batches`; gives the buffers that were renewed.

    It is the norms called `names`, or all that are trained. Everything else is in evaluation mode meanwhile. It is the
    losses that are asked for, because some detectors show their network not images but the regions that a step samples;
    what they draw leaves the random state as it was.
    """
    norms = [detector.get_submodule(name) for name in (trained_norms(detector) if names is None else names)]
    momenta = [norm.momentum for norm in norms]
    modes = {module: module.training for module in detector.modules()}
    detector.eval()
    for norm in norms:
        norm.train()
        norm.reset_running_stats()  # type: ignore[operator]
        norm.momentum = None  # type: ignore[assignment]  # torch's word for the plain mean over all batches
    device = next(detector.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for batch in batches if norms else ():
            detector.losses(batch.images, batch.targets)  # type: ignore[operator]
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode
    return [cast(Tensor, buffer) for norm in norms for buffer in (norm.running_mean, norm.running_var)]
