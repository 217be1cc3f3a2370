"""What a command chooses from, YAML files and parts of plugins, and how a command is written in a shell."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).resolve().parent / "configs"
"""`configs` of the checkout, or its copy in an installed package."""


PLUGIN_PARTS: list[tuple[str, Any]] = []
"""The (group, options class) of each part that plugins have brought: a choice without a YAML file."""


def names(group: str) -> list[str]:
    """The choices of a group: the names of its YAML files and of the plugins' parts."""
    brought = [cls.name for one, cls in PLUGIN_PARTS if one == group]
    return sorted([*(path.stem for path in (CONFIGS / group).glob("*.yaml")), *brought])


def choices(group: str) -> str:
    """The choices of a group, separated by commas."""
    return ", ".join(names(group))


def quoted(text: str) -> str:
    """The text as a value of an override: in Hydra's quotes where it has more than letters, digits and `/._-`."""
    if re.fullmatch(r"[\w/.-]+", text):
        return text
    return '"' + re.sub(r'(\\*)"', r"\1\1\"", re.sub(r"(\\+)$", r"\1\1", text)) + '"'


def command_line(command: str, *arguments: str) -> str:
    """The shell command that runs `command` the way this process was started: as `detector NAME` or as a script.

    Args:
        command: a name of the table of commands, such as `train`.
        arguments: they are quoted for the shell.
    """
    started = Path(sys.argv[0])
    if started.name == f"{command}.py":
        words = ["python", sys.argv[0]]
    elif started.parent.name == "scripts":
        words = ["python", str(started.with_name(f"{command}.py"))]
    else:
        words = ["detector", command]
    return shlex.join([*words, *arguments])


def this_command() -> str:
    """The shell command that started this process."""
    program = ["python", sys.argv[0]] if Path(sys.argv[0]).parent.name == "scripts" else ["detector"]
    return shlex.join([*program, *sys.argv[1:]])
