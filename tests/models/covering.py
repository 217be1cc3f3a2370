"""Few combinations that hold every pair: faults of one part, or of two that do not get on, show in one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, product

import numpy as np

Value = str
Refused = Callable[[Value, Value], bool]


def covering_rows(factors: Sequence[Sequence[Value]], refused: Refused) -> list[tuple[Value, ...]]:
    """Rows of one value a factor: every pair of values of two factors is in one, and no refused pair is in any.

    Greedy: the next row is one that holds the most pairs not seen yet (Cohen et al. 1997, the AETG system); of several the
    one whose pairs have been seen the least, then the first. A pair that no row can hold without a refused one raises a
    ValueError.
    """
    pairs = {pair: i for i, pair in enumerate(all_pairs(factors))}
    is_refused = np.array([refused(a, b) for (_, a), (_, b) in pairs])
    places = list(product(*([(i, value) for value in values] for i, values in enumerate(factors))))
    held = np.array([[pairs[pair] for pair in combinations(row, 2)] for row in places])
    allowed = ~is_refused[held].any(axis=1)
    places, held = [row for row, good in zip(places, allowed, strict=True) if good], held[allowed]

    rows = []
    seen = np.zeros(len(pairs), dtype=np.int64)
    while (missing := (seen == 0) & ~is_refused).any():
        gains = missing[held].sum(axis=1)
        if not gains.any():
            raise ValueError(f"in no row without a refused pair: {list(pairs)[int(missing.argmax())]}")
        best = int(np.lexsort((seen[held].sum(axis=1), -gains))[0])
        seen[held[best]] += 1
        rows.append(tuple(value for _, value in places[best]))
    return rows


def all_pairs(factors: Sequence[Sequence[Value]]) -> list[tuple[tuple[int, Value], tuple[int, Value]]]:
    """Every two values of two factors, each with the number of its factor."""
    return [
        ((i, a), (j, b))
        for (i, first), (j, second) in combinations(enumerate(factors), 2)
        for a, b in product(first, second)
    ]


def with_extras(
    rows: Sequence[tuple[Value, ...]], extras: Sequence[Value], refused: Refused
) -> list[tuple[Value, ...]]:
    """Every row with one more value, and every extra in a row at least; rows come again where there are too few.

    The next row gets the extra that has been given least often among those that no value of the row refuses.
    """
    given = dict.fromkeys(extras, 0)
    result: list[tuple[Value, ...]] = []
    while len(result) < len(rows) or not all(given.values()):
        if len(result) > len(rows) + len(rows) * len(extras):
            raise ValueError(f"refused by every row: {[extra for extra, times in given.items() if not times]}")
        row = rows[len(result) % len(rows)]
        fitting = [extra for extra in extras if not any(refused(extra, value) for value in row)]
        if not fitting:
            raise ValueError(f"no extra fits {row}")
        extra = min(fitting, key=given.__getitem__)
        given[extra] += 1
        result.append((*row, extra))
    return result
