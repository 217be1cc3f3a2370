"""A dry run of each kind of detector on one image whose tensors have no content (PyTorch's meta device).

All layers run there. What depends on the content of tensors does not: which proposals stay, and from which level a region is
read. So a stated number of regions is looked at, as many as the detector is configured to look at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from detector.models.fast_rcnn import FastRCNN
from detector.models.faster_rcnn import FasterRCNN
from detector.models.rcnn import RCNN
from detector.models.roi_stage import RoIStage
from detector.models.single_shot import SingleShot

NO_LAYERS = "Decoding of boxes and suppression have no layers: they are not in the ledger."


@dataclass(frozen=True)
class DryRun:
    """What happens to one image."""

    run: Callable[[], Any]
    """All that the detector's layers do with it."""
    view: nn.Module
    """Float images [1, 3, H, W] → what is computed of whole images, or of warped regions; its submodules have the names that
    they have in the detector."""
    side: int
    """Side of the square that `view` sees, in pixels."""
    sees: str
    """What that square is."""
    regions: int | None
    """Number of regions that are looked at one by one; None for a detector that has none."""
    notes: tuple[str, ...]
    """What a reader of the ledger should know."""


def dry_run(detector: nn.Module, image_size: int) -> DryRun:
    """What happens to an image of `image_size` · `image_size` pixels in a detector on the meta device."""
    notes: tuple[str, ...]
    images = torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8, device="meta")
    match detector:
        case SingleShot():
            return DryRun(lambda: detector(images), detector, image_size, "image", None, (NO_LAYERS,))
        case FasterRCNN():
            regions = detector.proposals.network.post_nms_top_n()
            view = _WithProposals(detector)

            def both_stages() -> None:
                levels = detector(images)
                detector.proposals.network.head(list(levels.values()))
                _second_stage(detector.roi_stage, levels, regions, image_size)

            notes = (
                f"The second stage looks at {regions} regions (model.proposals), the most that it does in an image.",
                "Layers behind the pooling of a region depend on its pixels and what surrounds them: no fixed field.",
                NO_LAYERS,
            )
            return DryRun(both_stages, view, image_size, "image", regions, notes)
        case FastRCNN():
            regions = detector.max_proposals
            notes = (
                f"The second stage looks at {regions} regions (model.max_proposals), the most that it does in an image.",
                "Layers behind the pooling of a region depend on its pixels and what surrounds them: no fixed field.",
                "The search for proposals has no layers: it is not in the ledger.",
                NO_LAYERS,
            )
            return DryRun(
                lambda: _second_stage(detector.roi_stage, detector(images), regions, image_size),
                detector,
                image_size,
                "image",
                regions,
                notes,
            )
        case RCNN():
            regions, side = detector.max_proposals, detector.region_size
            warped = torch.zeros(regions, 3, side, side, device="meta")

            def each_region() -> None:
                detector.normalise(images)
                detector(warped)

            notes = (
                f"{regions} regions of {side}×{side} pixels pass through the network (model.max_proposals, "
                "model.region_size), the most that do for an image. Activations are those of all of them; "
                f"detection holds {detector.chunk} at a time (model.chunk).",
                "Fields are in pixels of the warped region.",
                "The search for proposals and the warping of regions have no layers: they are not in the ledger.",
                NO_LAYERS,
            )
            return DryRun(each_region, detector, side, "warped region", regions, notes)
    raise AssertionError(f"{type(detector).__name__}: no dry run for this detector")


class _WithProposals(nn.Module):
    """A Faster R-CNN up to what it says of each anchor."""

    def __init__(self, detector: FasterRCNN) -> None:
        super().__init__()
        self.normalise, self.backbone, self.neck = detector.normalise, detector.backbone, detector.neck
        self.proposals = detector.proposals

    def forward(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        levels = self.neck(self.backbone(self.normalise(images)))
        answers: tuple[list[Tensor], list[Tensor]] = self.proposals.network.head(list(levels.values()))
        return answers


def _second_stage(stage: RoIStage, levels: dict[str, Tensor], regions: int, image_size: int) -> None:
    """The pooling runs for real, on zeros: it has no weights, is cheap, and picks levels by the content of its regions."""
    real = {name: torch.zeros(level.shape) for name, level in levels.items()}
    whole = torch.tensor([[0.0, 0.0, image_size, image_size]])
    pooled = stage.pool(real, [whole.expand(regions, 4)])
    stage.predict(pooled.to("meta"))
