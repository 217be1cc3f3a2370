"""The region proposal network of Faster R-CNN: where there may be an object, of whatever class (Ren et al. 2015).

torchvision does the work. Adapted here are the anchors, which are shares of the image, and the precision: torchvision
computes anchors and proposals in the precision of the features, and in bfloat16 corners would be off by pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from detector.errors import OptionError
from detector.models.regions.box_coding import full_precision
from detector.types import FeatureInfo, Target


class ProposalNetwork(nn.Module):
    """Levels of equally many channels → the regions of each image that look most like an object, best first.

    Args:
        features: levels of equally many channels (`necks/channel_projection.py`).
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
        self.objectness_weight = objectness_weight
        self.box_weight = box_weight

    def forward(self, images: Tensor, features: dict[str, Tensor]) -> list[Tensor]:
        """Proposals float32 [N_i, 4] of each of the `images` [B, 3, H, W], best first, clipped to the image."""
        self.network.training = False  # torchvision asks it whether losses are wanted
        proposals, _ = self.network(_sizes(images), features)
        return proposals

    def losses(
        self, images: Tensor, features: dict[str, Tensor], targets: list[Target]
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Proposals as many as training uses, and the weighted scalar losses `rpn_objectness` and `rpn_box`."""
        self.network.training = True
        objects = [{"boxes": target.boxes} for target in targets]
        proposals, losses = self.network(_sizes(images), features, objects)
        return proposals, {
            "rpn_objectness": self.objectness_weight * losses["loss_objectness"],
            "rpn_box": self.box_weight * losses["loss_rpn_box_reg"],
        }


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
