"""`scripts/anchors.py`: anchors by k-means on the shapes of a data set's boxes (Redmon & Farhadi 2017, section 2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detector.assigners.max_iou import shape_iou
from detector.data.images.letterbox import check_image_size
from detector.data.index import Index
from detector.data.options import Anchors
from detector.data.read import read_index
from detector.errors import UserError
from detector.heads.anchor_based import AnchorBasedHeadOptions
from detector.visualization.text_table import terminal

SWAPS = 100
"""k-means ends in a local optimum; so many times one centre is put elsewhere, which is kept if all ends better."""
SAMPLE = 5_000
"""Boxes on which the swaps are tried; then all boxes have their say."""
ITERATIONS = 300
DECIMALS = 4
"""Decimals of a printed share: it is off by at most 0.03 pixels of 640."""


@dataclass(frozen=True)
class Fit:
    """How well anchors fit boxes."""

    mean_iou: float
    """Mean over the boxes of the IoU with the best anchor, both laid on one centre."""
    recall: float
    """Best possible recall: share of the boxes whose IoU with the best anchor exceeds the assigner's threshold."""


@dataclass(frozen=True)
class Report:
    """What `find` found."""

    settings: Anchors
    images: int
    boxes: int
    anchors: list[list[list[float]]]
    """Anchors of each level, lowest first: [width, height] as shares of the image's side."""
    fit: Fit
    default: Fit
    """Fit of the anchors that `head=anchor_based` has by default."""

    @property
    def override(self) -> str:
        """What gives these anchors to a training, as arguments of a shell."""
        levels = ",".join("[" + ",".join(f"[{w:g},{h:g}]" for w, h in level) + "]" for level in self.anchors)
        return f"head=anchor_based 'head.anchors=[{levels}]'"

    def __str__(self) -> str:
        side, threshold = self.settings.image_size, self.settings.iou_threshold
        lines = [
            f"{self.boxes} boxes of {self.images} training images at image_size={side}",
            "",
            terminal(
                [
                    ["", "mean best IoU", f"best possible recall (IoU > {threshold:g})"],
                    ["these anchors", f"{self.fit.mean_iou:.4f}", f"{self.fit.recall:.4f}"],
                    ["default anchors", f"{self.default.mean_iou:.4f}", f"{self.default.recall:.4f}"],
                ]
            ),
            "",
        ]
        for number, level in enumerate(self.anchors, start=1):
            pixels = "  ".join(f"{w * side:.0f}x{h * side:.0f}" for w, h in level)
            lines.append(f"level {number}, pixels: {pixels}")
        return "\n".join([*lines, "", self.override])


def find(settings: Anchors) -> Report:
    """Anchors for the training boxes of a data set; prints how well they fit and the override that uses them.

    Raises:
        UserError: the data cannot be read or has fewer different boxes than anchors are asked for.
    """
    for key in ("levels", "per_level"):
        if (value := getattr(settings, key)) < 1:
            raise UserError(f"{key}={value}: at least 1")
    check_image_size(settings.image_size)
    index = read_index(settings.data, "train")
    sizes = box_sizes(index, settings.image_size)
    count = settings.levels * settings.per_level
    distinct = len(torch.unique(sizes, dim=0))
    if distinct < count:
        raise UserError(
            f"data.train has {distinct} boxes of different shape, {count} anchors need as many: "
            f"lower levels={settings.levels} or per_level={settings.per_level}"
        )
    shares = cluster(sizes, count, settings.seed) / settings.image_size
    shares = (shares * 10**DECIMALS).round().clamp(min=1) / 10**DECIMALS
    rounded = [[round(share, DECIMALS) for share in anchor] for anchor in shares.tolist()]
    default = torch.tensor(AnchorBasedHeadOptions().anchors, dtype=torch.float64).reshape(-1, 2)
    report = Report(
        settings,
        images=len(index),
        boxes=len(sizes),
        anchors=[rounded[i : i + settings.per_level] for i in range(0, count, settings.per_level)],
        fit=measure(sizes, shares * settings.image_size, settings.iou_threshold),
        default=measure(sizes, default * settings.image_size, settings.iou_threshold),
    )
    print(report)
    return report


def box_sizes(index: Index, image_size: int) -> Tensor:
    """float64 [N, 2]: (width, height) of all boxes but crowds in pixels of the letterboxed image."""
    scale = image_size / index.sizes.max(axis=1, initial=1)
    owners = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    sizes = (index.boxes[:, 2:] - index.boxes[:, :2]).astype(np.float64) * scale[owners, None]
    return torch.from_numpy(sizes[~index.crowd])


def measure(sizes: Tensor, anchors: Tensor, iou_threshold: float) -> Fit:
    """The fit of anchors [k, 2] to box sizes [N, 2]."""
    best = shape_iou(sizes[:, None], anchors).amax(dim=1)
    return Fit(best.mean().item(), (best > iou_threshold).double().mean().item())


def cluster(sizes: Tensor, count: int, seed: int) -> Tensor:
    """k-means of box sizes [N, 2] with the distance 1 − IoU → float64 [count, 2], smallest area first.

    With random swaps (Fränti 2018): they find better optima than as many starts from the beginning do.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(limit: int) -> Tensor:
        return sizes[torch.randperm(len(sizes), generator=generator)[:limit]].double()

    sample = draw(SAMPLE)
    best, centres = _k_means(sample, draw(count))
    for _ in range(SWAPS):
        swapped = centres.clone()
        swapped[torch.randint(count, (1,), generator=generator)] = draw(1)
        reached, swapped = _k_means(sample, swapped)
        if reached > best:
            best, centres = reached, swapped
    if len(sample) < len(sizes):
        _, centres = _k_means(sizes.double(), centres)
    return centres[centres.prod(dim=1).argsort()]


def _k_means(sizes: Tensor, centres: Tensor) -> tuple[float, Tensor]:
    """The best centres on the way, and the mean IoU with them: the mean of a cluster is not its best centre for the IoU."""
    best, best_centres, before = -1.0, centres, None
    for _ in range(ITERATIONS):
        iou, nearest = shape_iou(sizes[:, None], centres).max(dim=1)
        if (mean := iou.mean().item()) > best:
            best, best_centres = mean, centres
        if before is not None and torch.equal(nearest, before):
            break
        before = nearest
        members = torch.bincount(nearest, minlength=len(centres))[:, None]
        sums = torch.zeros_like(centres).index_add_(0, nearest, sizes)
        centres = torch.where(members > 0, sums / members.clamp(min=1), centres)  # an empty cluster stays where it is
    return best, best_centres
