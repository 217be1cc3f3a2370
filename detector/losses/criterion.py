"""What a single-shot detector is trained on: the sum of its class, box and distribution losses over a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from detector.assigners.task_aligned import TaskAlignedAssigner
from detector.heads.anchor_free import AnchorFreeHead, boxes_to_distances
from detector.heads.points import Points
from detector.losses.box import BoxLoss
from detector.losses.classification import ClassLoss
from detector.losses.distribution import distribution_focal_loss
from detector.types import Target


class Criterion:
    """Raw predictions and targets → weighted losses.

    Each loss is a sum over the batch divided by the sum of the target scores, so that neither the number of points nor the
    size of the batch changes its scale.
    """

    def __init__(
        self,
        assigner: TaskAlignedAssigner,
        box_loss: BoxLoss,
        class_loss: ClassLoss,
        box_weight: float = 7.5,
        class_weight: float = 0.5,
        distribution_weight: float = 1.5,
    ) -> None:
        self.assigner = assigner
        self.box_loss = box_loss
        self.class_loss = class_loss
        self.box_weight = box_weight
        self.class_weight = class_weight
        self.distribution_weight = distribution_weight

    def __call__(
        self,
        head: AnchorFreeHead,
        raw: dict[str, Tensor],
        points: Points,
        targets: list[Target],
        image_size: tuple[int, int],
    ) -> dict[str, Tensor]:
        """Scalars "class", "box" and, where the head has bins, "distribution". Crowds are left out of the targets."""
        class_logits = raw["class_logits"].float()
        boxes = head.decode(raw["box_logits"], points)
        class_targets = torch.zeros_like(class_logits)
        taken_logits, taken_boxes, taken_targets, taken_points, weights = [], [], [], [], []
        for i, target in enumerate(targets):
            target = target.without_crowds()
            objects, labels = target.boxes, target.labels
            found = self.assigner(class_logits[i].detach().sigmoid(), boxes[i].detach(), points, objects, labels)
            class_targets[i].index_put_((found.points, labels[found.objects]), found.scores, accumulate=True)
            taken_logits.append(raw["box_logits"][i, found.points])
            taken_boxes.append(boxes[i, found.points])
            taken_targets.append(objects[found.objects])
            taken_points.append(found.points)
            weights.append(found.scores)

        weight = torch.cat(weights)
        target_boxes = torch.cat(taken_targets)
        total = weight.sum().clamp(min=1.0)
        class_loss = self.class_loss(class_logits, class_targets).sum()
        box_loss = (self.box_loss(torch.cat(taken_boxes), target_boxes, image_size) * weight).sum()
        losses = {"class": self.class_weight * class_loss / total, "box": self.box_weight * box_loss / total}
        if head.bins:
            index = torch.cat(taken_points)
            distances = boxes_to_distances(target_boxes, points.centres[index], points.strides[index])
            logits = torch.cat(taken_logits).reshape(-1, head.bins)
            per_side = distribution_focal_loss(logits, distances.reshape(-1)).reshape(-1, 4)
            distribution_loss = (per_side.mean(dim=1) * weight).sum()
            losses["distribution"] = self.distribution_weight * distribution_loss / total
        return losses
