"""Lightning's loggers of a run: a CSV file always, and the one that `logger=...` chooses."""

from __future__ import annotations

import csv
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger

from detector import config
from detector.errors import UserError


def check_logger(settings: config.Logger) -> None:
    """Raises UserError where the package of a logger is not installed."""
    package = settings.name if isinstance(settings, config.Wandb | config.MLflow) else None
    if package and find_spec(package) is None:
        raise UserError(f"logger={package}: needs {package}, which pip install 'detector-lab[{package}]' brings")


def make_loggers(settings: config.Train, folder: Path, steps: int) -> list[Logger]:
    """The loggers of the run in `folder`, which has come as far as `steps`; what a run has logged before is kept."""
    return [csv_logger(folder, steps), *settings.logger.build(folder, asdict(settings))]


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
