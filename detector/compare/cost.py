"""What a detector costs at its image size: floating-point operations, and time on this device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

from detector.checkpoint import open_checkpoint
from detector.data.index import Index
from detector.data.module import evaluation_loader
from detector.inference.predictor import Predictor
from detector.types import Batch

IMAGES = 8
"""Validation images that take turns: suppression's time depends on what is in a picture."""
WARMUP = 3
SECONDS = 2.0
LEAST_REPEATS = 20


@dataclass(frozen=True)
class Cost:
    """Of one image."""

    gflops: float
    """10⁹ operations of convolutions and matrix products, 2 for each multiply-add; nothing else is counted."""
    latency_ms: float | None
    """Median over single images; None where it was not measured."""


def measure_cost(checkpoint_file: Path, index: Index, latency: bool, accelerator: str) -> Cost:
    """Cost of what evaluation does with an image: normalisation, network, decoding, suppression, boxes in its pixels.

    Latency is from the letterboxed image in host memory to the detections in host memory, one image at a time. Proposals,
    where the model wants some from outside, are searched for in the letterboxed image, within that time.

    Raises:
        UserError: the checkpoint or an image cannot be read, or the accelerator is not there.
    """
    predictor = Predictor(open_checkpoint(checkpoint_file), accelerator=accelerator)
    data = replace(predictor.checkpoint.config.data, batch_size=1, workers=0, cache="none")
    few = index.subset(np.arange(min(IMAGES, len(index))))
    batches = list(evaluation_loader(few, data, predictor.image_size))
    with FlopCounterMode(display=False) as counter:
        predictor.detect(batches[0])
    return Cost(counter.get_total_flops() / 1e9, _median_ms(predictor, batches) if latency else None)


def _median_ms(predictor: Predictor, batches: Sequence[Batch]) -> float:
    times: list[float] = []
    while len(times) < WARMUP + LEAST_REPEATS or sum(times) < SECONDS:
        started = time.perf_counter()
        predictor.detect(batches[len(times) % len(batches)])  # waits for the device: what it returns is on the host
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times[WARMUP:])
