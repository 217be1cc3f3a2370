"""The number of objects that each level of a single-shot detector was assigned in a step."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from detector.assigners.assigner import Assigner, Assignment
from detector.heads.points import Points
from detector.targets import Objects


class AssignmentCounter:
    """Counts the points that are taken at each level between `start` and `finish`; other detectors have no levels.

    A level without a taken point has a box loss of 0, and with it layers whose gradients are 0 and rightly so.
    """

    def __init__(self, detector: nn.Module) -> None:
        self._criterion: Any = getattr(detector, "criterion", None)
        self.levels: tuple[str, ...] = tuple(getattr(getattr(detector, "head", None), "levels", ()))
        """Names as in the names of the head's layers, such as P3."""
        self._original: Assigner | None = None
        self._taken: dict[str, Tensor | int] = {}

    def start(self) -> None:
        """Begins to count what the assigner assigns."""
        if self._criterion is not None and self.levels:
            self._taken = dict.fromkeys(self.levels, 0)
            self._original = self._criterion.assigner
            self._criterion.assigner = self

    def candidates(self, points: Points, objects: Objects) -> Any:
        """Those of the assigner that is watched."""
        assert self._original is not None
        return self._original.candidates(points, objects)

    def __call__(self, scores: Tensor, boxes: Tensor, points: Points, objects: Objects, candidates: Any) -> Assignment:
        """What the assigner that is watched assigns, counted."""
        assert self._original is not None
        found = self._original(scores, boxes, points, objects, candidates)
        places = found.points % boxes.shape[1]
        for name, level in zip(self.levels, points.levels, strict=True):
            end = level.first + level.rows * level.columns * level.per_cell
            inside = (places >= level.first) & (places < end) & (found.weights > 0)
            self._taken[name] = self._taken[name] + inside.sum()
        return found

    def finish(self) -> dict[str, int]:
        """Level → points taken since `start`; waits for the device."""
        if self._original is None:
            return {}
        self._criterion.assigner, self._original = self._original, None
        return {name: int(number) for name, number in self._taken.items()}
