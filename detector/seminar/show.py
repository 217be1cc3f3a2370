"""An answer as a few lines of text."""

from __future__ import annotations

from detector.seminar.answer import Answer, Claim, Value

GREEN, RED, BOLD, PLAIN = "\033[32m", "\033[31m", "\033[1m", "\033[0m"
INDENT = " " * 4


def block(answer: Answer | Claim, working: bool = False, colour: bool = False) -> str:
    """Question, answer, and what it was checked with; `working` adds each step, `colour` the codes of a terminal."""
    lines = _of_numbers(answer, working) if isinstance(answer, Answer) else _in_words(answer)
    if answer.plot is not None:
        lines.append(f"plot    {answer.plot}")
    lines.append(_verdict(answer, colour))
    title = f"{BOLD}{answer.question}{PLAIN}" if colour else answer.question
    return "\n".join([f"{title}  {answer.asked}", *(INDENT + line for line in lines)])


def _of_numbers(answer: Answer, working: bool) -> list[str]:
    lines = [f"formula {answer.formula}", f"put in  {answer.put_in}"]
    if working:
        lines += [f"step {number}  {step}" for number, step in enumerate(answer.working, start=1)]
    lines.append(f"result  {number_text(answer.result)}")
    lines.append(f"check   {number_text(answer.checked)}: {answer.check}")
    return lines + [f"noted   {note}" for note in answer.noted]


def _in_words(claim: Claim) -> list[str]:
    widest = max(len(name) for name, _ in claim.measured)
    return [
        f"claim   {claim.claim}",
        f"shown   {claim.experiment}",
        *(f"        {name.ljust(widest)}  {value}" for name, value in claim.measured),
        f"needed  {claim.condition}",
    ]


def _verdict(answer: Answer | Claim, colour: bool) -> str:
    word = "right" if answer.right else f"WRONG: {answer.wrong()}"
    if not colour:
        return word
    return f"{GREEN if answer.right else RED}{word}{PLAIN}"


def number_text(value: Value) -> str:
    """10,001,000; 1.25; [28, 28, 5]."""
    if isinstance(value, tuple):
        return "[" + ", ".join(map(number_text, value)) + "]"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}".replace("-", "−")
