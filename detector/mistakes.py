"""A user's mistake is answered in one line, whatever raised it."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from detector import config
from detector.composition import choices
from detector.errors import LoaderError, UserError

_USERS_ERRORS = {errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS, errno.EDQUOT}


@contextmanager
def answer_mistakes() -> Iterator[None]:
    """A user's mistake becomes one line and exit code 2, an interruption exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except UserError as error:
        # a loader process's error comes wrapped in its traceback; the message itself is one line
        _fail(str(error).strip().splitlines()[-1].removeprefix("detector.errors.UserError: "))
    except LoaderError as error:
        _fail(str(error), 1)
    except (HydraException, OmegaConfBaseException) as error:
        _fail(_one_line(error))
    except OSError as error:
        if error.errno not in _USERS_ERRORS:
            raise
        _fail(f"{error.filename or 'disk'}: {error.strerror}")


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
    cls = getattr(config, found.group(1), None) if found else None
    return "" if cls is None else f"; there are {', '.join(sorted(cls.__dataclass_fields__))}"


def _fail(line: str, code: int = 2) -> None:
    print(f"error: {line}", file=sys.stderr)
    sys.exit(code)
