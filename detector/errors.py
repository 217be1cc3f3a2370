"""The exceptions that scripts answer in one line, and what such a line repeats; any other exception is a mistake of the
project's own, with its traceback."""

from __future__ import annotations

import reprlib
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
    """A run has ended because of something outside of it, such as a process that the operating system has killed.

    The message is one line that says what has ended it and what to do. Scripts print it without a traceback and exit with
    code 1.
    """


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
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
