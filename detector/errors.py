"""The exceptions that scripts answer in one line, and what such a line repeats; any other exception is a mistake of the
project's own, with its traceback."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_short = reprlib.Repr()
_short.maxlevel, _short.maxlist, _short.maxdict = 3, 6, 4
_short.maxstring = _short.maxother = _short.maxlong = 60


class UserError(Exception):
    """A mistake in the configuration, the data or the command line.

    The message is one line that says what is wrong, where (file, line or key) and what would be right. Scripts print it
    without a traceback and exit with code 2.
    """


class RunError(Exception):
    """A run has ended because of something outside of it, such as a process that the operating system has killed; or a check
    has found what it was told to fail on.

    The message is one line that says what has ended it and what to do. Scripts print it without a traceback and exit with
    code 1.
    """


class OptionError(UserError, ValueError):
    """An argument of a part cannot be what it is: `channels=0: at least 1`.

    A part knows its arguments by their own names alone; what builds it from a configuration adds the key (`options_of`).
    Whoever builds one from Python catches a ValueError, or every mistake in files and values as `UserError`.

    Args:
        name: the argument.
        said: what is wrong or would be right.
        value: the value, where the message repeats it.
    """

    def __init__(self, name: str, said: str, value: Any = None) -> None:
        super().__init__(f"{name}: {said}" if value is None else f"{name}={value}: {said}")
        self.name, self.said, self.value = name, said, value


@contextmanager
def named(**names: str) -> Iterator[None]:
    """Within, an argument that cannot be has another name in its message: `named(kind="suppression")`."""
    try:
        yield
    except OptionError as error:
        raise OptionError(names.get(error.name, error.name), error.said, error.value) from error


@contextmanager
def options_of(group: str) -> Iterator[None]:
    """Within, an argument that cannot be is a user's mistake in the key GROUP.NAME (`UserError`)."""
    try:
        yield
    except OptionError as error:
        raise UserError(f"{group}.{error}") from error


def shown(value: Any, limit: int = 80) -> str:
    """A value as a message of one line repeats it: printable, and where it is longer than `limit`, without its middle.

    Text stands without quotes; null, true and false are written as configurations and annotations write them.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        text = value if isinstance(value, str) else _short.repr(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        text = "a number of thousands of digits"
    if len(text) > limit:
        text = f"{text[: limit // 2]}...{text[-limit // 2 :]}"
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
