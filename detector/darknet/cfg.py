"""Darknet's `.cfg` format: `[section]` lines, each followed by its `key=value` lines; `#` and `;` begin a comment."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from detector.errors import OptionError, UserError

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
        value = self._one(key, _whole, "a whole number", default)
        if least is not None and value < least:
            raise self.error(f"{key}={value} must be at least {least}", key)
        return value

    def number(self, key: str, default: float) -> float:
        """A number."""
        return self._one(key, _finite, "a number", default)

    def integers(self, key: str) -> tuple[int, ...]:
        """Whole numbers separated by commas; none where the option is absent."""
        return self._many(key, _whole, "whole numbers separated by commas")

    def numbers(self, key: str) -> tuple[float, ...]:
        """Numbers separated by commas; none where the option is absent."""
        return self._many(key, _finite, "numbers separated by commas")

    def _one(self, key: str, convert: Callable[[str], T], what: str, default: T) -> T:
        if key not in self.options:
            return default
        value = self.options[key].value
        try:
            return convert(value)
        except ValueError as error:
            raise self.error(f"{key}={shortened(value)} is not {what}", key) from error

    def _many(self, key: str, convert: Callable[[str], T], what: str) -> tuple[T, ...]:
        value = self.text(key, "").removesuffix(",")
        try:
            return tuple(convert(part) for part in value.split(",")) if value else ()
        except ValueError as error:
            raise self.error(f"{key}={shortened(value)} is not {what}", key) from error


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError(text)
    return int(text)


def _finite(text: str) -> float:
    if "_" in text or not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


def shortened(text: str) -> str:
    """At most 40 characters of a text, as it can be printed on one line."""
    return repr(text[:40] + "…")[1:-1] if len(text) > 40 else repr(text)[1:-1]


def parse(text: str, file: str) -> list[Section]:
    """The sections in their order; the first one is `[net]`, the others are layers 0, 1, ...

    Raises:
        UserError: a line is neither a section nor an option, an option stands before any section, the first section is
            not `[net]`, or there is no layer.
    """
    sections: list[Section] = []
    for number, raw in enumerate(re.split("\r\n|\n|\r", text), start=1):
        # blanks mean nothing in Darknet, not even within a value
        line = re.sub(r"\s", "", re.split("[#;]", raw, maxsplit=1)[0])
        if not line:
            continue
        if line.startswith("["):
            if not line.endswith("]"):
                raise UserError(f"{file}, line {number}: {shortened(raw.strip())!r} is no section: the ] is missing")
            sections.append(Section(file, shortened(line[1:-1]), number))
            continue
        key, equals, value = line.partition("=")
        if not equals or not key or not value:
            raise UserError(f"{file}, line {number}: {shortened(raw.strip())!r} is neither [section] nor key=value")
        if not sections:
            raise UserError(f"{file}, line {number}: {shortened(line)} stands before any [section]")
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


LARGEST_FILE = 10_000_000
"""Bytes of a `.cfg`; the published ones have fewer than 100,000."""


def read_text(file: str | Path) -> str:
    """The text of a `.cfg` file, UTF-8, UTF-16 with its mark, or with comments in any other encoding.

    Raises:
        OptionError: of `cfg`: there is no such file, or it is no text file.
    """
    content = b""
    try:
        if not Path(file).is_file():
            said = "is a folder; give a .cfg file" if Path(file).is_dir() else "no such file"
        elif Path(file).stat().st_size > LARGEST_FILE:
            said = "is too large for a .cfg; give the .cfg, and the weights as weights"
        else:
            said, content = "", Path(file).read_bytes()
    except (OSError, ValueError) as error:
        said = f"cannot be read ({getattr(error, 'strerror', None) or error})"
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # its keys and values are ASCII; a comment may be in any encoding
    if "\0" in text or (content and "[" not in text):
        said = "is no text file; give the .cfg, and the weights as weights"
    if said:
        raise OptionError("cfg", said, file)
    return text
