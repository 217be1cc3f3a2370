"""The region proposal network of Faster R-CNN: where there may be an object, of whatever class (Ren et al. 2015).

Its layers and anchors are torchvision's. What is made of them is computed for a whole batch, where torchvision waits for the
device several times an image, and in full precision: with corners in bfloat16 boxes would be off by pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import clip_boxes_to_image

from detector.errors import OptionError
from detector.models.regions.box_coding import decode, encode, full_precision
from detector.models.regions.losses import SMOOTH_L1_BETA
from detector.models.regions.sampling import match, sample
from detector.types import FeatureInfo, Target

UNWEIGHTED = (1.0, 1.0, 1.0, 1.0)
"""Deltas of the proposal network are learned as they are."""
TOGETHER = 5 * 2**14
"""Boxes that a GPU suppresses at once; the bits of their comparisons take 840 MB.

So it is waited for four times in a step of 64 images of 320 pixels, with 2,000, 2,000 and 600 boxes each.
"""


class ProposalNetwork(nn.Module):
    """Levels of equally many channels → the regions of each image that look most like an object, best first.

    Args:
        features: levels of equally many channels (`necks/extras.py`).
        image_size: side of the square that anchors are shares of, in pixels.
        anchor_sizes: sides of the anchors of P5 (stride 32) as shares of `image_size`; at stride s they are s / 32 as large.
        anchor_ratios: heights of the anchors divided by their widths; each size has every ratio, at the same area.
        positive_iou, negative_iou: an anchor is to say "object" where its IoU with one is `positive_iou` or more, or the
            largest that any anchor has with that object; "nothing" where it is below `negative_iou`.
        sampled_anchors, positive_share: so many anchors an image learn, at most this share of them positives.
        training_candidates, candidates: proposals of each level that enter suppression, in training and otherwise.
        training_proposals, proposals: those of an image that come out, in training and otherwise.
        iou_threshold: of two proposals of a level that overlap more only the better one comes out.

    Raises:
        OptionError: a value is out of its range.
    """

    def __init__(
        self,
        features: FeatureInfo,
        image_size: int,
        anchor_sizes: Sequence[float] = (0.32, 0.45),
        anchor_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        positive_iou: float = 0.5,
        negative_iou: float = 0.3,
        sampled_anchors: int = 256,
        positive_share: float = 0.5,
        training_candidates: int = 2000,
        candidates: int = 1000,
        training_proposals: int = 300,
        proposals: int = 300,
        iou_threshold: float = 0.7,
        objectness_weight: float = 1.0,
        box_weight: float = 1.0,
    ) -> None:
        super().__init__()
        _check_anchors(anchor_sizes, anchor_ratios)
        if not 0 <= negative_iou <= positive_iou <= 1:
            raise OptionError(
                "negative_iou", f"must be 0 <= negative_iou <= positive_iou={positive_iou} <= 1", negative_iou
            )
        for key, value in (("positive_share", positive_share), ("iou_threshold", iou_threshold)):
            if not 0 < value <= 1:
                raise OptionError(key, "must be above 0 and at most 1", value)
        for key, number in (
            ("sampled_anchors", sampled_anchors),
            ("training_candidates", training_candidates),
            ("candidates", candidates),
            ("training_proposals", training_proposals),
            ("proposals", proposals),
        ):
            if number < 1:
                raise OptionError(key, "must be 1 or more", number)
        (channels,) = set(features.channels)
        sides = [tuple(share * image_size * stride / 32 for share in anchor_sizes) for stride in features.strides]
        self.network = RegionProposalNetwork(
            _Anchors(sides, [tuple(anchor_ratios)] * len(sides)),
            _Head(channels, len(anchor_sizes) * len(anchor_ratios)),
            positive_iou,
            negative_iou,
            sampled_anchors,
            positive_share,
            {"training": training_candidates, "testing": candidates},
            {"training": training_proposals, "testing": proposals},
            iou_threshold,
        )
        self.positive_iou, self.negative_iou = positive_iou, negative_iou
        self.sampled_anchors, self.positive_share = sampled_anchors, positive_share
        self.objectness_weight = objectness_weight
        self.box_weight = box_weight

    def forward(self, images: Tensor, features: dict[str, Tensor]) -> list[Tensor]:
        """Proposals float32 [N_i, 4] of each of the `images` [B, 3, H, W], best first, clipped to the image."""
        self.network.training = False  # torchvision asks it how many proposals are wanted
        anchors, objectness, deltas, levels = self._predict(images, features)
        proposals, there = self._propose(images, anchors, objectness, deltas, levels)
        return [one[:count] for one, count in zip(proposals, there.sum(dim=1).tolist(), strict=True)]

    def losses(
        self, images: Tensor, features: dict[str, Tensor], targets: Sequence[Target]
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Proposals as many as training uses, and the weighted scalar losses `rpn_objectness` and `rpn_box`.

        Both losses are sums over sampled anchors divided by their number (Ren et al. 2015, eq. 1): the cross entropy of all,
        the smooth L1 loss of the positives' deltas.

        Returns:
            Proposals float32 [B, R, 4], best first; bool [B, R], which of them there are; the losses.
        """
        self.network.training = True
        anchors, objectness, deltas, levels = self._predict(images, features)
        proposals, there = self._propose(images, anchors, objectness, deltas, levels)
        answers, wanted, changes, wanted_changes, taken = [], [], [], [], []
        for i, target in enumerate(targets):
            matches = match(anchors, target.boxes.to(anchors), self.positive_iou, self.negative_iou, best_too=True)
            index, drawn = sample(matches, self.sampled_anchors, self.positive_share)
            own, regions = matches[index], anchors[index]
            positive = drawn & (own >= 0)
            boxes = regions if len(target.boxes) == 0 else target.boxes.to(anchors)[own.clamp(min=0)]
            answers.append(objectness[i, index])
            wanted.append(positive)
            changes.append(deltas[i, index])
            wanted_changes.append(encode(regions, torch.where(positive[:, None], boxes, regions), UNWEIGHTED))
            taken.append(drawn)
        positive, drawn = torch.cat(wanted), torch.cat(taken)
        number = drawn.sum().clamp(min=1)
        each = F.binary_cross_entropy_with_logits(torch.cat(answers), positive.to(objectness), reduction="none")
        away = F.smooth_l1_loss(torch.cat(changes), torch.cat(wanted_changes), beta=SMOOTH_L1_BETA, reduction="none")
        objectness_loss = torch.where(drawn, each, 0.0).sum() / number
        box_loss = torch.where(positive, away.sum(dim=1), 0.0).sum() / number
        losses = {
            "rpn_objectness": self.objectness_weight * objectness_loss,
            "rpn_box": self.box_weight * box_loss,
        }
        return proposals, there, losses

    def _predict(self, images: Tensor, features: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, list[int]]:
        """Anchors [A, 4], the same for every image, objectness logits [B, A], deltas [B, A, 4], and anchors of each level."""
        levels = list(features.values())
        objectness, deltas = self.network.head(levels)
        # [B, anchors, H, W] → [B, H · W · anchors], and so the four deltas of each
        flat = [one.permute(0, 2, 3, 1).flatten(1) for one in objectness]
        flat_deltas = [one.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3) for one in deltas]
        (anchors,) = self.network.anchor_generator(_sizes(images[:1]), levels)
        return anchors, torch.cat(flat, dim=1), torch.cat(flat_deltas, dim=1), [one.shape[1] for one in flat]

    @torch.no_grad()
    def _propose(
        self, images: Tensor, anchors: Tensor, objectness: Tensor, deltas: Tensor, levels: list[int]
    ) -> tuple[Tensor, Tensor]:
        """Boxes [B, R, 4], best first, and bool [B, R]: the best of each level after suppression, whatever their number."""
        wanted, candidates = self.network.post_nms_top_n(), self.network.pre_nms_top_n()
        sizes = [min(candidates, number) for number in levels]
        first = [sum(levels[:i]) for i in range(len(levels))]
        parts = zip(objectness.split(levels, dim=1), sizes, first, strict=True)
        index = torch.cat([part.topk(size, dim=1).indices + start for part, size, start in parts], dim=1)
        chosen = decode(
            anchors[index].flatten(0, 1), deltas.gather(1, index[..., None].expand(-1, -1, 4)).flatten(0, 1), UNWEIGHTED
        )
        boxes = clip_boxes_to_image(chosen, (images.shape[-2], images.shape[-1])).unflatten(0, index.shape)
        scores = objectness.gather(1, index).sigmoid()
        large = (boxes[..., 2:] - boxes[..., :2] >= self.network.min_size).all(dim=-1)
        scores = torch.where(large, scores, -1.0)
        kept = suppressed_apart(boxes.flatten(0, 1), scores.flatten(), sizes * len(images), self.network.nms_thresh)
        scores = torch.where(kept.view_as(scores), scores, -1.0)
        best, order = scores.topk(min(wanted, scores.shape[1]), dim=1)
        return boxes.gather(1, order[..., None].expand(-1, -1, 4)), best >= 0


def suppressed_apart(
    boxes: Tensor, scores: Tensor, sizes: Sequence[int], iou_threshold: float, together: int | None = None
) -> Tensor:
    """Greedy suppression within each of many groups that lie one after the other.

    A GPU is waited for once in each call, so it gets many groups at a time, moved apart so far that none overlaps another. The
    comparisons grow with the square of the boxes of a call: on a CPU, where nothing is waited for, each group has its own.

    Args:
        boxes: float [N, 4] xyxy.
        scores: float [N].
        sizes: numbers of boxes of the groups; their sum is N.
        iou_threshold: of two boxes that overlap more the one with the lower score is dropped.
        together: boxes that one call gets, unless a single group has more; by default what suits the device.

    Returns:
        bool [N]: what is kept.
    """
    from torchvision.ops import nms  # here: it takes seconds, which options need not wait for

    if together is None:
        together = 0 if boxes.device.type == "cpu" else TOGETHER
    dtype = boxes.dtype if boxes.device.type == "mps" else torch.float64
    kept = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    start, number = 0, 0
    calls: list[list[int]] = []
    for size in sizes:
        if not calls or number + size > together:
            calls.append([])
            number = 0
        calls[-1].append(size)
        number += size
    spread = boxes.abs().amax() * 2 + 1 if len(boxes) else 0.0
    for call in calls:
        end = start + sum(call)
        apart = boxes[start:end].to(dtype)
        if len(call) > 1:
            group = torch.from_numpy(np.repeat(np.arange(len(call)), call))
            group = group.to(boxes.device, non_blocking=boxes.is_cuda)
            apart = apart + (group * spread)[:, None]
        kept.index_fill_(0, nms(apart, scores[start:end].to(dtype), iou_threshold) + start, True)
        start = end
    return kept


def _check_anchors(sizes: Sequence[float], ratios: Sequence[float]) -> None:
    for key, values in (("anchor_sizes", sizes), ("anchor_ratios", ratios)):
        if not values or not min(values) > 0:
            raise OptionError(key, "give one or more numbers above 0", list(values))


def _sizes(images: Tensor) -> ImageList:
    """What torchvision's network wants to know of the images."""
    return ImageList(images, [(images.shape[-2], images.shape[-1])] * len(images))


class _Head(RPNHead):
    """torchvision's, with its answers in full precision."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        objectness, deltas = super().forward(x)
        return [full_precision(level) for level in objectness], [full_precision(level) for level in deltas]


class _Anchors(AnchorGenerator):
    """torchvision's, in full precision: it takes their type, and nothing else but their size, from the features."""

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        anchors: list[Tensor] = super().forward(image_list, [full_precision(level[:1, :1]) for level in feature_maps])
        return anchors
