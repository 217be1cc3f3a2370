"""The seminar as a page: one HTML file that needs nothing else, with derivations, figures, and numbers to change."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields
from html import escape
from importlib.resources import files
from typing import Any, get_args, get_type_hints

from detector import config
from detector.options import Range
from detector.seminar.answer import Answer

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
"""Parts of the page's script, in the order in which they stand in it."""


def seminar_page(answers: Sequence[Answer], unanswered: Sequence[str] = ()) -> str:
    """The page of these answers, as HTML.

    Args:
        answers: in the order in which they are shown.
        unanswered: one line for each question that has no answer.
    """
    script = "\n".join(_own(f"{name}.js") for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    content = {"answers": [one.as_data() for one in answers], "limits": limits()}
    # within a script element "</script>" would end it, whatever surrounds it
    data = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    right = sum(one.right for one in answers)
    wrong = [one.question for one in answers if not one.right]
    count = f"{right} of {len(answers)} answers are right: all of their conditions hold."
    failed = "".join(f'<p class="failed">{escape(line)}</p>' for line in (*_wrong_line(wrong), *unanswered))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'">
<meta name="viewport" content="width=device-width">
<title>Seminar: {escape(", ".join(one.question for one in answers))}</title>
<style>{_own("page.css")}</style>
</head>
<body>
<header>
<h1>Computer vision seminar</h1>
<p>{count}</p>
{failed}
<p class="no-print">Change any number: each step and each claim is worked anew. Keys: n and p go to the next and to the
previous question.</p>
<noscript><p class="failed">The page draws itself with JavaScript, which is switched off here.</p></noscript>
</header>
<nav id="contents" aria-label="questions"></nav>
<main>
<div id="answers"></div>
<section class="lab" id="convolution" tabindex="-1"></section>
<section class="lab" id="field" tabindex="-1"></section>
</main>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


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


def _own(name: str) -> str:
    return files("detector.seminar.page").joinpath(name).read_text(encoding="utf-8")
