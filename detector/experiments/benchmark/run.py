"""`scripts/benchmark.py`: how fast an experiment loads, trains and predicts on this machine, and in how much memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from detector import config
from detector.errors import UserError
from detector.experiments.benchmark.health import measure_health
from detector.experiments.benchmark.loader import measure_loader
from detector.experiments.benchmark.machine import describe_machine
from detector.experiments.benchmark.operations import measure_operations
from detector.experiments.benchmark.operations import table as table_of_operations
from detector.experiments.benchmark.parts import measure_parts
from detector.experiments.benchmark.parts import table as table_of_parts
from detector.experiments.benchmark.prediction import measure_prediction
from detector.experiments.benchmark.training import measure_training
from detector.inference.predictor import choose_device
from detector.output import new_folder, write_json

PHASES: dict[str, Callable[[config.Benchmark], dict[str, Any]]] = {
    "loader": measure_loader,
    "train": measure_training,
    "predict": measure_prediction,
    "parts": measure_parts,
    "health": measure_health,
    "operations": measure_operations,
}


def run(settings: config.Benchmark) -> dict[str, Any]:
    """Measures, prints the figures as JSON and writes the same to a file.

    Each phase runs in a new process, one after the other, so that its peak of memory is its own.

    Returns:
        `config`, the whole experiment; `machine`; and by phase the figures of `measure_loader`, `measure_training`,
        `measure_prediction`, `measure_parts` and `measure_health`: median, min and max over the repeats, with their unit; of
        `measure_operations` the numbers, which are the same at each repeat.

    Raises:
        UserError: a setting of the benchmark or of the experiment cannot be; the data is not what it should be; a
            process was killed, as happens where memory runs out.
    """
    _check(settings)
    report = {"config": asdict(settings), "machine": describe_machine()}
    for phase, function in PHASES.items():
        if phase in settings.measure:
            print(f"measuring: {phase}", file=sys.stderr, flush=True)
            report[phase] = _in_new_process(phase, function, settings)
    for phase, table in (("parts", table_of_parts), ("operations", table_of_operations)):
        if phase in report:
            print(table(report[phase]), file=sys.stderr)
    print(json.dumps(report, indent=2))
    file = (
        Path(settings.output) if settings.output else new_folder(Path(settings.runs) / "benchmark") / "benchmark.json"
    )
    write_json(file, report)
    print(f"written: {file}", file=sys.stderr)
    return report


def _check(settings: config.Benchmark) -> None:
    for phase in settings.measure:
        if phase not in PHASES:
            raise UserError(f"measure={phase}: choose among {', '.join(PHASES)}")
    if not settings.measure:
        raise UserError(f"measure=[]: choose among {', '.join(PHASES)}")
    for key, least in {"warmup": 0, "repeats": 1, "seconds": 0, "epochs": 0}.items():
        if (value := getattr(settings, key)) < least:
            raise UserError(f"{key}={value}: at least {least}")
    if "health" in settings.measure and not settings.callbacks.health_every:
        raise UserError("measure=health: needs callbacks=health")
    if settings.trainer.devices != 1 or settings.trainer.nodes != 1:
        raise UserError(
            f"trainer.devices={settings.trainer.devices} trainer.nodes={settings.trainer.nodes}: "
            "one device is measured: trainer.devices=1 trainer.nodes=1"
        )
    choose_device(settings.trainer.accelerator)
    if settings.output and Path(settings.output).is_dir():
        raise UserError(f"output={settings.output}: is a folder; a JSON file is written")
    if settings.output and not Path(settings.output).absolute().parent.is_dir():
        raise UserError(f"output={settings.output}: there is no folder {Path(settings.output).parent}")


def _in_new_process(
    phase: str, function: Callable[[config.Benchmark], dict[str, Any]], settings: config.Benchmark
) -> dict[str, Any]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(function, settings).result()
        except BrokenProcessPool:
            raise UserError(
                f"{phase}: the process was killed from outside, perhaps for want of memory: "
                "try a smaller data.batch_size or data.cache=none"
            ) from None
