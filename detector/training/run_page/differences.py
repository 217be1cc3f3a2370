"""The settings of a run that are not the defaults of its options."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Any

from detector import config
from detector.errors import shown


@dataclass(frozen=True)
class Difference:
    """A key with another value than its options have by themselves."""

    key: str
    value: str
    default: str
    """Empty where the options have none."""


def differences(settings: config.Train) -> list[Difference]:
    """Every such key, in the order of the configuration; a part's own defaults are those of the part that was chosen."""
    return list(_differences(settings, ""))


def chosen_parts(settings: config.Train) -> dict[str, str]:
    """Part → the name of what was chosen for it, for the parts that the run has."""
    parts = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return {name: part.name for name, part in parts.items() if is_dataclass(part) and hasattr(part, "name")}


def _differences(options: Any, prefix: str) -> Iterator[Difference]:
    for field in fields(options):
        value, default = getattr(options, field.name), _default(field)
        if is_dataclass(value):
            yield from _differences(value, f"{prefix}{field.name}.")
        elif value != default and not (prefix and field.name == "name"):
            known = "" if default is MISSING or default == config.MISSING else shown(default)
            yield Difference(f"{prefix}{field.name}", shown(value), known)


def _default(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default
