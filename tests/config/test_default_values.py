"""Values that every training stands on, held against those who published them: a changed one costs accuracy in silence."""

from typing import Any

import pytest
from composition import composed

from detector import config

PUBLISHED: list[tuple[type, dict[str, Any]]] = [
    # torchvision's and timm's networks: the mean and standard deviation of ImageNet
    (config.SingleShotOptions, {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}),
    # COCO's evaluation keeps 100 detections an image; Bodla et al. 2017, section 5: sigma 0.5
    (config.SingleShotOptions, {"max_detections": 100, "soft_sigma": 0.5}),
    # YOLOX's evaluation (Ge et al. 2021): suppression at 0.65
    (config.SingleShotOptions, {"iou_threshold": 0.65, "score_threshold": 0.001}),
    # Lin et al. 2017, section 3.2 and 3.3: gamma 2, a prior probability of 0.01
    (config.CriterionOptions, {"gamma": 2.0, "label_smoothing": 0.0}),
    (config.AnchorFreeHeadOptions, {"prior_probability": 0.01}),
    (config.AnchorBasedHeadOptions, {"prior_probability": 0.01}),
    # the weights of YOLOv8's box and distribution losses; Li et al. 2020: distances up to 16 strides
    (config.CriterionOptions, {"box_weight": 7.5, "distribution_weight": 1.5}),
    (config.AnchorFreeHeadOptions, {"bins": 16}),
    # Feng et al. 2021 (TOOD), section 3.2: alpha 1, beta 6, 13 points an object
    (config.TaskAlignedAssignerOptions, {"alpha": 1.0, "beta": 6.0, "top": 13}),
    # Ge et al. 2021 (YOLOX): cost = class + 3 · IoU, a centre of 2.5 strides, at most 10 points
    (config.SimOTAAssignerOptions, {"iou_weight": 3.0, "centre_radius": 2.5, "top": 10}),
    # YOLOv4's cfg: iou_thresh=0.213, ignore_thresh=.7
    (config.MaxIoUAssignerOptions, {"iou_threshold": 0.213, "ignore_threshold": 0.7}),
    # YOLOX-nano's and -tiny's family: depth 0.33; Lin et al. 2017 (FPN), section 3: 256 channels
    (config.CSPDarknetOptions, {"depth": 0.33, "width": 0.25, "spp": True}),
    (config.PANOptions, {"depth": 0.33, "width": 0.25}),
    (config.FPNOptions, {"channels": 256}),
    # Girshick 2015, section 2.3: 128 regions, a quarter of objects, IoU of at least 0.5
    (
        config.FastRCNNOptions,
        {"sampled_regions": 128, "positive_share": 0.25, "positive_iou": 0.5, "pool_size": 7, "max_proposals": 2000},
    ),
    (config.FasterRCNNOptions, {"sampled_regions": 128, "positive_share": 0.25, "positive_iou": 0.5, "pool_size": 7}),
    # Ren et al. 2015, sections 3.1.3 and 3.3: 256 anchors, half of objects, IoU below 0.3, suppression at 0.7, 300 proposals
    (
        config.FasterRCNNOptions,
        {
            "rpn_sampled_anchors": 256,
            "rpn_positive_share": 0.5,
            "rpn_negative_iou": 0.3,
            "rpn_iou_threshold": 0.7,
            "proposals": 300,
            "anchor_ratios": [0.5, 1.0, 2.0],
        },
    ),
    # Girshick et al. 2014, section 2.3 and appendix C: a quarter of the windows are objects, boxes from an IoU of 0.6
    (config.RCNNOptions, {"positive_share": 0.25, "box_iou": 0.6}),
    # Loshchilov & Hutter 2019; Redmon & Farhadi 2018: momentum 0.9, decay 0.0005
    (config.AdamWOptions, {"momentum": 0.9}),
    (config.SGDOptions, {"momentum": 0.9, "weight_decay": 0.0005}),
    # YOLOX: an average of decay 0.9998
    (config.Trainer, {"ema": 0.9998, "accumulate": 1, "multi_scale": 0.0}),
]


@pytest.mark.parametrize(("options", "values"), PUBLISHED, ids=lambda one: getattr(one, "__name__", ""))
def test_defaults_are_the_published_ones(options: type, values: dict[str, Any]) -> None:
    made = options()
    assert {name: getattr(made, name) for name in values} == values


MEASURED: dict[str, dict[str, Any]] = {
    "optim": {"lr": 0.004, "lr_batch": 8, "weight_decay": 0.05, "warmup_epochs": 3.0, "schedule": "cosine", "final_lr": 0.01},
    "loss": {"box": "ciou", "classification": "bce", "class_weight": 1.0, "objectness_weight": 0.5},
    "trainer": {"epochs": 40, "ema": 0.998, "clip": 10.0, "evaluate_every": 5, "channels_last": True},
    "augment": {
        "mosaic": 0.0, "mixup": 0.0, "flip_horizontal": 0.5, "flip_vertical": 0.5, "rotate90": 0.5, "scale": 0.25,
        "translate": 0.1, "hue": 0.015, "saturation": 0.5, "value": 0.3,
    },
    "data": {"batch_size": 8},
}  # fmt: skip


def test_the_recipe_of_bccd_is_the_one_that_its_figures_were_measured_with() -> None:
    recipe = composed("experiment=bccd", "data.root=somewhere")
    for group, values in MEASURED.items():
        part = getattr(recipe, group)
        assert {name: getattr(part, name) for name in values} == values
