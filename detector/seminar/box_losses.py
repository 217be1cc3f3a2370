"""Question 4d: a loss of coordinates grows with the box, a loss of the IoU does not, and what that does to small objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from detector.boxes import aligned_iou
from detector.losses.box import BoxLoss
from detector.seminar.answer import Answer, Condition, Panel, Series, Table
from detector.seminar.size_training import SIZES, STEPS, TESTED, WIDTH, train_and_measure

LOSSES = ("l2", "l1", "iou", "giou", "diou", "ciou")
SIDES = tuple(float(2**power) for power in range(3, 10))
"""Pixels: 8 to 512."""
IMAGE = 640
SEEDS = (0, 1, 2)
TRAINED = ("l2", "l1", "ciou")


class Curve(NamedTuple):
    """Losses of boxes of the sizes `SIDES`."""

    losses: tuple[float, ...]
    largest_by_smallest: float


def loss_against_size() -> tuple[dict[str, Curve], float]:
    """Each loss where the prediction is off by the same share of the box's sides, and the IoU that all of them have."""
    side = torch.tensor(SIDES, dtype=torch.float64)[:, None]
    corner = (IMAGE - side) / 2
    target = torch.cat([corner, corner, corner + side, corner + side], dim=1)
    predicted = target + side * torch.tensor([0.1, 0.15, 0.2, 0.05], dtype=torch.float64)
    ious = aligned_iou(predicted, target)
    assert float(ious.std()) < 1e-6, "an IoU has no scale"
    curves = {}
    for kind in LOSSES:
        losses = BoxLoss(kind)(predicted, target, (IMAGE, IMAGE)).tolist()
        curves[kind] = Curve(tuple(losses), losses[-1] / losses[0])
    return curves, ious.mean().item()


def by_size(seeds: Sequence[int] = SEEDS, steps: int = STEPS, width: int = WIDTH, tested: int = TESTED) -> Answer:
    """4d"""
    curves, iou = loss_against_size()
    trained = train_and_measure(TRAINED, seeds, steps, width, tested)
    spread = SIDES[-1] / SIDES[0]
    ap = {kind: {size: tuple(one.ap[size] for one in results) for size in SIZES} for kind, results in trained.items()}
    lost = [
        f"seed {seed}: large objects, {best} {ap[best]['large'][i]:.3f}, ciou {ap['ciou']['large'][i]:.3f}"
        for i, seed in enumerate(seeds)
        if ap[best := max(("l1", "l2"), key=lambda kind: ap[kind]["large"][i])]["large"][i] > ap["ciou"]["large"][i]
    ]
    return Answer(
        "4d",
        "why boxes are trained with losses of the IoU and not with squared coordinates",
        f"a loss of coordinates grows with the box: at the same IoU the L2 loss of a box {spread:.0f} times as large "
        f"is {spread**2:.0f} "
        f"times as large, the L1 loss {spread:.0f} times, so that large boxes decide the gradient. The IoU divides by "
        "the area of the union: a "
        "loss of it does not depend on the size. Trained with it, small objects are located better; on large ones it need "
        f"not win: it does not on {len(lost)} of {len(seeds)} seeds",
        (
            _growth(curves, "l2", spread**2),
            _growth(curves, "l1", spread),
            *(_growth(curves, kind, 1.0) for kind in LOSSES[2:]),
            Condition("small objects: AP with ciou - with l2, each seed", _gain(ap, "l2", "small"), ">", 0.02),
            Condition("small objects: AP with ciou - with l1, each seed", _gain(ap, "l1", "small"), ">", 0.0),
            Condition(
                "AP with ciou - with l1: on small minus on large objects, each seed",
                tuple(a - b for a, b in zip(_gain(ap, "l1", "small"), _gain(ap, "l1", "large"), strict=True)),
                ">",
                0.0,
            ),
            Condition("seeds on which a coordinate loss locates large objects better", len(lost), ">", 0),
        ),
        "L2 = Σ (x̂ − x)²: a box s times as large with the same IoU has s² L2; IoU = ∩ / ∪: both areas grow by s²",
        f"s = {SIDES[-1]:.0f} / {SIDES[0]:.0f} = {spread:.0f}: L2 × {spread**2:.0f}, L1 × {spread:.0f}, IoU × 1",
        steps=(
            f"each prediction is off by the same share of its box: all have IoU {iou:.2f}",
            f"L2 grows by {curves['l2'].largest_by_smallest:.0f}, L1 by {curves['l1'].largest_by_smallest:.0f}, CIoU "
            f"by {curves['ciou'].largest_by_smallest:.3g}",
            "in a batch with boxes of all sizes the sum of L2 losses is that of the large boxes",
            "where the IoU family loses: " + ("; ".join(lost) or "on none of these seeds"),
        ),
        experiment=f"losses of boxes of {SIDES[0]:.0f} to {SIDES[-1]:.0f} pixels; and a small network trained with "
        "each loss on the same drawn images, one object each: it sees the sums of rows and columns around the cell that the "
        f"object's centre lies in ({steps} steps, seeds {', '.join(map(str, seeds))}; COCO's AP of its boxes on {tested} new "
        "images)",
        tables=(
            Table(
                f"loss at {SIDES[-1]:.0f} pixels / at {SIDES[0]:.0f}",
                LOSSES,
                (tuple(round(curves[kind].largest_by_smallest, 3) for kind in LOSSES),),
            ),
            Table(
                "AP by size of the object, seed by seed",
                ("trained with", *SIZES),
                tuple((kind, *(tuple(round(one, 3) for one in ap[kind][size]) for size in SIZES)) for kind in TRAINED),
            ),
        ),
        panels=(
            Panel(
                f"predictions that all have IoU {iou:.2f}",
                "lines",
                tuple(Series(kind, curve.losses, SIDES) for kind, curve in curves.items()),
                x_label=f"side of the box in an image of {IMAGE} pixels",
                y_label="loss",
                log_x=True,
                log_y=True,
            ),
            *(
                Panel(
                    f"AP of {size} objects ({limits} pixels)",
                    "bars",
                    tuple(
                        Series(f"seed {seed}", tuple(ap[kind][size][i] for kind in TRAINED))
                        for i, seed in enumerate(seeds)
                    ),
                    ticks=TRAINED,
                )
                for size, limits in SIZES.items()
            ),
        ),
        sources=("Rezatofighi et al. 2019, Generalized Intersection over Union; Zheng et al. 2020, Distance-IoU Loss",),
    )


def _growth(curves: dict[str, Curve], kind: str, expected: float) -> Condition:
    return Condition(
        f"{kind}: loss at {SIDES[-1]:.0f} pixels / at {SIDES[0]:.0f}",
        round(curves[kind].largest_by_smallest, 4),
        "=",
        expected,
    )


def _gain(ap: Mapping[str, Mapping[str, tuple[float, ...]]], other: str, size: str) -> tuple[float, ...]:
    return tuple(a - b for a, b in zip(ap["ciou"][size], ap[other][size], strict=True))
