"""One HTML file that needs nothing else: the frame, the style and the scripts that every page of a result shares."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

SCRIPTS = ("elements", "controls", "table", "line_chart", "bars", "heat_map", "pictures", "image_grid")
"""Scripts that a page's own may use, in the order in which they stand before it; `navigation.js` comes after it."""


@dataclass(frozen=True)
class Section:
    """A part of a page with a title, to which the page's navigation leads."""

    id: str
    """Letters alone: a script finds the section's content by it (`content(id)`)."""
    title: str
    """Plain text."""
    html: str = ""
    """What stands there before a script adds to it; texts in it are escaped by whoever makes it."""


@dataclass(frozen=True)
class Figure:
    """A number that is shown large at the top of a page."""

    value: str
    what: str
    note: str = ""


def page(
    title: str,
    sections: Sequence[Section],
    data: Mapping[str, Any],
    scripts: Sequence[str],
    *,
    lines: Sequence[str] = (),
    figures: Sequence[Figure] = (),
    styles: Sequence[str] = (),
    keys: str = "",
    links_images: bool = False,
) -> str:
    """An HTML page that asks for nothing from anywhere.

    Its policy lets the browser run these very scripts alone, and load no image but those inside the page.

    Args:
        title: plain text.
        sections: in the order in which they are shown.
        data: what the scripts read as `data`; JSON values, without NaN and infinities. `column` makes one of an array.
        scripts: JavaScript texts of the page itself, run after the shared ones in one scope.
        lines: plain text under the title.
        figures: the numbers at the top.
        styles: CSS texts of the page itself, after the shared one.
        keys: what keys do beside "n and p go to the next and the previous section".
        links_images: images that are files beside the page may be loaded, where the page itself is opened as a file.
    """
    script = "\n".join([*map(_own_script, SCRIPTS), *scripts, _own_script("navigation")])
    body = f"""<header>
<h1>{escape(title)}</h1>
{"".join(f"<p>{escape(line)}</p>" for line in lines)}
<div class="figures">{"".join(map(_figure, figures))}</div>
<p class="hint no-print">Keys: n and p go to the next and the previous section{escape(f"; {keys}" if keys else "")}.</p>
{WITHOUT_SCRIPTS}
</header>
<nav aria-label="sections"><ul>{"".join(f'<li><a href="#{one.id}">{escape(one.title)}</a></li>' for one in sections)}</ul></nav>
<main>
{"".join(map(_section, sections))}
</main>"""
    style = own_text(__package__, "shell.css") + "".join(styles)
    return document(title, body, data, script, style, "data: file:" if links_images else "data:")


WITHOUT_SCRIPTS = (
    '<noscript><p class="failed">The page draws itself with JavaScript, which is switched off here.</p></noscript>'
)


def document(title: str, body: str, data: Mapping[str, Any], script: str, style: str, images: str = "data:") -> str:
    """An HTML file around a body: its policy, style, data and script.

    Args:
        title: plain text.
        body: HTML.
        data: JSON values, without NaN and infinities, which the script finds in the element `data`.
        script: JavaScript, the only one that the policy lets a browser run.
        style: CSS.
        images: where images may be loaded from, as a policy says it.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # within a script element "</script>" would end it, and "<!--" hide that end, whatever surrounds them
    content = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; img-src {images}; style-src 'unsafe-inline'; script-src 'sha256-{digest}'">
<meta name="viewport" content="width=device-width">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
<script type="application/json" id="data">{content}</script>
<script>{script}</script>
</body>
</html>
"""


@cache
def own_text(package: str, name: str) -> str:
    """The text of a file that is installed with a package: a script or a style sheet."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _own_script(name: str) -> str:
    return own_text(__package__, f"{name}.js")


def _section(one: Section) -> str:
    return (
        f'<section id="{one.id}" tabindex="-1" aria-labelledby="{one.id}-title">'
        f'<h2 id="{one.id}-title">{escape(one.title)}</h2>{one.html}<div class="content"></div></section>\n'
    )


def _figure(one: Figure) -> str:
    return f"<div><b>{escape(one.value)}</b><span>{escape(one.what)}</span><small>{escape(one.note)}</small></div>"
