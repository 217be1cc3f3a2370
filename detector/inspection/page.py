"""The ledger as a page: one HTML file that needs nothing else, with blocks to fold and sort and fields over a picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from detector.inspection.inspected import Inspected
from detector.inspection.table import by_axis, field_cell, volume
from detector.inspection.tree import Node
from detector.visualization.page.embedded import data_uri, jpeg
from detector.visualization.page.shell import document, own_text

JPEG_QUALITY = 82


def inspection_page(
    title: str, lines: Sequence[str], check: Sequence[str], wrong: bool, inspected: Inspected, picture: np.ndarray
) -> str:
    """The page.

    Args:
        title: what the detector is made of.
        lines: what was counted, and what a reader should know.
        check: what formulas and PyTorch's own counts say of each other.
        wrong: they differ.
        inspected: the detector.
        picture: square, uint8 [S, S, 3] RGB; stands for what the detector sees.
    """
    ledger = inspected.ledger
    figures = [
        (_short(ledger.parameters), "parameters", f"{ledger.parameters:,}"),
        (_short(ledger.multiply_accumulates), "multiply-accumulates", f"{ledger.multiply_accumulates:,}"),
        (
            f"{ledger.activation_bytes / 2**20:,.1f} MiB",
            "outputs of layers, float32",
            f"{ledger.activation_bytes:,} bytes",
        ),
        (f"{len(ledger.layers):,}", "runs of layers", "in the order of the network"),
    ]
    cards = "".join(
        f'<div class="card"><b>{figure}</b><span>{what}</span><small>{exact}</small></div>'
        for figure, what, exact in figures
    )
    body = f"""<header>
<h1>{escape(title)}</h1>
<p>{"<br>".join(map(escape, lines))}</p>
<div class="cards">{cards}</div>
<p class="check {"wrong" if wrong else "right"}">{"<br>".join(map(escape, check))}</p>
</header>
<main>
<section id="blocks">
<div class="bar"><h2>Where it goes</h2><span id="measures" class="choice"></span><span id="way"></span></div>
<div id="chart"></div>
<p class="hint">From left to right as the image passes through, from parts at the top to layers at the bottom; the width is the
share. Click a block to see its field, twice to look into it.</p>
</section>
<section id="ledger">
<div class="bar"><h2>Ledger</h2><span id="folds" class="choice"></span></div>
<div class="scroll"><table><thead></thead><tbody></tbody></table></div>
<p class="hint">Click a title to sort by it, a row to see its field. Keys: ↑ ↓ go, ← → fold. MACs are multiply-accumulates of
convolutions and fully connected layers; memory is what comes out of layers, in float32; a field is the side of the square of
pixels that an output depends on, and “every” is how far it lies from its neighbour's.</p>
</section>
<aside>
<h2 id="chosen"></h2>
<canvas id="picture" aria-label="receptive field over a sample image"></canvas>
<p id="sees"></p>
<dl id="details"></dl>
<img id="sample" alt="" hidden src="{data_uri(jpeg(picture, max(picture.shape), JPEG_QUALITY))}">
</aside>
</main>"""
    return document(title, body, _data(inspected), own_text(__package__, "page.js"), own_text(__package__, "page.css"))


def _data(inspected: Inspected) -> dict[str, Any]:
    dry_run = inspected.dry_run
    return {"side": dry_run.side, "sees": dry_run.sees, "root": _node(inspected, inspected.tree)}


def _node(inspected: Inspected, node: Node) -> dict[str, Any]:
    """What the page's script reads; short keys, since there are hundreds."""
    field, layer = inspected.field_of(node), node.layer
    return {
        "name": node.label or "whole network",
        "path": node.path,
        "kind": node.kind,
        "kernel": by_axis(layer.kernel) if layer and layer.kernel else "",
        "stride": by_axis(layer.stride) if layer and layer.stride else "",
        "output": volume(node),
        "outputs": [by_axis(shape) for shape in node.outputs],
        "parameters": node.parameters,
        "macs": node.multiply_accumulates,
        "bytes": node.activation_bytes,
        "field": field
        and any(field.size)
        and {"size": field.size, "every": field.stride, "offset": field.offset, "whole": field.whole},
        "sees": field_cell(inspected, node),
        "unknown": inspected.unknown_of(node) or "",
        "children": [_node(inspected, child) for child in node.children],
    }


def _short(number: int) -> str:
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.2f} {name}"
    return str(number)
