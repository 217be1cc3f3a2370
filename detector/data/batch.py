"""How a batch travels from a loader process to the training process."""

from __future__ import annotations

import multiprocessing.reduction
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from detector.errors import RunError
from detector.types import Batch, ImageId, Target

NO_SHARED_MEMORY = "data.workers=0 needs no shared memory; /dev/shm can be larger (docker run --shm-size=2g)"
"""What to do where there is none."""
SHORT = 1024
"""Bytes that are sent as they are. A message of at most 4096 bytes goes through a pipe as a whole or not at all; of a
longer one a process that is killed would leave a part, and the other end would wait for the rest for ever."""


def empty_images(count: int, size: int) -> Tensor:
    """uint8 [count, 3, size, size], not initialised; in a loader process it lies in memory shared with the parent.

    Raises:
        RunError: there is no shared memory left.
    """
    shape = (count, 3, size, size)
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8)
    return _shared_bytes(count * 3 * size * size).view(shape)


def collate(batch: Batch) -> Any:
    """The loader's `collate_fn`: the data set gives batches already; a loader process makes one ready to be sent.

    Raises:
        RunError: there is no shared memory left.
    """
    if get_worker_info() is None:
        return batch
    targets = bytes(multiprocessing.reduction.ForkingPickler.dumps(batch.targets))
    if len(targets) <= SHORT:
        return _Sent(batch.images, targets)
    shared = _shared_bytes(len(targets))
    shared.numpy()[:] = np.frombuffer(targets, dtype=np.uint8)
    return _Sent(batch.images, shared)


def _shared_bytes(count: int) -> Tensor:
    try:
        storage = torch.UntypedStorage._new_shared(count)
    except RuntimeError as error:
        raise RunError(f"found no {count / 1e6:.1f} MB of shared memory for a batch") from error
    return torch.empty(0, dtype=torch.uint8).set_(storage)


@dataclass
class _Sent:
    """A batch on its way; it is received as a `Batch`."""

    images: Tensor
    targets: bytes | Tensor

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (self.images, self.targets)


def _received(images: Tensor, targets: bytes | Tensor) -> Batch:
    return Batch(images, pickle.loads(targets.numpy().data if isinstance(targets, Tensor) else targets))


_TARGET_ARRAYS = ("boxes", "labels", "crowd", "area", "transform")


def _target_by_value(target: Target) -> tuple[Any, ...]:
    arrays = [getattr(target, name).numpy() for name in _TARGET_ARRAYS]
    proposals = None if target.proposals is None else target.proposals.numpy()
    return _target_from_arrays, (*arrays, target.image_id, target.original_size, proposals)


def _target_from_arrays(
    boxes: np.ndarray,
    labels: np.ndarray,
    crowd: np.ndarray,
    area: np.ndarray,
    transform: np.ndarray,
    image_id: ImageId,
    original_size: tuple[int, int],
    proposals: np.ndarray | None,
) -> Target:
    return Target(
        torch.from_numpy(boxes),
        torch.from_numpy(labels),
        torch.from_numpy(crowd),
        torch.from_numpy(area),
        image_id,
        original_size,
        torch.from_numpy(transform),
        None if proposals is None else torch.from_numpy(proposals),
    )


# Between processes torch gives every tensor a file of shared memory and a file descriptor of its own. For the five
# small ones of each target that costs more than the pictures do; their bytes through the pipe are cheaper.
multiprocessing.reduction.ForkingPickler.register(Target, _target_by_value)
