"""Memory that processes hold and the peak of a device's memory."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

from detector.experiments.benchmark.clock import rounded

MEBIBYTE = 2**20
MEASURE = "PSS and swap" if psutil.LINUX else "RSS"
"""What `held` reads. In the proportional set size (PSS) a page that n processes share counts 1/n in each; pages that
a leak keeps and nobody touches are what a system swaps out first."""


def held(processes: Sequence[int]) -> float:
    """Memory of the processes with these ids together, in MiB."""
    total = 0
    for process in map(psutil.Process, processes):
        if psutil.LINUX:
            memory = process.memory_full_info()
            total += memory.pss + memory.swap
        else:
            total += process.memory_info().rss
    return total / MEBIBYTE


def peak_resident() -> float:
    """The largest resident set (RSS) that this process has had since it was started, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss also counts what the parent had when it started this process
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        assert found is not None
        return int(found.group(1)) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MEBIBYTE if sys.platform == "darwin" else peak / 1024


def forget_peak() -> None:
    """From now on `peak_resident` and the device's peak count; the former only where the system can forget (Linux)."""
    references = Path("/proc/self/clear_refs")
    if references.exists():
        references.write_text("5")  # proc(5): resets the peak resident set size to what is resident now
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


class PeakMemory:
    """The memory of this process, of which it must be the first act: a peak never sinks."""

    def __init__(self) -> None:
        self.before = psutil.Process().memory_info().rss / MEBIBYTE

    def report(self) -> dict[str, Any]:
        """MiB resident at the start (the libraries) and at the peak; where a GPU was used, the most tensors held."""
        report: dict[str, Any] = {
            "unit": "MiB",
            "resident_before": rounded(self.before),
            "resident_peak": rounded(peak_resident()),
        }
        if allocated := torch.cuda.max_memory_allocated():
            report["gpu_peak"] = rounded(allocated / MEBIBYTE)
        return report
