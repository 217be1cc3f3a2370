"""The backbones to choose from."""

from detector.backbones.backbone import Backbone, BackboneOptions
from detector.backbones.csp_darknet import CSPDarknetOptions
from detector.backbones.darknet import Darknet53Options
from detector.backbones.darknet19 import Darknet19Options
from detector.backbones.darknet_cfg import DarknetCfgOptions
from detector.backbones.efficientnet import EfficientNetOptions
from detector.backbones.resnet import ResNetOptions
from detector.backbones.timm import TimmOptions
from detector.backbones.vgg import VGGOptions

__all__ = ["BACKBONES", "Backbone", "BackboneOptions"]

BACKBONES: tuple[type[BackboneOptions], ...] = (
    VGGOptions,
    ResNetOptions,
    Darknet19Options,
    Darknet53Options,
    DarknetCfgOptions,
    CSPDarknetOptions,
    EfficientNetOptions,
    TimmOptions,
)
