"""Every choice of every config group and every command as a dataclass: the schema of the YAML files.

The field names are the YAML keys, the defaults are the values of an empty file. The library takes these dataclasses
directly (`ResNetOptions(depth=18)`), so a notebook needs neither YAML nor Hydra. The options of a part stand in the part's
own file; here are their names once more.
"""

# ruff: noqa: F401
from detector.assigners import AssignerOptions
from detector.assigners.max_iou import MaxIoUAssignerOptions
from detector.assigners.simota import SimOTAAssignerOptions
from detector.assigners.task_aligned import TaskAlignedAssignerOptions
from detector.backbones import BackboneOptions
from detector.backbones.csp_darknet import CSPDarknetOptions
from detector.backbones.darknet import Darknet53Options
from detector.backbones.darknet19 import Darknet19Options
from detector.backbones.darknet_cfg import DarknetCfgOptions
from detector.backbones.efficientnet import EfficientNetOptions
from detector.backbones.resnet import ResNetOptions
from detector.backbones.timm import TimmOptions
from detector.backbones.vgg import VGGOptions
from detector.build_detector import DetectorOptions
from detector.config.choices import choose, choose_detector
from detector.config.commands import (
    Benchmark,
    BrowseData,
    Compare,
    Diagnose,
    Evaluate,
    Evaluation,
    Experiment,
    FindLR,
    ImportDarknet,
    InspectModel,
    Predict,
    Seminar,
    Train,
)
from detector.config.groups import GROUPS, schema, schema_name
from detector.config.plain_values import detector_from_dict, from_dict
from detector.config.plugins import load_plugins
from detector.config.training import Callbacks, Csv, Logger, MLflow, TensorBoard, Trainer, Wandb
from detector.data.options import Anchors, Augment, Auto, CheckData, Coco, Data, Proposals, Shapes, Voc, Yolo
from detector.heads import HeadOptions
from detector.heads.anchor_based import AnchorBasedHeadOptions
from detector.heads.anchor_free import AnchorFreeHeadOptions
from detector.losses import CriterionOptions
from detector.models import ModelOptions
from detector.models.darknet import DarknetOptions
from detector.models.fast_rcnn import FastRCNNOptions
from detector.models.faster_rcnn import FasterRCNNOptions
from detector.models.rcnn import RCNNOptions
from detector.models.roi_stage import TwoStageOptions
from detector.models.single_shot import SingleShotOptions
from detector.necks import NeckOptions
from detector.necks.fpn import FPNOptions
from detector.necks.identity import NoNeckOptions
from detector.necks.pan import PANOptions
from detector.optimizers import AdamWOptions, OptimizerOptions, ScheduleFreeOptions, SGDOptions
from detector.option_check import check
from detector.options import MISSING
