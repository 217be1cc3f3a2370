"""Proposals for detectors that do not find their own: those that came with the images, or selective search here and now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detector.models.stages import stage
from detector.options import Count
from detector.proposals.selective_search import ProposalRequest, SelectiveSearchOptions
from detector.types import Target

Search = Callable[[np.ndarray], np.ndarray]
"""uint8 [H, W, 3] RGB → boxes float32 [P, 4] xyxy, best first."""


@dataclass
class OnProposalsOptions(SelectiveSearchOptions):
    """The options of every detector whose regions come from selective search."""

    max_proposals: Count = 2000
    """Largest number of proposals of an image, the best of them, that are used (Girshick et al. 2014: about 2,000)."""

    def proposal_request(self) -> ProposalRequest | None:
        """The proposals that the data must bring along."""
        return ProposalRequest(self.build_search(), self.max_proposals)


def proposals_for(images: Tensor, given: Sequence[Tensor | None] | None, search: Search, limit: int) -> list[Tensor]:
    """float32 [P, 4] for each image of uint8 (or float 0..255) [B, 3, H, W]: the best `limit` of those given.

    An image without any given (None; an empty tensor is an answer) is searched, which takes a second or so.
    """
    found = []
    for image, boxes in zip(images, given or [None] * len(images), strict=True):
        if boxes is None:
            with stage("proposals"):
                pixels = image.detach().byte().permute(1, 2, 0).cpu().numpy()
                boxes = torch.from_numpy(search(np.ascontiguousarray(pixels)))
        found.append(boxes[:limit].to(images.device, torch.float32))
    return found


def of_targets(images: Tensor, targets: Sequence[Target], search: Search, limit: int) -> list[Tensor]:
    """`proposals_for` images with their targets, and the whole image besides: so no image is without a region."""
    height, width = images.shape[-2:]
    whole = torch.zeros(1, 4, device=images.device)
    whole[:, 2].fill_(width)  # plain numbers: a tensor of them would be waited for on its way to a GPU
    whole[:, 3].fill_(height)
    proposals = proposals_for(images, [target.proposals for target in targets], search, limit)
    return [torch.cat([one, whole]) for one in proposals]
