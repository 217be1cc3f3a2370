"""What a detector costs at its image size: floating-point operations, regions, and time on this device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch.utils.flop_counter import FlopCounterMode

from detector.checkpoint import open_checkpoint
from detector.data.index import Index
from detector.experiments.benchmark.clock import device_wait
from detector.experiments.compare.memory import peak_memory
from detector.inference.predictor import Picture, Predictor
from detector.models.stages import STAGES, StageTimer
from detector.types import Batch

IMAGES = 8
"""Validation images that take turns: what is in a picture decides on the regions looked at and on suppression's time."""
WARMUP = 3
SECONDS = 2.0
LEAST_REPEATS = 20
MOST_SECONDS = 120.0
"""Seconds after which a detector that takes seconds for an image is repeated no more."""
OTHER = "other"
"""What belongs to no stage: images to the device, detections back from it and into the pixels of their images."""


@dataclass(frozen=True)
class Cost:
    """What one image costs: means and medians over `IMAGES` validation images."""

    gflops: float
    """10⁹ operations of convolutions and matrix products, 2 for each multiply-add; nothing else is counted."""
    latency_ms: float | None
    """Median over single images; None where it was not measured."""
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    """Median latency by stage and `OTHER`: those that the detector has; empty where it was not measured."""
    regions: float | None = None
    """How many passed through the network, or its part that looks at each; None of a detector that has none."""
    memory_mib: float | None = None
    """Peak of prediction, see `peak_memory`; None where it was not measured."""


def measure_cost(checkpoint_file: Path, index: Index, latency: bool, accelerator: str, memory: bool = False) -> Cost:
    """Cost of what prediction does with an image: normalisation, network, decoding, suppression, boxes in its pixels.

    Latency is from the image as the model sees it, in host memory, to the detections in host memory, one image at a time.
    Where the detector wants proposals from outside, the time of the search for them is added; each image is searched once.

    Raises:
        UserError: the checkpoint or an image cannot be read, or the accelerator is not there.
    """
    predictor = Predictor(open_checkpoint(checkpoint_file), accelerator=accelerator)
    search = StageTimer()
    with search.watching():
        batches = [predictor.preprocess([_picture(index, i)]) for i in range(min(IMAGES, len(index)))]
    clock = StageTimer()
    with FlopCounterMode(display=False) as counter, clock.watching():
        for batch in batches:
            predictor.detect(batch)
    whole, stages = _measure_times(predictor, batches) if latency else (None, {})
    if whole is not None and "proposals" in search.seconds:
        searched = 1000 * search.seconds["proposals"] / len(batches)
        whole, stages = whole + searched, {"proposals": searched, **stages}
    return Cost(
        counter.get_total_flops() / len(batches) / 1e9,
        whole,
        stages,
        clock.regions / len(batches) if clock.regions else None,
        peak_memory(checkpoint_file, batches, accelerator) if memory else None,
    )


def _picture(index: Index, i: int) -> Picture:
    return index.image(i) if index.painter else str(index.files[i])


def _measure_times(predictor: Predictor, batches: Sequence[Batch]) -> tuple[float, dict[str, float]]:
    """Median milliseconds of the whole and of its stages, measured in turns.

    The one is measured without the other: at the borders of a stage the device is waited for, which costs time itself.
    """
    wholes: list[float] = []
    stages: list[dict[str, float]] = []
    while not _enough(wholes):
        batch = batches[len(wholes) % len(batches)]
        started = time.perf_counter()
        predictor.detect(batch)  # waits for the device: what it returns is on the host
        wholes.append(time.perf_counter() - started)
        stages.append(_stage_seconds(predictor, batch))
    present = [name for name in (*STAGES, OTHER) if name in stages[0]]
    medians = {name: 1000 * statistics.median(one[name] for one in stages[WARMUP:]) for name in present}
    return 1000 * statistics.median(wholes[WARMUP:]), medians


def _enough(seconds: Sequence[float]) -> bool:
    repeats, total = len(seconds) - WARMUP, sum(seconds)
    return repeats > 0 and (total >= MOST_SECONDS or (repeats >= LEAST_REPEATS and total >= SECONDS))


def _stage_seconds(predictor: Predictor, batch: Batch) -> dict[str, float]:
    clock = StageTimer(device_wait(predictor.device))
    started = time.perf_counter()
    with clock.watching():
        predictor.detect(batch)
    whole = time.perf_counter() - started
    return {**clock.seconds, OTHER: whole - sum(clock.seconds.values())}
