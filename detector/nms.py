"""Non-maximum suppression: among predictions of the same object only the best stays, in four ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from detector.boxes import aligned_iou
from detector.errors import OptionError
from detector.types import Detections

KINDS = ("greedy", "class_agnostic", "soft", "diou")

ALL_PAIRS = 200
"""Candidates up to which one matrix of all pairs costs a CPU less than a hundred of its rows one by one."""
FIRST_TRY = 4
"""A CPU first looks at so many candidates a detection that may come out, and only then, if need be, at all."""
MOST_PAIRS = 2**24
"""Pairs of a whole batch that a GPU has in memory at once: 128 MB a matrix."""


@dataclass(frozen=True)
class Candidates:
    """The predictions of each of B images that take part in suppression, best first, M places an image."""

    rows: Tensor
    """int64 [B, M]: which of the image's A boxes."""
    labels: Tensor
    """int64 [B, M] in 0..K−1."""
    scores: Tensor
    """float32 [B, M]; 0 in the places that are left over where an image has fewer than M."""


@dataclass(frozen=True)
class NMS:
    """What every detector does last: boxes, scores [A, K] of an image, or of each image of a batch → `Detections`.

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
        return self.batch(boxes[None], scores[None])[0]

    def batch(self, boxes: Tensor, scores: Tensor) -> list[Detections]:
        """Boxes float [B, A, 4] or [B, A, K, 4] and scores float [B, A, K] → for each image what one call for it gives."""
        chosen = self.choose(scores)
        image = torch.arange(len(scores), device=scores.device)[:, None]
        at = (image, chosen.rows) if boxes.ndim == 3 else (image, chosen.rows, chosen.labels)
        return self.suppress(chosen, boxes[at])

    def ragged(self, predictions: Sequence[tuple[Tensor, Tensor]]) -> list[Detections]:
        """As `batch`, of images with numbers of boxes of their own: boxes [A_i, 4] or [A_i, K, 4] and scores [A_i, K]."""
        boxes, scores = map(list, zip(*predictions, strict=True))
        return self.batch(pad_sequence(boxes, batch_first=True), pad_sequence(scores, batch_first=True))

    def choose(self, scores: Tensor) -> Candidates:
        """The best predictions of each image by their scores [B, A, K], which nothing but their boxes is missing of."""
        if waiting_is_costly(scores):
            return self._ordered_at_once(scores)
        ordered = [self._ordered(one) for one in scores]
        index, values = (pad_sequence(list(one), batch_first=True) for one in zip(*ordered, strict=True))
        return Candidates(index // scores.shape[2], index % scores.shape[2], values)

    def suppress(self, chosen: Candidates, boxes: Tensor) -> list[Detections]:
        """What stays of the candidates of each image with these boxes [B, M, 4], in host memory, best first.

        A GPU is waited for three times: for the number of candidates, for the number of those that stay, and for these.
        """
        # In float64, so that no rounding decides on a threshold or a tie; Apple's GPUs have none.
        exact = boxes.to(torch.float32 if boxes.device.type == "mps" else torch.float64)
        if self.kind in ("soft", "diou"):
            return self._one_by_one(chosen, boxes, exact)
        image, place = (chosen.scores > 0).nonzero().unbind(1)
        kept = self._kept(exact[image, place], image, chosen.labels[image, place], len(boxes))
        image, place = image[kept], place[kept]
        found = [boxes[image, place], chosen.scores[image, place], chosen.labels[image, place], image]
        return self._by_image(found, len(boxes))

    def _ordered(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Flat indices and scores of one image's candidates, by falling score, of equal ones the earlier first.

        Only boxes whose best class is above the threshold are looked at, and of these not more than there are candidates:
        the best predictions are among the boxes with the best best classes.
        """
        best = scores.amax(1)
        least = scores.new_tensor(self.score_threshold)
        above = best > self.score_threshold
        if len(best) > self.candidates:
            least = best.topk(self.candidates).values[-1]
            above &= best >= least
        rows = above.nonzero()[:, 0]
        flat = scores[rows].flatten()
        index = ((flat > self.score_threshold) & (flat >= least)).nonzero()[:, 0]
        values, order = flat[index].sort(descending=True, stable=True)
        index = index[order[: self.candidates]]
        classes = scores.shape[1]
        return rows[index // classes] * classes + index % classes, values[: self.candidates]

    def _ordered_at_once(self, scores: Tensor) -> Candidates:
        """The same of all images at once, without waiting for the device."""
        classes = scores.shape[2]
        rows = _first(scores.amax(2), self.candidates).sort(1).values
        flat = scores.gather(1, rows[..., None].expand(-1, -1, classes)).flatten(1)
        index = _first(flat, self.candidates)
        values = flat.gather(1, index)
        return Candidates(
            rows.gather(1, index // classes), index % classes, values.where(values > self.score_threshold, 0.0)
        )

    def _kept(self, boxes: Tensor, image: Tensor, labels: Tensor, images: int) -> Tensor:
        """Indices of the boxes [N, 4] that stay, in rising order; they come image by image, the best of each first.

        Boxes of other classes, and on a GPU those of other images, are moved so far away that they do not overlap.
        """
        from torchvision.ops import nms  # here: it takes seconds, which options need not wait for

        if len(boxes) == 0:
            return image
        group = labels if self.kind == "greedy" else torch.zeros_like(labels)
        if waiting_is_costly(boxes):
            group = image * (labels.max() + 1) + group
        apart = (boxes.max() - boxes.min()).ceil() + 1
        boxes = boxes + (group * apart)[:, None]
        order = torch.arange(len(boxes), 0, -1, device=boxes.device, dtype=boxes.dtype)
        if waiting_is_costly(boxes):
            return nms(boxes, order, self.iou_threshold)
        kept, first = [], 0
        for count in image.bincount(minlength=images).tolist():
            # what the best are does not depend on the others: often some of them give all the detections that go out
            for some in (min(FIRST_TRY * self.max_detections, count), count):
                one = slice(first, first + some)
                stay = nms(boxes[one], order[one], self.iou_threshold)[: self.max_detections]
                if len(stay) == self.max_detections or some == count:
                    break
            kept.append(stay + first)
            first += count
        return torch.cat(kept)

    def _one_by_one(self, chosen: Candidates, boxes: Tensor, exact: Tensor) -> list[Detections]:
        """Soft and diou: each prediction that is kept multiplies the scores of the others of its class.

        Scores only fall, so that predictions are kept in the order of their final scores and `max_detections` rounds are
        enough. No round waits for the GPU: where nothing is left, it takes a score of 0, which goes out at the end.
        """
        scores, labels = chosen.scores.to(exact.dtype), chosen.labels
        images, count = scores.shape
        # All pairs at once, where that is less than a row a round: for few candidates, and on a GPU, which counts launches.
        few = images * count**2 <= MOST_PAIRS if waiting_is_costly(boxes) else count <= ALL_PAIRS
        pairs = self._factor(exact[:, :, None], exact[:, None]) if few else None
        kept, kept_scores = [], []
        each = torch.arange(images, device=boxes.device)
        for _ in range(min(self.max_detections, count)):
            score, best = scores.max(dim=1)
            kept.append(best)
            kept_scores.append(score)
            factor = self._factor(exact[each, best][:, None], exact) if pairs is None else pairs[each, best]
            same = labels == labels[each, best][:, None]
            scores = torch.where(same, factor * scores, scores).scatter(1, best[:, None], 0.0)
        if not kept:
            return self._by_image([boxes.flatten(0, 1), scores.flatten(), labels.flatten(), labels.flatten()], images)
        place, final = torch.stack(kept, 1), torch.stack(kept_scores, 1)
        image, round_ = (final > self.score_threshold).nonzero().unbind(1)
        place, final = place[image, round_], final[image, round_].to(chosen.scores)
        return self._by_image([boxes[image, place], final, labels[image, place], image], images)

    def _factor(self, kept: Tensor, boxes: Tensor) -> Tensor:
        """What each of `kept` [..., 4] would leave of the scores of `boxes` [..., 4] of its class: [...] in 0..1."""
        if self.kind == "soft":
            return torch.exp(-aligned_iou(kept, boxes, eps=0.0).square() / self.sigma)
        return (aligned_iou(kept, boxes, "diou") <= self.iou_threshold).to(boxes.dtype)

    def _by_image(self, found: list[Tensor], images: int) -> list[Detections]:
        """Boxes [N, 4], scores, labels and images [N], image by image, as the detections of each, in one copy to the host."""
        columns = [one.reshape(len(one), width) for one, width in zip(found, (4, 1, 1, 1), strict=True)]
        packed = torch.cat([one.to(found[0].dtype) for one in columns], dim=1).cpu()
        counts = packed[:, 6].long().bincount(minlength=images).tolist()
        return [
            Detections(one[:, :4], one[:, 4].to(found[1].dtype), one[:, 5].long())
            for one in (part[: self.max_detections] for part in packed.split(counts))
        ]


def waiting_is_costly(tensor: Tensor) -> bool:
    """Whether the host runs ahead of the tensor's device, so that it should ask for results as seldom as it can."""
    return tensor.is_cuda


def _first(scores: Tensor, count: int) -> Tensor:
    """Indices int64 [B, count] of the largest of each row of float32 [B, N] in 0..1, of equal ones the earlier first.

    The bits of floats from 0 on are ordered as the floats are. Together with their places, no two are equal, so that it
    does not matter which of equal ones `topk` takes.
    """
    places = torch.arange(scores.shape[1] - 1, -1, -1, device=scores.device)
    keys = (scores.contiguous().view(torch.int32).long() << 32) | places
    return scores.shape[1] - 1 - (keys.topk(min(count, scores.shape[1]), dim=1).values & 0xFFFFFFFF)
