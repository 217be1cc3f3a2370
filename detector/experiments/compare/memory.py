"""Memory of a prediction, in a process of its own: what else this one holds, or has held, does not count."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import psutil
import torch

from detector.checkpoint import open_checkpoint
from detector.data.free_memory import give_back_memory
from detector.errors import UserError
from detector.experiments.benchmark.memory import MEBIBYTE, forget_peak, peak_resident
from detector.inference.predictor import Predictor
from detector.types import Batch


def peak_memory(checkpoint_file: Path, batches: Sequence[Batch], accelerator: str) -> float:
    """MiB that weights and prediction need at most, one of the `batches` after the other.

    On a GPU: the tensors held there. Otherwise: what is resident beyond the libraries.

    Raises:
        UserError: the process was killed, as happens where memory runs out.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_predict, checkpoint_file, list(batches), accelerator).result()
        except BrokenProcessPool:
            raise UserError(
                f"{checkpoint_file}: the process that measures its memory was killed from outside, perhaps for want of "
                "memory: latency=false leaves the measurement out"
            ) from None


def _predict(checkpoint_file: Path, batches: Sequence[Batch], accelerator: str) -> float:
    _predicted(checkpoint_file, batches[:1], accelerator)  # imports what is imported late
    give_back_memory()
    libraries = psutil.Process().memory_info().rss / MEBIBYTE
    predictor = _predicted(checkpoint_file, batches, accelerator)
    if predictor.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / MEBIBYTE
    return peak_resident() - libraries


def _predicted(checkpoint_file: Path, batches: Sequence[Batch], accelerator: str) -> Predictor:
    predictor = Predictor(open_checkpoint(checkpoint_file), accelerator=accelerator)
    forget_peak()  # a checkpoint also holds what training needs, and was read as a whole
    for batch in batches:
        predictor.detect(batch)
    return predictor
