"""Schemas of the scripts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from detector.assigners import AssignerOptions
from detector.backbones import BackboneOptions
from detector.config.training import Callbacks, Logger, Trainer
from detector.data.options import Augment, Data
from detector.heads import HeadOptions
from detector.losses import CriterionOptions
from detector.models import ModelOptions
from detector.models.darknet import DarknetOptions
from detector.necks import NeckOptions
from detector.optimizers import OptimizerOptions
from detector.options import (
    MISSING,
    AllOr,
    BatchSize,
    Channels,
    Count,
    CountOrNone,
    Device,
    EvaluationEngine,
    ImageSize,
    IoU,
    Length,
    Megabytes,
    OneOf,
    OrAbsent,
    Precision,
    Range,
    RunName,
    Seed,
    Share,
    Split,
    SuppressionKind,
)


@dataclass
class Experiment:
    """Everything that a run is made of."""

    data: Annotated[Data, OrAbsent()] = MISSING
    """None only where a checkpoint was made without data, as an imported one."""
    augment: Augment = MISSING
    model: ModelOptions = MISSING
    backbone: BackboneOptions | None = None
    neck: NeckOptions | None = None
    head: HeadOptions | None = None
    assigner: AssignerOptions | None = None
    loss: CriterionOptions | None = None
    """None of these five: the model has no such part."""
    optim: OptimizerOptions = MISSING
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
    plugins: list[str] = field(default_factory=list)
    """Python files with parts of one's own; each is run before anything is chosen."""


@dataclass
class Evaluation:
    """How detections are measured."""

    engine: EvaluationEngine = "ultrafast"
    """What computes COCO's numbers: ultrafast is ultrafast-pycocotools, pycocotools the reference, which takes longer.
    The numbers are the same."""
    report: bool = True
    """Whether `analysis.json` and the page that shows it, `report.html`, are written: curves, confusions, error kinds,
    calibration and what each image costs. It takes 25 seconds where 5,000 images have 500,000 detections."""
    report_mb: Megabytes = 10.0
    """Pictures inside `report.html`, in MB; the costliest images come first. 0: boxes are drawn without pictures, but for
    those whose files lie beside the page."""


@dataclass
class Train(Experiment):
    """`scripts/train.py`."""

    evaluation: Evaluation = field(default_factory=Evaluation)
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
    suppression: SuppressionKind | None = None
    """The kind of non-maximum suppression; by default the model's own."""
    iou_threshold: IoU | None = None
    """IoU from which a worse box is suppressed; by default the model's own."""
    output: str | None = None
    """Folder of the results; by default runs/evaluate/ID."""
    accelerator: Device = "auto"
    """The device; auto takes a GPU where there is one."""
    precision: Precision = "fp32"
    """What the network computes in; auto is bf16 on a device that multiplies in it, fp16 on other CUDA GPUs, else fp32."""
    evaluation: Evaluation = field(default_factory=Evaluation)
    plugins: list[str] = field(default_factory=list)
    """Python files with parts of one's own; each is run before anything is chosen."""


Saved = Annotated[str, OneOf("pictures", "txt", "crops", "coco")]


@dataclass
class Predict:
    """`scripts/predict.py`."""

    checkpoint: str = MISSING
    """A `best.ckpt` or `last.ckpt` of a run, or an imported one."""
    source: str = MISSING
    """An image, a folder with its subfolders, a pattern such as 'photos/*.jpg', a video, the number of a webcam, or the
    address of a stream (rtsp://..., http://...)."""
    output: str | None = None
    """Folder of the results; by default runs/predict/ID."""
    save: Annotated[list[Saved], Length(0, 4)] = field(default_factory=lambda: ["pictures"])
    """What is written beside detections.json and overview.png: pictures (with boxes; of a video one video), txt (a YOLO label
    file a picture, with scores), crops (the pixels of each box, by class), coco (coco.json, a COCO data set)."""
    score: Share = 0.3
    """Detections below this score are neither drawn nor written."""
    classes: Annotated[list[str], Length(0, 100_000)] = field(default_factory=list)
    """Names of the classes to keep detections of; by default all."""
    tiles: Annotated[int, Range(32, 100_000)] | None = None
    """Side in pixels of tiles into which larger pictures are cut, so that small objects keep their pixels; the whole picture
    is looked at too. By default none are."""
    tile_overlap: Annotated[float, Range(0, 0.9)] = 0.2
    """Share of a tile's side that it has in common with the next one: an object should fit into it."""
    track: bool = False
    """Objects of a video, a webcam or a stream are numbered, each the same all along; pip install 'detector-lab[track]'."""
    show: bool = False
    """A window shows what is found while it is found: images one by one, where space leads to the next, and videos as they go.
    q or Esc ends the prediction; what was found until then is written."""
    frames: Count | None = None
    """A video, a webcam or a stream ends after so many frames; by default they are all looked at."""
    batch_size: BatchSize | None = None
    """Images, or tiles, that go through the network at once; by default 8, and 1 of a webcam or a stream."""
    image_size: ImageSize | None = None
    """By default the size that the model was trained at."""
    suppression: SuppressionKind | None = None
    """The kind of non-maximum suppression; by default the model's own."""
    iou_threshold: IoU | None = None
    """IoU from which a worse box is suppressed; by default the model's own."""
    accelerator: Device = "auto"
    """The device; auto takes a GPU where there is one."""
    precision: Precision = "auto"
    """What the network computes in; auto is bf16 on a device that multiplies in it, fp16 on other CUDA GPUs, else fp32."""
    plugins: list[str] = field(default_factory=list)
    """Python files with parts of one's own; each is run before anything is chosen."""


@dataclass
class ImportDarknet:
    """`scripts/import_darknet.py`. Exactly one of `names` and `data` is given."""

    model: DarknetOptions = MISSING
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

    problem: Annotated[str, OneOf("all", "dead", "vanishing", "exploding")] = "all"
    """What is wrong with the gradients of the networks to train."""
    seed: Seed = 0
    """Start of every random number."""
    output: str | None = None
    """Folder of the heat maps; by default runs/diagnose/ID."""


Side = Annotated[int, Range(1, 4096)]
Matrix = Annotated[list[Any], Length(1, 64)]
"""Rows of numbers."""


@dataclass
class Seminar:
    """`scripts/seminar.py`. A number in place of the sheet's is given to questions that use it, and to no others."""

    question: str = "all"
    """all, a number such as 3, one question such as 3b, or several: 1,3b; all but `all` are shown with their steps."""
    output: str | None = None
    """Folder of the plots; by default runs/seminar/ID."""
    page: str | None = None
    """HTML file, not there yet: the answers chosen as one page that needs no network; every number in it can be changed."""
    height: Side | None = None
    """Rows of the image or of each frame."""
    width: Side | None = None
    """Columns of the image or of each frame."""
    frames: Side | None = None
    """Frames of the clip."""
    channels: Channels | None = None
    """Channels of the input."""
    features: Channels | None = None
    """Outputs of a fully connected layer."""
    filters: Channels | None = None
    """Filters of a convolution, which are its output channels."""
    kernel: Annotated[int, Range(1, 512)] | None = None
    """Side of the kernel, the same on all axes."""
    patch: Side | None = None
    """Side of the patches that a fully connected layer is applied to."""
    stride: Side | None = None
    """Stride of the convolution; over space where there are frames."""
    temporal_stride: Side | None = None
    """Stride over time."""
    padding: Annotated[int, Range(0, 512)] | None = None
    """Zeros on each side of each axis."""
    between: Channels | None = None
    """Channels between the convolution over space and the one over time."""
    x: Matrix | None = None
    """Rows of the input, as [[0,-1,3],[2,0.5,1]]."""
    w: Matrix | None = None
    """Rows of the kernel."""
    output_gradient: Matrix | None = None
    """Rows of the loss's gradient with respect to the output."""


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


Phase = Annotated[str, OneOf("loader", "train", "predict", "parts", "health", "operations")]


@dataclass
class Benchmark(Experiment):
    """`scripts/benchmark.py`: the speed and the memory of an experiment on one device."""

    measure: Annotated[list[Phase], Length(1, 6)] = field(default_factory=lambda: ["loader", "train", "predict"])
    """What to measure: loader, train, predict, parts, which is the time of each part of a training step, health, which is what
    callbacks=health adds to it, or operations, the numbers of operations of a step and of those that a GPU would be waited for,
    by part and at two sizes of a batch."""
    warmup: CountOrNone = 3
    """Batches or steps before the clock starts."""
    repeats: Count = 5
    """Measurements of each, of which the median is given."""
    seconds: Annotated[float, Range(0, 86_400)] = 2.0
    """A repeat is as many whole batches or steps as take at least so long."""
    epochs: CountOrNone = 3
    """Epochs of loading after each of which the memory of the loader processes is read; 0 reads none."""
    precision: Precision = "auto"
    """What the network computes in when it predicts, as in `predict`; trainer.precision is that of a training step."""
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
    themselves: that is with two groups of runs or with different kinds of models."""
    accelerator: Device = "auto"
    """The device that latency is measured on; auto takes a GPU where there is one."""
    report_mb: Megabytes = 10.0
    """Pictures inside the page, in MB; the images come first whose costs differ most. 0: boxes are drawn without pictures,
    but for those whose files lie beside the page."""
    output: str | None = None
    """A Markdown file, such as RESULTS.md, and a folder of the same name beside it for pictures, page and CSV file; by
    default runs/compare/ID/results.md."""
    title: str = "Comparison"
    """The section of the file: replaced where it is there, otherwise added at the end."""
    plugins: list[str] = field(default_factory=list)
    """Python files with parts of one's own; each is run before anything is chosen."""
