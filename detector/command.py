"""The edge between the command line and the package: Hydra composes, one line and exit code 2 answer a user's mistake."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from detector import config, signals
from detector.composition import (
    CONFIGS,
    absent_groups,
    asks_for_data,
    choices,
    complete_data,
    leave_out_absent_parts,
    plugins_in,
    quoted,
    register_schemas,
    to_object,
)
from detector.data.processes import expect_loading
from detector.errors import UserError
from detector.memory import answer_memory
from detector.mistakes import answer_mistakes
from detector.sweep.jobs import job
from detector.sweep.report import SweepReport
from detector.sweep.run import run_job
from detector.training.run_folder import read_config


def command(name: str, function: Callable[[Any], Any] | str, positional: str | None = None) -> None:
    """Composes `configs/NAME.yaml` with the command line's overrides and gives it to `function` as a dataclass object.

    A `function` that is written `MODULE:NAME` is imported late, so that a misspelt key is answered at once. Arguments
    that are no overrides (`runs/a runs/b`, as a shell's pattern gives them) become the list `positional`.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing and exiting with 1; the lines below answer

    composing = True

    @hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)
    def main(composed: DictConfig) -> None:
        nonlocal composing
        composing = False
        if name == "train" and HydraConfig.get().mode == RunMode.MULTIRUN:
            _sweep_job(composed)
            return
        # inside the job too: Hydra prints a line of its own about any exception that leaves it
        with answer_mistakes():
            _refuse_sweep_without_multirun()
            _say_left_out(leave_out_absent_parts(composed, HydraConfig.get()))
            settings = _resumed(composed) if composed.get("resume") else to_object(composed)
            _say_found(complete_data(settings))
            _expect_loading(settings)
            called = _imported(function) if isinstance(function, str) else function
            signals.goes_on(lambda: "before it had finished; the same command starts again")
            with signals.unwinding(), answer_memory(settings):
                called(settings)

    SweepReport.current = None
    try:
        with answer_mistakes():
            config.load_plugins(plugins_in(sys.argv[1:]))
            register_schemas()
            sys.argv[1:] = _with_format(name, sys.argv[1:])
            _check_groups(sys.argv[1:])
            if positional:
                sys.argv[1:] = _with_list(positional, sys.argv[1:])
            try:
                main()
            except OSError as error:
                if not composing or error.filename is None:  # Hydra's own errors are of this kind too
                    raise
                raise UserError(f"hydra.run.dir: {error.filename}: {error.strerror}") from error
    finally:
        signals.done()
        finished = SweepReport.current is None or SweepReport.current.conclude()
    if not finished:
        sys.exit(1)


def _sweep_job(composed: DictConfig) -> None:
    """One job; also in a process of a launcher's, on whatever machine."""
    hydra_config = HydraConfig.get()
    _say_left_out(leave_out_absent_parts(composed, hydra_config))
    settings: config.Train = to_object(composed)
    _say_found(complete_data(settings))
    if settings.resume:
        raise UserError("resume goes on with one run: leave out -m")
    directory = Path(hydra_config.runtime.cwd)  # where the sweep was started; a launcher's process may be elsewhere
    os.chdir(directory)
    with signals.unwinding():
        run_job(job(settings, list(hydra_config.overrides.task)), settings, directory)


def _expect_loading(settings: Any) -> None:
    """The server of loader processes imports while this process does, so that less is waited for later."""
    match settings:
        case config.Train() | config.FindLR():
            expect_loading(settings.data, settings.augment)
        case config.Evaluate() if settings.checkpoint:
            expect_loading(settings.data)


def _imported(function: str) -> Callable[[Any], Any]:
    module, _, name = function.partition(":")
    return getattr(import_module(module), name)


def _refuse_sweep_without_multirun() -> None:
    if chosen := HydraConfig.get().runtime.choices.get("sweep"):
        raise UserError(f"sweep={chosen}: is many runs; give -m as well: scripts/train.py -m sweep={chosen} ...")


def _say_found(lines: list[str]) -> None:
    """Once, where a launcher has started several processes."""
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        for line in lines:
            print(line)


def _say_left_out(lines: list[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _with_list(key: str, arguments: list[str]) -> list[str]:
    """A path may have a `=` in its name, as the folders of sweeps do: what exists is no override."""
    listed = [one for one in arguments if not one.startswith("-") and ("=" not in one or Path(one).exists())]
    if not listed:
        return arguments
    return [
        *(one for one in arguments if one not in listed),
        f"{key}=[{','.join(map(quoted, listed))}]",
    ]


def _with_format(command: str, arguments: list[str]) -> list[str]:
    """`data.root=FOLDER` alone is enough: the folder tells the format."""
    given = any(argument.startswith("data.") for argument in arguments)
    chosen = any(argument.startswith(("data=", "experiment=", "resume=")) for argument in arguments)
    return ["data=auto", *arguments] if given and not chosen and asks_for_data(command) else arguments


def _check_groups(arguments: list[str]) -> None:
    """Keys of a group that is not chosen: OmegaConf's word for them is an assertion, Hydra's for GROUP=null a ValueError."""
    models = [argument.removeprefix("model=") for argument in arguments if argument.startswith("model=")]
    absent = absent_groups(models[-1]) if models else set()
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in config.GROUPS and value == "null":
            raise UserError(f"{argument}: choose one of {choices(key)}")
        if (group := key.split(".")[0]) in absent:
            raise UserError(f"{argument}: has no meaning with model={models[-1]}, which has no {group} of its own")


def _resumed(composed: DictConfig) -> config.Train:
    """A run goes on with the configuration it was started with, of which the command line can change the epochs alone."""
    given = HydraConfig.get().overrides.task
    others = [o for o in given if not o.startswith(("resume=", "trainer.epochs=", "plugins="))]
    if others:
        raise UserError(f"resume goes on with the run's own configuration: leave out {' '.join(others)}")
    settings = dataclasses.replace(read_config(Path(composed.resume)), resume=composed.resume)
    if any(o.startswith("trainer.epochs=") for o in given):
        settings = dataclasses.replace(
            settings, trainer=dataclasses.replace(settings.trainer, epochs=composed.trainer.epochs)
        )
    return settings
