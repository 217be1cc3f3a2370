"""Faster R-CNN against torchvision's own, and at the edges of what data can hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.ops import box_iou

from detector import config
from detector.build import build_detector
from detector.checkpoint import build
from detector.models.stages import StageClock
from detector.types import Target

Configure = Callable[..., config.Train]

CLASSES = 5
SIDE = 64
EVERY = 10**6
"""So many are drawn that none is left out, so that nothing is left to chance."""


def target(boxes: Any, labels: list[int], crowd: list[bool] | None = None) -> Target:
    count = len(labels)
    return Target(
        boxes=torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        crowd=torch.tensor(crowd or [False] * count, dtype=torch.bool),
        area=torch.ones(count),
        image_id=0,
        original_size=(SIDE, SIDE),
        transform=torch.eye(3),
    )


def images(count: int, side: int = SIDE, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


TARGETS = [
    target([[5, 6, 30, 35], [20, 10, 60, 45], [2, 40, 15, 62]], [0, 3, 4]),
    target([[15, 15, 24, 45]], [1]),
]


def torchvisions(model: config.FasterRCNN) -> Any:
    """`fasterrcnn_resnet50_fpn` with the settings of `model`."""
    p5 = SIDE * model.anchor_sizes[0]
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    return fasterrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES + 1,
        min_size=SIDE,
        max_size=SIDE,
        rpn_anchor_generator=AnchorGenerator(
            tuple((round(p5 * 2.0**k),) for k in range(-3, 2)), (tuple(model.anchor_ratios),) * 5
        ),
        rpn_pre_nms_top_n_train=model.rpn_training_candidates,
        rpn_pre_nms_top_n_test=model.rpn_candidates,
        rpn_post_nms_top_n_train=model.training_proposals,
        rpn_post_nms_top_n_test=model.proposals,
        rpn_nms_thresh=model.rpn_iou_threshold,
        rpn_batch_size_per_image=model.rpn_sampled_anchors,
        rpn_positive_fraction=model.rpn_positive_share,
        box_batch_size_per_image=model.sampled_regions,
        box_positive_fraction=model.positive_share,
        box_score_thresh=model.score_threshold,
        box_nms_thresh=model.iou_threshold,
        box_detections_per_img=model.max_detections,
    )


def ours(model: config.FasterRCNN, theirs: Any) -> Any:
    """Our detector with the weights of torchvision's: the background goes from the first place to the last."""
    own = build_detector(
        model=model,
        backbone=config.ResNet(depth=50),
        neck=config.FPN(lowest=2, highest=6),
        classes=CLASSES,
        image_size=SIDE,
    )
    names = {
        "backbone.body.conv1": "backbone.stages.0.0",
        "backbone.body.bn1": "backbone.stages.0.1",
        "backbone.body.layer1": "backbone.stages.1.1",
        **{f"backbone.body.layer{n}": f"backbone.stages.{n}" for n in (2, 3, 4)},
        **{f"backbone.fpn.inner_blocks.{n}.0": f"neck.lateral.{n}.convolution" for n in range(4)},
        **{f"backbone.fpn.layer_blocks.{n}.0": f"neck.smooth.{n}.convolution" for n in range(4)},
        "rpn.head": "proposals.network.head",
        "roi_heads.box_head": "roi_stage.layers",
        "roi_heads.box_predictor.cls_score": "roi_stage.class_logits",
        "roi_heads.box_predictor.bbox_pred": "roi_stage.box_changes",
    }
    state = {}
    for key, value in theirs.state_dict().items():
        (start,) = (start for start in names if key.startswith(f"{start}."))
        if "cls_score" in key:
            value = value.roll(-1, dims=0)
        if "box_predictor.bbox_pred" in key:
            value = value[4:]
        state[names[start] + key.removeprefix(start)] = value
    own.load_state_dict(state)
    own.double()
    for name, values in (("offset", model.mean), ("scale", model.std)):
        exact = torch.tensor(values, dtype=torch.float64).reshape(3, 1, 1) * 255
        setattr(own.normalise, name, exact if name == "offset" else 1 / exact)
    return own


def both(**options: Any) -> tuple[Any, Any]:
    model = config.FasterRCNN(anchor_sizes=[1.0], **options)
    torch.manual_seed(0)
    theirs = torchvisions(model)
    for name, parameter in theirs.named_parameters():
        # so that proposals, classes and boxes differ from each other as those of a trained network do
        if "cls_score" in name or "bbox_pred" in name or "cls_logits" in name:
            torch.nn.init.normal_(parameter, std=0.01)
    with torch.no_grad():
        # statistics that fit the weights; without them features grow beyond measure in evaluation mode
        for layer in theirs.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 1.0
        theirs.train().backbone(torch.randn(4, 3, SIDE, SIDE))
    # in float64, so that what differs is not rounding, which such a network magnifies
    theirs.double()
    return ours(model, theirs), theirs


@pytest.mark.parametrize("seed", [0, 1])
def test_detections_are_torchvisions(seed: int) -> None:
    own, theirs = both(score_threshold=0.05, candidates=EVERY)
    pictures = images(2, seed=seed)
    found = own.eval().detect(pictures)
    with torch.no_grad():
        expected = theirs.eval()(list(pictures.double() / 255))
    for one, other in zip(found, expected, strict=True):
        assert 20 < len(one) <= 100
        torch.testing.assert_close(one.boxes, other["boxes"], atol=1e-5, rtol=0)
        torch.testing.assert_close(one.scores, other["scores"], atol=1e-5, rtol=0)
        assert torch.equal(one.labels + 1, other["labels"])
    assert len(torch.cat([one.labels for one in found]).unique()) > 1


@pytest.mark.parametrize("seed", [0, 1])
def test_losses_and_gradients_are_torchvisions_where_nothing_is_left_to_chance(seed: int) -> None:
    own, theirs = both(rpn_sampled_anchors=EVERY, sampled_regions=EVERY, training_proposals=60)
    pictures = images(2, seed=seed)
    losses = own.train().losses(pictures, TARGETS)
    objects = [{"boxes": one.boxes.double(), "labels": one.labels + 1} for one in TARGETS]
    expected = theirs.train()(list(pictures.double() / 255), objects)
    names = {
        "rpn_objectness": "loss_objectness",
        "rpn_box": "loss_rpn_box_reg",
        "class": "loss_classifier",
        "box": "loss_box_reg",
    }
    assert set(losses) == set(names)
    for name, other in names.items():
        assert expected[other] > 1e-4
        torch.testing.assert_close(losses[name], expected[other], atol=0, rtol=1e-5)
    sum(losses.values()).backward()
    sum(expected.values()).backward()
    pairs = [
        (own.backbone.stages[0][0].weight, theirs.backbone.body.conv1.weight.grad),
        (own.neck.lateral[3].convolution.weight, theirs.backbone.fpn.inner_blocks[3][0].weight.grad),
        (own.proposals.network.head.bbox_pred.weight, theirs.rpn.head.bbox_pred.weight.grad),
        (own.roi_stage.layers.fc6.weight, theirs.roi_heads.box_head.fc6.weight.grad),
        (own.roi_stage.box_changes.weight, theirs.roi_heads.box_predictor.bbox_pred.weight.grad[4:]),
    ]
    for mine, wanted in pairs:
        torch.testing.assert_close(mine.grad, wanted, atol=1e-5 * wanted.abs().max().item(), rtol=1e-5)
