"""Every value of a configuration, compared with what is written beside its field: all that is wrong, in one line."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from detector.errors import UserError, shown
from detector.options import MISSING, Condition, Lines, OneOf, OrAbsent

MOST_NAMED = 8
"""Mistakes that one message names; the rest are counted."""
LONGEST_TEXT = 4096
"""Bytes of a text of one line: no file system has longer paths."""
LONGEST_CONTENT = 1_000_000
"""Bytes of a text of several lines."""
DEEPEST = 20
"""Most lists and dictionaries within each other, where any value may be given."""


def check(settings: Any, where: str = "") -> None:
    """Compares every field of a configuration with its type and its conditions, at any depth.

    A configuration may also say how its fields must go together: `contradictions()` gives (key, what would be right).

    Args:
        settings: a dataclass object of `detector.config`.
        where: what stands before the message, such as the file that the configuration comes from.

    Raises:
        UserError: in one line, every value that cannot be, with its key and what would be right.
    """
    refuse(list(violations(settings)), where)


def refuse(found: list[str], where: str = "") -> None:
    """Raises a UserError that names what `violations` has found, if anything, in one line."""
    if found:
        more = f"; and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        count = f"{len(found)} values cannot be: " if len(found) > 1 else ""
        raise UserError(f"{where}{count}{'; '.join(found[:MOST_NAMED])}{more}")


def violations(settings: Any, prefix: str = "") -> Iterator[str]:
    """`key=value: what would be right`, of every value of a dataclass object that cannot be."""
    right = True
    for name, hint in hints(type(settings)).items():  # type: ignore[arg-type]  # every class can be hashed
        for violation in violations_of(getattr(settings, name), hint, f"{prefix}{name}"):
            right = False
            yield violation
    if right and hasattr(settings, "contradictions"):
        for name, expected in settings.contradictions():
            yield f"{prefix}{name}={shown(getattr(settings, name))}: {expected}"


@cache
def hints(cls: type) -> dict[str, Any]:
    """Field → type with its conditions."""
    resolved = get_type_hints(cls, include_extras=True)
    return {field.name: resolved[field.name] for field in dataclasses.fields(cls)}


def violations_of(value: Any, hint: Any, key: str) -> Iterator[str]:
    """The same of one value, by the type and the conditions of its field."""
    base, conditions = _split(hint)
    if isinstance(value, str) and value == MISSING:
        yield f"{key}=... must be given"
        return
    if value is None and any(isinstance(condition, OrAbsent) for condition in conditions):
        return
    options = get_args(base) if get_origin(base) in (Union, types.UnionType) else (base,)
    if value is None and type(None) in options:
        return
    inner, more = _split(next(option for option in options if option is not type(None)))
    conditions = [*conditions, *more]
    if dataclasses.is_dataclass(inner):
        if isinstance(value, inner):  # type: ignore[arg-type]
            yield from violations(value, f"{key}.")
        else:
            yield f"{key}={shown(value)}: a {inner.__name__} is expected"  # type: ignore[union-attr]
    elif inner is Any:
        yield from _of_any(value, key, 0)
    elif get_origin(inner) is list and isinstance(value, list | tuple):
        if failed := [condition for condition in conditions if not condition.holds(value)]:
            yield f"{key}={shown(list(value))}: {failed[0]}"
        for number, item in enumerate(value):
            yield from violations_of(item, get_args(inner)[0], f"{key}[{number}]")
    elif not _has_type(value, inner, conditions) or not all(condition.holds(value) for condition in conditions):
        null = " or null" if type(None) in options else ""
        yield f"{key}={shown(value)}: {_expected(inner, conditions)}{null}"


def _split(hint: Any) -> tuple[Any, list[Condition]]:
    if get_origin(hint) is Annotated:
        return hint.__origin__, list(hint.__metadata__)
    return hint, []


def _has_type(value: Any, wanted: Any, conditions: list[Condition]) -> bool:
    if wanted is bool:
        return isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    if wanted is float:
        return is_finite_number(value)
    if wanted is str:
        return isinstance(value, str) and _is_text(value, any(isinstance(one, Lines) for one in conditions))
    return False


def is_finite_number(value: Any) -> bool:
    """Whether a value is an int or a float, not true or false, that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def _is_text(value: str, lines: bool) -> bool:
    try:
        content = value.encode()
    except UnicodeEncodeError:  # half of a character, which no file can hold
        return False
    if lines:
        return 0 < len(content) <= LONGEST_CONTENT and "\0" not in value
    return 0 < len(content) <= LONGEST_TEXT and not any(
        ord(character) < 32 or character == "\x7f" for character in value
    )


def _of_any(value: Any, key: str, depth: int) -> Iterator[str]:
    """Only what no key whatsoever may have: numbers that are none, texts that no file can hold, endless nesting."""
    if depth > DEEPEST:
        yield f"{key}: at most {DEEPEST} lists and dictionaries within each other"
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _of_any(item, f"{key}[{number}]", depth + 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _of_any(item, f"{key}.{shown(name)}", depth + 1)
    elif isinstance(value, bool) or value is None:
        return
    elif (isinstance(value, int) and not _has_type(value, int, [])) or (
        isinstance(value, float) and not is_finite_number(value)
    ):
        yield f"{key}={shown(value)}: a finite number of at most 64 bits"
    elif isinstance(value, str) and value and not _is_text(value, lines=False):
        yield f"{key}={shown(value)}: text of one line"
    elif not isinstance(value, int | float | str):
        yield f"{key}: a {type(value).__name__} is no value of a configuration"


def _expected(wanted: Any, conditions: list[Condition]) -> str:
    if any(isinstance(condition, OneOf) for condition in conditions):
        return "; ".join(map(str, conditions))
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text of one line, not empty"}
    kind = kinds.get(wanted, "a list")
    if wanted is str and conditions:
        return "; ".join(map(str, conditions))
    return " ".join([kind, *map(str, conditions)])
