"""What an answer of the seminar consists of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

Value = int | float | tuple["Value", ...]
"""A number, or a list of them such as the shape or the rows of a matrix."""


@dataclass(frozen=True)
class Answer:
    """Answer to a question whose answer is numbers."""

    question: str
    """Such as 3b."""
    asked: str
    formula: str
    put_in: str
    """The formula with the numbers of the question."""
    result: Value
    """Result by the formulas of `detector.arithmetic`."""
    expected: Value
    """The answer that the seminar gives."""
    check: str
    """What else it was compared with."""
    checked: Value
    """What that gave."""
    working: tuple[str, ...] = ()
    """Step by step."""
    noted: tuple[str, ...] = ()
    """What was measured besides, and decides nothing, such as a time."""
    plot: Path | None = None

    @property
    def right(self) -> bool:
        """All three agree."""
        return self.result == self.expected == self.checked

    def wrong(self) -> str:
        """What does not agree, in one line."""
        return f"{self.question}: {self.result} by formula, {self.expected} expected, {self.checked} by {self.check}"


@dataclass(frozen=True)
class Claim:
    """An answer in words, with an experiment that bears it out."""

    question: str
    asked: str
    claim: str
    experiment: str
    """What was done."""
    measured: tuple[tuple[str, str], ...]
    """What was measured, and what came out, with its unit."""
    condition: str
    """What the values must fulfil to bear the claim out."""
    right: bool
    """They do."""
    plot: Path

    def wrong(self) -> str:
        """What was not borne out, in one line."""
        return f"{self.question}: {self.condition} does not hold for what was measured"
