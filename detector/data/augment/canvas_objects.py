"""The annotated objects of a picture that is being augmented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from detector.data.geometry import clip_boxes, cover_boxes

Rectangle = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole pixels of a canvas."""


@dataclass
class CanvasObjects:
    """The annotated objects on a canvas, rows of arrays that stay together, and where a search would look for objects."""

    boxes: np.ndarray
    """float32 [N, 4] xyxy in canvas pixels."""
    labels: np.ndarray
    """int64 [N]."""
    crowd: np.ndarray
    """bool [N]."""
    area: np.ndarray
    """float32 [N], as annotated."""
    proposals: np.ndarray | None = None
    """float32 [P, 4] xyxy in canvas pixels, best first, if there are any; they go wherever the boxes go."""

    def rows(self, chosen: np.ndarray) -> CanvasObjects:
        """The objects that a mask or an array of positions selects, and all proposals."""
        return CanvasObjects(
            self.boxes[chosen], self.labels[chosen], self.crowd[chosen], self.area[chosen], self.proposals
        )

    def inside(self, rectangle: Rectangle) -> CanvasObjects:
        """What of them is seen through a rectangle; nearly invisible ones are left out."""
        return self._seen(lambda boxes: clip_boxes(boxes, rectangle))

    def behind(self, rectangle: Rectangle) -> CanvasObjects:
        """What of them is seen when a rectangle hides what is behind it; nearly invisible ones are left out."""
        return self._seen(lambda boxes: cover_boxes(boxes, rectangle))

    def _seen(self, look: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]) -> CanvasObjects:
        boxes, keep = look(self.boxes)
        proposals = self.proposals
        if proposals is not None:
            cut, seen = look(proposals)
            proposals = cut[seen]
        return replace(self, boxes=boxes, proposals=proposals).rows(keep)

    @staticmethod
    def joined(parts: list[CanvasObjects]) -> CanvasObjects:
        """All objects of several pictures that share a canvas."""
        proposals = [part.proposals for part in parts if part.proposals is not None]
        return CanvasObjects(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.crowd for part in parts]),
            np.concatenate([part.area for part in parts]),
            best_first(proposals) if proposals else None,
        )


def best_first(proposals: list[np.ndarray]) -> np.ndarray:
    """Proposals of several pictures in turn: the best of each, then the second of each, ..."""
    ranks = np.concatenate([np.arange(len(one)) for one in proposals])
    return np.concatenate(proposals)[np.argsort(ranks, kind="stable")]
