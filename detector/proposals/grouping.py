"""Hierarchical grouping: the two most similar neighbours become one region until one is left (Uijlings et al. 2013, 3.1)."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from detector.proposals.regions import Regions

MEASURES = ("colour", "texture", "size", "fill")


def group(regions: Regions, measures: Sequence[str]) -> np.ndarray:
    """Boxes int64 [2R−1, 4] of the regions and of all that they are grouped into, in the order in which they arise.

    Of equally similar pairs the one with the earlier regions goes first. After each step only the similarities of the
    new region with its neighbours are computed; regions that share no border are never joined.

    Args:
        regions: R regions.
        measures: which of `MEASURES` are added up.
    """
    count = len(regions.sizes)
    grouping = _Grouping(regions, measures)
    a, b = regions.neighbours.T
    queue = list(zip((-grouping.similarity(a, b)).tolist(), a.tolist(), b.tolist(), strict=True))
    heapq.heapify(queue)
    neighbours: list[set[int]] = [set() for _ in range(count)]
    for one, other in regions.neighbours.tolist():
        neighbours[one].add(other)
        neighbours[other].add(one)

    alive = [True] * count
    while queue:
        _, one, other = heapq.heappop(queue)
        if not (alive[one] and alive[other]):
            continue
        new = grouping.join(one, other)
        alive[one] = alive[other] = False
        alive.append(True)
        around = (neighbours[one] | neighbours[other]) - {one, other}
        for region in around:
            neighbours[region] -= {one, other}
            neighbours[region].add(new)
        neighbours.append(around)
        if around:
            near = np.fromiter(around, dtype=np.int64, count=len(around))
            for negative, region in zip((-grouping.similarity(new, near)).tolist(), near.tolist(), strict=True):
                heapq.heappush(queue, (negative, region, new))
    return grouping.boxes[: grouping.count]


class _Grouping:
    """The regions so far, in arrays with room for all that will come."""

    def __init__(self, regions: Regions, measures: Sequence[str]) -> None:
        self.count = len(regions.sizes)
        self.image_size = regions.image_size
        self.uses_size, self.uses_fill = "size" in measures, "fill" in measures
        room = 2 * self.count - 1
        self.boxes = np.empty((room, 4), dtype=np.int64)
        self.sizes = np.empty(room, dtype=np.int64)
        self.boxes[: self.count], self.sizes[: self.count] = regions.boxes, regions.sizes
        used = [h for name, h in (("colour", regions.colour), ("texture", regions.texture)) if name in measures]
        # The sum of two intersections is the intersection of the histograms one behind the other.
        histograms = np.concatenate([*used, np.empty((self.count, 0), dtype=np.float32)], axis=1)
        self.histograms = np.empty((room, histograms.shape[1]), dtype=np.float32)
        self.histograms[: self.count] = histograms

    def similarity(self, a: np.ndarray | int, b: np.ndarray) -> np.ndarray:
        """float64 [N] of the pairs (a, b): the sum of the measures of section 3.2, each in 0..1.

        - colour, texture: Σ min(a_i, b_i) of the histograms (eq. 1, 3)
        - size: 1 − (size(a) + size(b)) / size(image) (eq. 4)
        - fill: 1 − (size(BB) − size(a) − size(b)) / size(image), BB the box around both (eq. 5)
        """
        total = np.minimum(self.histograms[a], self.histograms[b]).sum(axis=1, dtype=np.float64)
        sizes = self.sizes[a] + self.sizes[b]
        if self.uses_size:
            total += 1 - sizes / self.image_size
        if self.uses_fill:
            one, other = self.boxes[a], self.boxes[b]
            sides = np.maximum(one[..., 2:], other[:, 2:]) - np.minimum(one[..., :2], other[:, :2])
            total += 1 - (sides[:, 0] * sides[:, 1] - sizes) / self.image_size
        return total

    def join(self, a: int, b: int) -> int:
        """Adds the union of two regions (eq. 2 for its histograms) and gives its number."""
        new, size_a, size_b = self.count, self.sizes[a], self.sizes[b]
        size = size_a + size_b
        self.sizes[new] = size
        self.boxes[new, :2] = np.minimum(self.boxes[a, :2], self.boxes[b, :2])
        self.boxes[new, 2:] = np.maximum(self.boxes[a, 2:], self.boxes[b, 2:])
        weight = np.float32(size_a / size)
        self.histograms[new] = weight * self.histograms[a] + (1 - weight) * self.histograms[b]
        self.count += 1
        return new
