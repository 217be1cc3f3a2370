"""The runs that are compared: found in folders, read from their files."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector import config
from detector.errors import UserError
from detector.training.run_folder import read_config


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    config: config.Train
    metrics: dict[str, Any]
    """Content of the run's `metrics.json`: the numbers of its best epoch, parameters, training time."""


def find_runs(given: Sequence[str]) -> tuple[list[Run], list[Path]]:
    """The finished runs among folders, each once, and the folders of those that did not finish.

    Each of `given` is a run folder, a folder that holds some at any depth, or a pattern (`runs/bccd/2026-*`). Runs come in
    the order given, and those of one folder in the order in which they were started: of a sweep, that of its jobs.

    Raises:
        UserError: there is no such folder, none of the runs is finished, or a file of a run is not what it should be.
    """
    folders: dict[Path, Path] = {}
    for path in (path for pattern in given for path in _expanded(pattern)):
        found = sorted(_run_folders(path), key=_started)
        if not found:
            raise UserError(f"runs={path}: no run folder (config.yaml) in it")
        for folder in found:
            folders.setdefault(folder.resolve(), folder)  # runs/NAME/latest is a run under another name
    finished = [folder for folder in folders.values() if (folder / "metrics.json").is_file()]
    unfinished = [folder for folder in folders.values() if folder not in finished]
    if not finished:
        first = f"; the first is {unfinished[0]}" if unfinished else ""
        raise UserError(f"runs: {len(unfinished)} runs, none of them finished (metrics.json){first}")
    return [_read(folder) for folder in finished], unfinished


def _expanded(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_dir():
        return [path]
    if found := [Path(name) for name in sorted(glob.glob(str(path))) if Path(name).is_dir()]:
        return found
    raise UserError(f"runs={pattern}: no such folder")


def _run_folders(path: Path) -> Iterator[Path]:
    for folder, inner, files in os.walk(path):
        if "config.yaml" in files:
            inner.clear()  # what lies in a run folder is no run
            yield Path(folder)
        else:
            inner[:] = sorted(name for name in inner if not name.startswith("."))


def _started(folder: Path) -> str:
    """Date and time in UTC, ISO 8601; nothing where the run does not say, as runs of earlier versions do not."""
    file = folder / "environment.json"
    started: str = json.loads(file.read_text()).get("started", "") if file.is_file() else ""
    return started


def _read(folder: Path) -> Run:
    settings = read_config(folder)
    file = folder / "metrics.json"
    try:
        metrics = json.loads(file.read_text())
    except ValueError as error:
        raise UserError(f"{file}: not valid JSON ({error})") from error
    if missing := [key for key in ("AP", "per_class", "parameters", "train_seconds") if key not in metrics]:
        raise UserError(f"{file}: lacks {', '.join(missing)}; a metrics.json of a training is expected")
    return Run(folder, settings, metrics)
