"""Distribution focal loss (Li et al. 2020, generalized focal loss, eq. 6)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def distribution_focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy with the two bins next to the target, each by how near it is.

    DFL = −((y_{i+1} − y) log S_i + (y − y_i) log S_{i+1}), y_i ≤ y ≤ y_{i+1}.

    Args:
        logits: float [M, bins], over the values 0, 1, .., bins−1.
        target: float [M]; values outside 0..bins−1 are moved to the nearest end.

    Returns:
        float [M], not reduced.
    """
    bins = logits.shape[-1]
    target = target.clamp(0, bins - 1)
    left = target.floor().clamp(max=bins - 2)
    right_weight = target - left
    log_probability = F.log_softmax(logits if logits.dtype == torch.float64 else logits.float(), dim=-1)
    index = left.long()[:, None]
    at_left = log_probability.gather(1, index)[:, 0]
    at_right = log_probability.gather(1, index + 1)[:, 0]
    return -((1 - right_weight) * at_left + right_weight * at_right)
