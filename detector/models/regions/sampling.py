"""The regions of an image that a second stage learns from, and the target of each (Girshick 2015, section 2.3).

Nothing here waits for a GPU: the number of regions that come out is known before their overlaps are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from detector.boxes import pairwise_iou
from detector.errors import OptionError, named
from detector.options import Count, PositiveShare
from detector.types import Target

BACKGROUND, IGNORED = -1, -2


@dataclass
class SampledRegionsOptions:
    """The options of every detector that learns from sampled regions."""

    fixed_shapes: ClassVar[bool] = False
    """The number of sampled regions changes with the images."""

    sampled_regions: Count = 128
    """Regions of an image that a step learns from. 512 of each of 2 images are usual; more images need fewer of each."""
    positive_share: PositiveShare = 0.25
    """Largest share of positives among the sampled regions."""
    positive_iou: PositiveShare = 0.5
    """Smallest IoU with an object at which a region is a positive."""
    negative_iou: PositiveShare = 0.5
    """A region whose IoU with every object is smaller is background."""

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """A region is not background and a positive at once."""
        if self.negative_iou > self.positive_iou:
            yield "negative_iou", f"at most positive_iou={self.positive_iou}"

    def build_sampler(self) -> RegionSampler:
        """What draws the regions that a step learns from."""
        with named(number="sampled_regions"):
            return RegionSampler(self.sampled_regions, self.positive_share, self.positive_iou, self.negative_iou)


@dataclass(frozen=True)
class Samples:
    """S regions and what a stage should say of them."""

    regions: Tensor
    """float32 [S, 4] xyxy."""
    labels: Tensor
    """int64 [S] in 0..K: the object's class, or K, the background, which comes last."""
    boxes: Tensor
    """float32 [S, 4]: the object's box; of the background the region itself."""
    taken: Tensor
    """bool [S]: the others only fill up and must not count."""
    positive: Tensor
    """bool [S]: taken, and of an object."""

    @staticmethod
    def together(images: Sequence[Samples]) -> Samples:
        """Samples of a batch, image after image."""
        return Samples(
            torch.cat([one.regions for one in images]),
            torch.cat([one.labels for one in images]),
            torch.cat([one.boxes for one in images]),
            torch.cat([one.taken for one in images]),
            torch.cat([one.positive for one in images]),
        )


@dataclass(frozen=True)
class RegionSampler:
    """Draws regions of an image, positives and negatives.

    A region is positive where its IoU with an object is `positive_iou` or more, and should become the object that it
    overlaps most. It is negative where its largest IoU is in [`lowest_iou`, `negative_iou`). `number` of them are drawn, at
    most a share of `positive_share` positives; negatives take the place of positives that are missing.

    Raises:
        OptionError: a value is out of its range.
    """

    number: int = 512
    positive_share: float = 0.25
    positive_iou: float = 0.5
    negative_iou: float = 0.5
    lowest_iou: float = 0.0
    """Girshick 2015 takes 0.1, which leaves the easiest background out."""

    def __post_init__(self) -> None:
        if self.number < 1:
            raise OptionError("number", "must be 1 or more", self.number)
        if not 0 < self.positive_share <= 1:
            raise OptionError("positive_share", "must be above 0 and at most 1", self.positive_share)
        if not 0 <= self.lowest_iou <= self.negative_iou <= self.positive_iou <= 1:
            raise OptionError(
                "negative_iou",
                f"must be {self.lowest_iou:g} <= negative_iou <= positive_iou={self.positive_iou} <= 1",
                self.negative_iou,
            )

    def __call__(self, regions: Tensor, target: Target, classes: int, there: Tensor | None = None) -> Samples:
        """`min(number, N)` samples of regions [N, 4], of an image with K = `classes`; none is legal on both sides.

        `there`, bool [N], says which of them are regions; the others only fill up.
        """
        matches = match(regions, target.boxes, self.positive_iou, self.negative_iou, self.lowest_iou)
        if there is not None:
            matches = torch.where(there, matches, IGNORED)
        index, taken = sample(matches, self.number, self.positive_share)
        regions, matches = regions[index], matches[index]
        positive = taken & (matches >= 0)
        if len(target.boxes) == 0:
            return Samples(regions, torch.full_like(matches, classes), regions, taken, positive)
        objects = matches.clamp(min=0)
        return Samples(
            regions,
            torch.where(positive, target.labels[objects], classes),
            torch.where(positive[:, None], target.boxes[objects].to(regions), regions),
            taken,
            positive,
        )


def match(
    regions: Tensor,
    boxes: Tensor,
    positive_iou: float = 0.5,
    negative_iou: float = 0.5,
    lowest_iou: float = 0.0,
    best_too: bool = False,
) -> Tensor:
    """Regions [N, 4] against objects [M, 4] → int64 [N]: the object of each region, BACKGROUND or IGNORED.

    Thresholds as in `RegionSampler`. In an image without objects every region is background, whatever `lowest_iou` is.
    With `best_too` the regions that overlap an object most are positives whatever their IoU (Ren et al. 2015, section 3.1.2).
    """
    if len(boxes) == 0:
        return torch.full((len(regions),), BACKGROUND, dtype=torch.int64, device=regions.device)
    overlap = pairwise_iou(regions, boxes)
    iou, nearest = overlap.max(dim=1)
    background = torch.where((iou < negative_iou) & (iou >= lowest_iou), BACKGROUND, IGNORED)
    positive = iou >= positive_iou
    if best_too and len(regions):
        positive = positive | (overlap == overlap.amax(dim=0)).any(dim=1)
    return torch.where(positive, nearest, background)


def sample(matches: Tensor, number: int, positive_share: float) -> tuple[Tensor, Tensor]:
    """Draws without replacement from the matches [N] of an image's regions.

    Returns:
        Indices int64 [S], S = min(number, N), in no order, and bool [S]: which of them were drawn. Where there are too
        few positives and negatives, the rest of the indices is there to fill up.
    """
    size = min(number, len(matches))
    chance = torch.rand(len(matches), device=matches.device)
    positive = _some(matches >= 0, chance, size, int(number * positive_share))
    drawn = positive | _some(matches == BACKGROUND, chance, size, number - positive.sum())
    index = torch.where(drawn, chance, 2.0).topk(size, largest=False).indices
    return index, drawn[index]


def _some(candidates: Tensor, chance: Tensor, most: int, number: int | Tensor) -> Tensor:
    """bool [N]: the `number` of the candidates [N] with the smallest chance, `most` or less, or all where there are fewer."""
    index = torch.where(candidates, chance, 2.0).topk(most, largest=False).indices
    first = torch.arange(most, device=chance.device) < number
    return torch.zeros_like(candidates).scatter(0, index, first) & candidates
