"""One line on the terminal that says how far a loop is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def with_progress(items: Iterable[T], total: int, noun: str) -> Iterator[T]:
    """The items; where stderr is a terminal, a line there counts them, at most five times a second.

    `total` may be 0 where it is not known.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    shown = time.perf_counter()
    for done, item in enumerate(items, 1):
        yield item
        now = time.perf_counter()
        if now - shown > 0.2:
            shown = now
            print(f"\r{noun} {done}" + (f" of {total}" if total else ""), end="", file=sys.stderr, flush=True)
    print("\r\033[K", end="", file=sys.stderr, flush=True)
