"""Question 4a: R-CNN and a single-shot detector, run side by side: steps, what each prediction is read off, and its form."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from detector import config
from detector.arithmetic.receptive_field import receptive_fields
from detector.build_detector import build_detector
from detector.models.rcnn import RCNN
from detector.models.regions.warp import warp, with_context
from detector.models.single_shot import SingleShot
from detector.models.stages import STAGES, StageTimer
from detector.seminar.answer import Answer, Condition, Panel, Series, Table

SIDE, CLASSES = 256, 5
"""Side of the image in pixels, and number of classes of objects."""
STRIDES = (8, 16, 32)
"""The strides of P3, P4 and P5."""
REGION = (96, 96, 160, 160)
"""An object in the middle, xyxy in pixels."""


class Run(NamedTuple):
    """What happens while one image is detected in."""

    regions: int
    """Regions that went through the network on their own."""
    inputs: tuple[tuple[int, ...], ...]
    """Shape of the input of each pass through the backbone."""
    seconds: dict[str, float]
    """By stage."""
    multiply_accumulates: int
    whole: float
    """Seconds of all together."""


def single_shot() -> SingleShot:
    """csp_darknet_nano, PAN and the anchor-based head of YOLOv3, with random weights."""
    detector = build_detector(
        model=config.SingleShotOptions(),
        backbone=config.CSPDarknetOptions(),
        neck=config.PANOptions(),
        head=config.AnchorBasedHeadOptions(),
        assigner=config.MaxIoUAssignerOptions(),
        loss=config.CriterionOptions(name="ciou"),
        classes=CLASSES,
        image_size=SIDE,
    )
    assert isinstance(detector, SingleShot)
    return detector.eval()


def rcnn(proposals: int) -> RCNN:
    """R-CNN on the same backbone, with random weights and selective search."""
    detector = build_detector(
        model=config.RCNNOptions(max_proposals=proposals),
        backbone=config.CSPDarknetOptions(),
        classes=CLASSES,
        image_size=SIDE,
    )
    assert isinstance(detector, RCNN)
    return detector.eval()


@contextmanager
def backbone_inputs(detector: SingleShot | RCNN) -> Iterator[list[tuple[int, ...]]]:
    """The shape of what goes into the backbone at each pass."""
    shapes: list[tuple[int, ...]] = []
    backbone = detector.backbone
    assert isinstance(backbone, nn.Module)
    handle = backbone.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    try:
        yield shapes
    finally:
        handle.remove()


def run(detector: SingleShot | RCNN, image: Tensor) -> Run:
    """Detects once, counting and timing."""
    clock = StageTimer()
    with clock.watching(), backbone_inputs(detector) as inputs, FlopCounterMode(display=False) as counter:
        detector.detect(image)
    operations = counter.get_total_flops() // 2
    clock = StageTimer()
    with clock.watching():  # once more, without what counting costs
        started = time.perf_counter()
        detector.detect(image)
        whole = time.perf_counter() - started
    return Run(clock.regions, tuple(inputs), dict(clock.seconds), operations, whole)


def seen_by_single_shot(detector: SingleShot, image: Tensor) -> Tensor:
    """|∂ prediction / ∂ pixel| of the cell in the middle of P3, summed over channels: [H, W]."""
    pixels = detector.normalise(image).requires_grad_()
    raw = detector.head(detector.neck(detector.backbone(pixels)))
    points = detector.head.points((SIDE, SIDE), image.device)
    chosen = (points.centres - SIDE / 2).norm(dim=1).argmin()
    (gradient,) = torch.autograd.grad(raw["class_logits"][0, chosen].sum() + raw["box_logits"][0, chosen].sum(), pixels)
    return gradient.abs().sum((0, 1))


def seen_by_rcnn(detector: RCNN, image: Tensor) -> Tensor:
    """|∂ prediction / ∂ pixel| of the region in the middle, summed over channels: [H, W]."""
    pixels = detector.normalise(image).requires_grad_()
    region = torch.tensor([REGION], dtype=torch.float32)
    logits, changes = detector(warp(pixels, [region], detector.region_size, detector.context))
    (gradient,) = torch.autograd.grad(logits.sum() + changes.sum(), pixels)
    return gradient.abs().sum((0, 1))


def outside(seen: Tensor, context: float) -> int:
    """Number of pixels that matter although they lie outside the region and its rim."""
    left, top, right, bottom = with_context(torch.tensor([REGION], dtype=torch.float32), context)[0].tolist()
    beyond = torch.ones_like(seen, dtype=torch.bool)
    # interpolation reaches half a pixel further
    beyond[int(top) - 1 : int(bottom) + 2, int(left) - 1 : int(right) + 2] = False
    return int((seen[beyond] > 0).sum())


def reach_of_head(detector: SingleShot) -> int:
    """Pixels of P3's side that one prediction's head reads, from features alone."""
    stride = detector.head.strides[0]
    assert isinstance(stride, int)
    with torch.no_grad():
        levels = detector.neck(detector.backbone(torch.zeros(1, 3, SIDE, SIDE)))
    p3 = torch.randn_like(levels["P3"]).requires_grad_()
    raw = detector.head({**levels, "P3": p3})
    points = detector.head.points((SIDE, SIDE), p3.device)
    chosen = (points.centres - SIDE / 2).norm(dim=1).argmin()
    (gradient,) = torch.autograd.grad(raw["class_logits"][0, chosen].sum(), p3)
    columns = gradient.abs().sum((0, 1, 2)).nonzero()[:, 0]
    return stride * int(columns[-1] - columns[0] + 1)


def one_or_two(proposals: int = 200) -> Answer:
    """4a"""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        one, two = single_shot(), rcnn(proposals)
        image = torch.randint(256, (1, 3, SIDE, SIDE), dtype=torch.uint8)
        image[..., 64:192, 64:192] //= 3  # something for the search to find
        once, regionwise = run(one, image), run(two, image)
        seen_once, seen_regionwise = seen_by_single_shot(one, image), seen_by_rcnn(two, image)
        head = reach_of_head(one)
        with torch.no_grad():
            raw = one(image)
            logits, changes = two(torch.zeros(1, 3, two.region_size, two.region_size))
    parts: list[Any] = [one.backbone, one.neck]
    field = receptive_fields(nn.Sequential(*parts))["P3"].size[0]
    vector = sum(value[0, 0].numel() for value in raw.values())
    predictions = raw["class_logits"].shape[1]
    region_passes = sum(shape[0] for shape in regionwise.inputs)
    stages = {name: value.seconds for name, value in (("single shot", once), ("R-CNN", regionwise))}
    return Answer(
        "4a",
        "R-CNN and single-shot detectors: three differences",
        "1. A single-shot detector is one network in one step; R-CNN proposes regions, computes features of each, and "
        "classifies "
        "them. 2. It sees the whole image, once; R-CNN's network sees each region on its own, and nothing beside it. 3. It "
        "predicts one vector with box and class for each position; R-CNN has a class of a region that was found before, and "
        "changes to its box",
        (
            Condition("single shot: seconds of a proposal stage", once.seconds.get("proposals", 0.0), "=", 0.0),
            Condition(
                "R-CNN: seconds of proposals, features, heads",
                tuple(regionwise.seconds.get(s, 0.0) for s in STAGES[:3]),
                ">",
                0.0,
            ),
            Condition("single shot: inputs of the backbone", once.inputs, "=", ((1, 3, SIDE, SIDE),)),
            Condition("R-CNN: regions through the backbone = regions counted", region_passes, "=", regionwise.regions),
            Condition("R-CNN: regions through the backbone", region_passes, ">", 20),
            Condition("R-CNN: side of what goes in", regionwise.inputs[0][2:], "=", (two.region_size, two.region_size)),
            Condition(
                "multiply-accumulates of R-CNN / single shot",
                regionwise.multiply_accumulates / once.multiply_accumulates,
                ">",
                2.0,
            ),
            Condition("time of R-CNN / single shot", regionwise.whole / once.whole, ">", 2.0),
            Condition("R-CNN: pixels outside the region that matter", outside(seen_regionwise, two.context), "=", 0),
            Condition("single shot: pixels outside the region that matter", outside(seen_once, two.context), ">", 1000),
            Condition(
                "single shot: numbers of a prediction = 4 box + 1 objectness + classes", vector, "=", 4 + 1 + CLASSES
            ),
            Condition(
                f"single shot: predictions = 3 anchors · cells of strides {', '.join(map(str, STRIDES))}",
                predictions,
                "=",
                3 * sum((SIDE // stride) ** 2 for stride in STRIDES),
            ),
            Condition(
                "R-CNN: class logits, box changes of a region",
                (tuple(logits.shape), tuple(changes.shape)),
                "=",
                ((1, CLASSES + 1), (1, CLASSES, 4)),
            ),
            Condition("pixels: head's reach on P3, less than P3's own receptive field", head, "<", field),
        ),
        steps=(
            f"one step: the single-shot detector has the stages {', '.join(once.seconds)}; R-CNN "
            f"{', '.join(regionwise.seconds)}",
            f"passes: {len(once.inputs)} of {list(once.inputs[0])}; R-CNN {region_passes} regions of "
            f"{list(regionwise.inputs[0][1:])} each",
            f"context: a prediction of R-CNN has no gradient to any pixel outside its region and rim; one of the single-shot "
            f"detector has to {outside(seen_once, two.context):,} of them",
            f"the head alone reads {head} pixels of P3; but each cell of P3 sees {field} pixels of the image, more than "
            f"all {SIDE}, through backbone and neck",
            f"form: {predictions:,} vectors of {vector} numbers in one tensor; R-CNN {CLASSES + 1} class logits and "
            f"{CLASSES} · 4 box "
            "changes a region",
        ),
        experiment="csp_darknet_nano with PAN and the head of YOLOv3, and R-CNN on the same backbone with selective "
        "search (at most "
        f"{proposals} regions), random weights, one image of {SIDE} × {SIDE} pixels; times here and now",
        tables=(
            Table(
                "one image",
                ("", "passes", "input of a pass", "10⁶ multiply-accumulates", "seconds"),
                (
                    (
                        "single shot",
                        len(once.inputs),
                        once.inputs[0],
                        once.multiply_accumulates // 10**6,
                        round(once.whole, 3),
                    ),
                    (
                        "R-CNN",
                        region_passes,
                        (1, *regionwise.inputs[0][1:]),
                        regionwise.multiply_accumulates // 10**6,
                        round(regionwise.whole, 3),
                    ),
                ),
            ),
            Table(
                "seconds by stage",
                ("", *STAGES),
                tuple((name, *(round(seconds.get(s, 0.0), 4) for s in STAGES)) for name, seconds in stages.items()),
            ),
        ),
        panels=(
            Panel(
                "seconds by stage",
                "bars",
                tuple(Series(name, tuple(seconds.get(s, 0.0) for s in STAGES)) for name, seconds in stages.items()),
                ticks=STAGES,
            ),
            Panel(
                "pixels that a single-shot prediction depends on",
                "image",
                values=_map(seen_once),
                x_label=f"cells of 4 of {SIDE} pixels",
            ),
            Panel(
                "pixels that R-CNN's prediction depends on",
                "image",
                values=_map(seen_regionwise),
                x_label=f"cells of 4 of {SIDE} pixels",
            ),
        ),
        noted=(
            "trained, with AP (blood cells: three seeds) and latency: docs/results.md, by `train.py -m sweep=one_vs_two_stage`",
        ),
        sources=(
            "Girshick et al. 2014, Rich feature hierarchies (R-CNN)",
            "Redmon et al. 2016, You Only Look Once; Redmon & Farhadi 2018 (YOLOv3)",
        ),
    )


def _map(seen: Tensor) -> tuple[tuple[float, ...], ...]:
    """Logarithm of the gradient's size, as a share of the largest, in cells of 4 × 4 pixels; -6 where there is none."""
    cells = nn.functional.avg_pool2d(seen[None, None], 4)[0, 0]
    shares = (cells / cells.max()).clamp(min=1e-6).log10()
    return tuple(tuple(round(value, 2) for value in row) for row in shares.tolist())
