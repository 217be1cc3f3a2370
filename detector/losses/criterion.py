"""What a single-shot detector is trained on: the sum of its class, box and other losses over a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from detector.assigners.assigner import Assigner, Assignment
from detector.heads.anchor_free import boxes_to_distances
from detector.heads.head import Head
from detector.heads.points import Points
from detector.losses.box import BoxLoss
from detector.losses.classification import ClassLoss
from detector.losses.distribution import distribution_focal_loss
from detector.options import MISSING, Exponent, OneOf, ShareBelowOne, Weight
from detector.targets import Objects

PairedBoxLoss = Callable[[Tensor, Tensor, tuple[int, int]], Tensor]
"""Predicted and annotated boxes [M, 4] in pixels, (height, width) of the image → losses [M], as `BoxLoss`."""
PointwiseClassLoss = Callable[[Tensor, Tensor], Tensor]
"""Logits [..., K] and targets [..., K] in 0..1 → losses [..., K], as `ClassLoss`."""


@dataclass
class CriterionOptions:
    """The box, class and distribution losses and their weights."""

    name: str = MISSING
    """How this choice of losses is called."""
    box: Annotated[str, OneOf("iou", "giou", "diou", "ciou", "l1", "l2")] = "ciou"
    """The box loss: one of the IoU family (`detector.boxes.aligned_iou`), or l1 or l2 of coordinates as shares of the image."""
    classification: Annotated[str, OneOf("bce", "focal", "varifocal")] = "bce"
    """The class loss: binary cross-entropy, focal (Lin et al. 2017) or varifocal loss (Zhang et al. 2021)."""
    gamma: Exponent = 2.0
    """How fast the weight of easy points falls in the focal and the varifocal loss."""
    label_smoothing: ShareBelowOne = 0.0
    """Share of an object's class target that is spread over all classes."""
    box_weight: Weight = 7.5
    """Weight of the box loss."""
    class_weight: Weight = 1.0
    """Weight of the class loss."""
    distribution_weight: Weight = 1.5
    """Weight of the distribution focal loss (Li et al. 2020, eq. 6); only where the head has bins."""
    objectness_weight: Weight = 0.5
    """Weight of the objectness loss; only where the head predicts objectness."""

    def build(self, assigner: Assigner) -> Criterion:
        """The criterion with an assigner; raises OptionError on a value that cannot be."""
        return Criterion(
            assigner,
            self.build_box_loss(),
            self.build_class_loss(),
            self.box_weight,
            self.class_weight,
            self.distribution_weight,
            self.objectness_weight,
        )

    def build_box_loss(self) -> PairedBoxLoss:
        """The box loss, which a loss of one's own may replace."""
        return BoxLoss(self.box)

    def build_class_loss(self) -> PointwiseClassLoss:
        """The class loss, which a loss of one's own may replace."""
        return ClassLoss(self.classification, self.gamma, self.label_smoothing)


class Criterion:
    """Raw predictions and targets → weighted losses.

    Each loss is a sum over the batch divided by the sum of the pairs' weights, so that neither the number of points nor
    the size of the batch changes its scale.
    """

    def __init__(
        self,
        assigner: Assigner,
        box_loss: PairedBoxLoss,
        class_loss: PointwiseClassLoss,
        box_weight: float = 7.5,
        class_weight: float = 1.0,
        distribution_weight: float = 1.5,
        objectness_weight: float = 0.5,
    ) -> None:
        self.assigner = assigner
        self.box_loss = box_loss
        self.class_loss = class_loss
        self.weights = {
            "class": class_weight,
            "box": box_weight,
            "objectness": objectness_weight,
            "distribution": distribution_weight,
        }

    def candidates(self, points: Points, objects: Objects) -> Any:
        """What the assigner finds out before there are predictions."""
        return self.assigner.candidates(points, objects)

    def __call__(
        self,
        head: Head,
        raw: dict[str, Tensor],
        points: Points,
        objects: Objects,
        candidates: Any,
        image_size: tuple[int, int],
    ) -> dict[str, Tensor]:
        """Scalars "class", "box" and, where the head has them, "objectness" and "distribution".

        With pairs (i, j) of a point and an object, s_ij the score that the assigner asks for and w_ij the weight of the pair,
        and W = max(1, Σ w_ij):

            class         Σ_i Σ_k L(logit_ik, Σ_j s_ij [k = label_j]) / W                      without objectness
            class         Σ_ij w_ij Σ_k L(logit_ik, [k = label_j]) / W                         Redmon & Farhadi 2018, 2.2
            objectness    Σ_i BCE(logit_i, Σ_j s_ij) / W, the ignored left out                 Redmon & Farhadi 2018, 2.1
            box           Σ_ij w_ij L(box_i, box_j) / W
            distribution  Σ_ij w_ij DFL(distances of point i to the sides of object j) / W     Li et al. 2020, eq. 6

        each times its weight. Objectness times class is then the score that the assigner asks for: 1 with anchors that merely
        fit, the IoU where it measures quality, as in Redmon et al. 2016, section 2.
        """
        boxes = head.decode(raw["box_logits"], points)
        found = self.assigner(head.scores(raw).detach(), boxes.detach(), points, objects, candidates)
        labels, object_boxes = objects.labels[found.objects], objects.boxes[found.objects]
        total = found.weights.sum().clamp(min=1.0)
        class_logits = raw["class_logits"].flatten(0, 1)
        losses = {}
        if "objectness_logits" in raw:
            losses["class"] = self._conditional_class_loss(class_logits, found, labels)
            losses["box"] = self._box_loss(boxes, found, object_boxes, image_size)
            losses["objectness"] = _objectness_loss(raw["objectness_logits"].flatten(), found)
        else:
            losses["class"] = self._class_loss(class_logits, found, labels)
            losses["box"] = self._box_loss(boxes, found, object_boxes, image_size)
        if head.bins:
            losses["distribution"] = _distribution_loss(raw["box_logits"], points, found, object_boxes, head.bins)
        return {name: self.weights[name] * loss / total for name, loss in losses.items()}

    def _box_loss(self, boxes: Tensor, found: Assignment, objects: Tensor, image_size: tuple[int, int]) -> Tensor:
        each = self.box_loss(boxes.flatten(0, 1)[found.points], objects, image_size)
        return (each * found.weights).sum()

    def _class_loss(self, logits: Tensor, found: Assignment, labels: Tensor) -> Tensor:
        """Over all points: the score is the class's alone, 0 in the background."""
        targets = torch.zeros_like(logits, dtype=torch.float32)
        targets = targets.index_put((found.points, labels), found.scores, accumulate=True)
        return self.class_loss(logits.float(), targets).sum()

    def _conditional_class_loss(self, logits: Tensor, found: Assignment, labels: Tensor) -> Tensor:
        """At taken points: which class, given that there is an object."""
        targets = F.one_hot(labels, logits.shape[-1]).float()
        return (self.class_loss(logits[found.points].float(), targets).sum(dim=-1) * found.weights).sum()


def _objectness_loss(logits: Tensor, found: Assignment) -> Tensor:
    """Over all points but the ignored: the pair's score at taken points, 0 elsewhere."""
    targets = torch.zeros_like(logits, dtype=torch.float32)
    targets = targets.index_put((found.points,), found.scores, accumulate=True)
    losses = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
    return (losses if found.ignored is None else losses.masked_fill(found.ignored, 0.0)).sum()


def _distribution_loss(box_logits: Tensor, points: Points, found: Assignment, objects: Tensor, bins: int) -> Tensor:
    point = found.points % box_logits.shape[1]
    distances = boxes_to_distances(objects, points.centres[point], points.strides[point])
    logits = box_logits.flatten(0, 1)[found.points].reshape(-1, bins)
    per_side = distribution_focal_loss(logits, distances.reshape(-1)).reshape(-1, 4)
    return (per_side.mean(dim=1) * found.weights).sum()
