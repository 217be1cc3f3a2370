"""Non-maximum suppression: among predictions of the same object only the best stays, in four ways."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detector.boxes import aligned_iou, pairwise_iou
from detector.errors import OptionError
from detector.types import Detections

KINDS = ("greedy", "class_agnostic", "soft", "diou")

ALL_PAIRS = 200
"""Candidates up to which one matrix of all pairs costs a CPU less than a hundred of its rows one by one."""


@dataclass(frozen=True)
class NMS:
    """What every detector does last, one image at a time: boxes, scores [A, K] → `Detections`.

    Boxes are [A, 4], or [A, K, 4] where each class has a box of its own. A prediction is a box with one of the K classes.
    The best `candidates` of those with a score above `score_threshold` take part. The best of them is kept and acts on the
    rest, then the best of what is left, and so on:

    - greedy: predictions of its class with IoU > `iou_threshold` are dropped
    - class_agnostic: predictions of any class with IoU > `iou_threshold` are dropped
    - soft: the scores of its class are multiplied by exp(−IoU² / `sigma`) (Bodla et al. 2017, section 3, the Gaussian
      form), and what falls to `score_threshold` is dropped
    - diou: predictions of its class with IoU − ρ² / c² > `iou_threshold` are dropped, ρ the distance of the centres, c
      the diagonal of the smallest enclosing box (Zheng et al. 2020, "Non-Maximum Suppression using DIoU")

    The best `max_detections` come out. Of equal scores the earlier box comes first, of one box the earlier class.
    """

    kind: str = "greedy"
    iou_threshold: float = 0.65
    """Not used by soft."""
    score_threshold: float = 0.001
    candidates: int = 1000
    max_detections: int = 100
    sigma: float = 0.5
    """Used by soft alone."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OptionError("kind", f"{self.kind!r} is unknown; choose one of {', '.join(KINDS)}")
        for key in ("iou_threshold", "score_threshold"):
            if not 0 <= (value := getattr(self, key)) <= 1:
                raise OptionError(key, "must be in 0..1", value)
        for key in ("candidates", "max_detections"):
            if (value := getattr(self, key)) < 1:
                raise OptionError(key, "must be 1 or more", value)
        if not self.sigma > 0:
            raise OptionError("sigma", "must be above 0", self.sigma)

    def __call__(self, boxes: Tensor, scores: Tensor) -> Detections:
        """Boxes float [A, 4] or [A, K, 4] xyxy and scores float [A, K] in 0..1 → what stays, best score first."""
        found = self._best(boxes, scores)
        if len(found) == 0:
            return found
        from torchvision.ops import batched_nms, nms  # here: it takes seconds, which options need not wait for

        # In float64, so that no rounding decides on a threshold or a tie; Apple's GPUs have none.
        dtype = torch.float32 if found.boxes.device.type == "mps" else torch.float64
        boxes, scores = found.boxes.to(dtype), found.scores.to(dtype)
        match self.kind:
            case "greedy":
                # From 0 on: torchvision moves the classes apart by the largest coordinate, over which boxes with
                # negative corners would reach.
                kept = batched_nms(boxes - boxes.min(), scores, found.labels, self.iou_threshold).sort().values
            case "class_agnostic":
                kept = nms(boxes, scores, self.iou_threshold)
            case _:
                return self._one_by_one(found, boxes, scores)
        return found[kept[: self.max_detections]]

    def _best(self, boxes: Tensor, scores: Tensor) -> Detections:
        """The candidates, best first."""
        flat = scores.flatten()
        values, index = flat.topk(min(self.candidates + 1, flat.numel()))
        if len(values) > self.candidates and values[-1] == values[-2]:  # topk takes any of equal scores at the cut
            equal = (flat == values[-1]).nonzero()[: self.candidates]
            index = torch.cat([(flat > values[-1]).nonzero(), equal])[:, 0]
        index = index.sort().values
        index = index[flat[index].sort(descending=True, stable=True).indices[: self.candidates]]
        index = index[flat[index] > self.score_threshold]
        classes = scores.shape[1]
        chosen = boxes[index // classes] if boxes.ndim == 2 else boxes.flatten(0, 1)[index]
        return Detections(chosen, flat[index], index % classes)

    def _one_by_one(self, found: Detections, boxes: Tensor, scores: Tensor) -> Detections:
        """Soft and diou: each prediction that is kept multiplies the scores of the others of its class.

        Scores only fall, so that predictions are kept in the order of their final scores and `max_detections` rounds are
        enough. No round waits for the GPU: where nothing is left, it takes a score of 0, which goes out at the end.
        """
        # All pairs at once, where that is less than a row a round: for few candidates, and on a GPU, which counts launches.
        pairs = self._factor(boxes, boxes) if boxes.is_cuda or len(boxes) <= ALL_PAIRS else None
        kept, kept_scores = [], []
        for _ in range(min(self.max_detections, len(found))):
            score, best = scores.max(dim=0, keepdim=True)
            kept.append(best)
            kept_scores.append(score)
            factor = (self._factor(boxes[best], boxes) if pairs is None else pairs[best])[0]
            scores = torch.where(found.labels == found.labels[best], factor * scores, scores).index_fill(0, best, 0.0)
        index, final = torch.cat(kept), torch.cat(kept_scores)
        left = final > self.score_threshold
        return Detections(found.boxes[index], final.to(found.scores), found.labels[index])[left]

    def _factor(self, kept: Tensor, boxes: Tensor) -> Tensor:
        """What each of `kept` [M, 4] would leave of the scores of `boxes` [N, 4] of its class: [M, N] in 0..1."""
        if self.kind == "soft":
            return torch.exp(-pairwise_iou(kept, boxes).square() / self.sigma)
        return (aligned_iou(kept[:, None], boxes, "diou") <= self.iou_threshold).to(boxes.dtype)
