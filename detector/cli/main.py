"""The entry of `detector NAME ...` and of every script."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from detector import __version__, signals
from detector.cli.commands import COMMANDS, Command
from detector.cli.user_errors import answer_errors
from detector.errors import UserError

HELP = ("--help", "-h")


def main() -> None:
    """Runs the command that the first argument names."""
    with answer_errors():
        _dispatch(sys.argv[1:])


def script(name: str) -> None:
    """Runs the command `name` with all arguments: what `scripts/NAME.py` does."""
    with answer_errors():
        _run(COMMANDS[name], sys.argv[1:])


def _dispatch(arguments: list[str]) -> None:
    match arguments:
        case [] | ["--help" | "-h" | "help"]:
            from detector.cli.help import overview

            _show(overview())
        case ["--version", *_]:
            _show(_version())
        case ["help", name, *rest] if name in COMMANDS:
            _run(COMMANDS[name], ["--help", *rest])
        case [name, *rest] if name in COMMANDS:
            _run(COMMANDS[name], rest)
        case [name, *_]:
            from detector.cli.keys import near

            raise UserError(f"{name}: there is no such command{near(name, COMMANDS)}; there are {', '.join(COMMANDS)}")


def _run(command: Command, arguments: list[str]) -> None:
    """Signals are answered first, before the imports that composing needs; help and version need no such imports."""
    if any(one in HELP for one in arguments):
        _load_plugins(arguments)
        from detector.cli.help import help_text

        _show(help_text(command, [one for one in arguments if one not in HELP]))
    elif "--version" in arguments:
        _show(_version())
    else:
        signals.install()
        _load_plugins(arguments)
        from detector.cli.keys import checked

        arguments = checked(command, arguments)
        from detector.cli.compose import run

        run(command, arguments)


def plugins_in(arguments: list[str]) -> list[str]:
    """The files of `plugins=[...]` on a command line. Raises UserError where the value is no list."""
    given = [argument for argument in arguments if argument.startswith("plugins=")]
    if not given:
        return []
    from hydra.core.override_parser.overrides_parser import OverridesParser

    files = OverridesParser.create().parse_override(given[-1]).value()
    if not isinstance(files, list):
        raise UserError(f"{given[-1]}: a list of files is expected: plugins=[{files}]")
    return list(map(str, files))


def _load_plugins(arguments: list[str]) -> None:
    """Runs the plugins' files, so that their parts can be chosen and their keys checked like any other."""
    if files := plugins_in(arguments):
        from detector.config.plugins import load_plugins

        load_plugins(files)


def _show(text: str) -> None:
    """Prints a text, of which `head` may read the beginning alone."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    print(text)


def _version() -> str:
    return f"detector-lab {__version__} ({Path(__file__).resolve().parent.parent})"
