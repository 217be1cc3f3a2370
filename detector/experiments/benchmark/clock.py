"""How a rate is measured: warm-up, repeats of whole steps, median and spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from detector import config


class Clock:
    """Images per second of steps that somebody else runs: `start` before the first one, `step` after each.

    The first `warmup` steps are not timed. Each repeat is as many whole steps as take at least `seconds`, and only at
    its two ends is the device waited for: in between, the host may run ahead of a GPU as it does in training.

    Args:
        settings: warmup, repeats and seconds.
        wait: returns once the device has done what it was given.
    """

    def __init__(self, settings: config.Benchmark, wait: Callable[[], None] = lambda: None) -> None:
        self.repeats = settings.repeats
        self.seconds = settings.seconds
        self.wait = wait
        self.rates: list[float] = []
        """Images per second of each finished repeat."""
        self._steps_to_warm_up = settings.warmup

    @property
    def finished(self) -> bool:
        """No more steps are needed."""
        return len(self.rates) == self.repeats

    def start(self) -> None:
        """The next thing that happens is the first step."""
        self.wait()
        self._images = 0
        self._started = time.perf_counter()

    def step(self, images: int) -> None:
        """A step with so many images is over, as far as the host knows."""
        if self._steps_to_warm_up:
            self._steps_to_warm_up -= 1
            if not self._steps_to_warm_up:
                self.start()
            return
        self._images += images
        if time.perf_counter() - self._started >= self.seconds:
            self.wait()
            self.rates.append(self._images / (time.perf_counter() - self._started))
            self.start()


def device_wait(device: torch.device) -> Callable[[], None]:
    """What a clock waits for on `device`."""
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def images_per_second(clock: Clock) -> dict[str, Any]:
    """The figure of a finished clock."""
    return figure(clock.rates, "images/s")


def figure(values: Sequence[float], unit: str) -> dict[str, Any]:
    """Median and spread of repeated measurements, to four significant digits, and the measurements themselves."""
    return {
        "unit": unit,
        "median": rounded(statistics.median(values)),
        "min": rounded(min(values)),
        "max": rounded(max(values)),
        "repeats": len(values),
        "values": [rounded(value) for value in values],
    }


def rounded(value: float) -> float:
    """Four significant digits: more than any timing has."""
    return float(f"{value:.4g}")
