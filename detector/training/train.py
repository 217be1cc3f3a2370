"""One training run, from its configuration to its folder."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers import Logger as LightningLogger
from lightning.pytorch.utilities import rank_zero_only

from detector import config
from detector.build import count_parameters
from detector.data.module import DetectionData
from detector.errors import UserError
from detector.evaluation.report import table
from detector.training.callbacks import EvaluationLine, Pictures, Stopwatch
from detector.training.module import DetectionModule
from detector.training.run_folder import describe, new_folder, write_json


def train(settings: config.Train) -> Path:
    """Trains, measures after each epoch, and leaves everything in the run folder, which it returns.

    With `resume`, a run folder, the run goes on as if it had never stopped; the other settings are those of that run.
    """
    is_main = rank_zero_only.rank == 0
    checkpoint = None
    if settings.resume:
        folder = Path(settings.resume)
        checkpoint = folder / "last.ckpt"
        if not checkpoint.is_file():
            raise UserError(f"resume={folder}: no last.ckpt in it; the run was stopped before its first epoch was complete")
    else:
        folder = Path(settings.runs) / settings.name / "started-by-another-process"
    _quieten()
    L.seed_everything(settings.seed, verbose=False)

    data = DetectionData(
        settings.data, settings.augment, settings.image_size, seed=settings.seed, epochs=settings.trainer.epochs
    )
    module = DetectionModule(settings, data.class_names, data.category_ids, data.val_index)
    if checkpoint is None and is_main:
        folder = new_folder(Path(settings.runs) / settings.name)
        describe(folder, settings)
    if is_main:
        _introduce(settings, module, data, folder)

    stopwatch = Stopwatch()
    trainer = make_trainer(settings, folder, stopwatch)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    if trainer.is_global_zero:
        _conclude(folder, module, stopwatch, trainer.current_epoch)
    return folder


def make_trainer(settings: config.Train, folder: Path, stopwatch: Stopwatch) -> L.Trainer:
    """Lightning's trainer, with its loggers and callbacks writing into `folder`."""
    part = settings.trainer
    callbacks: list[Callback] = [
        stopwatch,
        EvaluationLine(),
        ModelCheckpoint(
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
    ]
    progress = part.progress and sys.stderr.isatty()
    if progress:
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    if part.patience:
        callbacks.append(EarlyStopping("val/AP", mode="max", patience=part.patience, min_delta=1e-4))
    loggers: list[LightningLogger] = [CSVLogger(folder, name="", version="", flush_logs_every_n_steps=1000)]
    if settings.logger.tensorboard:
        loggers.append(TensorBoardLogger(folder, name="", version="tensorboard"))
    return L.Trainer(
        accelerator=part.accelerator,
        devices=part.devices,
        num_nodes=part.nodes,
        strategy=_strategy(part),
        precision=_precision(part),
        max_epochs=part.epochs,
        accumulate_grad_batches=part.accumulate,
        check_val_every_n_epoch=part.evaluate_every,
        callbacks=callbacks,
        logger=loggers,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=progress,
        use_distributed_sampler=False,
        log_every_n_steps=10,
        deterministic=False,
    )


def _strategy(part: config.Trainer) -> str:
    processes = part.nodes > 1 or part.devices not in (0, 1)
    if part.strategy == "auto" and processes and part.frozen_epochs:
        return "ddp_find_unused_parameters_true"
    return part.strategy


def _precision(part: config.Trainer) -> Any:
    match part.precision:
        case "fp32":
            return "32-true"
        case "fp16":
            return "16-mixed"
        case "bf16":
            return "bf16-mixed"
        case "auto":
            on_gpu = part.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
            return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"
        case other:
            raise UserError(f"trainer.precision={other}: choose one of auto, bf16, fp16, fp32")


def _introduce(settings: config.Train, module: DetectionModule, data: DetectionData, folder: Path) -> None:
    parameters = count_parameters(module.detector)
    print(f"run folder: {folder}")
    print(f"detector: {settings.backbone.name}, {settings.neck.name}, {settings.head.name}: {parameters:,} parameters")
    print(f"data: {len(data.train_index)} training and {len(data.val_index)} validation images, "
          f"{len(data.class_names)} classes ({', '.join(data.class_names[:8])}{', ...' * (len(data.class_names) > 8)})")


def _conclude(folder: Path, module: DetectionModule, stopwatch: Stopwatch, epochs: int) -> None:
    if not module.best:
        raise UserError(f"trainer.evaluate_every={module.config.trainer.evaluate_every}: the run ended before it was measured")
    metrics = {
        **module.best,
        "best_epoch": module.best["epoch"],
        "epochs": epochs,
        "parameters": count_parameters(module.detector),
        "train_seconds": stopwatch.seconds,
        "images_per_second": stopwatch.images / stopwatch.seconds if stopwatch.seconds else None,
    }
    del metrics["epoch"]
    write_json(folder / "metrics.json", metrics)
    print(table(metrics))
    print(f"trained {stopwatch.seconds:.0f} s, {metrics['images_per_second']:.1f} images a second; "
          f"best epoch {metrics['best_epoch']} of {epochs}")
    print(f"everything lies in {folder}: best.ckpt, last.ckpt, metrics.json, metrics.csv, predictions.png, curves.png")


def _quieten() -> None:
    """Keeps what Lightning says to developers off the user's screen."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", module="lightning", message=".*Checkpoint directory .* exists.*")
    warnings.filterwarnings("ignore", module="lightning", message=".*The number of training batches.*")
    warnings.filterwarnings("ignore", module="lightning", message=".*Experiment logs directory.*")
    warnings.filterwarnings("ignore", module="lightning", message=".*module\\(s\\) in eval mode.*")
    warnings.filterwarnings("ignore", module="lightning", message=".*LeafSpec.*")
