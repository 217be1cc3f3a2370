"""A training step as `scripts/train.py` runs it, on one batch that lies in host memory, copying it included."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from detector import config
from detector.data.module import DetectionData
from detector.experiments.benchmark.clock import Clock, device_wait, images_per_second
from detector.experiments.benchmark.memory import PeakMemory
from detector.resolve import resize_of
from detector.training.backends import Backends
from detector.training.init import new_detector
from detector.training.module import DetectionModule
from detector.training.trainer import lightning_precision, quieten
from detector.types import Batch

ENDLESS = 10**9
"""Steps; the clock stops the training long before."""


def measure_training(settings: config.Benchmark) -> dict[str, Any]:
    """Images per second and peak memory of the steps of `repeat_a_step`."""
    peak = PeakMemory()
    timing = _Timing(settings)
    trainer = repeat_a_step(settings, [timing])
    return {
        "images_per_second": images_per_second(timing.clock),
        "batch_size": timing.batch_size,
        "precision": str(trainer.precision),
        "peak_memory": peak.report(),
    }


def repeat_a_step(settings: config.Benchmark, callbacks: list[Callback]) -> L.Trainer:
    """Lightning trains the project's module on the first training batch, over and over, until a callback stops it.

    Precision, memory format, compilation, clipping, accumulation, optimizer and averaging are those of a run. Loading,
    loggers and evaluation are left out. Of a run with `trainer.frozen_epochs` the later epochs are measured, in which
    the backbone is trained as well. The weights are new ones also where a run begins with pretrained ones.
    """
    quieten()
    L.seed_everything(settings.seed, verbose=False)
    recipe = as_train(settings)
    if recipe.backbone is not None:
        recipe.backbone = replace(recipe.backbone, pretrained=False)
    part = recipe.trainer = replace(recipe.trainer, frozen_epochs=0, scale_lr=False)
    data = DetectionData.read(
        replace(recipe.data, workers=0, cache="none"),
        recipe.augment,
        recipe.image_size,
        seed=recipe.seed,
        epochs=part.epochs,
        proposals=recipe.model.proposal_request(),
        resize=resize_of(recipe.model),
    )
    module = DetectionModule.of_run(recipe, new_detector(recipe, data.class_names)[0])
    batch = next(iter(data.train_dataloader()))
    if torch.cuda.is_available():
        batch = batch.pin_memory()  # as the loader hands batches over

    trainer = L.Trainer(
        accelerator=part.accelerator,
        devices=1,
        precision=lightning_precision(part),
        max_epochs=-1,
        max_steps=ENDLESS,
        accumulate_grad_batches=part.accumulate,
        callbacks=[Backends(recipe), *callbacks],
        logger=False,
        enable_checkpointing=False,
        limit_val_batches=0,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, itertools.repeat(batch), val_dataloaders=[])
    return trainer


def as_train(settings: config.Experiment) -> config.Train:
    """The same experiment as a training run."""
    return config.Train(**{field.name: getattr(settings, field.name) for field in fields(config.Experiment)})


class _Timing(Callback):
    """Ticks at the start of the batch after a step, when everything that belongs to the step has been done."""

    def __init__(self, settings: config.Benchmark) -> None:
        self.settings = settings
        self.clock: Clock

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.clock = Clock(self.settings, device_wait(pl_module.device))

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        accumulate = trainer.accumulate_grad_batches
        if batch_idx == 0:
            self.batch_size = len(batch.targets)
            self.clock.start()
        elif batch_idx % accumulate == 0:
            self.clock.step(len(batch.targets) * accumulate)
            trainer.should_stop = self.clock.finished
