"""The schema of every YAML file: one dataclass for each choice of each config group.

The field names are the YAML keys, the defaults are the values of an empty file. The library takes these dataclasses
directly (`ResNet(depth=18)`), so a notebook needs neither YAML nor Hydra.
"""

# ruff: noqa: F401, F403
from detector.config.check import check
from detector.config.commands import (
    GROUPS,
    Anchors,
    Benchmark,
    BrowseData,
    CheckData,
    Compare,
    Diagnose,
    Evaluate,
    Experiment,
    FindLR,
    ImportDarknet,
    InspectModel,
    Predict,
    Proposals,
    Seminar,
    Train,
    from_dict,
    schema,
    schema_name,
)
from detector.config.data import Augment, Auto, Coco, Data, Shapes, Voc, Yolo
from detector.config.missing import MISSING
from detector.config.parts import *
from detector.config.training import (
    SGD,
    AdamW,
    Callbacks,
    Csv,
    Logger,
    MLflow,
    Optim,
    ScheduleFree,
    TensorBoard,
    Trainer,
    Wandb,
)
from detector.config.two_stage import RCNN, FasterRCNN, FastRCNN, OnProposals, TwoStage
