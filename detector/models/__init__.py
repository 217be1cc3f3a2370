"""The kinds of detectors to choose from."""

from detector.models.darknet import DarknetOptions
from detector.models.detector import Detector, ModelOptions
from detector.models.fast_rcnn import FastRCNNOptions
from detector.models.faster_rcnn import FasterRCNNOptions
from detector.models.rcnn import RCNNOptions
from detector.models.single_shot import SingleShotOptions

__all__ = ["MODELS", "Detector", "ModelOptions"]

MODELS: tuple[type[ModelOptions], ...] = (
    SingleShotOptions,
    DarknetOptions,
    RCNNOptions,
    FastRCNNOptions,
    FasterRCNNOptions,
)
