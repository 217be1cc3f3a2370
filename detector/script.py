"""The start of every script."""

from __future__ import annotations

from detector import signals


def script(name: str, function: str, positional: str | None = None) -> None:
    """Composes `configs/NAME.yaml` with the command line and gives it to `function`, written `MODULE:NAME`.

    Signals are answered first, before the imports that composing needs; see `command.py` for the rest.
    """
    signals.install()
    from detector.command import command

    command(name, function, positional)
