"""How a batch travels from a loader process to the training process."""

from __future__ import annotations

import multiprocessing.reduction
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from detector.types import ImageId, Target


def empty_images(count: int, size: int) -> Tensor:
    """uint8 [count, 3, size, size], not initialised; in a loader process it lies in memory shared with the parent."""
    shape = (count, 3, size, size)
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8)
    shared = torch.UntypedStorage._new_shared(count * 3 * size * size)
    return torch.empty(0, dtype=torch.uint8).set_(shared).view(shape)


def one_thread(worker: int) -> None:
    """A loader process's `worker_init_fn`: there are as many processes as there is room for threads."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


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
