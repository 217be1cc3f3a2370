"""The single-shot detector: backbone → neck → head, every box predicted in one pass (Redmon et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from detector.backbones.backbone import Backbone
from detector.heads.head import Head
from detector.heads.points import Points
from detector.losses.criterion import Criterion
from detector.models.detector import ModelOptions, Normalise
from detector.models.stages import stage
from detector.necks.neck import Neck
from detector.nms import NMS
from detector.targets import Objects, Target, Targets
from detector.types import Detections


@dataclass
class SingleShotOptions(ModelOptions):
    """Backbone → neck → YOLO-style head (Redmon et al. 2016)."""

    name: str = "single_shot"

    def build(
        self, *, backbone: Backbone, neck: Neck, head: Head, criterion: Criterion | None, classes: int, image_size: int
    ) -> SingleShot:
        """The detector made of these parts; the head knows the classes and the size of the image already."""
        return SingleShot(backbone, neck, head, criterion, self.build_suppression(), self.mean, self.std)


class SingleShot(nn.Module):
    """Images uint8 [B, 3, H, W], RGB, sides a multiple of the largest stride."""

    def __init__(
        self,
        backbone: Backbone,
        neck: Neck,
        head: Head,
        criterion: Criterion | None,
        suppression: NMS,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
    ) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.backbone = backbone
        self.neck = neck
        self.head = head
        self.criterion = criterion
        self.suppression = suppression

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Raw predictions, the same in training and evaluation mode: what an export contains."""
        with stage("features"):
            features = self.neck(self.backbone(self.normalise(images)))
        with stage("heads"):
            return self.head(features)

    def losses(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Weighted scalar losses by name; their sum is what is minimised.

        Raises:
            RuntimeError: the detector was built without a criterion, as a checkpoint is opened.
        """
        if self.criterion is None:
            raise RuntimeError("this detector was built to detect: it has no criterion and cannot be trained")
        points, objects = self._points(images), Targets.of(targets, images.device).objects
        return self._losses(images, points, objects, self.criterion.candidates(points, objects))

    def _losses(self, images: Tensor, points: Points, objects: Objects, candidates: Any) -> dict[str, Tensor]:
        assert self.criterion is not None
        return self.criterion(self.head, self(images), points, objects, candidates, _size(images))

    def compile_losses(self, mode: str | None = None) -> None:
        """Compiles network, assigner and losses in one piece, once for all batches, whatever they hold.

        Numbers of images and of objects are symbols in it. So are the sides of images where `images` says so
        (`torch._dynamo.maybe_mark_dynamic`); otherwise another size is compiled anew.
        """
        compiled = torch.compile(self._losses, mode=mode)

        def of_any_size(images: Tensor, *annotated: Any) -> dict[str, Tensor]:
            for tensor in _tensors(annotated):
                torch._dynamo.maybe_mark_dynamic(tensor, 0)
            losses: dict[str, Tensor] = compiled(images, *annotated)
            return losses

        self._losses = of_any_size  # type: ignore[method-assign, assignment]

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[Detections]:
        """Detections of each image, in pixels of the images given. In float32, whatever the precision of training."""
        with torch.autocast(images.device.type, enabled=False):
            raw = self(images)
            with stage("heads"):
                scores = self.head.scores(raw)
            with stage("suppression"):
                chosen = self.suppression.choose(scores)
            with stage("heads"):  # boxes of the best predictions alone
                logits = raw["box_logits"]
                logits = logits.gather(1, chosen.rows[..., None].expand(-1, -1, logits.shape[2]))
                boxes = self.head.decode(logits, self._points(images).at(chosen.rows))
        with stage("suppression"):
            return self.suppression.suppress(chosen, boxes)

    def _points(self, images: Tensor) -> Points:
        return self.head.points(_size(images), images.device)


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in dataclass objects and tuples."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _tensors(one)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name))


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]
