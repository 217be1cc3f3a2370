"""The stages of a detection, for whoever measures them: `with stage("features"): ...` inside a detector costs nothing else.

Stages, in the order in which an image passes through them: proposals, features, heads, suppression.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

STAGES = ("proposals", "features", "heads", "suppression")


class StageTimer:
    """What the stages took, while `watching`."""

    def __init__(self, synchronise: Callable[[], None] = lambda: None) -> None:
        """`synchronise` waits for the device, so that its time counts where it was spent."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """Seconds by stage."""
        self.regions = 0
        """Regions that passed through the network, or through the part of it that looks at each one."""
        self.synchronise = synchronise

    @contextmanager
    def watching(self) -> Iterator[StageTimer]:
        """Every `stage` and `count_regions` inside is counted here."""
        global _clock
        before, _clock = _clock, self
        try:
            yield self
        finally:
            _clock = before

    @contextmanager
    def measuring(self, name: str) -> Iterator[None]:
        """Adds what happens inside to a stage."""
        self.synchronise()
        started = time.perf_counter()
        yield
        self.synchronise()
        self.seconds[name] += time.perf_counter() - started


_clock: StageTimer | None = None


def stage(name: str) -> AbstractContextManager[None]:
    """A part of a detection, one of `STAGES`; stages do not lie inside each other."""
    return nullcontext() if _clock is None else _clock.measuring(name)


def count_regions(number: int) -> None:
    """So many regions of the images passed through the network."""
    if _clock is not None:
        _clock.regions += number
