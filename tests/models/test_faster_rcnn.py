"""Faster R-CNN against torchvision's own, and at the edges of what data can hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator

from detector import config
from detector.build_detector import build_detector
from detector.checkpoint import build
from detector.errors import UserError
from detector.models.stages import StageTimer
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


def torchvisions(model: config.FasterRCNNOptions) -> Any:
    """`fasterrcnn_resnet50_fpn` with the settings of `model`."""
    p5 = SIDE * model.anchor_sizes[0]
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
        rpn_fg_iou_thresh=model.rpn_positive_iou,
        rpn_bg_iou_thresh=model.rpn_negative_iou,
        rpn_batch_size_per_image=model.rpn_sampled_anchors,
        rpn_positive_fraction=model.rpn_positive_share,
        box_batch_size_per_image=model.sampled_regions,
        box_positive_fraction=model.positive_share,
        box_score_thresh=model.score_threshold,
        box_nms_thresh=model.iou_threshold,
        box_detections_per_img=model.max_detections,
    )


def ours(model: config.FasterRCNNOptions, theirs: Any) -> Any:
    """Our detector with the weights of torchvision's: the background goes from the first place to the last."""
    own = build_detector(
        model=model,
        backbone=config.ResNetOptions(depth=50),
        neck=config.FPNOptions(lowest=2, highest=6),
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
    model = config.FasterRCNNOptions(anchor_sizes=[1.0], **options)
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


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
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


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
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
        torch.testing.assert_close(losses[name], expected[other].double(), atol=0, rtol=1e-5)
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


@pytest.fixture
def small(tiny: Configure) -> Callable[..., Any]:
    """A detector of few weights; keyword arguments are options of `model`."""

    def configure(**options: Any) -> Any:
        torch.manual_seed(0)
        model = config.FasterRCNNOptions(**{"width": 32, "channels": 16, **options})
        return build(tiny(model=model, image_size=SIDE), classes=CLASSES)

    return configure


def assert_finite_gradients(detector: Any, losses: dict[str, Tensor]) -> float:
    """Their sum, after a step back in which every parameter had a finite gradient."""
    assert set(losses) == {"rpn_objectness", "rpn_box", "class", "box"}
    total = sum(losses.values())
    assert isinstance(total, Tensor)
    total.backward()
    for parameter in detector.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    return total.item()


def test_detections_of_a_batch_equal_those_of_its_images(small: Callable[..., Any]) -> None:
    detector = small().eval()
    pictures = images(3)
    for i, found in enumerate(detector.detect(pictures)):
        (alone,) = detector.detect(pictures[i : i + 1])
        assert len(found) > 0
        assert torch.equal(found.labels, alone.labels)
        torch.testing.assert_close(found.boxes, alone.boxes, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(found.scores, alone.scores, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("suppression", ["greedy", "class_agnostic", "soft", "diou"])
def test_detections_have_the_datas_labels_and_come_best_first_within_the_image(
    small: Callable[..., Any], agnostic: bool, suppression: str
) -> None:
    detector = small(class_agnostic_boxes=agnostic, suppression=suppression).eval()
    for found in detector.detect(images(2)):
        assert 0 < len(found) <= 100
        assert set(found.labels.tolist()) <= set(range(CLASSES))
        assert (found.scores.diff() <= 0).all()
        assert (found.scores > 0.001).all()
        assert (found.boxes >= 0).all()
        assert (found.boxes <= SIDE).all()
        assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("box_loss", ["smooth_l1", "l1", "iou", "giou", "diou", "ciou"])
def test_every_box_loss_reaches_every_part(small: Callable[..., Any], box_loss: str, agnostic: bool) -> None:
    detector = small(class_agnostic_boxes=agnostic, box_loss=box_loss)
    assert_finite_gradients(detector, detector.losses(images(2), TARGETS))
    parts = (detector.backbone, detector.neck, detector.proposals, detector.roi_stage.box_changes)
    for part in parts:
        assert any(parameter.grad.any() for parameter in part.parameters())


def test_losses_and_detections_do_not_depend_on_the_mode_but_for_norms(small: Callable[..., Any]) -> None:
    every = {"rpn_sampled_anchors": EVERY, "sampled_regions": EVERY}
    detector, pictures = small(**every).eval(), images(2)
    before = detector.detect(pictures)
    losses = detector.losses(pictures, TARGETS)
    after = detector.detect(pictures)
    assert all(torch.equal(one.boxes, other.boxes) for one, other in zip(before, after, strict=True))
    again = detector.losses(pictures, TARGETS)
    for name, loss in losses.items():
        torch.testing.assert_close(loss, again[name])


@pytest.mark.parametrize(
    "objects",
    [
        pytest.param([target([], []), target([], [])], id="no-object-in-the-batch"),
        pytest.param([target([], []), TARGETS[0]], id="no-object-in-an-image"),
        pytest.param([target([[0, 0, 60, 60]], [2], [True])] * 2, id="crowds-alone"),
        pytest.param(
            [target([[20, 30, 21, 31]], [2]), target([[0, 0, 1, 1], [63, 63, 64, 64]], [0, 4])], id="one-pixel"
        ),
        pytest.param([target([[0, 0, SIDE, SIDE]] * 3, [2, 2, 3])] * 2, id="the-same-box-thrice"),
    ],
)
def test_what_data_can_hold_gives_finite_losses_and_gradients(small: Callable[..., Any], objects: list[Target]) -> None:
    detector = small()
    losses = detector.losses(images(2), objects)
    assert_finite_gradients(detector, losses)
    if all(one.crowd.all() for one in objects):
        assert losses["box"].item() == losses["rpn_box"].item() == 0.0


def test_two_thousand_objects_in_an_image(small: Callable[..., Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(2000, 2, generator=generator) * 50
    boxes = torch.cat([low, low + torch.rand(2000, 2, generator=generator) * 12 + 1], dim=1)
    crowded = target(boxes, torch.randint(0, CLASSES, (2000,), generator=generator).tolist())
    detector = small()
    assert_finite_gradients(detector, detector.losses(images(1), [crowded]))


def test_crowds_are_not_trained_on(small: Callable[..., Any]) -> None:
    detector = small(rpn_sampled_anchors=EVERY, sampled_regions=EVERY).eval()
    with_crowd = target([[10, 10, 50, 60], [0, 0, 60, 60]], [0, 3], [False, True])
    alone = target([[10, 10, 50, 60]], [0])
    expected = detector.losses(images(1), [alone])
    for name, loss in detector.losses(images(1), [with_crowd]).items():
        torch.testing.assert_close(loss, expected[name])


@pytest.mark.parametrize("regions", [[0, 0], [0, 7]])
def test_images_without_proposals_train_and_give_no_detection(small: Callable[..., Any], regions: list[int]) -> None:
    detector = small().eval()
    pictures = images(2)
    levels = detector(pictures)
    proposals = [torch.tensor([[4.0, 4.0, 40.0, 50.0]]).repeat(count, 1) for count in regions]
    losses = detector.roi_stage.losses(levels, proposals, [target([], []), TARGETS[1]])
    assert all(loss.isfinite() for loss in losses.values())
    with torch.no_grad():
        found = detector.roi_stage.detect(levels, proposals, (SIDE, SIDE))
    for count, (boxes, scores) in zip(regions, found, strict=True):
        assert boxes.shape == (count, CLASSES, 4)
        assert scores.shape == (count, CLASSES)
        assert (len(detector.suppression(boxes, scores)) > 0) == (count > 0)


def test_bfloat16_trains_with_anchors_and_proposals_in_float32(small: Callable[..., Any]) -> None:
    detector = small().eval()
    pictures = images(2)
    before = detector.detect(pictures)
    detector.train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = detector.losses(pictures, TARGETS)
        proposals, _, _ = detector.proposals.losses(pictures, detector(pictures), TARGETS)
    assert_finite_gradients(detector, losses)
    assert all(one.dtype == torch.float32 for one in proposals)
    fresh = small().eval()
    fresh.load_state_dict(detector.state_dict())
    after = detector.eval().detect(pictures)
    assert len(before) == len(after)
    for one, other in zip(after, fresh.detect(pictures), strict=True):
        assert torch.equal(one.boxes, other.boxes)  # nothing of the step's precision is left behind


@pytest.mark.parametrize(
    ("neck", "levels"),
    [
        (config.PANOptions(width=0.125), 3),
        (config.FPNOptions(channels=24, lowest=2, highest=6), 5),
        (config.NoNeckOptions(highest=6), 4),
    ],
)
def test_anchors_are_shares_of_the_image_at_every_level(tiny: Configure, neck: config.NeckOptions, levels: int) -> None:
    model = config.FasterRCNNOptions(width=32, channels=16, anchor_sizes=[0.25], anchor_ratios=[1.0])
    detector: Any = build(tiny(model=model, neck=neck, image_size=160), classes=CLASSES)
    network = detector.proposals.network
    detector.eval().detect(images(1))
    sides = [(anchors[0, 2] - anchors[0, 0]).item() for anchors in network.anchor_generator.cell_anchors]
    assert len(sides) == levels
    for side, stride in zip(sides, detector.neck.info.strides, strict=True):
        assert side == pytest.approx(0.25 * 160 * stride / 32, abs=1.01)  # torchvision rounds corners to pixels


def test_regions_are_counted_and_every_stage_is_measured(small: Callable[..., Any]) -> None:
    detector = small(proposals=20).eval()
    clock = StageTimer()
    with clock.watching():
        detector.detect(images(2))
    assert 0 < clock.regions <= 40
    assert set(clock.seconds) == {"features", "proposals", "heads", "suppression"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"anchor_sizes": []}, r"model\.anchor_sizes=\[\]: give one or more numbers above 0"),
        ({"anchor_ratios": [1.0, -1.0]}, r"model\.anchor_ratios=\[1\.0, -1\.0\]"),
        ({"rpn_negative_iou": 0.8}, r"model\.rpn_negative_iou=0\.8: .* positive_iou=0\.5"),
        ({"rpn_positive_share": 0.0}, r"model\.rpn_positive_share=0\.0"),
        ({"rpn_iou_threshold": 1.2}, r"model\.rpn_iou_threshold=1\.2"),
        ({"rpn_sampled_anchors": 0}, r"model\.rpn_sampled_anchors=0: must be 1 or more"),
        ({"proposals": 0}, r"model\.proposals=0"),
        ({"pool_size": 0}, r"model\.pool_size=0"),
        ({"width": 0}, r"model\.width=0"),
        ({"channels": 0}, r"model\.channels=0"),
        ({"box_loss": "l2"}, r"model\.box_loss=l2: choose one of smooth_l1, l1, iou"),
        ({"sampled_regions": 0}, r"model\.sampled_regions=0"),
    ],
)
def test_a_value_that_cannot_be_is_named(small: Callable[..., Any], options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        small(**options)


@pytest.mark.parametrize("part", ["head", "assigner", "loss"])
def test_a_part_that_it_has_no_use_for_is_refused(tiny: Configure, part: str) -> None:
    settings = replace(tiny(model=config.FasterRCNNOptions()), **{part: getattr(tiny(), part)})
    with pytest.raises(UserError, match=rf"{part}=.*has no meaning with model=faster_rcnn"):
        build(settings, classes=CLASSES)
