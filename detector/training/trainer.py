"""Lightning's trainer as the configuration asks for it, with its loggers and callbacks."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
)
from lightning.pytorch.plugins.environments import SLURMEnvironment

from detector import config
from detector.errors import UserError
from detector.inference.precision import DTYPES, dtype_of
from detector.training.backends import Backends
from detector.training.batch_norm import EarlyStatistics
from detector.training.callbacks import (
    BestCheckpoint,
    BestDetections,
    EvaluateLastEpoch,
    EvaluationLine,
    LogsOnDisk,
    OwnSignalHandlers,
    Pictures,
    Stopwatch,
)
from detector.training.checkpoint_files import WholeFiles
from detector.training.health.callback import Health
from detector.training.loggers import make_loggers
from detector.training.more_epochs import OtherLength, Progress
from detector.training.progress import Bar, LogLines, Surroundings
from detector.training.run_page.callback import RunPage
from detector.training.schedule_free import AveragedWeights


def make_trainer(
    settings: config.Train, folder: Path, stopwatch: Stopwatch, files: WholeFiles, reached: Progress | None = None
) -> L.Trainer:
    """Lightning's trainer, with its loggers and callbacks writing into `folder`, where a run has come as far as `reached`."""
    part = settings.trainer
    callbacks: list[Callback] = [
        Backends(settings),
        AveragedWeights() if settings.optim.averages_itself else EarlyStatistics(),
        Surroundings(),
        stopwatch,
        EvaluateLastEpoch(),
        EvaluationLine(),
        LogsOnDisk(),
        RunPage(settings, folder),
        BestDetections(folder),
        LearningRateMonitor(logging_interval="step"),
        BestCheckpoint(
            dirpath=folder,
            filename="best",
            monitor="val/AP",
            mode="max",
            save_weights_only=True,
            enable_version_counter=False,
        ),
        ModelCheckpoint(
            dirpath=folder,
            filename="last",
            every_n_epochs=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        ),
        Pictures(folder),
        OwnSignalHandlers(),
    ]
    if reached and reached.planned != part.epochs:
        callbacks.append(OtherLength(settings, reached))
    bar = part.progress and sys.stdout.isatty()
    if part.progress:
        callbacks.append(Bar() if bar else LogLines())
    if part.patience:
        callbacks.append(EarlyStopping("val/AP", mode="max", patience=part.patience, min_delta=1e-4, strict=False))
    callbacks += settings.callbacks.build(folder)
    if every := settings.callbacks.health_every:
        _check_health(settings)
        callbacks.append(Health(folder, every))
    trainer = L.Trainer(
        accelerator=part.accelerator,
        devices=part.devices,
        num_nodes=part.nodes,
        strategy=_strategy(part),
        precision=lightning_precision(part),
        max_epochs=part.epochs,
        accumulate_grad_batches=part.accumulate,
        check_val_every_n_epoch=part.evaluate_every,
        callbacks=callbacks,
        logger=make_loggers(settings, folder, reached.steps if reached else 0),
        plugins=[files, *([SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else [])],
        default_root_dir=folder,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=bar,
        use_distributed_sampler=False,
        sync_batchnorm=part.sync_batch_norm,
        deterministic=False,
    )
    if part.sync_batch_norm and trainer.world_size > 1 and trainer.strategy.root_device.type != "cuda":
        raise UserError(
            f"trainer.sync_batch_norm=true: PyTorch shares the statistics of batch norms between GPUs alone, and this run is "
            f"on {trainer.world_size} processes of a {trainer.strategy.root_device.type}: leave it out"
        )
    if reached and reached.patience_ended and reached.planned == part.epochs:
        trainer.fit_loop.max_epochs = reached.epochs
    return trainer


def _check_health(settings: config.Train) -> None:
    if settings.callbacks.health_every < 0:
        raise UserError(f"callbacks.health_every={settings.callbacks.health_every}: must be 1 or more, or 0 for never")
    if settings.trainer.compile != "off":
        raise UserError(
            f"callbacks=health looks into layers, which trainer.compile={settings.trainer.compile} melts into one: "
            "leave one of them out"
        )


def _strategy(part: config.Trainer) -> str:
    processes = part.nodes > 1 or part.devices not in (0, 1)
    if part.strategy == "auto" and processes and part.frozen_epochs:
        return "ddp_find_unused_parameters_true"
    return part.strategy


def lightning_precision(part: config.Trainer) -> Any:
    """Lightning's word for `trainer.precision`; auto is what `dtype_of` makes of it for the device that Lightning takes."""
    if part.precision not in ("auto", *DTYPES):
        raise UserError(f"trainer.precision={part.precision}: choose one of auto, bf16, fp16, fp32")
    words = {torch.float32: "32-true", torch.float16: "16-mixed", torch.bfloat16: "bf16-mixed"}
    return words[dtype_of(part.precision, _device(part.accelerator))]


def _device(accelerator: str) -> torch.device:
    if accelerator == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def quieten() -> None:
    """Keeps what Lightning says to developers off the user's screen."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", module="lightning", message=".*Checkpoint directory .* exists.*")
    warnings.filterwarnings("ignore", module="lightning", message=".*The number of training batches.*")
    warnings.filterwarnings("ignore", module="lightning", message=".*have no `val_dataloader`.*")
    warnings.filterwarnings("ignore", module="lightning", message=".*Experiment logs directory.*")
    warnings.filterwarnings("ignore", module="lightning", message=".*module\\(s\\) in eval mode.*")
    warnings.filterwarnings("ignore", module="lightning", message=".*LeafSpec.*")
    # the module's own is the one that is meant, with any data
    warnings.filterwarnings("ignore", module="lightning", message=".*overridden `transfer_batch_to_device`.*")
    # equal on every process, as the first one has sent them
    warnings.filterwarnings("ignore", module="lightning", message=".*sync_dist=True.*")
