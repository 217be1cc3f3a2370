"""A user's error is answered in one line, whatever raised it."""

from __future__ import annotations

import dataclasses
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn, TextIO

from detector import signals
from detector.errors import RunError, UserError

_USERS_ERRORS = {errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS, errno.EDQUOT}


@contextmanager
def answer_errors() -> Iterator[None]:
    """A user's error becomes one line and exit code 2, a signal one line and exit code 128 + its number."""
    try:
        yield
    except BaseException as error:
        # whatever an interruption breaks on its way out, it is the interruption that is answered
        if (number := error.number if isinstance(error, signals.Stopped) else signals.received()) is not None:
            signals.stopped(number)
        _answer(error)
        raise


def one_line(error: BaseException) -> str | None:
    """What an error of Hydra's or OmegaConf's says, with the key that it is about; None for any other error.

    Hydra wraps OmegaConf's error, which knows the key and its type, in one that knows neither.
    """
    from hydra.errors import HydraException, MissingConfigException, OverrideParseException
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return f"{group}={name}: choose one of {', '.join(error.options)}"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            if isinstance(cause, ConfigAttributeError | ConfigKeyError) and dataclasses.is_dataclass(cause.object_type):
                known = sorted(field.name for field in dataclasses.fields(cause.object_type))
                return f"{cause.full_key}: no such key; there are {', '.join(known)}"
            return f"{cause.full_key}: {_first_line(cause.msg or str(cause))}"
        if isinstance(cause, OverrideParseException):
            return f"{cause.override}: is no KEY=VALUE that can be read; signs other than letters and digits are quoted"
        cause = cause.__cause__
    return _first_line(str(error))


def fail(line: str, code: int = 2) -> NoReturn:
    """Ends the program with one line on standard error, if anybody reads that."""
    try:
        print(f"error: {line}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        _throw_away(sys.stderr)
    sys.exit(code)


def _throw_away(stream: TextIO) -> None:
    """What is left in it goes nowhere: Python flushes it once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _answer(error: BaseException) -> None:
    """Ends the program where the error is answered in one line; otherwise it is a mistake of the project's own."""
    match error:
        case KeyboardInterrupt():
            fail("stopped", 130)
        case UserError():
            fail(_last_line(error))
        case RunError():
            fail(_last_line(error), 1)
        case BrokenPipeError() if error.filename is None:
            _throw_away(sys.stdout)
            fail(f"nobody reads the output any more; stopped {signals.way_on()}", 128 + 13)
        case OSError() if error.errno in _USERS_ERRORS:
            fail(f"{error.filename or 'disk'}: {error.strerror}")
    if "hydra" in sys.modules and (line := one_line(error)):
        fail(line)


def _last_line(error: UserError | RunError) -> str:
    """The message itself is one line; an error of a loader process comes wrapped in that process's traceback."""
    line = str(error).strip().splitlines()[-1]
    return line.removeprefix(f"{type(error).__module__}.{type(error).__qualname__}: ")


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
