"""What a sweep says before its first job and after its last one."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict

from detector import signals
from detector.cli.schema import leave_out_absent_parts, to_object
from detector.cli.user_errors import answer_errors
from detector.experiments.sweep.jobs import ERROR, Job, job, table


class SweepReport(Callback):
    """Composes every job before the first one starts, and remembers them for the table at the end.

    The table is read from the jobs' folders and printed by whoever started the sweep (`compose.py`): then it also comes
    after a launcher that raised, which Hydra's own `on_multirun_end` does not.
    """

    current: ClassVar[SweepReport | None] = None
    """Report of the sweep that this process has started; None if it has started none."""
    command: ClassVar[str] = ""
    """The shell command of that sweep."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Says how many jobs there are; a mistake in any of them ends the sweep before it begins."""
        with answer_errors():
            self.jobs = list(_jobs(config))
        SweepReport.current = self
        signals.goes_on(self._way_on)
        states = Counter(one.state for one in self.jobs)
        print(f"sweep of {len(self.jobs)} jobs: {', '.join(f'{n} {state}' for state, n in states.items())}", flush=True)

    def _way_on(self) -> str:
        finished = sum(one.state == "finished" for one in self.jobs)
        return f"with {finished} of {len(self.jobs)} jobs finished; go on with: {SweepReport.command}"

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


def _jobs(master: DictConfig) -> Iterator[Job]:
    """The jobs as Hydra's sweeper will ask for them: the parameters of the sweep's file, then the command line's."""
    given = [f"{key}={value}" for key, value in (master.hydra.sweeper.get("params") or {}).items()]
    given += list(master.hydra.overrides.task)
    loader = GlobalHydra.instance().config_loader()
    # the last one of a key holds, at the place of the first
    lists = {one.get_key_element(): _values(one) for one in OverridesParser.create(loader).parse_overrides(given)}
    for overrides in map(list, itertools.product(*lists.values())):
        composed = compose("train", overrides, return_hydra_config=True)
        leave_out_absent_parts(composed, composed.hydra)
        with open_dict(composed):
            del composed["hydra"]
        yield job(to_object(composed), overrides)


def _values(override: Override) -> list[str]:
    key = override.get_key_element()
    if override.is_sweep_override():
        return [f"{key}={value}" for value in override.sweep_string_iterator()]
    return [f"{key}={override.get_value_element_as_str()}"]
