"""Tables as text, for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def terminal(cells: Sequence[Sequence[str]], columns: int | None = None) -> str:
    """Columns of equal width, the first one to the left; without a final line break.

    A table that is wider than `columns` characters continues below with its further columns. Where the first column takes
    more than half of the width, its cells have lines of their own.
    """
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if columns is None or sum(widths) + 2 * (len(widths) - 1) <= columns:
        return "\n".join(_line(line, widths) for line in cells)
    apart = widths[0] > columns // 2
    first = 0 if apart else widths[0]
    blocks: list[list[int]] = [[]]
    for number in range(1, len(widths)):
        if blocks[-1] and first + sum(2 + widths[i] for i in (*blocks[-1], number)) > columns:
            blocks.append([])
        blocks[-1].append(number)
    tables = []
    for block in blocks:
        lines = []
        for line in cells:
            if apart:
                lines.append(line[0])
            chosen = ["" if apart else line[0], *(line[i] for i in block)]
            lines.append(_line(chosen, [first, *(widths[i] for i in block)]))
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()


def markdown(cells: Sequence[Sequence[str]]) -> str:
    """A pipe table; without a final line break."""
    titles, *lines = ([cell.replace("|", "\\|") for cell in line] for line in cells)
    rule = ["---", *("---:" for _ in titles[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (titles, rule, *lines))
