"""Question 4a: one stage or two, on the same backbone and neck: what costs what, and what a prediction is read off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from detector import config
from detector.build_detector import build_detector
from detector.models.faster_rcnn import FasterRCNN
from detector.models.single_shot import SingleShot
from detector.models.stages import StageTimer
from detector.seminar.answer import Claim
from detector.seminar.drawing import new_figure, save

SIDE, CLASSES = 256, 5
"""Side of the image in pixels, and number of classes of objects."""
PROPOSALS = (50, 100, 200, 300)
"""Numbers of proposals that the first stage may pass on."""
REGIONS = (32, 56, 80, 104)
"""Sides of regions in pixels, all read from P3."""
STRIDE = 8
"""Pixels of the image between neighbouring cells of P3."""


class Cost(NamedTuple):
    """What one image costs."""

    regions: int
    """Number of regions that the second stage looked at, one by one."""
    multiply_accumulates: int


def single_shot() -> SingleShot:
    """csp_darknet_nano, PAN, anchor-free head, with random weights."""
    detector = build_detector(
        model=config.SingleShotOptions(),
        backbone=config.CSPDarknetOptions(),
        neck=config.PANOptions(),
        head=config.AnchorFreeHeadOptions(),
        assigner=config.TaskAlignedAssignerOptions(),
        loss=config.CriterionOptions(name="ciou"),
        classes=CLASSES,
        image_size=SIDE,
    )
    assert isinstance(detector, SingleShot)
    return detector.eval()


def two_stages(proposals: int = 300) -> FasterRCNN:
    """Faster R-CNN on the same backbone and neck, with random weights."""
    detector = build_detector(
        model=config.FasterRCNNOptions(proposals=proposals),
        backbone=config.CSPDarknetOptions(),
        neck=config.PANOptions(),
        classes=CLASSES,
        image_size=SIDE,
    )
    assert isinstance(detector, FasterRCNN)
    return detector.eval()


def cost(detector: SingleShot | FasterRCNN, image: Tensor) -> Cost:
    """Counted while it detects."""
    clock = StageTimer()
    with clock.watching(), FlopCounterMode(display=False) as counter:
        detector.detect(image)
    return Cost(clock.regions, counter.get_total_flops() // 2)


def seen_by_a_point(detector: SingleShot, levels: Mapping[str, Tensor]) -> Tensor:
    """|∂ prediction / ∂ P3| of the point in the middle of P3, summed over channels: [H, W]."""
    p3 = levels["P3"].clone().requires_grad_()
    raw = detector.head({**levels, "P3": p3})
    rows, columns = p3.shape[2:]
    point = rows // 2 * columns + columns // 2
    (gradient,) = torch.autograd.grad(raw["class_logits"][0, point].sum() + raw["box_logits"][0, point].sum(), p3)
    return gradient.abs().sum((0, 1))


def seen_of_a_region(detector: FasterRCNN, levels: Mapping[str, Tensor], side: int) -> Tensor:
    """|∂ prediction / ∂ P3| of a region in the middle of the image, summed over channels: [H, W]."""
    p3 = levels["P3"].clone().requires_grad_()
    low, high = (SIDE - side) / 2, (SIDE + side) / 2
    logits, changes = detector.roi_stage({**levels, "P3": p3}, [torch.tensor([[low, low, high, high]])], (SIDE, SIDE))
    (gradient,) = torch.autograd.grad(logits.sum() + changes.sum(), p3)
    return gradient.abs().sum((0, 1))


def extent(seen: Tensor) -> int:
    """Pixels from the first to the last column of P3 that matters."""
    columns = (seen > 0).any(0).nonzero()[:, 0]
    return STRIDE * int(columns[-1] - columns[0] + 1)


def one_or_two(folder: Path) -> Claim:
    """4a"""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        one, two = single_shot(), two_stages()
        image = torch.randint(256, (1, 3, SIDE, SIDE), dtype=torch.uint8)
        once = cost(one, image)
        costs = [cost(two_stages(number), image) for number in PROPOSALS]
        points = len(one.head.points((SIDE, SIDE), image.device).centres)
        by_one = {name: torch.randn_like(level) for name, level in one.neck(one.backbone(one.normalise(image))).items()}
        by_two = {name: torch.randn_like(level) for name, level in two(image).items()}
    of_point = seen_by_a_point(one, by_one)
    of_regions = [seen_of_a_region(two, by_two, side) for side in REGIONS]
    linear = (
        *(layer for layer in two.roi_stage.layers.children()),
        two.roi_stage.class_logits,
        two.roi_stage.box_changes,
    )
    each = sum(layer.weight.numel() for layer in linear)
    return Claim(
        "4a",
        "single-shot and two-stage detectors",
        "one stage predicts at every point of the features at once, at a fixed cost; two stages look at each proposed "
        "region again: dearer with every region, but what is read is fitted to the object",
        f"both on csp_darknet_nano and PAN with random weights, {SIDE} × {SIDE} pixels: operations counted in `detect`, and "
        "the part of P3 that a prediction has a gradient to",
        (
            ("one stage", f"{points} points at once, {once.multiply_accumulates / 1e6:.0f} M multiply-accumulates"),
            *(
                (f"two stages, {one.regions} regions", f"{one.multiply_accumulates / 1e6:.0f} M multiply-accumulates")
                for one in costs
            ),
            (
                f"prediction for an object of {', '.join(map(str, REGIONS))} pixels: one stage sees",
                f"{extent(of_point)} each",
            ),
            ("two stages see", ", ".join(str(extent(seen)) for seen in of_regions)),
            ("AP of both, trained", "train.py -m sweep=one_vs_two_stage, compared in RESULTS.md"),
        ),
        f"no region passes a second network in one stage; each one in two costs the {each / 1e6:.1f} M weights of its fully "
        "connected layers, exactly; what is seen grows with the region (by 2 cells at most beyond it)",
        once.regions == 0
        and len({(one.multiply_accumulates - each * one.regions) for one in costs}) == 1
        and costs[0].regions < costs[-1].regions
        and once.multiply_accumulates < costs[-1].multiply_accumulates
        and all(side <= extent(seen) <= side + 2 * STRIDE for side, seen in zip(REGIONS, of_regions, strict=True)),
        _draw(folder, once, costs, of_point, of_regions),
    )


def _draw(folder: Path, once: Cost, costs: Sequence[Cost], of_point: Tensor, of_regions: Sequence[Tensor]) -> Path:
    figure = new_figure(13, 4)
    work, *maps = figure.subplots(1, 4, width_ratios=[1.3, 1, 1, 1])
    regions = [one.regions for one in costs]
    work.plot([0, *regions], [once.multiply_accumulates / 1e6] * (len(regions) + 1), label="one stage")
    work.plot(regions, [one.multiply_accumulates / 1e6 for one in costs], "o-", label="two stages")
    work.set_ylim(bottom=0)
    work.set_xlabel("regions looked at one by one")
    work.set_ylabel("10⁶ multiply-accumulates")
    work.legend(fontsize=8)
    work.grid(alpha=0.3)
    work.set_title("cost of an image")
    shown = {
        "one stage: a point": (of_point, REGIONS[-1]),
        f"two stages: a region of {REGIONS[0]}": (of_regions[0], REGIONS[0]),
        f"two stages: a region of {REGIONS[-1]}": (of_regions[-1], REGIONS[-1]),
    }
    for axes, (title, (seen, side)) in zip(maps, shown.items(), strict=True):
        axes.imshow((seen / seen.max()).numpy(), extent=(0, SIDE, SIDE, 0), cmap="magma")
        low = (SIDE - side) / 2
        axes.plot([low, low + side, low + side, low, low], [low, low, low + side, low + side, low], "c--", linewidth=1)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("pixels; dashed: the object", fontsize=8)
    return save(figure, folder, "4a")
