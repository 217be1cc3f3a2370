"""The members that the YOLOv4 paper names for each part of a detector.

Bochkovskiy et al. 2020, arXiv 2004.10934: the list at the end of section 2.1, in its order and spelling, and the backbones that
figure 2 alone has.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from detector import config
from detector.backbones import BackboneOptions
from detector.build_detector import build_detector
from detector.heads import HeadOptions
from detector.models import ModelOptions
from detector.necks import NeckOptions

Part = BackboneOptions | NeckOptions | HeadOptions | ModelOptions


class Member(NamedTuple):
    """A member of a category, and what it is in this package."""

    category: str
    kind: str
    """The paper's subdivision, if it makes one."""
    name: str
    chosen_by: str = ""
    """What chooses it on the command line; empty where it is not here."""
    part: Part | None = None
    """Its options."""


_BLOCKS, _PATHS = ("neck", "additional blocks"), ("neck", "path aggregation")
_DENSE, _SPARSE = "head: dense prediction", "head: sparse prediction"

CATEGORIES: tuple[Member, ...] = (
    Member("input", "", "image", "model=single_shot", config.SingleShotOptions()),
    Member("input", "", "patches", "model=rcnn: warped regions", config.RCNNOptions()),
    Member("input", "", "image pyramid"),
    Member("backbone", "", "VGG16", "backbone=vgg16", config.VGGOptions(depth=16)),
    Member("backbone", "", "ResNet-50", "backbone=resnet50", config.ResNetOptions(depth=50)),
    Member("backbone", "", "SpineNet"),
    Member(
        "backbone", "", "EfficientNet-B0/B7", "B0: backbone=efficientnet_b0", config.EfficientNetOptions(variant="b0")
    ),
    Member(
        "backbone",
        "",
        "CSPResNeXt50",
        "backbone=timm backbone.model=cspresnext50",
        config.TimmOptions(model="cspresnext50"),
    ),
    Member(
        "backbone",
        "",
        "CSPDarknet53",
        "backbone=timm backbone.model=cspdarknet53; csp_darknet_* are of other depths",
        config.TimmOptions(model="cspdarknet53"),
    ),
    Member(
        "backbone",
        "in figure 2",
        "ResNeXt-101",
        "backbone=timm backbone.model=resnext101_32x4d",
        config.TimmOptions(model="resnext101_32x4d"),
    ),
    Member("backbone", "in figure 2", "Darknet53", "backbone=darknet53", config.Darknet53Options()),
    Member(*_BLOCKS, "SPP", "neck.spp=true", config.PANOptions(spp=True)),
    Member(*_BLOCKS, "ASPP"),
    Member(*_BLOCKS, "RFB"),
    Member(*_BLOCKS, "SAM", "neck.attention=sam", config.PANOptions(attention="sam")),
    Member(*_PATHS, "FPN", "neck=fpn", config.FPNOptions()),
    Member(*_PATHS, "PAN", "neck=pan", config.PANOptions()),
    Member(*_PATHS, "NAS-FPN"),
    Member(*_PATHS, "Fully-connected FPN"),
    Member(*_PATHS, "BiFPN"),
    Member(*_PATHS, "ASFF"),
    Member(*_PATHS, "SFAM"),
    Member(_DENSE, "anchor-based", "RPN", "inside model=faster_rcnn", config.FasterRCNNOptions()),
    Member(_DENSE, "anchor-based", "SSD"),
    Member(_DENSE, "anchor-based", "YOLO", "head=anchor_based", config.AnchorBasedHeadOptions()),
    Member(_DENSE, "anchor-based", "RetinaNet"),
    Member(_DENSE, "anchor-free", "CornerNet"),
    Member(_DENSE, "anchor-free", "CenterNet"),
    Member(_DENSE, "anchor-free", "MatrixNet"),
    Member(
        _DENSE,
        "anchor-free",
        "FCOS",
        "head=anchor_free: its distances, decoupled branches",
        config.AnchorFreeHeadOptions(),
    ),
    Member(_SPARSE, "anchor-based", "Faster R-CNN", "model=faster_rcnn", config.FasterRCNNOptions()),
    Member(_SPARSE, "anchor-based", "R-FCN"),
    Member(_SPARSE, "anchor-based", "Mask R-CNN"),
    Member(_SPARSE, "anchor-free", "RepPoints"),
)


class Uninitialised(TorchFunctionMode):
    """Leaves weights as they are where an initialisation would draw them, which takes most of the time on the meta device."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        return function(*args, **(kwargs or {}))


def built_here(member: Member) -> bool:
    """Whether its options build a module that has parameters; a backbone of timm only where that is installed."""
    part = member.part
    if isinstance(part, config.TimmOptions) and find_spec("timm") is None:
        return True
    backbone = config.CSPDarknetOptions()
    module: Any
    with torch.device("meta"), Uninitialised():
        if isinstance(part, BackboneOptions):
            module = part.build()
        elif isinstance(part, NeckOptions):
            module = part.build(backbone.build().info)
        elif isinstance(part, HeadOptions):
            module = part.build(config.PANOptions().build(backbone.build().info).info, classes=5, image_size=256)
        else:
            assert part is not None
            module = _detector(part, backbone)
    return sum(one.numel() for one in module.parameters()) > 0


def _detector(model: ModelOptions, backbone: BackboneOptions) -> Any:
    choices: dict[str, Any] = {
        "backbone": backbone,
        "neck": config.PANOptions(),
        "head": config.AnchorFreeHeadOptions(),
        "assigner": config.TaskAlignedAssignerOptions(),
        "loss": config.CriterionOptions(name="ciou"),
    }
    return build_detector(
        model=model, classes=5, image_size=256, **{name: part for name, part in choices.items() if name in model.parts}
    )
