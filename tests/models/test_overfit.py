"""A detector overfits four images; one that is wired wrongly cannot. All parts together: `test_every_combination.py`."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from composition import composed
from darknet_files import learner
from learning import data_of, index_of

from detector import config
from detector.checkpoint import build
from detector.data.module import DetectionData
from detector.evaluation.evaluate import evaluate
from detector.models.detector import detect_batch

FOUR_IMAGES = config.Shapes(scene_size=128, train_images=4, val_images=1, batch_size=4, workers=0)
FPN = config.FPNOptions(channels=32)
PAN = config.PANOptions(width=0.25)
BINS, NO_BINS = config.AnchorFreeHeadOptions(convolutions=1), config.AnchorFreeHeadOptions(convolutions=1, bins=0)
ANCHORS = config.AnchorBasedHeadOptions()
CSP = config.CSPDarknetOptions(depth=0.33, width=0.25)
RESNET = config.ResNetOptions(depth=18)


@pytest.mark.parametrize(
    ("backbone", "neck", "head", "loss", "steps"),
    [
        pytest.param(CSP, PAN, BINS, "ciou", 120, id="csp_darknet-pan-bins"),
        pytest.param(CSP, FPN, NO_BINS, "giou", 120, id="csp_darknet-fpn-giou", marks=pytest.mark.slow),
        pytest.param(
            CSP,
            config.FPNOptions(channels=32, lowest=2, highest=6),
            BINS,
            "iou",
            120,
            id="csp_darknet-fpn-P2-P6",
            marks=pytest.mark.slow,
        ),
        pytest.param(RESNET, FPN, BINS, "diou", 120, id="resnet-fpn-bins", marks=pytest.mark.slow),
        pytest.param(CSP, PAN, BINS, "l1", 200, id="csp_darknet-pan-l1", marks=pytest.mark.slow),
        pytest.param(CSP, PAN, BINS, "l2", 200, id="csp_darknet-pan-l2", marks=pytest.mark.slow),
    ],
)
def test_overfits_four_images(
    tiny: Callable[..., config.Train],
    backbone: config.BackboneOptions,
    neck: config.NeckOptions,
    head: config.HeadOptions,
    loss: str,
    steps: int,
) -> None:
    weights = {"l1": 40.0, "l2": 200.0}
    settings = tiny(
        data=FOUR_IMAGES,
        image_size=128,
        backbone=backbone,
        neck=neck,
        head=head,
        loss=config.CriterionOptions(name=loss, box=loss, box_weight=weights.get(loss, 7.5)),
    )
    assert ap50_after_learning_four_images(settings, steps) > 0.95


@pytest.mark.parametrize(
    ("head", "assigner"),
    [
        pytest.param(ANCHORS, config.MaxIoUAssignerOptions(), id="anchor_based-max_iou", marks=pytest.mark.slow),
        pytest.param(BINS, config.SimOTAAssignerOptions(), id="anchor_free-simota", marks=pytest.mark.slow),
    ],
)
def test_overfits_four_images_with_every_head_and_assigner(
    tiny: Callable[..., config.Train], head: config.HeadOptions, assigner: config.AssignerOptions
) -> None:
    settings = tiny(data=FOUR_IMAGES, image_size=128, backbone=CSP, neck=PAN, head=head, assigner=assigner)
    assert ap50_after_learning_four_images(settings, steps=120) > 0.95


def ap50_after_learning_four_images(settings: config.Train, steps: int) -> float:
    torch.manual_seed(0)
    proposals = settings.model.proposal_request()
    data = DetectionData.read(settings.data, config.Augment(name="none"), settings.image_size, proposals=proposals)
    (batch,) = list(data.train_dataloader())
    detector = build(settings, classes=len(data.class_names)).train()
    optimizer = torch.optim.AdamW(detector.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        optimizer.zero_grad()
        losses = detector.losses(batch.images, batch.targets)  # type: ignore[operator]
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        schedule.step()
    # the statistics of the batch that was learned, not the slow average
    for layer in detector.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        detector.losses(batch.images, batch.targets)  # type: ignore[operator]
    detector.eval()
    results = []
    for target, found in zip(batch.targets, detect_batch(detector, batch), strict=True):
        original = found.to_original(target.transform, target.original_size)
        results += original.to_coco(target.image_id, data.category_ids)
    ap50 = evaluate(data.train_index, results)["AP50"]
    assert isinstance(ap50, float)
    return ap50


@pytest.mark.parametrize(
    "assigner",
    [
        pytest.param(config.MaxIoUAssignerOptions(), id="max_iou", marks=pytest.mark.slow),
        pytest.param(config.SimOTAAssignerOptions(), id="simota", marks=pytest.mark.slow),
        pytest.param(config.TaskAlignedAssignerOptions(), id="task_aligned", marks=pytest.mark.slow),
    ],
)
def test_a_network_of_a_darknet_file_overfits_four_images(
    tiny: Callable[..., config.Train], assigner: config.AssignerOptions, tmp_path: Path
) -> None:
    (tmp_path / "learner.cfg").write_text(learner(size=128))
    model = config.DarknetOptions(cfg=str(tmp_path / "learner.cfg"))
    settings = tiny(data=FOUR_IMAGES, image_size=128, model=model, assigner=assigner)
    assert ap50_after_learning_four_images(settings, 200) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "neck", "options"),
    [
        pytest.param(CSP, PAN, {}, id="csp_darknet-pan"),
        pytest.param(RESNET, FPN, {}, id="resnet-fpn"),
        pytest.param(CSP, config.NoNeckOptions(), {"class_agnostic_boxes": True}, id="csp_darknet-none-class_agnostic"),
        pytest.param(
            CSP, config.FPNOptions(channels=32, lowest=2, highest=6), {"box_loss": "l1"}, id="csp_darknet-fpn-P2-P6-l1"
        ),
        *(
            pytest.param(CSP, PAN, {"box_loss": loss, "box_weight": 10.0}, id=f"csp_darknet-pan-{loss}")
            for loss in ("iou", "giou", "diou", "ciou")
        ),
    ],
)
def test_faster_rcnn_overfits_four_images(
    tiny: Callable[..., config.Train],
    backbone: config.BackboneOptions,
    neck: config.NeckOptions,
    options: dict[str, Any],
) -> None:
    model = config.FasterRCNNOptions(channels=64, width=256, **options)
    settings = tiny(data=FOUR_IMAGES, image_size=128, model=model, backbone=backbone, neck=neck)
    assert ap50_after_learning_four_images(settings, 200) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(config.RCNNOptions(region_size=64), id="rcnn"),
        pytest.param(config.FastRCNNOptions(channels=64, width=256), id="fast_rcnn"),
    ],
)
def test_detectors_on_proposals_overfit_four_images(
    tiny: Callable[..., config.Train], model: config.ModelOptions, tmp_path: Path
) -> None:
    data = dataclasses.replace(FOUR_IMAGES, proposals=str(tmp_path / "proposals"))
    parts = {} if isinstance(model, config.RCNNOptions) else {"neck": PAN}
    settings = tiny(data=data, image_size=128, model=model, backbone=CSP, **parts)
    assert ap50_after_learning_four_images(settings, 200) > 0.95


def test_what_a_batch_shows_is_found_whole_by_its_own_boxes() -> None:
    data = data_of(
        composed("data=shapes", "data.train_images=2", "data.val_images=1", "data.batch_size=2", "data.workers=0")
    )
    batch = next(iter(data.train_dataloader()))
    results = [
        {"image_id": i, "category_id": data.category_ids[label], "bbox": [x, y, right - x, lower - y], "score": 0.5}
        for i, target in enumerate(batch.targets)
        for (x, y, right, lower), label in zip(target.boxes.tolist(), target.labels.tolist(), strict=True)
    ]
    assert evaluate(index_of(batch, data.train_index), results)["AP"] == pytest.approx(1.0)
