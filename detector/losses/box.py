"""Box losses, aligned: prediction i against target i.

The IoU family is 1 − IoU and its penalised forms: see `detector.boxes.aligned_iou` for formulas and papers. L1 and L2 are
there to compare with: on coordinates as shares of the image they grow with the box, which the IoU family does not.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from detector.boxes import IoUKind, aligned_iou
from detector.errors import OptionError

BoxLossKind = Literal["iou", "giou", "diou", "ciou", "l1", "l2"]


class BoxLoss:
    """`kind`: iou | giou | diou | ciou | l1 | l2."""

    def __init__(self, kind: str) -> None:
        if kind not in get_args(BoxLossKind):
            raise OptionError("box", f"choose one of {', '.join(get_args(BoxLossKind))}", kind)
        self.kind = kind

    def __call__(self, predicted: Tensor, target: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Boxes [M, 4] in pixels of an image of `image_size` (height, width) → losses [M], not reduced."""
        match self.kind:
            case "l1":
                return self._difference(predicted, target, image_size).abs().sum(-1)
            case "l2":
                return self._difference(predicted, target, image_size).square().sum(-1)
            case _:
                kind: IoUKind = self.kind  # type: ignore[assignment]
                return 1 - aligned_iou(predicted, target, kind)

    @staticmethod
    def _difference(predicted: Tensor, target: Tensor, image_size: tuple[int, int]) -> Tensor:
        height, width = image_size
        if predicted.dtype in (torch.float16, torch.bfloat16):
            predicted = predicted.float()
        # plain numbers: a tensor of them would be waited for on its way to a GPU
        sides = (width, height, width, height)
        difference = (predicted - target.to(predicted)).unbind(-1)
        return torch.stack([one / side for one, side in zip(difference, sides, strict=True)], dim=-1)
