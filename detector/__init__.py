"""Object detectors: trained, measured and taken apart.

import detector

run = detector.train("shapes", backbone="resnet18", loss="giou", epochs=2)
run.metrics["AP"], detector.evaluate(run.checkpoint, split="test")["AP"]
model = detector.load(run.checkpoint)
found = model.predict("street.jpg")
found.boxes, found.scores, [model.class_names[label] for label in found.labels]
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "build", "evaluate", "load", "train"]

if TYPE_CHECKING:
    from torch import nn

    from detector import config
    from detector.data.index import Index
    from detector.data.module import DetectionData
    from detector.inference.predictor import Predictor
    from detector.training.from_python import TrainedRun

# What the functions need is imported in them, so that `import detector` does not wait for torch.


def build(
    classes: int,
    *,
    model: str | config.ModelOptions | None = None,
    backbone: str | config.BackboneOptions | None = None,
    neck: str | config.NeckOptions | None = None,
    head: str | config.HeadOptions | None = None,
    assigner: str | config.AssignerOptions | None = None,
    loss: str | config.CriterionOptions | None = None,
    image_size: int = 640,
    plugins: Iterable[str | Path] = (),
) -> nn.Module:
    """A detector with new weights, on the CPU: a module that is a `detector.models.detector.Detector`.

        detector.build(classes=3, backbone="resnet18", loss=config.CriterionOptions(name="mine", box="giou", box_weight=5.0))

    A part is given by the name that it has on the command line (`resnet18`: `configs/backbone/resnet18.yaml`) or as its
    options, whose class may be the user's own; None is the command line's default, where the model has such a part. The
    weights are random, from torch's global generator, unless a part says `pretrained` or `weights`.

    Args:
        classes: number of classes, K; labels are 0..K−1.
        model: which kind of detector.
        backbone: an image to features.
        neck: features to features of one width.
        head: features to predictions.
        assigner: which predictions learn from which object.
        loss: what is minimised.
        image_size: side of the square that the model is trained on, in pixels: anchors are shares of it.
        plugins: Python files with parts of the user's own; they are run.

    Returns:
        A module with `losses(images, targets)`, a dict of scalars, and `detect(images)`, a list of `Detections` in pixels of
        the images; images are uint8 [B, 3, H, W], RGB, H and W multiples of the largest stride.

    Raises:
        UserError: there is no such choice, a value cannot be, or two parts do not go together.
    """
    from detector.config import choose_detector, load_plugins
    from detector.resolve import resolve_files

    load_plugins(plugins)
    options = choose_detector(model, image_size, backbone=backbone, neck=neck, head=head, assigner=assigner, loss=loss)
    return resolve_files(options).build(classes)


def train(
    data: str | config.Data | DetectionData,
    *,
    model: str | config.ModelOptions | nn.Module | None = None,
    backbone: str | config.BackboneOptions | None = None,
    neck: str | config.NeckOptions | None = None,
    head: str | config.HeadOptions | None = None,
    assigner: str | config.AssignerOptions | None = None,
    loss: str | config.CriterionOptions | None = None,
    augment: str | config.Augment | None = None,
    optim: str | config.OptimizerOptions | None = None,
    trainer: config.Trainer | None = None,
    logger: str | config.Logger | None = None,
    callbacks: str | config.Callbacks | None = None,
    image_size: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    name: str = "default",
    runs: str | Path = "runs",
    init: str | Path | None = None,
    plugins: Iterable[str | Path] = (),
) -> TrainedRun:
    """Trains a detector and leaves everything in a new run folder, exactly as `detector train` does.

        run = detector.train("shapes", backbone="resnet18", loss="giou", image_size=256, epochs=4)
        run.metrics["AP"], run.checkpoint, run.predictor()

    Everything is given by its name on the command line or as its options; None is the command line's default. The same words
    and the same `seed` give the same weights here and there.

    Args:
        data: the name of a format (`shapes`), its options (`config.Coco(root="FOLDER")`), or `DetectionData` of images and
            objects that no file describes, which then says `image_size`, `augment` and how to load.
        model: which kind of detector; or a detector of `build`, which is trained in place, from the weights that it has.
        backbone: as in `build`.
        neck: as in `build`.
        head: as in `build`.
        assigner: as in `build`.
        loss: as in `build`.
        augment: what happens to training images.
        optim: optimizer and schedule.
        trainer: how long, on what, and how exactly.
        logger: what logs a run beside its CSV file.
        callbacks: what watches a run.
        image_size: side of the square that the model sees, in pixels; by default 640.
        epochs: how often every training image is seen; replaces `trainer.epochs`.
        seed: start of every random number.
        name: runs lie in runs/NAME/ID.
        runs: folder of all runs.
        init: a checkpoint whose weights the run starts from, as far as they fit.
        plugins: Python files with parts of the user's own; they are run.

    Returns:
        The run: its `folder`, best `checkpoint`, `metrics` (numbers in 0..1) and `predictor()`.

    Raises:
        UserError: in one line, what is wrong with a value, the data, or how they go together.
    """
    from detector.config import load_plugins
    from detector.training.from_python import train_from_python

    plugins = list(plugins)
    load_plugins(plugins)
    return train_from_python(
        data,
        model,
        {"backbone": backbone, "neck": neck, "head": head, "assigner": assigner, "loss": loss},
        {"augment": augment, "optim": optim, "trainer": trainer, "logger": logger, "callbacks": callbacks},
        image_size=image_size,
        epochs=epochs,
        seed=seed,
        name=name,
        runs=str(runs),
        init=None if init is None else str(init),
        plugins=[str(file) for file in plugins],
    )


def evaluate(
    model: str | Path | nn.Module,
    data: str | config.Data | Index | None = None,
    *,
    split: str = "val",
    image_size: int | None = None,
    suppression: str | None = None,
    iou_threshold: float | None = None,
    accelerator: str = "auto",
    output: str | Path | None = None,
    plugins: Iterable[str | Path] = (),
) -> dict[str, Any]:
    """Measures a detector as COCO and Pascal VOC measure, as `detector evaluate` does: it prints a table and writes a folder.

        detector.evaluate(run.checkpoint, split="test")["AP"]

    Args:
        model: a checkpoint; or any detector, a module that is a `detector.models.detector.Detector`.
        data: the name of a format, its options, or the index of a split; by default what the checkpoint was trained with.
        split: train, val or test; has no meaning for an index.
        image_size: side of the square that the model sees, in pixels; by default the one that it was trained at.
        suppression: which predictions of one object stay (see `detector.nms.Suppression`); by default the model's own.
        iou_threshold: IoU in 0..1 from which a worse box is suppressed; by default the model's own.
        accelerator: auto | cpu | gpu; auto takes a GPU where there is one.
        output: folder of the results; by default runs/evaluate/ID.
        plugins: Python files with parts of the user's own that the run was made with; they are run.

    Returns:
        `AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl` (COCO), `per_class`, `voc`, each number in 0..1 or None where
        there is no object to find, and what was measured.

    Raises:
        UserError: the data has other classes than the checkpoint, or a file or a value is not what it should be.
    """
    from torch import nn

    from detector import config
    from detector.data.index import Index
    from detector.evaluation.evaluate_detector import evaluate_detector
    from detector.evaluation.run import run

    config.load_plugins(plugins)
    index = data if isinstance(data, Index) else None
    given = config.Evaluate(
        data=None if data is None or index is not None else config.choose("data", data),
        checkpoint=None if isinstance(model, nn.Module) else str(model),
        split=split,
        image_size=image_size,
        suppression=suppression,
        iou_threshold=iou_threshold,
        output=None if output is None else str(output),
        accelerator=accelerator,
    )
    config.check(given)
    return evaluate_detector(model, given, index) if isinstance(model, nn.Module) else run(given, index)


def load(
    checkpoint: str | Path,
    image_size: int | None = None,
    accelerator: str = "auto",
    plugins: Iterable[str | Path] = (),
    precision: str = "auto",
) -> Predictor:
    """The trained detector of a checkpoint, ready to `predict`.

    Args:
        checkpoint: a `best.ckpt` or `last.ckpt`. No code that the file names is run.
        image_size: side of the square that the model sees, in pixels; by default the one that it was trained at.
        accelerator: auto | cpu | gpu; auto takes a GPU where there is one.
        plugins: Python files with parts of one's own that the run was made with; they are run.
        precision: auto | fp32 | bf16 | fp16: what the network computes in; auto is bf16 on a device that multiplies in it,
            fp16 on other CUDA GPUs, and fp32 everywhere else.

    Raises:
        UserError: the file is no checkpoint, it has parts of a plugin that is not given, the size is no multiple of 32, or
            there is no such accelerator.
    """
    from detector.checkpoint import open_checkpoint
    from detector.config import load_plugins
    from detector.inference.predictor import Predictor

    load_plugins(plugins)
    return Predictor(open_checkpoint(checkpoint), image_size, accelerator, precision)
