"""The table of commands: each one's options, the function that they go to, and what its help says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Command:
    """One command; `configs/NAME.yaml` holds its defaults. Classes and functions are named, so that none is imported early."""

    name: str
    options: str
    """The dataclass of its options, a name of `detector.config`."""
    function: str
    """The function that gets an object of that dataclass, as MODULE:NAME."""
    sentence: str
    """What it does."""
    examples: tuple[str, str]
    """Arguments of two useful calls."""
    positional: str | None = None
    """The key of a list to which arguments without a `=` belong."""
    enumeration: str | None = None
    """The key of a text with commas, which Hydra would take for a sweep."""


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command(
            "train",
            "Train",
            "detector.training.train:train",
            "Trains a detector, measures it after each epoch, and leaves checkpoints, metrics and pictures in a run folder.",
            ("experiment=shapes trainer.epochs=2", "data.root=FOLDER backbone=resnet18 image_size=320"),
        ),
        Command(
            "evaluate",
            "Evaluate",
            "detector.evaluation.run:run",
            "Measures a checkpoint, or a file of stored detections, as COCO does.",
            (
                "checkpoint=runs/shapes/latest/best.ckpt split=test",
                "data.root=FOLDER split=test detections=FILE.json",
            ),
        ),
        Command(
            "predict",
            "Predict",
            "detector.inference.predict:predict",
            "Detects objects in images or a video, draws them, and writes them as COCO json.",
            (
                "checkpoint=runs/shapes/latest/best.ckpt source=IMAGE",
                "checkpoint=runs/shapes/latest/best.ckpt source=FOLDER score=0.5",
            ),
        ),
        Command(
            "compare",
            "Compare",
            "detector.experiments.compare.run:run",
            "Puts runs side by side in a table and a plot, with intervals for the differences.",
            ("runs/bccd/sweep output=RESULTS.md", "RUN_FOLDER RUN_FOLDER latency=false"),
            positional="runs",
        ),
        Command(
            "check_data",
            "CheckData",
            "detector.data.check:check",
            "Counts what a data set holds, lists everything that is wrong with it, and draws some of its images.",
            ("data.root=FOLDER", "data=coco data.root=FOLDER samples=0"),
        ),
        Command(
            "browse_data",
            "BrowseData",
            "detector.training.browse:browse",
            "Draws training images as the model sees them after an augmentation, on one sheet.",
            ("data=shapes augment=mosaic", "data.root=FOLDER augment=strong split=val"),
        ),
        Command(
            "anchors",
            "Anchors",
            "detector.data.anchors:find",
            "Finds the anchors that fit a data set, by k-means on the shapes of its boxes.",
            ("data=shapes", "data.root=FOLDER image_size=320 per_level=2"),
        ),
        Command(
            "proposals",
            "Proposals",
            "detector.data.proposals.compute:report",
            "Computes the region proposals of a data set by selective search, for model=rcnn and model=fast_rcnn.",
            ("data=shapes", "data.root=FOLDER strategy=quality"),
        ),
        Command(
            "find_lr",
            "FindLR",
            "detector.training.find_lr:find_lr",
            "Suggests a learning rate for an experiment, from a short training in which the rate climbs.",
            ("experiment=shapes", "data.root=FOLDER optim=sgd highest=10"),
        ),
        Command(
            "benchmark",
            "Benchmark",
            "detector.experiments.benchmark.run:run",
            "Measures how fast an experiment loads, trains and predicts on this machine, and in how much memory.",
            ("experiment=shapes", 'experiment=shapes backbone=resnet50 "measure=[train]"'),
        ),
        Command(
            "inspect_model",
            "InspectModel",
            "detector.inspection.run:run",
            "Lists what each layer of a detector is, sees and costs, as a table, a CSV file and a page.",
            ("backbone=vgg16 neck=fpn image_size=640", "model=faster_rcnn depth=1"),
        ),
        Command(
            "diagnose",
            "Diagnose",
            "detector.training.health.diagnose:diagnose",
            "Trains deep plain networks with dead ReLUs, vanishing or exploding gradients, and shows what fixes each.",
            ("", "problem=vanishing"),
        ),
        Command(
            "seminar",
            "Seminar",
            "detector.seminar.run:seminar",
            "Answers a seminar's questions on detection, each with a check that goes another way.",
            ("question=1,3b", "question=1e kernel=7 stride=2"),
            enumeration="question",
        ),
        Command(
            "import_darknet",
            "ImportDarknet",
            "detector.training.import_darknet:import_darknet",
            "Makes a checkpoint of a published Darknet model, which evaluate and predict open.",
            (
                "model.cfg=FILE.cfg model.weights=FILE.weights names=coco.names",
                "model.cfg=FILE.cfg model.weights=FILE.weights data=coco data.root=FOLDER",
            ),
        ),
    )
}


def imported(function: str) -> Callable[[Any], Any]:
    """The function that MODULE:NAME names."""
    module, _, name = function.partition(":")
    with without_scipy_signal():
        return getattr(import_module(module), name)


@contextmanager
def without_scipy_signal() -> Iterator[None]:
    """Inside, `import scipy.signal` gives a module without functions; afterwards the real one.

    torchmetrics, which comes with Lightning, imports it only to give it an old name back that it may have lost. That is 500
    modules, and half of what importing Lightning takes.
    """
    name = "scipy.signal"
    if name in sys.modules:
        yield
        return
    stand_in: Any = ModuleType(name)
    stand_in.hamming = None  # the old name
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
