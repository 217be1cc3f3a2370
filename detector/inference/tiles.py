"""Large pictures in tiles, so that small objects keep their pixels: where the tiles lie, and one set of boxes of all.

Tiles overlap, so that an object no larger than the overlap lies whole in at least one. The whole picture is looked at too, for
what is larger (as in SAHI, Akyon et al. 2022). So one object may be found several times: whole in a tile and cut by the border
of the next. First, a box that the border of its tile cuts gives way to a whole box of its class that covers most of it. What is
left goes through the detector's own suppression together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import Tensor

from detector.nms import NMS, Candidates
from detector.types import Detections

AT_BORDER = 0.02
"""Share of a tile's side: a box that ends so near to the border counts as cut by it, for no detector says the place exactly."""
MOSTLY = 0.5
"""Share of the area of a cut box that a whole one must cover to take its place."""


@dataclass(frozen=True)
class Tile:
    """A rectangle of a picture, in its pixels; `right` and `bottom` are outside."""

    left: int
    top: int
    right: int
    bottom: int


def tiles_of(size: tuple[int, int], side: int, overlap: float) -> list[Tile]:
    """The whole picture of `size` (height, width) and, where it is larger than `side`, the tiles that cover it.

    Args:
        size: of the picture.
        side: of the square tiles, in pixels of the picture.
        overlap: share of a side, 0 to below 1, that neighbours have in common at least.
    """
    height, width = size
    whole = Tile(0, 0, width, height)
    if max(size) <= side:
        return [whole]
    rows, columns = _starts(height, side, overlap), _starts(width, side, overlap)
    return [
        whole,
        *(Tile(x, y, min(x + side, width), min(y + side, height)) for y in rows for x in columns),
    ]


def _starts(length: int, side: int, overlap: float) -> list[int]:
    """Evenly from 0 to the last that fits."""
    if length <= side:
        return [0]
    count = ceil((length - side) / max(1.0, side * (1 - overlap))) + 1
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def merged(found: Sequence[Detections], tiles: Sequence[Tile], size: tuple[int, int], suppression: NMS) -> Detections:
    """One set of detections of a picture of `size` (height, width), best first.

    `found` are those of each of the `tiles`, in pixels of the tile.
    """
    if len(tiles) == 1:
        return found[0]
    boxes = torch.cat([one.boxes + torch.tensor([t.left, t.top] * 2) for one, t in zip(found, tiles, strict=True)])
    scores, labels = torch.cat([one.scores for one in found]), torch.cat([one.labels for one in found])
    cut = torch.cat([_cut(one.boxes, tile, size) for one, tile in zip(found, tiles, strict=True)])
    kept = ~_covered(boxes, labels, cut)
    together = Detections(boxes[kept], scores[kept], labels[kept])
    together = together[together.scores.sort(descending=True, stable=True).indices]
    if len(together) == 0:
        return together
    rows = torch.arange(len(together))
    chosen = Candidates(rows[None], together.labels[None], together.scores[None])
    return replace(suppression, max_detections=len(together)).suppress(chosen, together.boxes[None])[0]


def _cut(boxes: Tensor, tile: Tile, size: tuple[int, int]) -> Tensor:
    """Which of the boxes [N, 4], in pixels of the tile, reach a border of it that is none of the picture: bool [N]."""
    height, width = size
    inner = torch.tensor([tile.left > 0, tile.top > 0, tile.right < width, tile.bottom < height])
    far = boxes.new_tensor([tile.right - tile.left, tile.bottom - tile.top])
    near = torch.cat([boxes[:, :2] <= AT_BORDER * far, boxes[:, 2:] >= (1 - AT_BORDER) * far], dim=1)
    return (near & inner).any(1)


def _covered(boxes: Tensor, labels: Tensor, cut: Tensor) -> Tensor:
    """Which of the boxes [N, 4] are cut and mostly covered by a box of their class that is not: bool [N]."""
    gone = torch.zeros_like(cut)
    whole, whole_labels = boxes[~cut], labels[~cut]
    for i in cut.nonzero()[:, 0].tolist():
        shared = (torch.minimum(boxes[i, 2:], whole[:, 2:]) - torch.maximum(boxes[i, :2], whole[:, :2])).clamp(min=0)
        share = shared.prod(1) / (boxes[i, 2:] - boxes[i, :2]).prod().clamp(min=1e-9)
        gone[i] = bool(((share >= MOSTLY) & (whole_labels == labels[i])).any())
    return gone
