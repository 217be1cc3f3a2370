"""Configuration → objects. To add a part: write its file, its dataclass in `config/`, its YAML, and one case here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from torch import nn

from detector import config
from detector.assigners.assigner import Assigner
from detector.assigners.max_iou import MaxIoUAssigner
from detector.assigners.simota import SimOTAAssigner
from detector.assigners.task_aligned import TaskAlignedAssigner
from detector.backbones.csp_darknet import CSPDarknet
from detector.backbones.darknet import Darknet53
from detector.backbones.darknet19 import Darknet19
from detector.backbones.darknet_cfg import DarknetCfg
from detector.backbones.efficientnet import EfficientNet
from detector.backbones.resnet import ResNet
from detector.backbones.timm import Timm
from detector.backbones.vgg import VGG
from detector.errors import UserError
from detector.heads.anchor_based import AnchorBasedHead
from detector.heads.anchor_free import AnchorFreeHead
from detector.heads.head import Head
from detector.losses.box import BoxLoss
from detector.losses.classification import ClassLoss
from detector.losses.criterion import Criterion
from detector.models.darknet import darknet
from detector.models.fast_rcnn import FastRCNN
from detector.models.faster_rcnn import FasterRCNN
from detector.models.proposal_network import ProposalNetwork
from detector.models.rcnn import RCNN
from detector.models.regions.sampling import RegionSampler
from detector.models.roi_stage import RoIStage
from detector.models.single_shot import SingleShot
from detector.necks.additions import NeckWithAdditions
from detector.necks.fpn import FPN
from detector.necks.none import NoNeck
from detector.necks.one_width import of_one_width
from detector.necks.pan import PAN
from detector.nms import Suppression
from detector.proposals.compute import ProposalRequest
from detector.proposals.selective_search import SelectiveSearch
from detector.types import FeatureInfo


def build_detector(
    *,
    model: config.Model,
    backbone: config.Backbone | None = None,
    neck: config.Neck | None = None,
    head: config.Head | None = None,
    assigner: config.Assigner | None = None,
    loss: config.Loss | None = None,
    classes: int,
    image_size: int,
) -> nn.Module:
    """The detector that the parts describe, for `classes` classes, with new weights: a module that is a `Detector`.

    `image_size` is the side of the square that it is trained on: anchors are shares of it.

    Raises:
        UserError: two parts do not go together, the model lacks a part, or it has no use for one.
    """
    body: Any
    pyramid: Any
    predictions: Head
    parts = {"backbone": backbone, "neck": neck, "head": head, "assigner": assigner, "loss": loss}
    match model:
        case config.Darknet():
            _check_parts(model, parts, ("assigner", "loss"))
            body, predictions = darknet(model.cfg, classes, model.cfg_text, model.weights)
            pyramid = nn.Identity()
        case config.FasterRCNN():
            _check_parts(model, parts, ("backbone", "neck"))
            assert backbone
            assert neck
            return _faster_rcnn(model, backbone, neck, classes, image_size)
        case config.FastRCNN():
            _check_parts(model, parts, ("backbone", "neck"))
            assert backbone
            assert neck
            return _fast_rcnn(model, backbone, neck, classes)
        case config.RCNN():
            _check_parts(model, parts, ("backbone",))
            assert backbone
            return _rcnn(model, backbone, classes)
        case config.SingleShot():
            _check_parts(model, parts, ("backbone", "neck", "head", "assigner", "loss"))
            assert backbone
            assert neck
            assert head
            assert assigner
            _check_assigner(assigner, head)
            _check_neck(neck, backbone)
            body = build_backbone(backbone)
            _check_normalisation(body, model)
            pyramid = build_neck(neck, body.info)
            predictions = build_head(head, pyramid.info, classes, image_size)
        case _:
            raise _unknown("model", model)
    assert assigner
    assert loss
    criterion = Criterion(
        build_assigner(assigner),
        BoxLoss(loss.box),
        ClassLoss(loss.classification, loss.gamma, loss.label_smoothing),
        loss.box_weight,
        loss.class_weight,
        loss.distribution_weight,
        loss.objectness_weight,
    )
    return SingleShot(body, pyramid, predictions, criterion, build_suppression(model), model.mean, model.std)


def _faster_rcnn(
    model: config.FasterRCNN, backbone: config.Backbone, neck: config.Neck, classes: int, image_size: int
) -> FasterRCNN:
    body, pyramid = _shared_features(model, backbone, neck)
    proposals = ProposalNetwork(
        pyramid.info,
        image_size,
        model.anchor_sizes,
        model.anchor_ratios,
        positive_iou=model.rpn_positive_iou,
        negative_iou=model.rpn_negative_iou,
        sampled_anchors=model.rpn_sampled_anchors,
        positive_share=model.rpn_positive_share,
        training_candidates=model.rpn_training_candidates,
        candidates=model.rpn_candidates,
        training_proposals=model.training_proposals,
        proposals=model.proposals,
        iou_threshold=model.rpn_iou_threshold,
        objectness_weight=model.rpn_objectness_weight,
        box_weight=model.rpn_box_weight,
    )
    roi_stage = build_roi_stage(model, pyramid.info, classes)
    return FasterRCNN(body, pyramid, proposals, roi_stage, build_suppression(model), model.mean, model.std)


def _fast_rcnn(model: config.FastRCNN, backbone: config.Backbone, neck: config.Neck, classes: int) -> FastRCNN:
    body, pyramid = _shared_features(model, backbone, neck)
    return FastRCNN(
        body,
        pyramid,
        build_search(model),
        build_roi_stage(model, pyramid.info, classes),
        build_suppression(model),
        model.max_proposals,
        model.mean,
        model.std,
    )


def _rcnn(model: config.RCNN, backbone: config.Backbone, classes: int) -> RCNN:
    body = build_backbone(backbone)
    _check_normalisation(body, model)
    return RCNN(
        body,
        classes,
        build_search(model),
        RegionSampler(model.sampled_regions, model.positive_share, model.positive_iou, model.negative_iou),
        build_suppression(model),
        max_proposals=model.max_proposals,
        region_size=model.region_size,
        context=model.context,
        chunk=model.chunk,
        box_iou=model.box_iou,
        box_loss=model.box_loss,
        class_weight=model.class_weight,
        box_weight=model.box_weight,
        mean=model.mean,
        std=model.std,
    )


def _shared_features(model: config.TwoStage, backbone: config.Backbone, neck: config.Neck) -> tuple[Any, Any]:
    """Backbone and neck of a detector with a second stage: levels of one width."""
    _check_neck(neck, backbone)
    body = build_backbone(backbone)
    _check_normalisation(body, model)
    return body, of_one_width(build_neck(neck, body.info), model.channels)


def build_roi_stage(model: config.TwoStage, features: FeatureInfo, classes: int) -> RoIStage:
    """The second stage on features of one width."""
    return RoIStage(
        features,
        classes,
        RegionSampler(model.sampled_regions, model.positive_share, model.positive_iou, model.negative_iou),
        pool_size=model.pool_size,
        width=model.width,
        class_agnostic_boxes=model.class_agnostic_boxes,
        box_loss=model.box_loss,
        class_weight=model.class_weight,
        box_weight=model.box_weight,
    )


def _check_parts(model: config.Model, parts: dict[str, Any], needed: Collection[str]) -> None:
    for group, part in parts.items():
        if part is None and group in needed:
            raise UserError(f"{group}=... must be given with model={model.name}")
        if part is not None and group not in needed:
            raise UserError(f"{group}={part.name}: has no meaning with model={model.name}, which has no such part")


def build_backbone(part: config.Backbone) -> Any:
    """A backbone: `info` and images → features."""
    match part:
        case config.VGG():
            return VGG(**_options(part))
        case config.ResNet():
            return ResNet(**_options(part))
        case config.Darknet19():
            return Darknet19(**_options(part))
        case config.Darknet53():
            return Darknet53(**_options(part))
        case config.DarknetCfg():
            return DarknetCfg(**_options(part))
        case config.CSPDarknet():
            return CSPDarknet(**_options(part))
        case config.EfficientNet():
            return EfficientNet(**_options(part))
        case config.Timm():
            return Timm(**_options(part))
        case _:
            raise _unknown("backbone", part)


def build_neck(part: config.Neck, features: FeatureInfo) -> Any:
    """A neck: `info` and features → features."""
    options = _options(part)
    added = {key: options.pop(key) for key in ("spp", "attention", "dropblock", "dropblock_size")}
    layers = {key: options[key] for key in ("activation", "norm")}
    neck: Any
    match part:
        case config.FPN():
            neck = FPN(features, **options)
        case config.PAN():
            neck = PAN(features, **options)
        case config.NoNeck():
            _require_layers(part)
            neck = NoNeck(features, part.lowest, part.highest)
        case _:
            raise _unknown("neck", part)
    if not (part.spp or part.attention != "none" or part.dropblock):
        return neck
    return NeckWithAdditions(neck, features, **added, **layers)


def _require_layers(part: config.NoNeck) -> None:
    for key, value, wanted, has_layers in (
        ("activation", part.activation, "neck.spp=true", part.spp),
        ("norm", part.norm, "neck.spp=true or neck.attention=sam", part.spp or part.attention == "sam"),
    ):
        if value != "none" and not has_layers:
            raise UserError(f"neck.{key}={value}: neck none has no convolutions; leave it out or give {wanted}")


def build_head(part: config.Head, features: FeatureInfo, classes: int, image_size: int) -> Head:
    """A head on the features of a neck."""
    match part:
        case config.AnchorFree():
            return AnchorFreeHead(features, classes, **_options(part))
        case config.AnchorBased():
            return AnchorBasedHead(features, classes, image_size=image_size, **_options(part))
        case _:
            raise _unknown("head", part)


def build_assigner(part: config.Assigner) -> Assigner:
    """An assigner."""
    match part:
        case config.TaskAligned():
            return TaskAlignedAssigner(**_options(part))
        case config.SimOTA():
            return SimOTAAssigner(**_options(part))
        case config.MaxIoU():
            return MaxIoUAssigner(**_options(part))
        case _:
            raise _unknown("assigner", part)


def _check_neck(neck: config.Neck, backbone: config.Backbone) -> None:
    if neck.spp and isinstance(backbone, config.CSPDarknet) and backbone.spp:
        raise UserError("neck.spp: csp_darknet ends in an SPP of its own; give neck.spp=false or backbone.spp=false")


def _check_normalisation(body: Any, model: config.Model) -> None:
    if isinstance(body, Timm) and body.normalisation not in (None, (list(model.mean), list(model.std))):
        mean, std = body.normalisation
        raise UserError(f"model.mean: timm trained these weights with model.mean={mean} model.std={std}; give both")


def _check_assigner(assigner: config.Assigner, head: config.Head) -> None:
    if isinstance(assigner, config.MaxIoU) and not isinstance(head, config.AnchorBased):
        raise UserError(
            f"assigner={assigner.name} compares objects with anchors, head={head.name} has none: "
            "choose head=anchor_based, or assigner=task_aligned or simota"
        )


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


def build_search(part: config.Search) -> SelectiveSearch:
    """Selective search."""
    return SelectiveSearch(part.strategy, part.search_side, part.search_min_side)


def proposal_request(model: config.Model) -> ProposalRequest | None:
    """The proposals that a model's data must bring along; None where it finds its objects without any."""
    if not isinstance(model, config.OnProposals):
        return None
    return ProposalRequest(build_search(model), model.max_proposals)


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
