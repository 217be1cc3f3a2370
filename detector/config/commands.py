"""Schemas of the scripts, and which schemas each group has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

from detector.config import parts
from detector.config.check import check
from detector.config.data import Augment, Auto, Coco, Data, Shapes, Voc, Yolo
from detector.config.missing import MISSING
from detector.config.ranges import (
    AllOr,
    BatchSize,
    Channels,
    Count,
    CountOrNone,
    Device,
    ImageSize,
    IoU,
    Length,
    OneOf,
    OrAbsent,
    Range,
    RunName,
    Seed,
    Share,
    Split,
    Suppression,
)
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
from detector.config.two_stage import RCNN, FasterRCNN, FastRCNN
from detector.errors import UserError, shown


@dataclass
class Experiment:
    """Everything that a run is made of."""

    data: Annotated[Data, OrAbsent()] = MISSING
    """None only where a checkpoint was made without data, as an imported one."""
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
    name: Annotated[str, RunName()] = "default"
    """Runs lie in runs/NAME/ID."""
    image_size: ImageSize = 640
    """Side of the square that the model sees, in pixels."""
    runs: str = "runs"
    """Folder of all runs."""
    seed: Seed = 0
    """Start of every random number: equal seeds give equal runs on one machine."""


@dataclass
class Train(Experiment):
    """`scripts/train.py`."""

    resume: str | None = None
    """A run folder to go on with."""
    init: str | None = None
    """A checkpoint whose weights the run starts from, as far as they fit; its classes may be others."""


@dataclass
class Evaluate:
    """`scripts/evaluate.py`. Exactly one of `checkpoint` and `detections` is given."""

    data: Data | None = None
    """By default what the checkpoint was trained with."""
    checkpoint: str | None = None
    """A `best.ckpt` or `last.ckpt` of a run, or an imported one."""
    detections: str | None = None
    """A COCO result file to score instead of running a model; needs `data`, of which only annotations are read."""
    split: Split = "val"
    """The part of the data set to measure on."""
    image_size: ImageSize | None = None
    """By default the size that the model was trained at."""
    suppression: Suppression | None = None
    """Which predictions of one object stay; by default the model's own."""
    iou_threshold: IoU | None = None
    """IoU from which a worse box is suppressed; by default the model's own."""
    output: str | None = None
    """Folder of the results; by default runs/evaluate/ID."""
    accelerator: Device = "auto"
    """The device; auto takes a GPU where there is one."""


@dataclass
class Predict:
    """`scripts/predict.py`."""

    checkpoint: str = MISSING
    """A `best.ckpt` or `last.ckpt` of a run, or an imported one."""
    source: str = MISSING
    """An image, a folder or a video."""
    output: str | None = None
    """Folder of the results; by default runs/predict/ID."""
    score: Share = 0.3
    """Detections below this score are neither drawn nor written."""
    batch_size: BatchSize = 8
    """Images that go through the network at once."""
    image_size: ImageSize | None = None
    """By default the size that the model was trained at."""
    suppression: Suppression | None = None
    """Which predictions of one object stay; by default the model's own."""
    iou_threshold: IoU | None = None
    """IoU from which a worse box is suppressed; by default the model's own."""
    accelerator: Device = "auto"
    """The device; auto takes a GPU where there is one."""


@dataclass
class ImportDarknet:
    """`scripts/import_darknet.py`. Exactly one of `names` and `data` is given."""

    model: parts.Darknet = MISSING
    names: str | None = None
    """A file with the name of a class on each line."""
    data: Data | None = None
    """A data set whose classes are those of the network, in the same order."""
    image_size: ImageSize | None = None
    """Side of the square that the model sees, in pixels; by default the width in the `.cfg`."""
    output: str | None = None
    """Folder of the checkpoint; by default runs/import_darknet/ID."""


@dataclass
class Diagnose:
    """`scripts/diagnose.py`."""

    illness: Annotated[str, OneOf("all", "dead", "vanishing", "exploding")] = "all"
    """What is wrong with the gradients of the networks to train."""
    seed: Seed = 0
    """Start of every random number."""
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
    image_size: ImageSize = 640
    """Side of the square that the model sees, in pixels."""
    samples: CountOrNone = 16
    """Training images to draw; 0 for none."""
    seed: Seed = 0
    """Chooses the images to draw and what the augmentation does to them."""
    output: str | None = None
    """Folder of the pictures; by default runs/check_data/ID."""


@dataclass
class Anchors:
    """`scripts/anchors.py`: the anchors that fit a data set."""

    data: Data = MISSING
    image_size: ImageSize = 640
    """Side of the square that the model sees, in pixels."""
    levels: Annotated[int, Range(1, 8)] = 3
    """Levels of the neck; the smallest anchors go to the lowest."""
    per_level: Annotated[int, Range(1, 64)] = 3
    """Anchors a level."""
    iou_threshold: IoU = parts.MaxIoU.iou_threshold
    """IoU above which assigner=max_iou assigns an object to an anchor of that shape."""
    seed: Seed = 0
    """Start of the random numbers of k-means."""


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
    split: Split = "train"
    """The part of the data set to draw."""
    image_size: ImageSize = 640
    """Side of the square that the model sees, in pixels."""
    rows: Annotated[int, Range(1, 1000)] = 4
    """Rows of images on the sheet."""
    columns: Annotated[int, Range(1, 1000)] = 6
    """Columns of images on the sheet."""
    seed: Seed = 0
    """Chooses the images and what happens to them; the same images for every `augment`."""
    output: str | None = None
    """PNG file of the sheet; by default runs/browse_data/ID/AUGMENT_SPLIT.png."""


Phase = Annotated[str, OneOf("loader", "train", "predict", "health")]


@dataclass
class Benchmark(Experiment):
    """`scripts/benchmark.py`: the speed and the memory of an experiment on one device."""

    measure: Annotated[list[Phase], Length(1, 4)] = field(default_factory=lambda: ["loader", "train", "predict"])
    """What to measure: loader, train, predict, or health, which is what callbacks=health adds to a training step."""
    warmup: CountOrNone = 3
    """Batches or steps before the clock starts."""
    repeats: Count = 5
    """Measurements of each, of which the median is given."""
    seconds: Annotated[float, Range(0, 86_400)] = 2.0
    """A repeat is as many whole batches or steps as take at least so long."""
    epochs: CountOrNone = 3
    """Epochs of loading after each of which the memory of the loader processes is read; 0 reads none."""
    output: str | None = None
    """JSON file of the figures; by default runs/benchmark/ID/benchmark.json."""


@dataclass
class InspectModel(Experiment):
    """`scripts/inspect_model.py`: what each layer of an experiment's detector is and costs; weights play no part."""

    data: Data | None = None  # type: ignore[assignment]  # the one script of an experiment that needs none
    """Says how many classes there are."""
    classes: Channels = 80
    """How many classes there are where no data is given; COCO has 80."""
    image: str | None = None
    """An image file to draw receptive fields on; by default a drawn scene."""
    depth: Annotated[int, Range(0, 100)] = 3
    """Depth of the printed table: 1 shows the parts, 2 their blocks, 0 all layers, as the files always do."""
    output: str | None = None
    """Folder of the ledger; by default runs/inspect_model/ID."""


@dataclass
class FindLR(Experiment):
    """`scripts/find_lr.py`: a learning rate for an experiment; its warm-up and schedule are left out of the search."""

    lowest: Annotated[float, Range(0, 1000, above=True)] = 1e-6
    """The learning rate that the search starts from."""
    highest: Annotated[float, Range(0, 1000, above=True)] = 1.0
    """The learning rate that the search ends at, unless the loss explodes before."""
    steps: Annotated[int, Range(20, 100_000)] = 100
    """Training steps from the lowest rate to the highest."""

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """The rate climbs."""
        if self.lowest >= self.highest:
            yield "lowest", f"less than highest={self.highest}"


@dataclass
class Compare:
    """`scripts/compare.py`."""

    runs: Annotated[list[str], Length(1, 1_000_000)] = MISSING
    """Run folders, or folders or patterns that hold some; on the command line simply RUN RUN ..."""
    reference: str | None = None
    """A run of the group with which the others are compared; by default the first one."""
    resamples: Annotated[int, AllOr(0, "none", Range(2, 1_000_000))] = 1000
    """Bootstrap resamples of the validation images, for the intervals."""
    seed: Seed = 0
    """Start of the random numbers of the bootstrap."""
    latency: bool = True
    """Whether latency is measured now, on this device; also its stages and the memory where they are shown."""
    details: bool = False
    """Stages of the latency, regions, memory, AP of classes and their figure also where they are not there by
    themselves: that is with two groups of runs (then also a page of images) or with different kinds of models."""
    accelerator: Device = "auto"
    """The device that latency is measured on; auto takes a GPU where there is one."""
    output: str | None = None
    """A Markdown file, such as RESULTS.md, and a folder of the same name beside it for pictures, page and CSV file; by
    default runs/compare/ID/results.md."""
    title: str = "Comparison"
    """The section of the file: replaced where it is there, otherwise added at the end."""


GROUPS: dict[str, tuple[type, ...]] = {
    "data": (Auto, Coco, Voc, Yolo, Shapes),
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
    "logger": (Csv, TensorBoard, Wandb, MLflow),
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


def from_dict(values: Any, where: str = "") -> Train:
    """The inverse of `dataclasses.asdict` for a `Train`; keys that are not there have their defaults.

    Raises:
        UserError: in one line, which begins with `where`, what is no configuration in them: a key that does not exist, or
            every value that cannot be (see `detector.config.check.check`).
    """
    if isinstance(values, dict) and isinstance(model := values.get("model"), dict):
        values = {**values, "model": {"resize": "letterbox", **model}}  # all there was before it could be chosen
    settings = _object(Train, values, "", where)
    check(settings, where)
    return settings


def _object(cls: type, values: Any, prefix: str, where: str) -> Any:
    if not isinstance(values, dict):
        raise UserError(
            f"{where}{prefix.rstrip('.') or 'the configuration'} is {shown(values)}: keys with values are expected"
        )
    known = [one.name for one in fields(cls)]
    if unknown := [key for key in values if key not in known]:
        raise UserError(f"{where}{prefix}{shown(unknown[0])}: no such key; there are {', '.join(sorted(known))}")
    given = dict(values)
    for group in GROUPS.keys() & given.keys() if cls is Train else ():
        if given[group] is not None:
            given[group] = _object(_schema_of(group, given[group], where), given[group], f"{group}.", where)
    return cls(**given)


def _schema_of(group: str, values: Any, where: str) -> type:
    name = values.get("name") if isinstance(values, dict) else None
    if isinstance(values, dict) and len(GROUPS[group]) > 1:
        known = [schema_name(group, cls) for cls in GROUPS[group]]
        if name not in known:
            raise UserError(f"{where}{group}.name={shown(name)}: choose one of {', '.join(known)}")
        return schema(group, name)
    return GROUPS[group][0]
