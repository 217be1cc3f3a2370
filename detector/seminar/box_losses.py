"""Question 4d: a loss of coordinates grows with the box, a loss of the IoU does not, and what that does to small objects."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from detector.boxes import aligned_iou
from detector.losses.box import BoxLoss
from detector.seminar.answer import Claim
from detector.seminar.drawing import new_figure, save
from detector.seminar.size_training import SIZES, ByTraining, train_and_measure

LOSSES = ("l2", "l1", "iou", "giou", "diou", "ciou")
SIDES = tuple(float(2**power) for power in range(3, 10))
"""Pixels: 8 to 512."""
IMAGE = 640
SEED = 0


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


def by_size(folder: Path) -> Claim:
    """4d"""
    curves, iou = loss_against_size()
    trained = {kind: train_and_measure(kind, SEED) for kind in ("l2", "ciou")}
    gains = {size: trained["ciou"].ap[size] - trained["l2"].ap[size] for size in SIZES}
    spread = SIDES[-1] / SIDES[0]
    return Claim(
        "4d",
        "why boxes are not trained with squared coordinates",
        "squared coordinates count large boxes more, at the same IoU: small ones are learned less well; the IoU family "
        "has no scale",
        f"losses of boxes of {SIDES[0]:.0f} to {SIDES[-1]:.0f} pixels whose predictions all have IoU {iou:.2f}; and a small "
        "network that is trained either way on the same drawn images (one object each, whose centre it is told; COCO's AP "
        "of its boxes on 1000 new ones, half a minute)",
        (
            (
                f"loss at {SIDES[-1]:.0f} pixels / at {SIDES[0]:.0f}: {', '.join(LOSSES)}",
                ", ".join(f"{curves[kind].largest_by_smallest:.4g}" for kind in LOSSES),
            ),
            *(
                (f"trained with {kind}: AP of {', '.join(SIZES)} objects", ", ".join(f"{one.ap[s]:.3f}" for s in SIZES))
                for kind, one in trained.items()
            ),
        ),
        f"l2 grows by {spread:.0f}² = {spread**2:.0f}, l1 by {spread:.0f}, the others not at all; AP of small objects is at "
        "least 0.05 higher with ciou, and gains more there than on large ones",
        _close(curves["l2"], spread**2)
        and _close(curves["l1"], spread)
        and all(_close(curves[kind], 1) for kind in LOSSES[2:])
        and gains["small"] > max(0.05, gains["large"]),
        _draw(folder, curves, iou, trained),
    )


def _close(curve: Curve, expected: float) -> bool:
    return abs(curve.largest_by_smallest / expected - 1) < 1e-6


def _draw(folder: Path, curves: dict[str, Curve], iou: float, trained: dict[str, ByTraining]) -> Path:
    figure = new_figure(12, 4.2)
    left, right = figure.subplots(1, 2)
    for (kind, curve), marker in zip(curves.items(), "osD^v<", strict=True):
        left.plot(SIDES, curve.losses, marker=marker, label=kind, alpha=0.8)
    left.set_xscale("log", base=2)
    left.set_yscale("log")
    left.set_xticks(SIDES, [f"{side:.0f}" for side in SIDES])
    left.set_xlabel(f"side of the box in an image of {IMAGE} pixels")
    left.set_ylabel("loss")
    left.set_title(f"predictions that all have IoU {iou:.2f}")
    left.legend(fontsize=8)
    left.grid(alpha=0.3)
    for number, (kind, one) in enumerate(trained.items()):
        places = [place + 0.4 * number - 0.2 for place in range(len(SIZES))]
        bars = right.bar(places, [one.ap[size] for size in SIZES], 0.38, label=f"trained with {kind}")
        right.bar_label(bars, fmt="%.2f", fontsize=8)
    right.set_xticks(range(len(SIZES)), [f"{size}: {limits}" for size, limits in SIZES.items()])
    right.set_ylim(0, 1.1)
    right.set_ylabel("AP (COCO)")
    right.set_title("the same network, images and steps")
    right.legend(fontsize=8, loc="upper left")
    return save(figure, folder, "4d")
