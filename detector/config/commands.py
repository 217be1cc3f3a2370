"""Schemas of the scripts, and which schemas each group has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from detector.config import parts
from detector.config.data import Augment, Coco, Data, Shapes, Voc, Yolo
from detector.config.missing import MISSING
from detector.config.training import SGD, AdamW, Callbacks, Logger, Optim, ScheduleFree, Trainer
from detector.config.two_stage import RCNN, FasterRCNN, FastRCNN


@dataclass
class Experiment:
    """Everything that a run is made of."""

    data: Data = MISSING
    augment: Augment = MISSING
    model: parts.Model = MISSING
    backbone: parts.Backbone | None = None
    neck: parts.Neck | None = None
    head: parts.Head | None = None
    assigner: parts.Assigner | None = None
    loss: parts.Loss | None = None
    """None of these five: the model has no such part."""
    optim: Optim = MISSING
    trainer: Trainer = MISSING
    logger: Logger = MISSING
    callbacks: Callbacks = field(default_factory=Callbacks)
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
    suppression: str | None = None
    """greedy | class_agnostic | soft | diou; by default the model's own."""
    iou_threshold: float | None = None
    """Of the suppression; by default the model's own."""
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
    suppression: str | None = None
    """greedy | class_agnostic | soft | diou; by default the model's own."""
    iou_threshold: float | None = None
    """Of the suppression; by default the model's own."""
    accelerator: str = "auto"
    """auto | cpu | gpu"""


@dataclass
class ImportDarknet:
    """`scripts/import_darknet.py`. Exactly one of `names` and `data` is given."""

    model: parts.Darknet = MISSING
    names: str | None = None
    """A file with the name of a class on each line."""
    data: Data | None = None
    """A data set whose classes are those of the network, in the same order."""
    image_size: int | None = None
    """Side of the square that the model sees, in pixels; by default the width in the `.cfg`."""
    output: str | None = None
    """Folder of the checkpoint; by default runs/import_darknet/ID."""


@dataclass
class Diagnose:
    """`scripts/diagnose.py`."""

    illness: str = "all"
    """all | dead | vanishing | exploding"""
    seed: int = 0
    output: str | None = None
    """Folder of the heat maps; by default runs/diagnose/ID."""


@dataclass
class Seminar:
    """`scripts/seminar.py`."""

    question: str = "all"
    """all, a number such as 3, or one question such as 3b, which is shown with its working."""
    output: str | None = None
    """Folder of the plots; by default runs/seminar/ID."""


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
class Anchors:
    """`scripts/anchors.py`: the anchors that fit a data set."""

    data: Data = MISSING
    image_size: int = 640
    """Side of the square that the model sees, in pixels."""
    levels: int = 3
    """Of the neck; the smallest anchors go to the lowest."""
    per_level: int = 3
    """Anchors a level."""
    iou_threshold: float = parts.MaxIoU.iou_threshold
    """Of assigner=max_iou: an object is within reach of an anchor whose shape has a larger IoU with it."""
    seed: int = 0


@dataclass
class Proposals(parts.Search):
    """`scripts/proposals.py`: the region proposals of a data set, for model=rcnn and model=fast_rcnn."""

    data: Data = MISSING


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
    """loader | train | predict | health: what `callbacks=health` adds to a step"""
    warmup: int = 3
    """Batches or steps before the clock starts."""
    repeats: int = 5
    seconds: float = 2.0
    """A repeat is as many whole batches or steps as take at least so long."""
    epochs: int = 3
    """Epochs of loading after each of which the memory of the loader processes is read; 0 reads none."""
    output: str | None = None
    """JSON file of the figures; by default runs/benchmark/ID/benchmark.json."""


@dataclass
class InspectModel(Experiment):
    """`scripts/inspect_model.py`: what each layer of an experiment's detector is and costs; weights play no part."""

    data: Data | None = None  # type: ignore[assignment]  # the one script of an experiment that needs none
    """Says how many classes there are."""
    classes: int = 80
    """Where no data is given; COCO has 80."""
    image: str | None = None
    """An image file to draw receptive fields on; by default a drawn scene."""
    depth: int = 3
    """Of the printed table: 1 has the parts, 2 their blocks, ...; 0 all layers, as the files always have."""
    output: str | None = None
    """Folder of the ledger; by default runs/inspect_model/ID."""


@dataclass
class FindLR(Experiment):
    """`scripts/find_lr.py`: a learning rate for an experiment; its warm-up and schedule are left out of the search."""

    lowest: float = 1e-6
    """Where the rate starts."""
    highest: float = 1.0
    """Where it ends, unless the loss explodes before."""
    steps: int = 100
    """From the one to the other."""


@dataclass
class Compare:
    """`scripts/compare.py`."""

    runs: list[str] = MISSING
    """Run folders, or folders or patterns that hold some; on the command line simply RUN RUN ..."""
    reference: str | None = None
    """A run of the group with which the others are compared; by default the first one."""
    resamples: int = 1000
    """Of the validation images, for the intervals; 0: no intervals."""
    seed: int = 0
    """Of the resampling."""
    latency: bool = True
    """Measured now, on this device; also its stages and the memory where they are shown."""
    details: bool = False
    """Stages of the latency, regions, memory, AP of classes and their figure also where they are not there by
    themselves: that is with two groups of runs (then also a page of images) or with different kinds of models."""
    accelerator: str = "auto"
    """auto | cpu | gpu"""
    output: str | None = None
    """A Markdown file, such as RESULTS.md, and a folder of the same name beside it for pictures, page and CSV file; by
    default runs/compare/ID/results.md."""
    title: str = "Comparison"
    """The section of the file: replaced where it is there, otherwise added at the end."""


GROUPS: dict[str, tuple[type, ...]] = {
    "data": (Coco, Voc, Yolo, Shapes),
    "augment": (Augment,),
    "model": (parts.SingleShot, parts.Darknet, RCNN, FastRCNN, FasterRCNN),
    "backbone": (
        parts.VGG,
        parts.ResNet,
        parts.Darknet19,
        parts.Darknet53,
        parts.DarknetCfg,
        parts.CSPDarknet,
        parts.EfficientNet,
        parts.Timm,
    ),
    "neck": (parts.FPN, parts.PAN, parts.NoNeck),
    "head": (parts.AnchorFree, parts.AnchorBased),
    "assigner": (parts.TaskAligned, parts.SimOTA, parts.MaxIoU),
    "loss": (parts.Loss,),
    "optim": (SGD, AdamW, ScheduleFree),
    "trainer": (Trainer,),
    "logger": (Logger,),
    "callbacks": (Callbacks,),
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
    if isinstance(model := values.get("model"), dict):
        values = {**values, "model": {"resize": "letterbox", **model}}  # all there was before it could be chosen
    chosen = {
        key: schema(key, value.get("name", ""))(**value) if key in GROUPS and value is not None else value
        for key, value in values.items()
    }
    return Train(**chosen)
