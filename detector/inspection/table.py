"""The ledger as text: a table of blocks for the terminal, all layers as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from detector.inspection.inspected import Inspected
from detector.inspection.tree import Node

TITLES = (
    "block",
    "kind",
    "kernel",
    "stride",
    "output",
    "parameters",
    "share",
    "M MACs",
    "share",
    "MiB",
    "share",
    "field",
    "every",
)


def ledger_cells(inspected: Inspected, depth: int) -> list[list[str]]:
    """A line of titles, one a block or layer down to `depth` (0: all the way), indented, and the totals."""
    root = inspected.tree
    cells = [list(TITLES)]
    for node, level in _down_to(root, depth or 1_000):
        cells.append(["  " * (level - 1) + node.label, *_line(inspected, node)])
    cells.append(["total", *_line(inspected, root)])
    return cells


def _down_to(node: Node, depth: int, level: int = 1) -> Iterator[tuple[Node, int]]:
    if level > depth:
        return
    for child in node.children:
        yield child, level
        yield from _down_to(child, depth, level + 1)


def _line(inspected: Inspected, node: Node) -> list[str]:
    root, field = inspected.tree, inspected.field_of(node)
    layer = node.layer
    return [
        node.kind,
        by_axis(layer.kernel) if layer and layer.kernel else "",
        by_axis(layer.stride) if layer and layer.stride else "",
        volume(node),
        f"{node.parameters:,}",
        _share(node.parameters, root.parameters),
        f"{node.multiply_accumulates / 1e6:,.1f}",
        _share(node.multiply_accumulates, root.multiply_accumulates),
        f"{node.activation_bytes / 2**20:,.2f}",
        _share(node.activation_bytes, root.activation_bytes),
        field_cell(inspected, node),
        by_axis(field.stride) if field and any(field.size) else "",
    ]


def field_cell(inspected: Inspected, node: Node) -> str:
    """`31×31`, `31×31 +all` where the output depends on the whole image besides, `all` where on nothing else, `?` unknown."""
    if inspected.unknown_of(node):
        return "?"
    field = inspected.field_of(node)
    if field is None:
        return ""
    return " +".join([by_axis(field.size)] * any(field.size) + ["all"] * field.whole)


def volume(node: Node) -> str:
    """`64×80×80`: what comes out for one image, or `300 · 1024` for 300 regions; how many where there are several."""
    if len(node.outputs) != 1:
        return f"{len(node.outputs)} tensors" if node.outputs else ""
    number, *shape = node.outputs[0]
    return (f"{number} · " if number != 1 else "") + by_axis(shape)


def by_axis(values: Any) -> str:
    """`3×3`."""
    return "×".join(f"{value:g}" for value in values)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def as_csv(inspected: Inspected) -> str:
    """One line for each run of each layer, with all digits; fields in pixels, rows first."""
    text = io.StringIO()
    lines = [
        _csv_line(inspected, part, leaf) for part in inspected.parts for leaf, _ in _down_to(part, 1_000) if leaf.layer
    ]
    writer = csv.DictWriter(text, lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _csv_line(inspected: Inspected, part: Node, leaf: Node) -> dict[str, Any]:
    layer, field = leaf.layer, inspected.field_of(leaf)
    assert layer
    return {
        "part": part.path.partition(".")[0],
        "layer": layer.name,
        "kind": layer.kind,
        "kernel": _plain(layer.kernel),
        "stride": _plain(layer.stride),
        "input": _plain(layer.input_shape),
        "output": _plain(layer.output_shape),
        "parameters": layer.parameters,
        "multiply_accumulates": layer.multiply_accumulates,
        "counted_flops": layer.counted_flops,
        "activation_bytes": layer.activation_bytes,
        "field": "unknown" if inspected.unknown_of(leaf) else _plain(field and field.size),
        "field_stride": _plain(field and field.stride),
        "field_offset": _plain(field and field.offset),
        "sees_whole_image": field and field.whole,
    }


def _plain(values: Any) -> str:
    return "x".join(f"{value:g}" for value in values or ())
