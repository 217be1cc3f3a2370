"""What a sweep says before its first job and after its last one."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from typing import Any, ClassVar

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict

from detector import signals
from detector.composition import leave_out_absent_parts, to_object
from detector.mistakes import answer_mistakes
from detector.sweep.jobs import ERROR, Job, job

METRICS = ("AP", "AP50")


class SweepReport(Callback):
    """Composes every job before the first one starts, and remembers them for the table at the end.

    The table is read from the jobs' folders and printed by whoever started the sweep (`command.py`): then it also comes
    after a launcher that raised, which Hydra's own `on_multirun_end` does not.
    """

    current: ClassVar[SweepReport | None] = None
    """Of the sweep that this process has started, if it has."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Says how many jobs there are; a mistake in any of them ends the sweep before it begins."""
        with answer_mistakes():
            self.jobs = list(_jobs(config))
        SweepReport.current = self
        signals.goes_on(self._way_on)
        states = Counter(one.state for one in self.jobs)
        print(f"sweep of {len(self.jobs)} jobs: {', '.join(f'{n} {state}' for state, n in states.items())}", flush=True)

    def _way_on(self) -> str:
        finished = sum(one.state == "finished" for one in self.jobs)
        command = shlex.join(["python", *sys.argv])
        return f"with {finished} of {len(self.jobs)} jobs finished; go on with: {command}"

    def conclude(self) -> bool:
        """Prints the table and the errors; whether all jobs are finished."""
        print(table(self.jobs))
        unfinished = [one for one in self.jobs if one.state != "finished"]
        for one in unfinished:
            if one.state == "failed":
                print(f"failed: {' '.join(one.overrides)}: {one.error} (all of it in {one.folder / ERROR})")
        if unfinished:
            print(f"{len(unfinished)} of {len(self.jobs)} jobs are not finished; the same command goes on with them")
        return not unfinished


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
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _jobs(master: DictConfig) -> list[Job]:
    """The jobs as Hydra's sweeper will ask for them: the parameters of the sweep's file, then the command line's."""
    setup_globals()
    loader = GlobalHydra.instance().config_loader()
    given = [f"{key}={value}" for key, value in (master.hydra.sweeper.get("params") or {}).items()]
    given += list(master.hydra.overrides.task)
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(given)
    jobs = []
    for one in BasicSweeper.split_arguments(overrides, None)[0]:
        composed = loader.load_sweep_config(master, list(one))
        leave_out_absent_parts(composed, composed.hydra)
        with open_dict(composed):
            del composed["hydra"]
        jobs.append(job(to_object(composed), list(one)))
    return jobs
