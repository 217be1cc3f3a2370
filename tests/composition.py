"""What the command line composes, without a command line, and a command without a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from detector import config
from detector.cli.commands import COMMANDS
from detector.cli.compose import run
from detector.cli.keys import checked
from detector.cli.schema import register_schemas, to_object
from detector.cli.user_errors import answer_errors
from detector.command_line import CONFIGS


def composed(*overrides: str, name: str = "train") -> config.Train:
    register_schemas()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        result = to_object(compose(name, list(overrides)))
    assert isinstance(result, config.Train)
    return result


def command(name: str, function: Callable[[Any], Any] | None = None) -> None:
    """What a script does with `sys.argv`; `function` gets the options in place of the command's own."""
    with answer_errors():
        arguments = checked(COMMANDS[name], sys.argv[1:])
    run(COMMANDS[name], arguments, function)
