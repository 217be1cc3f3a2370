"""The data loader alone: images per second, and whether the memory of its processes grows."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from detector import config
from detector.data.augment.random_views import mixing_epochs
from detector.data.module import DetectionData
from detector.experiments.benchmark.clock import Clock, images_per_second, rounded
from detector.experiments.benchmark.memory import MEASURE, PeakMemory, held
from detector.resolve import resize_of
from detector.types import Batch


def measure_loader(settings: config.Benchmark) -> dict[str, Any]:
    """Receives the training batches of `settings` and does nothing with them.

    First whole epochs, after each of which the memory of the loader processes is read, then the timed repeats. Batches
    run on from one epoch to the next, so that the pause between two epochs counts, as it does in training.
    """
    peak = PeakMemory()
    data = DetectionData.read(
        settings.data,
        settings.augment,
        settings.image_size,
        seed=settings.seed,
        epochs=settings.trainer.epochs,
        proposals=settings.model.proposal_request(),
        resize=resize_of(settings.model),
    )
    loader = data.train_dataloader()
    epochs = _epochs(loader, _first_epochs(settings))

    others = {process.pid for process in multiprocessing.active_children()}
    memory = []
    for _ in range(settings.epochs):
        for _ in next(epochs):
            pass
        memory.append(held(_loading_processes(others)))

    clock = Clock(settings)
    batches = (batch for epoch in epochs for batch in epoch)
    clock.start()
    while not clock.finished:
        clock.step(len(next(batches).targets))

    return {
        "images_per_second": images_per_second(clock),
        "loader_processes": loader.num_workers,
        "training_images": len(data.train_index),
        "loader_memory": _memory_figure(memory),
        "peak_memory": peak.report(),
    }


def _first_epochs(settings: config.Benchmark) -> int:
    """How many epochs are like the first one: with mosaic and the like, where there are any."""
    return max(1, mixing_epochs(settings.augment, settings.trainer.epochs))


def _epochs(loader: DataLoader[Batch], period: int) -> Iterator[Iterator[Batch]]:
    """The epochs 0, 1, ... period − 1, 0, 1, ... of the loader, for ever."""
    epoch = 0
    while True:
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]  # as Lightning does it
        yield iter(loader)
        epoch = (epoch + 1) % period


def _loading_processes(others: set[int | None]) -> list[int]:
    """Ids of the loader processes; of this process, where it loads by itself."""
    started = {process.pid for process in multiprocessing.active_children()} - others
    return [pid for pid in started if pid is not None] or [os.getpid()]


def _memory_figure(memory: list[float]) -> dict[str, Any]:
    return {"unit": "MiB", "measure": MEASURE, "after_each_epoch": [rounded(value) for value in memory]}
