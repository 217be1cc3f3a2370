"""The seminar as a page: one HTML file that needs nothing else, with derivations, figures, and numbers to change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from html import escape
from typing import Any, get_args, get_type_hints

from detector import config
from detector.options import Range
from detector.seminar.answer import Answer
from detector.visualization.page.shell import WITHOUT_SCRIPTS, document, own_text

SCRIPTS = (
    "arithmetic",
    "typeset",
    "controls",
    "figures",
    "questions",
    "live",
    "convolution_lab",
    "field_lab",
    "page",
)
"""The page's own scripts, in the order in which they stand between the shared `elements.js` and `navigation.js`."""


def seminar_page(answers: Sequence[Answer], unanswered: Sequence[str] = ()) -> str:
    """The page of these answers, as HTML.

    Args:
        answers: in the order in which they are shown.
        unanswered: one line for each question that has no answer.
    """
    script = "\n".join(
        [_shared("elements"), *(own_text(__package__, f"{name}.js") for name in SCRIPTS), _shared("navigation")]
    )
    right = sum(one.right for one in answers)
    wrong = [one.question for one in answers if not one.right]
    failed = "".join(f'<p class="failed">{escape(line)}</p>' for line in (*_wrong_line(wrong), *unanswered))
    body = f"""<header>
<h1>Computer vision seminar</h1>
<p>{right} of {len(answers)} answers are right: all of their conditions hold.</p>
{failed}
<p class="no-print">Change any number: each step and each claim is worked anew. Keys: n and p go to the next and to the
previous question.</p>
{WITHOUT_SCRIPTS}
</header>
<nav id="contents" aria-label="questions"></nav>
<main>
<div id="answers"></div>
<section class="lab" id="convolution" tabindex="-1"></section>
<section class="lab" id="field" tabindex="-1"></section>
</main>"""
    data = {"answers": [one.as_data() for one in answers], "limits": limits()}
    title = f"Seminar: {', '.join(one.question for one in answers)}"
    return document(title, body, data, script, own_text(__package__, "page.css"))


def limits() -> dict[str, list[int]]:
    """The smallest and the largest value of each whole number that a question takes, as the command line has them."""
    hints = get_type_hints(config.Seminar, include_extras=True)
    found = {}
    for one in fields(config.Seminar):
        for each in _ranges(hints[one.name]):
            found[one.name] = [int(each.low), int(each.high)]
    return found


def _ranges(hint: Any) -> list[Range]:
    return [found for one in get_args(hint) for found in ([one] if isinstance(one, Range) else _ranges(one))]


def _wrong_line(wrong: Sequence[str]) -> tuple[str, ...]:
    return (f"Wrong: {', '.join(wrong)}",) if wrong else ()


def _shared(name: str) -> str:
    return own_text("detector.visualization.page", f"{name}.js")
