"""Proposals travel with the objects: what fits before fits afterwards."""

from __future__ import annotations

import pickle
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest
import torch
from painted_scenes import painted_index, painted_regions
from torch import Tensor

from detector import config
from detector.data.augment.canvas_objects import CanvasObjects
from detector.data.dataset import DetectionDataset
from detector.data.index import Index
from detector.types import Batch, Target

TURNS = {"flip_horizontal": 0.5, "flip_vertical": 0.5, "rotate90": 0.5}
MOVES = [{"name": "Affine", "translate_percent": (-0.2, 0.2), "p": 1.0}, {"name": "HorizontalFlip", "p": 0.5}]


def of_objects(index: Index, i: int) -> np.ndarray:
    """The objects' own boxes, so that it is known where each proposal should be in the end."""
    return index.target(i).boxes.numpy()


def rows(boxes: Tensor) -> list[tuple[float, ...]]:
    return sorted(tuple(row) for row in boxes.tolist())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        TURNS,
        {"translate": 0.3, "scale": 0.5},
        {"degrees": 30, "shear": 10, "scale": 0.3},
        {"mosaic": 1.0, "scale": 0.5, **TURNS},
        {"mosaic": 0.5, "mixup": 1.0},
        {"cutmix": 1.0, **TURNS},
        {"erasing": 1.0},
        {"hue": 0.1, "saturation": 0.5, "value": 0.5, "blur": 1.0, "noise": 1.0},
        {"albumentations": MOVES},
        {"mosaic": 0.5, "mixup": 0.5, "cutmix": 0.5, "erasing": 0.5, "degrees": 5, "scale": 0.5, **TURNS},
    ],
    ids=lambda changes: "-".join(changes) or "nothing",
)
def test_a_proposal_of_an_object_is_where_the_object_is(changes: dict[str, Any]) -> None:
    index = painted_index(count=20)
    augment = config.Augment(name="some", **changes)
    dataset = DetectionDataset(index, 128, augment, epochs=3, proposals=lambda i: of_objects(index, i))
    found = 0
    for epoch in range(3):
        for i in range(len(dataset)):
            _, target = dataset[epoch, i]
            assert target.proposals is not None
            assert target.proposals.dtype == torch.float32
            assert rows(target.proposals) == rows(target.boxes)
            found += len(target.boxes)
    assert found > 50


@pytest.mark.parametrize("changes", [{}, {"scale": 0.4, "translate": 0.2, **TURNS}, {"mosaic": 1.0, **TURNS}])
def test_proposals_fit_the_painted_rectangles(changes: dict[str, Any]) -> None:
    index = painted_index(count=20)
    augment = config.Augment(name="some", **changes)
    dataset = DetectionDataset(index, 256, augment, proposals=lambda i: of_objects(index, i))
    for i in range(len(dataset)):
        planes, target = dataset[0, i]
        painted = [box for _, box in painted_regions(planes.permute(1, 2, 0).numpy())]
        assert target.proposals is not None
        for proposal in target.proposals.double().numpy():
            assert min(np.abs(proposal - box).max() for box in painted) <= 1.25


def test_letterboxed_proposals_fit_too() -> None:
    index = painted_index(count=8)
    dataset = DetectionDataset(index, 256, proposals=lambda i: of_objects(index, i))
    for i in range(len(dataset)):
        _, target = dataset[0, i]
        assert torch.equal(target.proposals, target.boxes)  # type: ignore[arg-type]


def test_there_are_none_unless_asked_for_and_objects_do_not_matter() -> None:
    index = painted_index(count=3)
    assert DetectionDataset(index, 64)[0, 0][1].proposals is None
    nothing = index.subset([0])
    nothing.boxes, nothing.labels = nothing.boxes[:0], nothing.labels[:0]
    nothing.crowd, nothing.area = nothing.crowd[:0], nothing.area[:0]
    nothing.offsets[:] = 0
    everywhere = np.array([[0, 0, 40, 40], [5, 5, 30, 60]], dtype=np.float32)
    augment = config.Augment(name="light", flip_horizontal=0.5, albumentations=MOVES)
    for dataset in (
        DetectionDataset(nothing, 64, proposals=lambda _: everywhere),
        DetectionDataset(nothing, 64, augment, proposals=lambda _: everywhere),
    ):
        _, target = dataset[0, 0]
        assert len(target.boxes) == 0
        assert target.proposals is not None
        assert len(target.proposals) == 2
    empty = DetectionDataset(nothing, 64, augment, proposals=lambda _: everywhere[:0])[0, 0][1].proposals
    assert empty is not None
    assert empty.shape == (0, 4)


def test_the_best_of_each_picture_of_a_mosaic_come_first() -> None:
    def at(rank: int, count: int) -> CanvasObjects:
        boxes = np.full((count, 4), rank, dtype=np.float32) + np.arange(count, dtype=np.float32)[:, None] / 10
        none = np.zeros(0)
        return CanvasObjects(np.zeros((0, 4), dtype=np.float32), none.astype(np.int64), none.astype(bool), none, boxes)

    joined = CanvasObjects.joined([at(1, 3), at(2, 1), at(3, 2)]).proposals
    assert joined is not None
    assert joined[:, 0].tolist() == pytest.approx([1.0, 2.0, 3.0, 1.1, 3.1, 1.2])


def test_there_are_never_more_than_the_model_wants() -> None:
    index = painted_index(count=6)
    many = np.random.default_rng(0).uniform(0, 40, (50, 2)).astype(np.float32)
    boxes = np.concatenate([many, many + 30], axis=1)
    augment = config.Augment(name="mosaic", mosaic=1.0)
    target = DetectionDataset(index, 128, augment, proposals=lambda _: boxes, max_proposals=60)[0, 0][1]
    assert target.proposals is not None
    assert len(target.proposals) == 60


def a_target(proposals: Tensor | None) -> Target:
    return Target(
        boxes=torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]]),
        labels=torch.tensor([0, 1]),
        crowd=torch.tensor([True, False]),
        area=torch.ones(2),
        image_id=0,
        original_size=(9, 9),
        transform=torch.eye(3),
        proposals=proposals,
    )


@pytest.mark.parametrize("proposals", [None, torch.tensor([[0.0, 1, 2, 3]])])
def test_a_target_carries_them_wherever_it_goes(proposals: Tensor | None) -> None:
    target = a_target(proposals)
    sent = pickle.loads(ForkingPickler.dumps(target))
    for other in (
        sent,
        target.to("cpu"),
        target.without_crowds(),
        Batch(torch.zeros(1), [target]).to("cpu").targets[0],
    ):
        assert (other.proposals is None) == (proposals is None)
        assert proposals is None or torch.equal(other.proposals, proposals)  # type: ignore[arg-type]
    twice = target.scaled(2.0)
    assert twice.boxes[0].tolist() == [2, 4, 6, 8]
    assert proposals is None or twice.proposals.tolist() == [[0, 2, 4, 6]]  # type: ignore[union-attr]
    if proposals is not None:
        assert target.to("meta").proposals.device.type == "meta"  # type: ignore[union-attr]
