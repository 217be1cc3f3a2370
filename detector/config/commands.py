"""Schemas of the scripts, and which schemas each group has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from detector.config.data import Augment, Coco, Data, Shapes, Voc, Yolo
from detector.config.missing import MISSING
from detector.config.parts import (
    FPN,
    PAN,
    VGG,
    AnchorFree,
    Assigner,
    Backbone,
    CSPDarknet,
    Darknet53,
    Head,
    Loss,
    Model,
    Neck,
    ResNet,
    SingleShot,
    TaskAligned,
)
from detector.config.training import SGD, AdamW, Logger, Optim, Trainer


@dataclass
class Experiment:
    """Everything that a run is made of."""

    data: Data = MISSING
    augment: Augment = MISSING
    model: Model = MISSING
    backbone: Backbone = MISSING
    neck: Neck = MISSING
    head: Head = MISSING
    assigner: Assigner = MISSING
    loss: Loss = MISSING
    optim: Optim = MISSING
    trainer: Trainer = MISSING
    logger: Logger = MISSING
    name: str = "default"
    """Runs lie in runs/NAME/ID."""
    image_size: int = 640
    """Side of the square that the model sees, in pixels; a multiple of its largest stride."""
    runs: str = "runs"
    seed: int = 0


@dataclass
class Train(Experiment):
    """`scripts/train.py`."""

    resume: str | None = None
    """A run folder to go on with."""


@dataclass
class Evaluate:
    """`scripts/evaluate.py`. Exactly one of `checkpoint` and `detections` is given."""

    data: Data | None = None
    """By default what the checkpoint was trained with."""
    checkpoint: str | None = None
    detections: str | None = None
    """A COCO result file to score instead of running a model; needs `data`, of which only annotations are read."""
    split: str = "val"
    """train | val | test"""
    image_size: int | None = None
    """By default the size that the model was trained at."""
    output: str | None = None
    """Folder of the results; by default runs/evaluate/ID."""
    accelerator: str = "auto"
    """auto | cpu | gpu"""


@dataclass
class Predict:
    """`scripts/predict.py`."""

    checkpoint: str = MISSING
    source: str = MISSING
    """An image, a folder or a video."""
    output: str | None = None
    """Folder of the results; by default runs/predict/ID."""
    score: float = 0.3
    """Detections below this score are neither drawn nor written."""
    batch_size: int = 8
    image_size: int | None = None
    """By default the size that the model was trained at."""
    accelerator: str = "auto"
    """auto | cpu | gpu"""


@dataclass
class CheckData:
    """`scripts/check_data.py`."""

    data: Data = MISSING
    augment: Augment = MISSING
    image_size: int = 640
    samples: int = 16
    """Training images to draw."""
    seed: int = 0
    output: str | None = None
    """Folder of the pictures; by default runs/check_data/ID."""


@dataclass
class BrowseData:
    """`scripts/browse_data.py`."""

    data: Data = MISSING
    augment: Augment = MISSING
    """Applied to the images of any split."""
    split: str = "train"
    """train | val | test"""
    image_size: int = 640
    rows: int = 4
    columns: int = 6
    seed: int = 0
    """Chooses the images and what happens to them; the same images for every `augment`."""
    output: str | None = None
    """PNG file of the sheet; by default runs/browse_data/ID/AUGMENT_SPLIT.png."""


@dataclass
class Benchmark(Experiment):
    """`scripts/benchmark.py`: the speed and the memory of an experiment on one device."""

    measure: list[str] = field(default_factory=lambda: ["loader", "train", "predict"])
    warmup: int = 3
    """Batches or steps before the clock starts."""
    repeats: int = 5
    seconds: float = 2.0
    """A repeat is as many whole batches or steps as take at least so long."""
    epochs: int = 3
    """Epochs of loading after each of which the memory of the loader processes is read; 0 reads none."""
    output: str | None = None
    """JSON file of the figures; by default runs/benchmark/ID/benchmark.json."""


GROUPS: dict[str, tuple[type, ...]] = {
    "data": (Coco, Voc, Yolo, Shapes),
    "augment": (Augment,),
    "model": (SingleShot,),
    "backbone": (VGG, ResNet, Darknet53, CSPDarknet),
    "neck": (FPN, PAN),
    "head": (AnchorFree,),
    "assigner": (TaskAligned,),
    "loss": (Loss,),
    "optim": (SGD, AdamW),
    "trainer": (Trainer,),
    "logger": (Logger,),
}
"""The schemas of each group. Where there are several, a choice's `name` says which one it follows."""


def schema(group: str, name: str) -> type:
    """The dataclass that a choice of `group` called `name` follows; KeyError if there is none."""
    classes = GROUPS[group]
    return classes[0] if len(classes) == 1 else {schema_name(group, cls): cls for cls in classes}[name]


def schema_name(group: str, cls: type) -> str:
    """The class's own `name`, or the group's where all its choices follow one schema."""
    name = getattr(cls, "name", MISSING)
    return group if name == MISSING else name


def from_dict(values: dict[str, Any]) -> Train:
    """The inverse of `dataclasses.asdict` for a `Train`; KeyError or TypeError where the values are not one."""
    parts = {
        key: schema(key, value.get("name", ""))(**value) if key in GROUPS else value for key, value in values.items()
    }
    return Train(**parts)
