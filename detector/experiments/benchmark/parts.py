"""What a training step spends its time on, part by part, on the device that it runs on."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import lightning as L
import torch
from torch import Tensor

from detector import config
from detector.experiments.benchmark.borders import PARTS, PartBorders
from detector.experiments.benchmark.clock import device_wait, figure, rounded
from detector.experiments.benchmark.memory import PeakMemory
from detector.experiments.benchmark.training import repeat_a_step
from detector.types import Batch
from detector.visualization.text_table import terminal

OF_NETWORK = ("normalise", "network", "backward")
PROFILED = 5
"""Batches in which a GPU records what it runs, and when."""


def measure_parts(settings: config.Benchmark) -> dict[str, Any]:
    """Milliseconds of the step of a batch and of each part of it, from when the device begins with it until the next begins.

    The host's marks stand between the operations that the device is given, so that a part also holds the time in which
    the device waits for its operations.

    Returns:
        `step` and `parts`, in ms, over the repeats. `backward` is that of the network: the loss's own belongs to `loss`.
        `outside_network`: the share of the step that is neither the network nor its backward pass; absent where
        `trainer.compile=step` melts network and loss into one. On a GPU `idle`: the share of the step in which it runs nothing.
    """
    peak = PeakMemory()
    clock = _PartClock(settings)
    trainer = repeat_a_step(settings, [clock])
    return {
        **clock.report(),
        "batch_size": clock.batch_size,
        "precision": str(trainer.precision),
        "peak_memory": peak.report(),
    }


def table(report: dict[str, Any]) -> str:
    """The figures of `measure_parts` as text: a line for each part."""
    whole = report["step"]["median"]
    lines = [
        [name, f"{value['median']:.2f}", f"{value['median'] / whole:.1%}"] for name, value in report["parts"].items()
    ]
    lines.append(["step", f"{whole:.2f}", ""])
    shares = {"outside_network": "outside the network", "idle": "idle"}
    lines += [[words, "", f"{report[name]:.1%}"] for name, words in shares.items() if name in report]
    return terminal([["part", "ms", "share"], *lines])


class _PartClock(PartBorders):
    """Marks the time at every border; a GPU marks it when it has come so far."""

    def __init__(self, settings: config.Benchmark) -> None:
        super().__init__()
        self.settings = settings
        self._on_gpu = False
        self._marks: list[tuple[str, Any]] = []
        self._first = 0
        self._repeats: list[dict[str, float]] = []
        self._loss_goes_back = self._apart = False
        self._record: torch.profiler.profile | None = None
        self._busy: float | None = None

    def report(self) -> dict[str, Any]:
        """`step`, `parts` and the shares, as `measure_parts` returns them."""
        step = figure([sum(repeat.values()) for repeat in self._repeats], "ms")
        names = [part for part in PARTS if any(part in repeat for repeat in self._repeats)]
        parts = {name: figure([repeat.get(name, 0.0) for repeat in self._repeats], "ms") for name in names}
        report: dict[str, Any] = {"step": step, "parts": parts}
        if self._apart:
            inside = sum(parts[name]["median"] for name in OF_NETWORK if name in parts)
            report["outside_network"] = rounded(1 - inside / sum(part["median"] for part in parts.values()))
        if self._busy is not None:
            report["idle"] = rounded(max(0.0, 1 - self._busy / step["median"]))
        return report

    def entered(self, part: str) -> None:
        """The backward pass begins with the loss, if it is known where the network begins."""
        part = "loss" if part == "backward" and self._loss_goes_back else part
        self._marks.append((part, _event() if self._on_gpu else time.perf_counter()))

    def network_returned(self, outputs: list[Tensor]) -> None:
        """Once the gradients of all outputs are there, the network's own backward pass begins."""
        learned = [one for one in outputs if one.requires_grad]
        if learned:
            torch.autograd.graph.register_multi_grad_hook(learned, lambda _: self._network_goes_back())
            self._loss_goes_back = self._apart = True

    def _network_goes_back(self) -> None:
        self._loss_goes_back = False
        self.entered("backward")

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The device is known."""
        self._on_gpu = pl_module.device.type == "cuda"
        self._wait = device_wait(pl_module.device)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """The batch before is done, as far as the host knows."""
        self.batch_size = len(batch.targets)
        done = batch_idx - self.settings.warmup
        if done <= 0:
            self._begin(0)
        elif self._record is not None:
            if done == self._first + PROFILED:
                self._busy = self._read_record(self._record)
                trainer.should_stop = True
        elif time.perf_counter() - self._started >= self.settings.seconds:
            self.entered("other")
            self._wait()
            self._repeats.append(_milliseconds(self._marks, self._on_gpu, done - self._first))
            self._begin(done)
            if len(self._repeats) == self.settings.repeats:
                self._finish(trainer)

    def _begin(self, step: int) -> None:
        """A repeat begins with this step."""
        self._wait()
        self._first = step
        self._marks = []
        self._started = time.perf_counter()
        self.entered("other")

    def _finish(self, trainer: L.Trainer) -> None:
        """On a GPU some more steps say how long it computes."""
        if self._on_gpu:
            self._record = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
            self._record.start()
        else:
            trainer.should_stop = True

    def _read_record(self, record: torch.profiler.profile) -> float:
        """Milliseconds of a step in which the GPU computes."""
        self._wait()
        record.stop()
        ran = (one.time_range for one in record.events() or [] if one.device_type == torch.autograd.DeviceType.CUDA)
        return busy((one.start, one.end) for one in ran) / 1000 / PROFILED


def busy(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of spans (start, end)."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _milliseconds(marks: list[tuple[str, Any]], on_gpu: bool, steps: int) -> dict[str, float]:
    """Time by part between each mark and the next, a step."""
    parts: dict[str, float] = defaultdict(float)
    for (part, begun), (_, ended) in pairwise(marks):
        parts[part] += (begun.elapsed_time(ended) if on_gpu else (ended - begun) * 1000) / steps
    return dict(parts)
