"""What a single-shot detector is trained on: the sum of its class, box and other losses over a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from detector.assigners.assigner import Assigner
from detector.heads.anchor_free import boxes_to_distances
from detector.heads.head import Head
from detector.heads.points import Points
from detector.losses.box import BoxLoss
from detector.losses.classification import ClassLoss
from detector.losses.distribution import distribution_focal_loss
from detector.options import MISSING, Exponent, OneOf, ShareBelowOne, Weight
from detector.types import Target

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


@dataclass(frozen=True)
class _Pairs:
    """The M candidate pairs of a whole batch."""

    images: Tensor
    """int64 [M], position in the batch."""
    points: Tensor
    """int64 [M]."""
    labels: Tensor
    """int64 [M]."""
    boxes: Tensor
    """float32 [M, 4], of the objects."""
    scores: Tensor
    """float32 [M]."""
    weights: Tensor
    """float32 [M]."""
    ignored: Tensor
    """bool [B, A]."""


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
        self.box_weight = box_weight
        self.class_weight = class_weight
        self.distribution_weight = distribution_weight
        self.objectness_weight = objectness_weight

    def __call__(
        self,
        head: Head,
        raw: dict[str, Tensor],
        points: Points,
        targets: list[Target],
        image_size: tuple[int, int],
    ) -> dict[str, Tensor]:
        """Scalars "class", "box" and, where the head has them, "objectness" and "distribution".

        Crowds are left out of the targets.
        """
        boxes = head.decode(raw["box_logits"], points)
        pairs = self._pair(head.scores(raw).detach(), boxes.detach(), points, targets)
        total = pairs.weights.sum().clamp(min=1.0)
        box_losses = self.box_loss(boxes[pairs.images, pairs.points], pairs.boxes, image_size)
        has_objectness = "objectness_logits" in raw
        class_loss = (self._conditional_class_loss if has_objectness else self._class_loss)(raw["class_logits"], pairs)
        losses = {
            "class": self.class_weight * class_loss / total,
            "box": self.box_weight * (box_losses * pairs.weights).sum() / total,
        }
        if has_objectness:
            objectness_loss = _objectness_loss(raw["objectness_logits"], pairs)
            losses["objectness"] = self.objectness_weight * objectness_loss / total
        if head.bins:
            distribution_loss = _distribution_loss(raw["box_logits"], points, pairs, head.bins)
            losses["distribution"] = self.distribution_weight * distribution_loss / total
        return losses

    def _pair(self, scores: Tensor, boxes: Tensor, points: Points, targets: list[Target]) -> _Pairs:
        images, indices, labels, objects, pair_scores, weights = [], [], [], [], [], []
        ignored = torch.zeros(scores.shape[:2], dtype=torch.bool, device=scores.device)
        for i, target in enumerate(targets):
            target = target.without_crowds()
            found = self.assigner(scores[i], boxes[i], points, target.boxes, target.labels)
            images.append(torch.full_like(found.points, i))
            indices.append(found.points)
            labels.append(target.labels[found.objects])
            objects.append(target.boxes[found.objects])
            pair_scores.append(found.scores)
            weights.append(found.weights)
            if found.ignored is not None:
                ignored[i] = found.ignored
        return _Pairs(
            torch.cat(images),
            torch.cat(indices),
            torch.cat(labels),
            torch.cat(objects),
            torch.cat(pair_scores),
            torch.cat(weights),
            ignored,
        )

    def _class_loss(self, class_logits: Tensor, pairs: _Pairs) -> Tensor:
        """Over all points: the score is the class's alone, 0 in the background."""
        targets = torch.zeros_like(class_logits, dtype=torch.float32)
        targets.index_put_((pairs.images, pairs.points, pairs.labels), pairs.scores, accumulate=True)
        return self.class_loss(class_logits.float(), targets).sum()

    def _conditional_class_loss(self, class_logits: Tensor, pairs: _Pairs) -> Tensor:
        """At taken points: which class, given that there is an object (Redmon & Farhadi 2018, section 2.2)."""
        logits = class_logits[pairs.images, pairs.points].float()
        targets = F.one_hot(pairs.labels, logits.shape[-1]).float()
        return (self.class_loss(logits, targets).sum(dim=-1) * pairs.weights).sum()


def _objectness_loss(objectness_logits: Tensor, pairs: _Pairs) -> Tensor:
    """Over all points but the ignored: the pair's score at taken points, 0 elsewhere.

    So that objectness times class is the score that the assigner asks for: 1 with anchors that merely fit (Redmon & Farhadi
    2018, section 2.1), the IoU where it measures quality, as in Redmon et al. 2016, section 2.
    """
    targets = torch.zeros_like(objectness_logits, dtype=torch.float32)
    targets.index_put_((pairs.images, pairs.points), pairs.scores, accumulate=True)
    losses = F.binary_cross_entropy_with_logits(objectness_logits.float(), targets, reduction="none")
    return losses.masked_fill(pairs.ignored, 0.0).sum()


def _distribution_loss(box_logits: Tensor, points: Points, pairs: _Pairs, bins: int) -> Tensor:
    distances = boxes_to_distances(pairs.boxes, points.centres[pairs.points], points.strides[pairs.points])
    logits = box_logits[pairs.images, pairs.points].reshape(-1, bins)
    per_side = distribution_focal_loss(logits, distances.reshape(-1)).reshape(-1, 4)
    return (per_side.mean(dim=1) * pairs.weights).sum()
