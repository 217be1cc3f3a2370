"""A job of a sweep: one configuration, the folder that belongs to it, and what became of it so far."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detector import config
from detector.resolve import resolve_files
from detector.visualization.text_table import terminal

PLACE_OF_A_RUN = ("runs", "name", "resume", "plugins")
"""Keys that say where a run and its files lie, not what it is."""

ERROR = "error.txt"
LOG = "output.log"


@dataclass(frozen=True)
class Job:
    """What the command line says of it, and its folder. All that became of it is read from there."""

    overrides: tuple[str, ...]
    folder: Path

    @property
    def state(self) -> str:
        """finished | failed | unfinished (it has a checkpoint to go on from) | new."""
        if (self.folder / "metrics.json").is_file():
            return "finished"
        if (self.folder / ERROR).is_file():
            return "failed"
        return "unfinished" if (self.folder / "last.ckpt").is_file() else "new"

    @property
    def metrics(self) -> dict[str, Any]:
        """Metrics of a finished job; empty for any other."""
        return json.loads((self.folder / "metrics.json").read_text()) if self.state == "finished" else {}

    @property
    def error(self) -> str:
        """Why a failed job failed, in one line; empty for any other."""
        return (self.folder / ERROR).read_text().splitlines()[0] if self.state == "failed" else ""


def job(settings: config.Train, overrides: list[str]) -> Job:
    """The job of a resolved configuration; equal configurations are the same job, whatever sweep asks for them."""
    return Job(tuple(overrides), Path(settings.runs) / settings.name / "sweep" / digest(settings))


def digest(settings: config.Train) -> str:
    """Twelve characters that stand for everything in a configuration except where its run lies."""
    values = {key: value for key, value in asdict(resolve_files(settings)).items() if key not in PLACE_OF_A_RUN}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


METRICS = ("AP", "AP50")


def table(jobs: list[Job]) -> str:
    """One line a job: what distinguishes it from the others, its state, its metrics, its folder."""
    split = [dict(override.split("=", 1) for override in one.overrides) for one in jobs]
    keys = [key for key in split[0] if len({values.get(key) for values in split}) > 1] if split else []
    rows = [[*keys, "state", *METRICS, "seconds", "folder"]]
    for one, values in zip(jobs, split, strict=True):
        metrics = one.metrics
        numbers = [_number(metrics.get(key), "{:.4f}") for key in METRICS]
        seconds = _number(metrics.get("train_seconds"), "{:.0f}")
        rows.append([*(values.get(key, "") for key in keys), one.state, *numbers, seconds, str(one.folder)])
    return terminal(rows)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
