"""What the second stage of an R-CNN learns from sampled regions: a class each, and of positives a box.

Class logits are [S, K + 1], the background LAST (label K), so that labels are those of the data.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from detector.boxes import IoUKind, aligned_iou
from detector.errors import OptionError
from detector.models.regions.box_coding import WEIGHTS, Weights, decode, encode, full_precision
from detector.models.regions.sampling import Samples

RegionBoxLossKind = Literal["smooth_l1", "l1", "iou", "giou", "diou", "ciou"]

SMOOTH_L1_BETA = 1 / 9
"""The point at which the square ends and the straight line begins, as in Ren et al.'s code, Detectron and torchvision."""


def class_loss(logits: Tensor, samples: Samples) -> Tensor:
    """Mean cross entropy of logits [S, K + 1] over the samples taken (Girshick 2015, eq. 1); 0 where there are none."""
    losses = F.cross_entropy(full_precision(logits), samples.labels, reduction="none")
    return torch.where(samples.taken, losses, 0.0).sum() / count(samples)


class RegionBoxLoss:
    """`kind`: smooth_l1 | l1, of the deltas (`box_coding`); iou | giou | diou | ciou, of the decoded boxes.

    Summed over positives and divided by the number of all samples (Girshick 2015, eq. 1; Ren et al. 2015, eq. 1), so that
    one object weighs the same whatever the number of its regions.
    """

    def __init__(self, kind: str = "smooth_l1", weights: Weights = WEIGHTS) -> None:
        if kind not in get_args(RegionBoxLossKind):
            raise OptionError("box_loss", f"choose one of {', '.join(get_args(RegionBoxLossKind))}", kind)
        self.kind = kind
        self.weights = weights

    def __call__(self, deltas: Tensor, samples: Samples) -> Tensor:
        """Predicted deltas float [S, 1, 4], the same for all classes, or [S, K, 4] → scalar; 0 where nothing is positive.

        Of [S, K, 4] those of a sample's own class learn.
        """
        own = samples.labels.clamp(max=deltas.shape[1] - 1)
        deltas = full_precision(deltas).gather(1, own[:, None, None].expand(-1, 1, 4))[:, 0]
        return torch.where(samples.positive, self._each(deltas, samples), 0.0).sum() / count(samples)

    def _each(self, deltas: Tensor, samples: Samples) -> Tensor:
        if self.kind in ("smooth_l1", "l1"):
            wanted = encode(samples.regions, samples.boxes, self.weights)
            if self.kind == "l1":
                return (deltas - wanted).abs().sum(-1)
            return F.smooth_l1_loss(deltas, wanted, beta=SMOOTH_L1_BETA, reduction="none").sum(-1)
        kind: IoUKind = self.kind  # type: ignore[assignment]
        return 1 - aligned_iou(decode(samples.regions, deltas, self.weights), samples.boxes, kind)


def count(samples: Samples) -> Tensor:
    """Samples taken, at least 1."""
    return samples.taken.sum().clamp(min=1)
