"""The detector that options describe: each part is built by its own options, and what concerns two parts is checked here."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from torch import nn

from detector.assigners import AssignerOptions
from detector.backbones import Backbone, BackboneOptions
from detector.errors import UserError, options_of
from detector.heads import HeadOptions
from detector.losses import CriterionOptions
from detector.models import ModelOptions
from detector.necks import NeckOptions
from detector.options import ImageSize


@dataclass
class DetectorOptions:
    """What a detector is made of, and how it sees an image: all that must be known to build it again.

    A detector that is built from them has them as its attribute `detector_options`.
    """

    model: ModelOptions
    """Which kind of detector it is, and how it sees an image: mean, std, resize."""
    backbone: BackboneOptions | None = None
    neck: NeckOptions | None = None
    head: HeadOptions | None = None
    assigner: AssignerOptions | None = None
    loss: CriterionOptions | None = None
    """None of these five: the model has no such part."""
    image_size: ImageSize = 640
    """Side of the square that the model sees, in pixels."""

    @classmethod
    def of(cls, settings: Any) -> DetectorOptions:
        """The part of any configuration that describes its detector."""
        return cls(**{one.name: getattr(settings, one.name) for one in fields(cls)})

    def build(self, classes: int, pretrained: bool = True, criterion: bool = True) -> nn.Module:
        """The detector, for `classes` classes, with new weights: a module that is a `Detector`.

        Args:
            classes: number of classes, K.
            pretrained: whether weights that the options name are fetched or read; a checkpoint spares them.
            criterion: whether assigner and losses are built, which only a training needs.

        Raises:
            UserError: as `build_detector`.
        """
        used = self if pretrained else replace(self, **{n: _without_weights(getattr(self, n)) for n in LOADING})
        detector = build_detector(
            **{one.name: getattr(used, one.name) for one in fields(self)}, classes=classes, criterion=criterion
        )
        detector.detector_options = self  # type: ignore[assignment]  # no tensor and no module: an attribute like any other
        return detector


LOADING = ("model", "backbone")
"""The groups whose options may name weights to begin with."""


def options_of_detector(detector: nn.Module) -> DetectorOptions | None:
    """The options that a detector was built from; None where it is not one of this project's."""
    found = getattr(detector, "detector_options", None)
    return found if isinstance(found, DetectorOptions) else None


def _without_weights(part: Any) -> Any:
    if part is None:
        return None
    new: dict[str, Any] = {"pretrained": False, "weights": None}
    return replace(part, **{key: value for key, value in new.items() if hasattr(part, key)})


def build_detector(
    *,
    model: ModelOptions,
    backbone: BackboneOptions | None = None,
    neck: NeckOptions | None = None,
    head: HeadOptions | None = None,
    assigner: AssignerOptions | None = None,
    loss: CriterionOptions | None = None,
    classes: int,
    image_size: int,
    criterion: bool = True,
) -> nn.Module:
    """The detector that the parts describe, for `classes` classes, with new weights: a module that is a `Detector`.

    `image_size` is the side of the square that it is trained on, in pixels: anchors are shares of it. Without `criterion`
    neither assigner nor losses are built: such a detector detects, and cannot be trained.

    Raises:
        UserError: a value of a part cannot be, two parts do not go together, the model lacks a part, or it has no use for
            one. The message begins with the key.
    """
    _check_parts(model, {"backbone": backbone, "neck": neck, "head": head, "assigner": assigner, "loss": loss})
    if assigner and head:
        _check_assigner(assigner, head)
    if neck and backbone:
        _check_neck(neck, backbone)
    built: dict[str, Any] = {}
    if backbone:
        with options_of("backbone"):
            built["backbone"] = backbone.build()
        _check_normalisation(built["backbone"], backbone, model)
    if neck:
        with options_of("neck"):
            built["neck"] = neck.build(built["backbone"].info)
    if head:
        with options_of("head"):
            built["head"] = head.build(built["neck"].info, classes, image_size)
    if assigner and loss and not criterion:
        built["criterion"] = None
    elif assigner and loss:
        with options_of("assigner"):
            assign = assigner.build()
        with options_of("loss"):
            built["criterion"] = loss.build(assign)
    with options_of("model"):
        return model.build(**built, classes=classes, image_size=image_size)


def _check_parts(model: ModelOptions, parts: dict[str, Any]) -> None:
    for group, part in parts.items():
        if part is None and group in model.parts:
            raise UserError(f"{group}=... must be given with model={model.name}")
        if part is not None and group not in model.parts:
            raise UserError(f"{group}={part.name}: has no meaning with model={model.name}, which has no such part")


def _check_neck(neck: NeckOptions, backbone: BackboneOptions) -> None:
    if neck.spp and getattr(backbone, "spp", False):
        raise UserError(
            f"neck.spp: {backbone.name} ends in an SPP of its own; give neck.spp=false or backbone.spp=false"
        )


def _check_normalisation(backbone: Backbone, options: BackboneOptions, model: ModelOptions) -> None:
    wanted = getattr(backbone, "normalisation", None)
    if wanted not in (None, (list(model.mean), list(model.std))):
        mean, std = wanted
        raise UserError(
            f"model.mean: {options.name} trained these weights with model.mean={mean} model.std={std}; give both"
        )


def _check_assigner(assigner: AssignerOptions, head: HeadOptions) -> None:
    if assigner.needs_anchors and not head.has_anchors:
        raise UserError(
            f"assigner={assigner.name} compares objects with anchors, head={head.name} has none: "
            "choose head=anchor_based, or assigner=task_aligned or simota"
        )
