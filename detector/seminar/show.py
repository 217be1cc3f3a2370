"""An answer as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap

from detector.seminar.answer import Answer, Condition, Table, Value

GREEN, RED, BOLD, PLAIN = "\033[32m", "\033[31m", "\033[1m", "\033[0m"
WIDTH = 110
"""Columns."""


def block(answer: Answer, steps: bool = False, colour: bool = False, plot: Path | None = None) -> str:
    """Question, answer, what was measured, and each condition; `steps` adds the derivation, `colour` a terminal's codes."""
    title = f"{BOLD}{answer.question}{PLAIN}" if colour else answer.question
    lines = [f"{title}  {answer.asked}", *_body(answer, steps)]
    for condition in answer.conditions:
        lines += _entry("holds" if condition.holds else "FAILS", condition_text(condition))
    if plot is not None:
        lines.append(f"    plot     {plot}")
    verdict = "right" if answer.right else "WRONG"
    return "\n".join([*lines, f"    {painted(verdict, answer.right) if colour else verdict}"])


def wrong(answer: Answer) -> str:
    """The conditions that do not hold, in one line."""
    failed = (condition_text(one) for one in answer.conditions if not one.holds)
    return f"{answer.question}: {'; '.join(failed)}"


def condition_text(condition: Condition) -> str:
    """The text: value relation bound."""
    return f"{condition.text}: {value_text(condition.value)} {condition.relation} {value_text(condition.bound)}"


def painted(text: str, right: bool) -> str:
    """Text in green or red."""
    return f"{GREEN if right else RED}{text}{PLAIN}"


def value_text(value: Value) -> str:
    """10,001,000; 1.25; [28, 28, 5]."""
    if isinstance(value, tuple):
        return "[" + ", ".join(map(value_text, value)) + "]"
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}".replace("-", "−")


def _body(answer: Answer, steps: bool) -> Iterator[str]:
    yield from _entry("answer", answer.answer)
    if answer.formula:
        yield from _entry("formula", answer.formula)
    if answer.put_in:
        yield from _entry("put in", answer.put_in)
    if steps:
        for number, step in enumerate(answer.steps, start=1):
            yield from _entry(f"step {number}", step)
    if answer.result is not None:
        yield from _entry("result", value_text(answer.result))
    if answer.experiment:
        yield from _entry("shown by", answer.experiment)
    for table in answer.tables:
        yield from _table(table)
    for note in answer.noted:
        yield from _entry("noted", note)
    if steps:
        for source in answer.sources:
            yield from _entry("source", source)


def _table(table: Table) -> Iterator[str]:
    rows = [table.columns, *(tuple(map(value_text, row)) for row in table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.columns))]
    yield from _entry("table", table.title)
    for row in rows:
        yield (" " * 13 + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()


def _entry(name: str, text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent=f"    {name:9}", subsequent_indent=" " * 13)
