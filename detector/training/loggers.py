"""Lightning's loggers of a run: a CSV file always, and the one that `logger=...` chooses."""

from __future__ import annotations

import csv
import os
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from detector import config
from detector.errors import UserError
from detector.output import write_text


def check_logger(settings: config.Logger) -> None:
    """Raises UserError where the package of a logger is not installed."""
    package = settings.name if isinstance(settings, config.Wandb | config.MLflow) else None
    if package and find_spec(package) is None:
        raise UserError(f"logger={package}: needs {package}, which pip install 'detector-lab[{package}]' brings")


def make_loggers(settings: config.Train, folder: Path, steps: int) -> list[Logger]:
    """The loggers of the run in `folder`, which has come as far as `steps`; what a run has logged before is kept."""
    loggers: list[Logger] = [csv_logger(folder, steps)]
    match settings.logger:
        case config.Wandb() as chosen:
            name = f"{settings.name}/{folder.name}"
            wandb = WandbLogger(
                name=name, id=name.replace("/", "-"), resume="allow", project=chosen.project, save_dir=folder
            )
            wandb.log_hyperparams(asdict(settings))
            loggers.append(wandb)
        case config.MLflow() as chosen:
            loggers.append(_mlflow_logger(settings, chosen, folder))
    if settings.logger.tensorboard:
        loggers.append(TensorBoardLogger(folder, name="", version="tensorboard"))
    return loggers


def _mlflow_logger(settings: config.Train, chosen: config.MLflow, folder: Path) -> MLFlowLogger:
    """MLflow gives a run its id, which stays in the run folder, so that a run that goes on is the same one there."""
    kept = folder / "mlflow_run_id.txt"
    known = kept.read_text().strip() if kept.is_file() else None
    logger = MLFlowLogger(
        experiment_name=settings.name,
        run_name=folder.name,
        tracking_uri=chosen.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"),
        save_dir=str(Path(settings.runs) / "mlruns"),
        run_id=known,
    )
    if known is None and logger.run_id is not None:
        write_text(kept, f"{logger.run_id}\n")
        logger.log_hyperparams(asdict(settings))
    return logger


def csv_logger(folder: Path, steps: int) -> CSVLogger:
    """Writes `metrics.csv`; the rows of a run that goes on are kept, which Lightning's logger would delete.

    Those of an epoch that was not complete after `steps`, where the run goes on, are not: they come again.
    """
    file = folder / "metrics.csv"
    earlier: list[dict[str, Any]] = []
    if file.is_file():
        with open(file, newline="") as opened:
            earlier = [row for row in csv.DictReader(opened) if int(row.get("step") or -1) < steps]
    logger = CSVLogger(folder, name="", version="", flush_logs_every_n_steps=50)
    if earlier:
        logger.experiment.metrics = earlier
        logger.experiment.save()
    return logger
