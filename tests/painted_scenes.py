"""Images with solid rectangles of known place, and a measurement of where they are in any picture of those images."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

from detector.data.index import AnnotatedObjects, Index, assemble
from detector.types import ImageId

COLOURS = np.array([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)], dtype=np.uint8) * 255
"""Of label 0, 1, ...; the background is black and the padding grey, so that each channel is above 128 or not."""
MARGIN = 8
"""Pixels around each rectangle that stay black."""


@dataclass
class Painter:
    sizes: np.ndarray
    boxes: list[np.ndarray]
    labels: list[np.ndarray]

    def __call__(self, image_id: ImageId) -> np.ndarray:
        height, width = self.sizes[int(image_id)]
        image = np.zeros((height, width, 3), dtype=np.uint8)
        for (x1, y1, x2, y2), label in zip(self.boxes[int(image_id)], self.labels[int(image_id)], strict=True):
            image[y1:y2, x1:x2] = COLOURS[label]
        return image


def painted_index(count: int = 12, seed: int = 0, sides: tuple[int, int] = (90, 200), crowd: bool = False) -> Index:
    """Images of random sizes, each with one rectangle in the cells of a 2 x 2 grid; some cells are empty."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(*sides, size=(count, 2))
    boxes, labels, owners = [], [], []
    for image, (height, width) in enumerate(sizes.tolist()):
        rows = []
        for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
            if rng.random() < 0.2:
                continue
            cell = np.array([width / 2, height / 2])
            low = rng.uniform(MARGIN, cell / 2)
            high = rng.uniform(low + cell / 4, cell - MARGIN / 2)
            rows.append(np.concatenate([low, high]) + np.tile([x, y] * cell, 2))
        boxes.append(np.array(rows).reshape(-1, 4).astype(np.int64))
        labels.append(rng.integers(len(COLOURS), size=len(rows)))
        owners += [image] * len(rows)
    flat_labels = np.concatenate(labels)
    return _with_painter(
        assemble(
            [f"colour {k}" for k in range(len(COLOURS))],
            range(1, len(COLOURS) + 1),
            range(count),
            [""] * count,
            sizes,
            AnnotatedObjects(
                owners,
                np.concatenate(boxes),
                flat_labels,
                np.arange(len(owners)) % 3 == 0 if crowd else np.zeros(len(owners), dtype=bool),
                where=str,
            ),
        ),
        Painter(sizes, boxes, labels),
    )


def _with_painter(index: Index, painter: Painter) -> Index:
    index.painter = painter
    return index


def painted_regions(image: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """(label, xyxy hull in continuous pixels) of each solid region of a picture uint8 [H, W, 3]."""
    code = (image > 128).astype(np.uint8)
    regions = []
    for label, colour in enumerate(COLOURS):
        mask = (code == colour // 255).all(axis=2).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        for x, y, width, height, area in stats[1:].tolist():
            if area > 4 and width > 1 and height > 1:
                regions.append((label, np.array([x, y, x + width, y + height], dtype=np.float64)))
    return regions


def assert_boxes_fit(
    planes: Tensor, boxes: Tensor, labels: Tensor, tolerance: float, tight_at_edges: bool = True
) -> int:
    """Every box has a painted region that it fits to `tolerance` pixels and every region that is seen well has a box.

    With `tight_at_edges` false, a box at the canvas's edge need only hold its region (the hull of a turned rectangle
    that is cut is wider than what is seen of it). Returns the number of boxes.
    """
    image = planes.permute(1, 2, 0).numpy()
    size = image.shape[0]
    regions = painted_regions(image)
    unclaimed = set(range(len(regions)))
    for box, label in zip(boxes.double().numpy(), labels.tolist(), strict=True):
        same = [k for k, (region_label, _) in enumerate(regions) if region_label == label]
        assert same, f"nothing is painted for the box {box} of label {label}"
        at_edge = box.min() <= 0 or box.max() >= size
        errors = {k: _misfit(box, regions[k][1], inside_is_enough=at_edge and not tight_at_edges) for k in same}
        best = min(errors, key=lambda k: errors[k])
        assert errors[best] <= tolerance, f"box {box} is {errors[best]:.2f} px off its region {regions[best][1]}"
        unclaimed.discard(best)
    for k in unclaimed:
        region = regions[k][1]
        touches = region.min() <= 1 or region.max() >= size - 1
        assert touches or (region[2:] - region[:2]).min() < 4, f"region {regions[k]} has no box"
    return len(boxes)


def _misfit(box: np.ndarray, region: np.ndarray, inside_is_enough: bool) -> float:
    if inside_is_enough:
        return float(max((box[:2] - region[:2]).max(), (region[2:] - box[2:]).max()))
    return float(np.abs(box - region).max())
