"""Darknet's `.cfg` format: `[section]` lines, each followed by its `key=value` lines; `#` and `;` begin a comment."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from detector.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """One `key=value` line."""

    value: str
    line: int


@dataclass
class Section:
    """One section. Its values are text until somebody asks for a number."""

    file: str
    name: str
    line: int
    options: dict[str, Option] = field(default_factory=dict)
    repeated: dict[str, Option] = field(default_factory=dict)
    """Options that come again with another value; the first one counts in Darknet, the last one in other readers."""

    def error(self, message: str, key: str | None = None) -> UserError:
        """What is wrong, with the file, the line (of the option `key`, where it is given) and the section."""
        line = self.options[key].line if key in self.options else self.line
        return UserError(f"{self.file}, line {line}, [{self.name}]: {message}")

    def text(self, key: str, default: str) -> str:
        """The value as it stands in the file."""
        return self.options[key].value if key in self.options else default

    def integer(self, key: str, default: int, least: int | None = None) -> int:
        """A whole number, not below `least`."""
        value = self._one(key, int, "a whole number", default)
        if least is not None and value < least:
            raise self.error(f"{key}={value} must be at least {least}", key)
        return value

    def number(self, key: str, default: float) -> float:
        """A number."""
        return self._one(key, float, "a number", default)

    def integers(self, key: str) -> tuple[int, ...]:
        """Whole numbers separated by commas; none where the option is absent."""
        return self._many(key, int, "whole numbers separated by commas")

    def numbers(self, key: str) -> tuple[float, ...]:
        """Numbers separated by commas; none where the option is absent."""
        return self._many(key, float, "numbers separated by commas")

    def _one(self, key: str, convert: Callable[[str], T], what: str, default: T) -> T:
        if key not in self.options:
            return default
        value = self.options[key].value
        try:
            return convert(value)
        except ValueError as error:
            raise self.error(f"{key}={value} is not {what}", key) from error

    def _many(self, key: str, convert: Callable[[str], T], what: str) -> tuple[T, ...]:
        value = self.text(key, "").removesuffix(",")
        try:
            return tuple(convert(part) for part in value.split(",")) if value else ()
        except ValueError as error:
            raise self.error(f"{key}={value} is not {what}", key) from error


def parse(text: str, file: str) -> list[Section]:
    """The sections in their order; the first one is `[net]`, the others are layers 0, 1, ...

    Raises:
        UserError: a line is neither a section nor an option, an option stands before any section, the first section is
            not `[net]`, or there is no layer.
    """
    sections: list[Section] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        # blanks mean nothing in Darknet, not even within a value
        line = re.sub(r"\s", "", re.split("[#;]", raw, maxsplit=1)[0])
        if not line:
            continue
        if line.startswith("["):
            if not line.endswith("]"):
                raise UserError(f"{file}, line {number}: {raw.strip()!r} is no section: the ] is missing")
            sections.append(Section(file, line[1:-1], number))
            continue
        key, equals, value = line.partition("=")
        if not equals or not key or not value:
            raise UserError(f"{file}, line {number}: {raw.strip()!r} is neither [section] nor key=value")
        if not sections:
            raise UserError(f"{file}, line {number}: {line} stands before any [section]")
        section, option = sections[-1], Option(value, number)
        if key not in section.options:
            section.options[key] = option
        elif section.options[key].value != value:
            section.repeated[key] = option
    if not sections:
        raise UserError(f"{file}: is empty; a .cfg begins with [net]")
    if sections[0].name not in ("net", "network"):
        raise sections[0].error("the first section must be [net]")
    if len(sections) == 1:
        raise sections[0].error("no layer follows")
    return sections


def read_text(file: str | Path) -> str:
    """The text of a `.cfg` file; UserError where there is none."""
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"model.cfg={file}: no such file") from error
    except IsADirectoryError as error:
        raise UserError(f"model.cfg={file}: is a folder; give a .cfg file") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"model.cfg={file}: is no text file; give the .cfg, and the weights as model.weights"
        ) from error
