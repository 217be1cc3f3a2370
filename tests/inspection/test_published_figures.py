"""Figures that others have published, of their networks and of ours.

torchvision's are in the metadata of its weights: `num_params`, and `_ops`, 10⁹ multiply-accumulates of convolutions and
matrix products (it calls them GFLOPS): at 224 px for classifiers; of an image of 512 px, brought to 800, and 1,000 regions for
Faster R-CNN.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import ResNet50_Weights, VGG16_Weights, resnet50, vgg16, vgg16_bn
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights, fasterrcnn_resnet50_fpn

from detector import config
from detector.arithmetic.model import Ledger, take_ledger
from detector.build_detector import build_detector
from detector.inspection.dry_run import dry_run

CLASSIFIERS = {
    "vgg16": (vgg16, VGG16_Weights.IMAGENET1K_V1, 138_357_544, 15.47),
    "resnet50": (resnet50, ResNet50_Weights.IMAGENET1K_V1, 25_557_032, 4.089),
}
FASTER_RCNN_PARAMETERS, FASTER_RCNN_GMACS = 41_755_286, 134.38


def ledger_of(module: nn.Module, side: int) -> Ledger:
    images = torch.zeros(1, 3, side, side, device="meta")
    return take_ledger(module.eval(), lambda: module(images))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_of_torchvisions_classifiers(name: str) -> None:
    make, weights, parameters, gmacs = CLASSIFIERS[name]
    assert (weights.meta["num_params"], weights.meta["_ops"]) == (parameters, gmacs)
    with torch.device("meta"):
        ledger = ledger_of(make(), 224)
    assert ledger.mistakes() == []
    assert ledger.parameters == parameters
    assert round(ledger.multiply_accumulates / 1e9, len(str(gmacs).partition(".")[2])) == gmacs


def test_our_vgg16_is_torchvisions_less_its_classifier() -> None:
    with torch.device("meta"):
        ours, theirs = config.VGGOptions(depth=16).build(), vgg16_bn()
    ledger = ledger_of(ours, 224)
    assert ledger.parameters == ledger_of(theirs.features, 224).parameters
    classifier = 25_088 * 4_096 + 4_096 * 4_096 + 4_096 * 1_000
    assert ledger.multiply_accumulates + classifier == ledger_of(theirs, 224).multiply_accumulates


def test_our_resnet50_is_torchvisions_less_its_classifier() -> None:
    with torch.device("meta"):
        ours = ledger_of(config.ResNetOptions(depth=50).build(), 224)
        theirs = ledger_of(resnet50(), 224)
    assert ours.parameters + 2_048 * 1_000 + 1_000 == theirs.parameters
    assert ours.multiply_accumulates + 2_048 * 1_000 == theirs.multiply_accumulates


def test_our_darknet53_has_as_many_operations_as_its_paper_says() -> None:
    """Redmon & Farhadi 2018, table 2: 18.7 billion at 256 px, with a classifier of 1,000 classes on 1,024 channels."""
    with torch.device("meta"):
        ledger = ledger_of(config.Darknet53Options().build(), 256)
    operations = 2 * (ledger.multiply_accumulates + 1_024 * 1_000)
    assert operations / 1e9 == pytest.approx(18.7, rel=0.01)


def our_faster_rcnn() -> Ledger:
    """Of Faster R-CNN as torchvision has it: P2 to P6, one anchor size a level, 90 classes and the background."""
    with torch.device("meta"):
        detector = build_detector(
            model=config.FasterRCNNOptions(anchor_sizes=[0.32], proposals=1_000),
            backbone=config.ResNetOptions(depth=50),
            neck=config.FPNOptions(lowest=2, highest=6),
            classes=90,
            image_size=800,
        ).eval()
    return take_ledger(detector, dry_run(detector, 800).run)


NORMS = 53_120
"""Parameters of ResNet-50's batch norms, which torchvision's Faster R-CNN freezes into buffers."""
BACKGROUND_BOX = 4 * 1_024
"""Weights of the box that it predicts for the background, and ours does not."""


def test_our_faster_rcnn_is_torchvisions_but_for_norms_and_the_background_box() -> None:
    meta: Any = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta
    assert (meta["num_params"], meta["_ops"]) == (FASTER_RCNN_PARAMETERS, FASTER_RCNN_GMACS)
    ledger = our_faster_rcnn()
    assert ledger.mistakes() == []
    assert ledger.parameters - NORMS + BACKGROUND_BOX + 4 == FASTER_RCNN_PARAMETERS
    assert round((ledger.multiply_accumulates + 1_000 * BACKGROUND_BOX) / 1e9, 2) == FASTER_RCNN_GMACS


@pytest.mark.slow
def test_of_torchvisions_faster_rcnn() -> None:
    """It runs for real; how many of at most 1,000 regions there are depends on the image and on untrained weights."""
    torch.manual_seed(0)
    theirs = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval()
    ledger = take_ledger(theirs, lambda: theirs([torch.rand(3, 512, 512)]))
    assert ledger.mistakes() == []
    assert ledger.parameters - NORMS == FASTER_RCNN_PARAMETERS
    heads = [layer for layer in ledger.layers if layer.name.startswith("roi_heads.") and layer.kind == "Linear"]
    regions = {layer.output_shape[0] for layer in heads if layer.output_shape}.pop()
    of_a_region = sum(layer.multiply_accumulates for layer in heads) // regions
    with_all_regions = ledger.multiply_accumulates + (1_000 - regions) * of_a_region
    assert round(with_all_regions / 1e9, 2) == FASTER_RCNN_GMACS
    assert with_all_regions == our_faster_rcnn().multiply_accumulates + 1_000 * BACKGROUND_BOX
