"""What the criterion asks of an assigner, which point is assigned to which object, and the options of every assigner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor

from detector.heads.points import Points
from detector.options import MISSING
from detector.targets import Objects


@dataclass(frozen=True)
class Assignment:
    """M candidate pairs of a point and an object of a batch.

    M depends only on the number of objects, so a GPU never has to tell the host how many points were positive: pairs that
    were not taken have score and weight 0. A point is taken for one object at most.
    """

    points: Tensor
    """int64 [M], index of the point among those of all images: image · A + point."""
    objects: Tensor
    """int64 [M], row of the object."""
    scores: Tensor
    """float32 [M] in 0..1: the score that the point should give to the object's class."""
    weights: Tensor
    """float32 [M] in 0..1: how much the pair counts in the box loss, and in the number by which losses are divided."""
    ignored: Tensor | None = None
    """bool [B · A]: points that were not taken and yet are not taught that nothing is there; None: there are no such."""


class Assigner(Protocol):
    """Compares predictions with objects, of all images of a batch at once; nothing in it has a gradient.

    It never waits for a device and gives its tensors shapes that the host knows, so that it can be compiled.
    """

    def candidates(self, points: Points, objects: Objects) -> Any:
        """What of its work needs no predictions, such as the pairs that it will look at (`pairs.pairs_within`)."""

    def __call__(self, scores: Tensor, boxes: Tensor, points: Points, objects: Objects, candidates: Any) -> Assignment:
        """A batch of B images.

        Args:
            scores: float [B, A, K], predicted class scores in 0..1.
            boxes: float [B, A, 4], predicted boxes.
            points: the A points of an image.
            objects: the N annotated objects of all images; those that are not `trained` get no point.
            candidates: what `candidates` gave.
        """


@dataclass
class AssignerOptions:
    """The options that every assigner has."""

    needs_anchors: ClassVar[bool] = False
    """Whether it compares objects with anchors, so that only heads that have some can be trained with it."""

    name: str = MISSING
    """The kind of assigner."""

    def build(self) -> Assigner:
        """The assigner that these options describe; raises OptionError on a value that cannot be."""
        raise NotImplementedError
