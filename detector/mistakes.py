"""A user's mistake is answered in one line, whatever raised it."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from detector import config, signals
from detector.composition import choices
from detector.errors import RunError, UserError

LAUNCHERS = {
    "ray": "hydra-ray-launcher",
    "ray_aws": "hydra-ray-launcher",
    "submitit_slurm": "hydra-submitit-launcher",
    "submitit_local": "hydra-submitit-launcher",
}
"""Hydra's word for a launcher → the package that brings it."""

_USERS_ERRORS = {errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS, errno.EDQUOT}


@contextmanager
def answer_mistakes() -> Iterator[None]:
    """A user's mistake becomes one line and exit code 2, a signal one line and exit code 128 + its number."""
    try:
        yield
    except BaseException as error:
        # whatever an interruption breaks on its way out, it is the interruption that is answered
        if (number := error.number if isinstance(error, signals.Stopped) else signals.received()) is not None:
            signals.stopped(number)
        _answer(error)
        raise


def _answer(error: BaseException) -> None:
    """Ends the program where the error is answered in one line; otherwise it is a mistake of the project's own."""
    match error:
        case KeyboardInterrupt():
            _fail("stopped", 130)
        case UserError():
            _fail(_last_line(error))
        case RunError():
            _fail(_last_line(error), 1)
        case HydraException() | OmegaConfBaseException():
            _fail(_one_line(error))
        case BrokenPipeError() if error.filename is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more when it ends
            _fail(f"nobody reads the output any more; stopped {signals.way_on()}", 128 + 13)
        case OSError() if error.errno in _USERS_ERRORS:
            _fail(f"{error.filename or 'disk'}: {error.strerror}")


def _last_line(error: Exception) -> str:
    """The message itself is one line; an error of a loader process comes wrapped in that process's traceback."""
    return re.sub(r"^detector\.errors\.\w+: ", "", str(error).strip().splitlines()[-1])


def _one_line(error: BaseException) -> str:
    """Hydra wraps OmegaConf's error, which knows the key and its type, in one that knows neither: read both."""
    texts = []
    cause: BaseException | None = error
    while cause is not None:
        texts.append(str(cause))
        cause = cause.__cause__
    text = "\n".join(texts)

    if found := re.search(r"Could not find '(\w+)/([^']+)'", text) or re.search(r"You must specify '(\w+)'()", text):
        group, choice = found.group(1), found.group(2)
        if group == "hydra":
            key, _, name = choice.rpartition("/")
            package = LAUNCHERS.get(name)
            return f"hydra/{key}={name}: " + (f"needs pip install {package}" if package else "Hydra has no such choice")
        return f"{group!s}={choice or '...'}: choose one of {choices(group)}"
    full_key = re.search(r"full_key: ([\w.\[\]]+)", text)
    if (found := re.search(r"Key '(\w+)' (?:is not in struct|not in '\w+')", text)) and full_key:
        return f"{full_key.group(1)}: no such key{_known_keys(text)}"
    if (found := re.search(r"Value .* (?:could not be converted|is not a valid|of type).*", text)) and full_key:
        return f"{full_key.group(1)}: {found.group(0)}"
    lines = [line.strip() for line in texts[-1].splitlines() if line.strip()]
    return f"{full_key.group(1)}: {lines[0]}" if full_key else " ".join(lines[:2])


def _known_keys(text: str) -> str:
    found = re.search(r"object_type=(\w+)", text)
    schemas = [*(cls for classes in config.GROUPS.values() for cls in classes), *vars(config).values()]
    cls = next((one for one in schemas if found and getattr(one, "__name__", None) == found.group(1)), None)
    return "" if cls is None else f"; there are {', '.join(sorted(field.name for field in dataclasses.fields(cls)))}"


def _fail(line: str, code: int = 2) -> None:
    print(f"error: {line}", file=sys.stderr)
    sys.exit(code)
