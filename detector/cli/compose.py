"""Runs a command: Hydra composes its options, its function gets them as one object."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from detector import config, signals
from detector.cli.choices import keys_of
from detector.cli.commands import Command, imported
from detector.cli.keys import SWITCHES
from detector.cli.schema import complete_data, leave_out_absent_parts, register_schemas, to_object
from detector.cli.sweep import SweepReport
from detector.cli.user_errors import answer_errors
from detector.command_line import CONFIGS, command_line, this_command
from detector.data.processes import expect_loading
from detector.errors import UserError
from detector.experiments.sweep.jobs import job
from detector.experiments.sweep.run import run_job
from detector.memory import answer_memory
from detector.training.run_folder import read_config


def run(command: Command, arguments: list[str], function: Callable[[Any], Any] | None = None) -> None:
    """Composes `configs/NAME.yaml` with the overrides and gives it to the command's function as a dataclass object.

    The function is imported late, so that a wrong value is answered at once.

    Args:
        command: a row of the table of commands.
        arguments: overrides and Hydra's own flags, as `detector.cli.keys.checked` has let them pass.
        function: gets the options in place of the command's own function.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing and exiting with 1; the lines below answer
    as_given = sys.argv
    composing = True

    @hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=command.name)
    def main(composed: DictConfig) -> None:
        nonlocal composing
        composing = False
        sys.argv = as_given  # with which processes that train together are started
        if command.name == "train" and HydraConfig.get().mode == RunMode.MULTIRUN:
            _sweep_job(composed)
            return
        # inside the job too: Hydra prints a line of its own about any exception that leaves it
        with answer_errors():
            _refuse_sweep_without_multirun()
            _say_left_out(leave_out_absent_parts(composed, HydraConfig.get()))
            settings = _resumed(composed) if composed.get("resume") else to_object(composed)
            _say_found(complete_data(settings))
            _expect_loading(settings)
            called = function or imported(command.function)
            signals.goes_on(lambda: "before it had finished; the same command starts again")
            with signals.unwinding(), answer_memory(settings):
                called(settings)

    SweepReport.current, SweepReport.command = None, this_command()
    try:
        with answer_errors():
            register_schemas()
            # Hydra wants its switches before the overrides
            given = sorted(_with_format(command, arguments), key=lambda one: one not in SWITCHES)
            sys.argv = [sys.argv[0], *given]
            try:
                with _help_that_is_no_text():
                    main()
            except OSError as error:
                if not composing or error.filename is None:  # Hydra's own errors are of this kind too
                    raise
                raise UserError(f"hydra.run.dir: {error.filename}: {error.strerror}") from error
            finally:
                sys.argv = as_given
    finally:
        signals.done()
        finished = SweepReport.current is None or SweepReport.current.conclude()
    if not finished:
        sys.exit(1)


@contextmanager
def _help_that_is_no_text() -> Iterator[None]:
    """Python 3.14 refuses help that is no text; Hydra 1.3 has such an option, whose help is never printed here.

    https://github.com/facebookresearch/hydra/issues/3121
    """
    parser: Any = argparse.ArgumentParser
    checked = getattr(parser, "_check_help", None)
    if checked is None:
        yield
        return

    def check_text(self: argparse.ArgumentParser, action: argparse.Action) -> None:
        if isinstance(action.help, str):
            checked(self, action)

    parser._check_help = check_text
    try:
        yield
    finally:
        parser._check_help = checked


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


def _refuse_sweep_without_multirun() -> None:
    if chosen := HydraConfig.get().runtime.choices.get("sweep"):
        raise UserError(f"sweep={chosen}: is many runs; give -m as well: {command_line('train')} -m sweep={chosen} ...")


def _say_found(lines: list[str]) -> None:
    """Once, where a launcher has started several processes."""
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        for line in lines:
            print(line)


def _say_left_out(lines: list[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _with_format(command: Command, arguments: list[str]) -> list[str]:
    """`data.root=FOLDER` alone is enough: the folder tells the format."""
    given = any(argument.startswith("data.") for argument in arguments)
    chosen = any(argument.startswith(("data=", "experiment=", "resume=")) for argument in arguments)
    return ["data=auto", *arguments] if given and not chosen and "data" in keys_of(command).groups else arguments


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
