"""What a single-shot detector and its criterion ask of a head; any module that has this is one."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from detector.heads.points import Points


class Head(Protocol):
    """Features → raw predictions at A points, and what these mean.

    The raw predictions are a dictionary:

    - "class_logits" [B, A, K]
    - "box_logits" [B, A, *], whose meaning `decode` knows
    - "objectness_logits" [B, A], only where the head tells objects from background apart from their class
    """

    strides: tuple[int, ...]
    """Of its levels, in pixels."""
    classes: int
    """K."""
    bins: int
    """Where box logits are distributions over distances (see `anchor_free`): bins of each of the four; otherwise 0."""

    def __call__(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Features of all levels → raw predictions, in the order of `points`."""

    def points(self, image_size: tuple[int, int], device: torch.device) -> Points:
        """The A points of an image of `image_size` (height, width)."""

    def scores(self, raw: dict[str, Tensor]) -> Tensor:
        """Raw predictions → float32 [B, A, K] in 0..1: the score of each class in a detection."""

    def decode(self, box_logits: Tensor, points: Points) -> Tensor:
        """Raw [..., A, *] → float32 boxes [..., A, 4], xyxy in input pixels."""
