"""What an answer of the seminar consists of: plain data, apart from how it is printed or drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from math import isfinite
from typing import Any, Literal

Value = int | float | str | tuple["Value", ...]
"""A number, a text, or a list of them such as a shape or the rows of a matrix."""
Relation = Literal["=", "<", ">"]


@dataclass(frozen=True)
class Condition:
    """A comparison that must hold for the answer to be right."""

    text: str
    """What is compared, in words."""
    value: Value
    """What was found; where numbers of several seeds or layers are compared with one bound, each must fulfil it."""
    relation: Relation
    bound: Value

    @property
    def holds(self) -> bool:
        """Whether the value stands in the relation to the bound; a number that is not finite stands in none."""
        if self.relation == "=":
            return self.value == self.bound
        assert isinstance(self.bound, int | float)
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        assert values, "a condition on nothing would always hold"
        return all(self._compares(one, self.bound) for one in values)

    def _compares(self, value: Value, bound: float) -> bool:
        assert isinstance(value, int | float)
        return isfinite(value) and (value < bound if self.relation == "<" else value > bound)


@dataclass(frozen=True)
class Table:
    """Rows of what was measured, or of facts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


@dataclass(frozen=True)
class Series:
    """One line or one set of bars."""

    name: str
    y: tuple[float, ...]
    x: tuple[float, ...] = ()
    """As many as `y`; bars have none, they stand at the panel's `ticks`."""


@dataclass(frozen=True)
class Panel:
    """One part of a figure, as the numbers that it shows."""

    title: str
    kind: Literal["lines", "bars", "image"]
    series: tuple[Series, ...] = ()
    values: tuple[tuple[float, ...], ...] = ()
    """Rows of an image."""
    x_label: str = ""
    y_label: str = ""
    ticks: tuple[str, ...] = ()
    """Names of the places of bars, or of the columns of an image."""
    rows: tuple[str, ...] = ()
    """Names of the rows of an image."""
    levels: Mapping[str, float] = field(default_factory=dict)
    """Horizontal lines to compare with, by name."""
    log_x: bool = False
    log_y: bool = False
    largest: float | None = None
    """Where the y axis ends; by default above the largest number."""


@dataclass(frozen=True)
class Answer:
    """An answer, what it was found by, and each condition that makes it right."""

    question: str
    """Such as 3b."""
    asked: str
    answer: str
    """In words."""
    conditions: tuple[Condition, ...]
    formula: str = ""
    put_in: str = ""
    """The formula with the numbers of the question."""
    steps: tuple[str, ...] = ()
    result: Value | None = None
    """The answer in numbers, where it has any."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """The numbers of the question, by the names that they have on the command line."""
    experiment: str = ""
    """What was done to find what the tables show."""
    tables: tuple[Table, ...] = ()
    panels: tuple[Panel, ...] = ()
    """The figure."""
    noted: tuple[str, ...] = ()
    """What else was measured, and decides nothing."""
    sources: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """Whether all conditions hold."""
        return bool(self.conditions) and all(condition.holds for condition in self.conditions)

    def also(self, condition: Condition, **changes: Any) -> Answer:
        """The same answer with one more condition."""
        return replace(self, conditions=(condition, *self.conditions), **changes)

    def as_data(self) -> dict[str, Any]:
        """Dictionaries, lists, numbers and texts, as JSON has them; a number that is not finite becomes None."""
        data: dict[str, Any] = _plain(self)
        for entry, condition in zip(data["conditions"], self.conditions, strict=True):
            entry["holds"] = condition.holds
        return {**data, "right": self.right}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value
