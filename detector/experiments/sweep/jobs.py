"""A job of a sweep: one configuration, the folder that belongs to it, and what became of it so far."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detector import config
from detector.resolve import resolve_files

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
