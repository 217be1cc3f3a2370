"""Numbers that loader processes load in place of images, and what can go wrong in one."""

import multiprocessing.reduction
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import get_worker_info

from detector.data.batch import collate, empty_images
from detector.data.loader import Loader, no_note
from detector.errors import RunError
from detector.types import Batch, Target


class Images:
    """The numbers 0, 1, ... as batches of one; `fault` is called in the loader process with each number."""

    def __init__(self, count: int = 40, fault: Callable[[int], None] | None = None) -> None:
        self.array = np.arange(100_000)
        self.count = count
        self.fault = fault
        self.note: Callable[[int | None], None] = no_note

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> int:
        self.note(i)
        if self.fault is not None:
            self.fault(i)
        value = int(self.array[i])
        self.note(None)
        return value

    def where(self, position: int) -> str:
        return f"folder/{position}.jpg"


def loader(dataset: Any, workers: int = 2, timeout: float = 120, **options: Any) -> Loader[Any]:
    return Loader(dataset, name="training data", workers=workers, timeout=timeout, batch_size=None, **options)


def processes(batches: Iterator[Any]) -> list[BaseProcess]:
    return batches._workers  # type: ignore[attr-defined]


def started(dataset: Images, patience: float) -> Iterator[Any]:
    """Batches of two processes, both of which have given one; from now on they are waited for `patience` seconds."""
    batches = iter(loader(dataset))
    next(batches), next(batches)
    batches._patience = patience  # type: ignore[attr-defined]
    return batches


def exit_at_7(i: int) -> None:
    if i == 7:
        os._exit(3)


def killed_at_7(i: int) -> None:
    if i == 7:
        os.kill(os.getpid(), signal.SIGKILL)


def hang_at_7(i: int) -> None:
    if i == 7:
        time.sleep(1000)


def no_room(i: int) -> None:
    if i != 7:
        return
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # what a full /dev/shm does: it cannot grow the file
    try:
        empty_images(4, 64)
    except RunError as error:
        raise RunError(f"{error} before loading folder/{i}.jpg") from error


def target(objects: int) -> Target:
    return Target(
        boxes=torch.rand(objects, 4),
        labels=torch.arange(objects),
        crowd=torch.zeros(objects, dtype=torch.bool),
        area=torch.rand(objects),
        image_id=objects,
        original_size=(5, 6),
        transform=torch.eye(3),
    )


class Batches(Images):
    def __getitem__(self, i: int) -> Any:
        torch.manual_seed(i)
        return Batch(empty_images(2, 32).fill_(i), [target(0), target(i * 100)])


class Makers(Images):
    """The process that loads each number, in place of the number."""

    def __getitem__(self, i: int) -> int:
        information = get_worker_info()
        assert information is not None
        return information.id


def send(batch: Batch) -> Any:
    """As `collate`, and measures the message."""
    sent = collate(batch)
    sent.images[0, 0, 0, 0] = len(multiprocessing.reduction.ForkingPickler.dumps((123456, sent))) // 16
    return sent


PICTURE = np.random.default_rng(0).integers(0, 255, (600, 800, 3), dtype=np.uint8)


def flip(i: int) -> None:
    cv2.flip(PICTURE[:320, :320], 1)
    cv2.resize(PICTURE, (100, 100))
