"""An answer as a few lines of text."""

from __future__ import annotations

from textwrap import wrap

from detector.seminar.answer import Answer, Claim, Value

GREEN, RED, BOLD, PLAIN = "\033[32m", "\033[31m", "\033[1m", "\033[0m"
WIDTH = 110
"""Columns."""


def block(answer: Answer | Claim, working: bool = False, colour: bool = False) -> str:
    """Question, answer, and what it was checked with; `working` adds each step, `colour` the codes of a terminal."""
    title = f"{BOLD}{answer.question}{PLAIN}" if colour else answer.question
    lines = _of_numbers(answer, working) if isinstance(answer, Answer) else _in_words(answer)
    if answer.plot is not None:
        lines.append(f"    plot     {answer.plot}")
    verdict = "right" if answer.right else f"WRONG: {answer.wrong()}"
    return "\n".join(
        [f"{title}  {answer.asked}", *lines, f"    {painted(verdict, answer.right) if colour else verdict}"]
    )


def painted(text: str, right: bool) -> str:
    """Text in green or red."""
    return f"{GREEN if right else RED}{text}{PLAIN}"


def number_text(value: Value) -> str:
    """10,001,000; 1.25; [28, 28, 5]."""
    if isinstance(value, tuple):
        return "[" + ", ".join(map(number_text, value)) + "]"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}".replace("-", "−")


def _of_numbers(answer: Answer, working: bool) -> list[str]:
    lines = _entry("formula", answer.formula) + _entry("put in", answer.put_in)
    if working:
        for number, step in enumerate(answer.working, start=1):
            lines += _entry(f"step {number}", step)
    lines += _entry("result", number_text(answer.result))
    lines += _entry("check", f"{number_text(answer.checked)}: {answer.check}")
    for note in answer.noted:
        lines += _entry("noted", note)
    return lines


def _in_words(claim: Claim) -> list[str]:
    widest = max(len(name) for name, _ in claim.measured)
    return [
        *_entry("claim", claim.claim),
        *_entry("shown by", claim.experiment),
        *(f"{' ' * 13}{name.ljust(widest)}  {value}" for name, value in claim.measured),
        *_entry("needed", claim.condition),
    ]


def _entry(name: str, text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent=f"    {name:9}", subsequent_indent=" " * 13)
