"""R-CNN and Fast R-CNN at the edges of what data can hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from detector import checkpoint, config
from detector.build_detector import DetectorOptions, build_detector
from detector.checkpoint import Checkpoint
from detector.data.read import read_index
from detector.data.split_loader import evaluation_loader
from detector.errors import UserError
from detector.inference.predictor import Predictor
from detector.models.detector import detect_batch
from detector.models.regions.search import proposals_for
from detector.models.stages import StageTimer
from detector.types import Batch, Target

SIDE, CLASSES = 96, 4
MODELS: list[config.ModelOptions] = [
    config.RCNNOptions(region_size=64, sampled_regions=8, chunk=7, search_side=96),
    config.FastRCNNOptions(channels=16, width=32, sampled_regions=8, search_side=96),
]
either = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


def build(model: config.ModelOptions, **options: Any) -> Any:
    torch.manual_seed(0)
    return build_detector(
        model=replace(model, **options),
        backbone=config.CSPDarknetOptions(depth=0.33, width=0.125),
        neck=None if isinstance(model, config.RCNNOptions) else config.PANOptions(depth=0.33, width=0.125),
        classes=CLASSES,
        image_size=SIDE,
    )


def images(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (count, 3, 6, 6), dtype=torch.uint8, generator=generator)
    return coarse.repeat_interleave(SIDE // 6, 2).repeat_interleave(SIDE // 6, 3)


def boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand((count, 2), generator=generator) * 60
    return torch.cat([low, low + 8 + torch.rand((count, 2), generator=generator) * 28], dim=1)


def target(objects: Tensor, proposals: Tensor | None, crowd: bool = False) -> Target:
    count = len(objects)
    return Target(
        boxes=objects,
        labels=torch.arange(count) % CLASSES,
        crowd=torch.full((count,), crowd),
        area=torch.ones(count),
        image_id=0,
        original_size=(SIDE, SIDE),
        transform=torch.eye(3),
        proposals=proposals,
    )


NOTHING = torch.zeros((0, 4))


@either
@pytest.mark.parametrize(
    ("objects", "proposals"),
    [
        pytest.param(NOTHING, NOTHING, id="no object, no proposal"),
        pytest.param(boxes(3, 0), NOTHING, id="no proposal"),
        pytest.param(NOTHING, boxes(30, 1), id="no object"),
        pytest.param(torch.tensor([[40.0, 40, 41, 41]]), boxes(30, 1), id="an object of one pixel"),
        pytest.param(boxes(2000, 2), boxes(40, 3), id="2,000 objects"),
        pytest.param(boxes(2, 2), torch.tensor([[10.0, 10, 10, 30], [5, 5, 5, 5]]), id="empty proposals"),
    ],
)
def test_losses_are_finite_and_reach_the_weights(
    model: config.ModelOptions, objects: Tensor, proposals: Tensor
) -> None:
    detector = build(model).train()
    losses = detector.losses(images(2), [target(objects, proposals), target(objects, proposals)])
    assert set(losses) == {"class", "box"}
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    gradients = [parameter.grad for parameter in detector.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    if len(objects) == 0:
        assert losses["box"] == 0


@either
def test_detections_without_a_proposal_are_none_and_with_some_are_inside_the_image(model: config.ModelOptions) -> None:
    detector = build(model).eval()
    nothing, some, odd = detector.detect(images(3), [NOTHING, boxes(20, 0), torch.tensor([[3.0, 3, 3, 9]])])
    assert len(nothing) == 0
    assert nothing.boxes.shape == (0, 4)
    assert 0 < len(some) <= 100
    for found in (some, odd):
        assert found.boxes.isfinite().all()
        assert (found.boxes >= 0).all()
        assert (found.boxes <= SIDE).all()
        assert (found.scores.diff() <= 0).all()
    assert [len(found) for found in detector.detect(images(2), [NOTHING, NOTHING])] == [0, 0]


@either
def test_a_batch_gives_what_its_images_give_alone(model: config.ModelOptions) -> None:
    detector = build(model).eval()
    pictures = images(3)
    proposals = [boxes(20, 0), boxes(3, 1), boxes(11, 2)]
    together = detector.detect(pictures, proposals)
    for i, found in enumerate(together):
        (alone,) = detector.detect(pictures[i : i + 1], [proposals[i]])
        assert len(found) == len(alone) > 0
        assert torch.allclose(found.scores, alone.scores, atol=1e-5)
        assert torch.allclose(found.boxes, alone.boxes, atol=1e-2)


def test_the_number_of_regions_in_a_forward_pass_changes_no_detection() -> None:
    proposals = [boxes(20, 0), boxes(9, 1)]
    results = []
    for chunk in (1, 8, 1000):
        detector = build(MODELS[0], chunk=chunk).eval()
        results.append(detector.detect(images(2), proposals))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.allclose(a.scores, b.scores, atol=1e-5)


@either
def test_images_without_proposals_are_searched(model: config.ModelOptions) -> None:
    detector = build(model).eval()
    pictures = images(2)
    searched = [torch.from_numpy(detector.search(one.permute(1, 2, 0).contiguous().numpy())) for one in pictures]
    assert min(map(len, searched)) > 10
    clock = StageTimer()
    with clock.watching():
        found = detector.detect(pictures)
    assert clock.seconds["proposals"] > 0
    assert clock.regions == sum(map(len, searched))
    for a, b in zip(found, detector.detect(pictures, searched), strict=True):
        assert torch.equal(a.boxes, b.boxes)
    mixed = detector.detect(pictures, [None, searched[1]])
    assert torch.equal(mixed[0].scores, found[0].scores)


@either
def test_proposals_of_the_targets_are_used_and_no_search_is_made(model: config.ModelOptions) -> None:
    detector = build(model).eval()
    given = [boxes(5, 0), boxes(7, 1)]
    expected = detector.detect(images(2), given)
    detector.search = None
    batch = Batch(images(2), [target(NOTHING, one) for one in given])
    for a, b in zip(detect_batch(detector, batch), expected, strict=True):
        assert torch.equal(a.boxes, b.boxes)


@either
def test_a_picture_is_searched_as_evaluation_searches_it(
    tiny: Callable[..., config.Train], model: config.ModelOptions, tmp_path: Path
) -> None:
    """Not in the letterboxed square that the model sees, but as it is; so prediction and evaluation find the same."""
    train = tiny(model=model, data=config.Shapes(scene_size=64, train_images=2, val_images=2, batch_size=2, workers=0))
    weights = checkpoint.build(train, 3).state_dict()
    opened = Checkpoint(tmp_path, DetectorOptions.of(train), ("a", "b", "c"), (1, 2, 3), 0, weights)
    predictor = Predictor(opened, accelerator="cpu")
    index = read_index(train.data, "val")
    (batch,) = evaluation_loader(index, train.data, 96, proposals=model.proposal_request())
    pictures = [index.image(i) for i in range(2)]
    for a, b in zip(predictor.predict(pictures, score=0), predictor.detect(batch), strict=True):
        assert len(a) > 0
        assert torch.equal(a.boxes, b.boxes)
        assert torch.equal(a.scores, b.scores)


def test_only_the_best_proposals_are_used() -> None:
    given = boxes(50, 0)
    (kept,) = proposals_for(images(1), [given], lambda _: np.zeros((0, 4), dtype=np.float32), 7)
    assert torch.equal(kept, given[:7])


@either
def test_crowds_are_not_learned(model: config.ModelOptions) -> None:
    detector = build(model).eval()
    proposals = boxes(30, 0)
    results = []
    for one in (target(boxes(3, 5), proposals, crowd=True), target(NOTHING, proposals)):
        torch.manual_seed(3)
        results.append(detector.losses(images(1), [one]))
    assert results[0] == results[1]


def test_a_region_learns_the_box_of_an_object_only_if_it_is_close() -> None:
    """IoU 0.5 to 0.6: the class is learned, the box is not (Girshick et al. 2014, appendix C)."""
    objects = torch.tensor([[20.0, 20, 60, 60]])
    near, far = torch.tensor([[20.0, 20, 60, 48]]), torch.tensor([[20.0, 20, 60, 42]])  # IoU 0.7 and 0.55
    for proposal, learned in ((near, True), (far, False)):
        detector = build(MODELS[0]).eval()
        detector.sampler = replace(detector.sampler, number=100, positive_share=1.0)
        detector.box_changes.bias.data.fill_(0.5)
        own = [0.0, 0, 0, 0]
        with torch.no_grad():
            loss = detector.losses(images(1), [target(objects, proposal)])["box"].item()
            # the object's own box is a region too, which learns in either case
            own = detector.losses(images(1), [target(objects, NOTHING)])["box"].item()
        # one region more, which counts in the mean: without a box of its own it only thins the loss
        assert (loss > own * 2 / 3 + 1e-4) == learned


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"region_size": 50}, "model.region_size=50: must be a multiple of 32"),
        ({"region_size": 32}, "model.region_size=32"),
        ({"context": 0.5}, "model.context=0.5"),
        ({"box_iou": 1.5}, "model.box_iou=1.5"),
        ({"chunk": 0}, "model.chunk=0"),
        ({"max_proposals": 0}, "model.max_proposals=0"),
        ({"strategy": "slow"}, "strategy=slow"),
        ({"box_loss": "l3"}, "model.box_loss=l3"),
    ],
)
def test_an_option_that_cannot_be_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        build(MODELS[0], **options)


@pytest.mark.parametrize("name", ["rcnn", "fast_rcnn"])
def test_parts_that_it_has_no_use_for_are_refused(tiny: Callable[..., config.Train], name: str) -> None:
    model = next(model for model in MODELS if model.name == name)
    settings = tiny()
    with pytest.raises(UserError, match=f"has no meaning with model={name}"):
        build_detector(
            model=model, backbone=settings.backbone, neck=settings.neck, head=settings.head, classes=3, image_size=96
        )
