"""Run folders that no training made: random weights, measured as a training measures."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from saved_checkpoint import save_checkpoint

from detector import config
from detector.checkpoint import open_checkpoint
from detector.data.formats.shapes import CLASS_NAMES
from detector.evaluation.run import run
from detector.output import write_json
from detector.training.run_folder import describe


def empty_run(folder: Path, train: config.Train, metrics: dict[str, Any] | None = None) -> Path:
    """Without weights; where `metrics` are given, finished."""
    folder.mkdir(parents=True)
    describe(folder, train)
    if metrics is not None:
        default = {"AP": 0.5, "per_class": {}, "parameters": 1_000_000, "train_seconds": 60.0}
        write_json(folder / "metrics.json", default | metrics)
    return folder


def whole_run(folder: Path, train: config.Train, seed: int, train_seconds: float = 60.0) -> Path:
    """With the weights of `seed`, measured on val."""
    empty_run(folder, replace(train, seed=seed))
    file = save_checkpoint(folder / "best.ckpt", replace(train, seed=seed), CLASS_NAMES, seed)
    metrics = run(config.Evaluate(checkpoint=str(file), output=str(folder / "evaluation"), accelerator="cpu"))
    (folder / "evaluation" / "detections.json").rename(folder / "detections.json")
    shutil.rmtree(folder / "evaluation")
    parameters = sum(weight.numel() for weight in open_checkpoint(file).detector().parameters())
    write_json(folder / "metrics.json", {**metrics, "parameters": parameters, "train_seconds": train_seconds})
    return folder
