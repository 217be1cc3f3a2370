"""The annotated objects of a batch: image by image as `Target`, and all in one piece as `Objects`."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, overload

import numpy as np
import torch
from torch import Tensor

ImageId = int | str

FILLER = np.array([[0.0, 0.0, 1.0, 1.0]], dtype=np.float32)
"""The box of a row without an object: one of which every loss is finite."""


@dataclass
class Target:
    """The annotated objects of one image. Zero objects are legal everywhere.

    Boxes are xyxy in pixels of the image they travel with (the model's input, once a batch is made).
    """

    boxes: Tensor
    """float32 [N, 4], continuous coordinates: width = x2 − x1."""
    labels: Tensor
    """int64 [N] in 0..K−1; there is no background class."""
    crowd: Tensor
    """bool [N], on the host: COCO's iscrowd, VOC's difficult: never trained on, ignored when scored."""
    area: Tensor
    """float32 [N], on the host, as annotated, in pixels² of the original image."""
    image_id: ImageId
    original_size: tuple[int, int]
    """(height, width) of the image file."""
    transform: Tensor
    """float32 [3, 3], on the host: homogeneous original pixels → input pixels."""
    proposals: Tensor | None = None
    """float32 [P, 4] xyxy where objects may be, best first, in the pixels of `boxes`; None where nobody asked for any."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Target:
        """The same target with its boxes, labels and proposals on `device`; the rest stays on the host."""
        return replace(
            self,
            boxes=self.boxes.to(device, non_blocking=non_blocking),
            labels=self.labels.to(device, non_blocking=non_blocking),
            proposals=None if self.proposals is None else self.proposals.to(device, non_blocking=non_blocking),
        )

    def scaled(self, factor: float) -> Target:
        """The same target for an input `factor` times as large."""
        proposals = None if self.proposals is None else self.proposals * factor
        return replace(self, boxes=self.boxes * factor, proposals=proposals)

    def without_crowds(self) -> Target:
        """The objects that a detector is trained on."""
        if not self.crowd.any():
            return self
        kept = (~self.crowd).nonzero()[:, 0]
        on_device = kept.to(self.boxes.device)
        return replace(
            self,
            boxes=self.boxes[on_device],
            labels=self.labels[on_device],
            crowd=self.crowd[kept],
            area=self.area[kept],
        )


@dataclass(frozen=True)
class Objects:
    """The objects of all images of a batch, one image after the other, and fillers behind them.

    N, the number of rows, is one of a few (`few_sizes`), so that batches have few different shapes; it is 8 or more, so that
    a batch without an object needs no rule of its own.
    """

    boxes: Tensor
    """float32 [N, 4] xyxy in input pixels."""
    labels: Tensor
    """int64 [N] in 0..K−1."""
    images: Tensor
    """int64 [N], position of the object's image in the batch; of a filler B."""
    trained: Tensor
    """bool [N]: neither a crowd nor a filler."""
    known: KnownObjects
    """What the host knows of them, without asking the device."""


@dataclass(frozen=True)
class KnownObjects:
    """The objects of a batch in the host's memory."""

    boxes: np.ndarray
    """float32 [N, 4], as `Objects.boxes`."""
    images: np.ndarray
    """int64 [N]."""
    trained: np.ndarray
    """bool [N]."""


class Targets(Sequence[Target]):
    """The targets of a batch, whose boxes, labels and proposals lie on a device in three tensors whatever their number.

    A member is made when it is asked for, and what it has of these are views.
    """

    def __init__(self, each: Sequence[Target]) -> None:
        self._each = list(each)
        self._offsets = _offsets([len(one.labels) for one in self._each])
        self._proposal_offsets = _offsets([0 if one.proposals is None else len(one.proposals) for one in self._each])
        numbers, self._known = _numbers(self._each, self._offsets)
        proposals = [one.proposals for one in self._each if one.proposals is not None]
        # boxes [N, 4]; label, image and whether it is trained on, int64 [N, 3]; proposals [P, 4] of all images
        self._tensors = (
            torch.from_numpy(self._known.boxes),
            torch.from_numpy(numbers),
            torch.cat(proposals) if proposals else torch.zeros(0, 4),
        )

    @classmethod
    def of(cls, targets: Sequence[Target], device: torch.device | str) -> Targets:
        """Any sequence of targets as one of this kind, on `device`."""
        asynchronous = torch.device(device).type == "cuda"
        return (targets if isinstance(targets, Targets) else cls(targets)).to(device, asynchronous)

    @property
    def objects(self) -> Objects:
        """All objects of the batch, on the device."""
        boxes, numbers, _ = self._tensors
        labels, images, trained = numbers.unbind(dim=1)
        return Objects(boxes, labels, images, trained.bool(), self._known)

    def without_crowds(self) -> list[Target]:
        """The objects of each image that a detector is trained on; the host knows which, so nobody waits for the device."""
        targets = []
        for i, one in enumerate(self):
            trained = self._known.trained[self._offsets[i] : self._offsets[i + 1]]
            if not trained.all():
                kept = torch.from_numpy(np.flatnonzero(trained))
                rows = kept.to(one.boxes.device, non_blocking=one.boxes.is_cuda)
                crowd, area = one.crowd[kept], one.area[kept]
                one = replace(one, boxes=one.boxes[rows], labels=one.labels[rows], crowd=crowd, area=area)
            targets.append(one)
        return targets

    @property
    def image_ids(self) -> list[ImageId]:
        """The ids of the images."""
        return [one.image_id for one in self._each]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The targets with their boxes, labels and proposals on `device`.

        The rest stays on the host, the only one to read it: a decision on a flag there makes nobody wait for a GPU.
        """
        return self._with(*(one.to(device, non_blocking=non_blocking) for one in self._tensors))

    def pin_memory(self) -> Self:
        """The targets in page-locked memory, from which a GPU takes them without making the host wait."""
        return self._with(*(one.pin_memory() for one in self._tensors))

    def scaled(self, factor: float) -> Self:
        """The targets for an input `factor` times as large."""
        boxes, numbers, proposals = self._tensors
        scaled = self._with(boxes * factor, numbers, proposals * factor)
        scaled._known = replace(self._known, boxes=self._known.boxes * np.float32(factor))
        return scaled

    def _with(self, boxes: Tensor, numbers: Tensor, proposals: Tensor) -> Self:
        other = copy.copy(self)
        other._tensors = boxes, numbers, proposals
        return other

    def __len__(self) -> int:
        return len(self._each)

    @overload
    def __getitem__(self, index: int) -> Target: ...
    @overload
    def __getitem__(self, index: slice) -> list[Target]: ...
    def __getitem__(self, index: int | slice) -> Target | list[Target]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        one = self._each[index]
        index = range(len(self))[index]
        boxes, numbers, proposals = self._tensors
        rows = slice(self._offsets[index], self._offsets[index + 1])
        proposed = slice(self._proposal_offsets[index], self._proposal_offsets[index + 1])
        return replace(
            one,
            boxes=boxes[rows],
            labels=numbers[rows, 0],
            proposals=None if one.proposals is None else proposals[proposed],
        )


def _offsets(counts: Sequence[int]) -> list[int]:
    return [0, *itertools.accumulate(counts)]


def _numbers(targets: Sequence[Target], offsets: Sequence[int]) -> tuple[np.ndarray, KnownObjects]:
    """int64 [N, 3], for each object its label, its image and whether it is trained on, and what the host keeps."""
    number, counts = offsets[-1], np.diff(offsets)
    rows = few_sizes(number)
    boxes = np.tile(FILLER, (rows, 1))
    numbers = np.zeros((rows, 3), dtype=np.int64)
    numbers[number:, 1] = len(targets)
    if number:
        boxes[:number] = torch.cat([one.boxes for one in targets]).cpu().numpy()
        numbers[:number, 0] = torch.cat([one.labels for one in targets]).cpu().numpy()
        numbers[:number, 1] = np.repeat(np.arange(len(targets)), counts)
        numbers[:number, 2] = ~torch.cat([one.crowd for one in targets]).cpu().numpy()
    return numbers, KnownObjects(boxes, numbers[:, 1], numbers[:, 2] > 0)


def few_sizes(number: int) -> int:
    """The next larger of 8, 10, 12, 14, 16, 20, 24, 28, 32, ...: four sizes from each power of two to the next."""
    step = max(2, 1 << max(number - 1, 0).bit_length() >> 3)
    return max(8, -(-number // step) * step)
