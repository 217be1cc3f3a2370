"""Configuration → objects. To add a part: write its file, its dataclass in `config/`, its YAML, and one case here."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import nn

from detector import config
from detector.assigners.task_aligned import TaskAlignedAssigner
from detector.backbones.csp_darknet import CSPDarknet
from detector.backbones.darknet import Darknet53
from detector.backbones.resnet import ResNet
from detector.backbones.vgg import VGG
from detector.errors import UserError
from detector.heads.anchor_free import AnchorFreeHead
from detector.losses.box import BoxLoss
from detector.losses.classification import ClassLoss
from detector.losses.criterion import Criterion
from detector.models.single_shot import SingleShot
from detector.necks.fpn import FPN
from detector.necks.pan import PAN
from detector.nms import Suppression
from detector.types import FeatureInfo


def build_detector(
    *,
    model: config.Model,
    backbone: config.Backbone,
    neck: config.Neck,
    head: config.Head,
    assigner: config.Assigner,
    loss: config.Loss,
    classes: int,
) -> SingleShot:
    """The detector that the parts describe, for `classes` classes, with new weights."""
    body = build_backbone(backbone)
    pyramid = build_neck(neck, body.info)
    match model:
        case config.SingleShot():
            return SingleShot(
                body,
                pyramid,
                build_head(head, pyramid.info, classes),
                Criterion(
                    build_assigner(assigner),
                    BoxLoss(loss.box),
                    ClassLoss(loss.classification, loss.gamma, loss.label_smoothing),
                    loss.box_weight,
                    loss.class_weight,
                    loss.distribution_weight,
                ),
                build_suppression(model),
                model.mean,
                model.std,
            )
        case _:
            raise _unknown("model", model)


def build_backbone(part: config.Backbone) -> Any:
    """A backbone: `info` and images → features."""
    match part:
        case config.VGG():
            return VGG(**_options(part))
        case config.ResNet():
            return ResNet(**_options(part))
        case config.Darknet53():
            return Darknet53(**_options(part))
        case config.CSPDarknet():
            return CSPDarknet(**_options(part))
        case _:
            raise _unknown("backbone", part)


def build_neck(part: config.Neck, features: FeatureInfo) -> Any:
    """A neck: `info` and features → features."""
    match part:
        case config.FPN():
            return FPN(features, **_options(part))
        case config.PAN():
            return PAN(features, **_options(part))
        case _:
            raise _unknown("neck", part)


def build_head(part: config.Head, features: FeatureInfo, classes: int) -> AnchorFreeHead:
    """A head on the features of a neck."""
    match part:
        case config.AnchorFree():
            return AnchorFreeHead(features, classes, **_options(part))
        case _:
            raise _unknown("head", part)


def build_assigner(part: config.Assigner) -> TaskAlignedAssigner:
    """An assigner."""
    match part:
        case config.TaskAligned():
            return TaskAlignedAssigner(**_options(part))
        case _:
            raise _unknown("assigner", part)


def build_suppression(part: config.Model) -> Suppression:
    """What a model does with its predictions last."""
    return Suppression(
        kind=part.suppression,
        iou_threshold=part.iou_threshold,
        score_threshold=part.score_threshold,
        candidates=part.candidates,
        max_detections=part.max_detections,
        sigma=part.soft_sigma,
    )


def count_parameters(module: nn.Module) -> int:
    """All parameters, trained or frozen."""
    return sum(parameter.numel() for parameter in module.parameters())


def _options(part: Any) -> dict[str, Any]:
    options = asdict(part)
    del options["name"]
    return options


def _unknown(group: str, part: Any) -> UserError:
    known = ", ".join(cls.name for cls in config.GROUPS[group])  # type: ignore[attr-defined]
    return UserError(f"{group}.name={part.name}: choose one of {known}")
