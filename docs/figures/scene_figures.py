"""Drawn scenes that show what assigners, augmentations and suppression do: each picture is made by the part itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from detector.assigners import AssignerOptions, Assignment
from detector.data.dataset import DetectionDataset
from detector.data.formats.shapes import CLASS_NAMES, read_shapes
from detector.data.index import Index
from detector.data.options import Augment, Shapes
from detector.heads.anchor_based import AnchorBasedHeadOptions
from detector.heads.points import Points, make_points
from detector.nms import KINDS, NMS
from detector.targets import Objects, Targets
from detector.types import FeatureInfo
from detector.visualization.draw import class_color, contact_sheet, draw_boxes, draw_target

SIDE = 256
SCENE = 0
"""The validation scene that is shown: five objects of 27 to 126 pixels."""
LEVELS = FeatureInfo(("P3", "P4", "P5"), (8, 8, 8), (8, 16, 32))
SPREAD = 0.08
"""Standard deviation of the corners of made-up predictions, as a share of the object's sides."""


def scenes(count: int = 8) -> Index:
    """The first drawn scenes of the validation split."""
    return read_shapes(Shapes(val_images=count, scene_size=SIDE), "val")


@dataclass(frozen=True)
class Assigned:
    """A scene, and what an assigner made of it."""

    image: np.ndarray
    """uint8 [S, S, 3]."""
    boxes: Tensor
    """float32 [N, 4]."""
    points: Points
    found: Assignment


def assign(options: AssignerOptions) -> Assigned:
    """Lets an assigner choose on the scene, of predictions near the objects: each point predicts the object nearest to it."""
    images, target = DetectionDataset(scenes(), SIDE)[0, SCENE]
    objects = Targets([target]).objects
    if options.needs_anchors:
        head = AnchorBasedHeadOptions().build(LEVELS, len(CLASS_NAMES), SIDE)
        points = head.points((SIDE, SIDE), torch.device("cpu"))
    else:
        points = make_points((SIDE, SIDE), LEVELS.strides, torch.device("cpu"))
    scores, boxes = _predictions(points, objects)
    assigner = options.build()
    found = assigner(scores, boxes, points, objects, assigner.candidates(points, objects))
    return Assigned(images.permute(1, 2, 0).numpy(), target.boxes, points, found)


def _predictions(points: Points, objects: Objects) -> tuple[Tensor, Tensor]:
    """Scores [1, A, K] and boxes [1, A, 4] as of a detector that has begun to learn."""
    generator = torch.Generator().manual_seed(0)
    count = int(objects.trained.sum())
    boxes, labels = objects.boxes[:count], objects.labels[:count]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    nearest = torch.cdist(points.centres, centres).argmin(dim=1)
    sides = (boxes[nearest, 2:] - boxes[nearest, :2]).repeat(1, 2)
    moved = boxes[nearest] + SPREAD * sides * torch.randn(len(nearest), 4, generator=generator)
    scores = torch.full((len(nearest), len(CLASS_NAMES)), 0.05)
    scores[torch.arange(len(nearest)), labels[nearest]] = 0.2 + 0.4 * torch.rand(len(nearest), generator=generator)
    return scores[None], moved[None]


def assigner_figure(options: AssignerOptions) -> Figure:
    """The points of each level on the scene: those assigned to an object in its colour, as large as their weight."""
    seen = assign(options)
    taken = seen.found.weights > 0
    figure = Figure(figsize=(9.4, 3.4), layout="constrained")
    for number, (axes, level) in enumerate(zip(figure.subplots(1, 3), seen.points.levels, strict=True)):
        axes.imshow(seen.image // 2 + 127, extent=(0, SIDE, SIDE, 0), interpolation="nearest")
        axes.set_axis_off()
        here = seen.points.level == number
        axes.scatter(*seen.points.centres[here].unique(dim=0).T, s=2, c="#777777", lw=0)
        if seen.found.ignored is not None:
            ignored = seen.points.centres[here & seen.found.ignored]
            axes.scatter(*ignored.T, s=22, marker="x", c="#222222", lw=0.9)
        of_level = taken & here[seen.found.points]
        for row, box in enumerate(seen.boxes.tolist()):
            colour = "#{:02x}{:02x}{:02x}".format(*class_color(row))
            x1, y1, x2, y2 = box
            axes.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], c=colour, lw=1.6)
            own = of_level & (seen.found.objects == row)
            places = seen.points.centres[seen.found.points[own]]
            axes.scatter(*places.T, s=10 + 50 * seen.found.weights[own], c=colour, edgecolors="black", lw=0.6, zorder=3)
        axes.set_title(f"{LEVELS.names[number]}, stride {level.stride}: {int(of_level.sum())} points", fontsize=9)
    return figure


def augmentation_sheet(changes: dict[str, Augment], columns: int = 3) -> np.ndarray:
    """The scene as evaluation sees it, then with each augmentation, with what is left of its boxes: uint8 [H, W, 3]."""
    index = scenes()
    pictures, captions = [], []
    for caption, augment in {"as annotated": None, **changes}.items():
        images, target = DetectionDataset(index, SIDE, augment, seed=3)[0, SCENE]
        pictures.append(draw_target(images.permute(1, 2, 0).numpy(), target, CLASS_NAMES))
        captions.append(caption)
    return contact_sheet(pictures, min(columns, len(pictures)), captions)


def suppression_sheet() -> np.ndarray:
    """Made-up predictions of the scene, and what each kind of suppression leaves of them: uint8 [H, W, 3]."""
    images, target = DetectionDataset(scenes(), SIDE)[0, SCENE]
    picture = images.permute(1, 2, 0).numpy()
    boxes, scores = overlapping_predictions(target.boxes, target.labels)
    best, labels = scores.max(dim=1)
    order = best.argsort(descending=True)
    pictures = [draw_boxes(picture, boxes[order], labels[order], CLASS_NAMES)]
    captions = [f"{len(boxes)} predictions"]
    for kind in KINDS:
        found = NMS(kind, iou_threshold=0.5, score_threshold=0.1)(boxes, scores)
        pictures.append(draw_boxes(picture, found.boxes, found.labels, CLASS_NAMES, found.scores))
        captions.append(f"{kind}: {len(found)}")
    return contact_sheet(pictures, 3, captions)


def overlapping_predictions(boxes: Tensor, labels: Tensor, each: int = 4) -> tuple[Tensor, Tensor]:
    """Boxes [M, 4] and scores [M, K]: of each object `each` predictions, one of them of another class."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.arange(len(boxes)).repeat_interleave(each)
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)[rows]
    moved = boxes[rows] + 0.12 * sides * torch.randn(len(rows), 4, generator=generator)
    guessed = labels[rows].clone()
    guessed[each - 1 :: each] = (guessed[each - 1 :: each] + 1) % len(CLASS_NAMES)
    scores = torch.zeros(len(rows), len(CLASS_NAMES))
    scores[torch.arange(len(rows)), guessed] = 0.3 + 0.6 * torch.rand(len(rows), generator=generator)
    return moved, scores
