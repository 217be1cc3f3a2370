"""Schemas of `configs/trainer`, `configs/logger` and `configs/callbacks`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from detector.options import (
    MISSING,
    AllOr,
    Count,
    CountOrNone,
    OneOf,
    Precision,
    Probability,
    Range,
    ShareBelowOne,
)
from detector.output import write_text

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback
    from lightning.pytorch.loggers import Logger as LightningLogger


@dataclass
class Trainer:
    """How long, on what, and how exactly."""

    epochs: Count = 100
    """How often every training image is seen."""
    accelerator: Annotated[str, OneOf("auto", "cpu", "gpu", "cuda", "mps")] = "auto"
    """The kind of device; auto takes a GPU where there is one."""
    devices: Annotated[int, AllOr(-1, "all", Range(1, 1024))] = 1
    """GPUs (or CPU processes) of a node."""
    nodes: Annotated[int, Range(1, 10_000)] = 1
    """Machines that train together."""
    strategy: Annotated[
        str,
        OneOf(
            "auto",
            "ddp",
            "ddp_find_unused_parameters_true",
            "ddp_find_unused_parameters_false",
            "ddp_spawn",
            "ddp_fork",
            "ddp_notebook",
        ),
    ] = "auto"
    """Lightning's strategy for several devices; auto is ddp where there are several."""
    precision: Annotated[str, OneOf("auto", "bf16", "fp16", "fp32")] = "auto"
    """Precision of training. auto is bf16 where the hardware multiplies in it, fp16 with scaled
    gradients on other CUDA GPUs, otherwise fp32. In fp32 a GPU that has TF32 multiplies in it while training."""
    validation_precision: Precision = "fp32"
    """Precision of the network that finds objects in the validation images after an epoch; boxes, scores and suppression are
    fp32 in any case. auto is half precision where the hardware multiplies in it, otherwise fp32."""
    deterministic: bool = False
    """A GPU adds in one order and tries no other algorithms, so that a resumed run on one GPU ends with the same bits; slower.
    A CPU always does so, at no cost."""
    channels_last: bool = True
    """Memory format of images and weights; faster for convolutions on most devices."""
    sync_batch_norm: bool = False
    """Batch norms take mean and variance over the batches of all GPUs together; for small batches on several GPUs. One
    device alone has nothing to share."""
    compile: Annotated[str, OneOf("off", "network", "step")] = "off"
    """What torch.compile translates: off, network, or step (network, assigner and losses in one piece; model=single_shot and
    darknet). Evaluation uses a compiled network too. The losses stay the same; on a CPU it needs a C++ compiler."""
    cuda_graphs: bool = False
    """Whether what is compiled is recorded as CUDA graphs, which a GPU replays without its host; memory for each size."""
    accumulate: Count = 1
    """Batches whose gradients add up to one step of the optimizer."""
    scale_lr: bool = False
    """Adapts optim.lr, which was chosen for steps of optim.lr_batch images, to the images that a step has in this run
    (devices × data.batch_size × accumulate): in proportion for SGD (Goyal et al. 2017), to the square root for AdamW
    (Malladi et al. 2022)."""
    clip: Annotated[float, Range(0, 1e9)] = 10.0
    """Largest norm of the gradient; 0 does not clip."""
    ema: ShareBelowOne = 0.9998
    """Largest decay of the averaged weights; at step n it is min(ema, n / (n + 9)). 0: no averaging."""
    frozen_epochs: CountOrNone = 0
    """The first epochs, with the whole backbone frozen; afterwards it is trained as well."""
    multi_scale: ShareBelowOne = 0.0
    """Batches are resized to a multiple of 32 in (1 ± multi_scale) · image_size."""
    adversarial: Probability = 0.0
    """Share of the steps that train on images changed against the network (self-adversarial training, YOLOv4)."""
    adversarial_strength: Annotated[float, Range(0, 255)] = 4.0
    """How far such a change moves every pixel, of 0..255."""
    evaluate_every: Count = 1
    """Epochs between two evaluations; the last epoch is always evaluated."""
    patience: CountOrNone = 0
    """Stop after so many evaluations without a better AP; 0 never stops early."""
    progress: bool = True
    """A progress bar in a terminal, lines in a file."""

    def __post_init__(self) -> None:
        """`compile` used to be true or false, and YAML reads off as false."""
        if isinstance(self.compile, bool | str):
            self.compile = {"true": "network", "false": "off"}.get(str(self.compile).lower(), self.compile)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Only what is compiled is recorded."""
        if self.cuda_graphs and self.compile == "off":
            yield "cuda_graphs", "needs trainer.compile=network or step"


@dataclass
class Logger:
    """Besides the CSV file that every run has."""

    name: str = MISSING
    tensorboard: bool = True
    """Curves for TensorBoard, in the folder `tensorboard` of the run."""

    def build(self, folder: Path, settings: dict[str, Any]) -> list[LightningLogger]:
        """Lightning's loggers beside that of the CSV file.

        Args:
            folder: the run folder; a run that goes on comes with the same one.
            settings: the whole configuration as plain values, such as `name` and `runs`.
        """
        from lightning.pytorch.loggers import TensorBoardLogger

        return [TensorBoardLogger(folder, name="", version="tensorboard")] if self.tensorboard else []


@dataclass
class Csv(Logger):
    """The CSV file alone."""

    name: str = "csv"
    tensorboard: bool = False


@dataclass
class TensorBoard(Logger):
    """TensorBoard beside the CSV file."""

    name: str = "tensorboard"


@dataclass
class Wandb(Logger):
    """Weights & Biases beside the CSV file; their own environment variables, as WANDB_MODE=offline, are heeded."""

    name: str = "wandb"
    tensorboard: bool = False
    project: str = "detector"
    """The project at Weights & Biases that runs belong to."""

    def build(self, folder: Path, settings: dict[str, Any]) -> list[LightningLogger]:
        """Lightning's logger of Weights & Biases; the run there has the name of the folder here."""
        from lightning.pytorch.loggers import WandbLogger

        name = f"{settings['name']}/{folder.name}"
        logger = WandbLogger(
            name=name, id=name.replace("/", "-"), resume="allow", project=self.project, save_dir=folder
        )
        logger.log_hyperparams(settings)
        return [logger, *super().build(folder, settings)]


@dataclass
class MLflow(Logger):
    """MLflow beside the CSV file."""

    name: str = "mlflow"
    tensorboard: bool = False
    tracking_uri: str | None = None
    """Address of the server, or file:FOLDER; by default MLFLOW_TRACKING_URI, and without that the folder mlruns in `runs`."""

    def build(self, folder: Path, settings: dict[str, Any]) -> list[LightningLogger]:
        """Lightning's logger of MLflow, which gives a run its id; that stays in the run folder, so that a run that goes on is
        the same one there."""
        from lightning.pytorch.loggers import MLFlowLogger

        kept = folder / "mlflow_run_id.txt"
        known = kept.read_text().strip() if kept.is_file() else None
        logger = MLFlowLogger(
            experiment_name=settings["name"],
            run_name=folder.name,
            tracking_uri=self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"),
            save_dir=str(Path(settings["runs"]) / "mlruns"),
            run_id=known,
        )
        if known is None and logger.run_id is not None:
            write_text(kept, f"{logger.run_id}\n")
            logger.log_hyperparams(settings)
        return [logger, *super().build(folder, settings)]


@dataclass
class Callbacks:
    """What watches a run besides."""

    name: str = "none"
    health_every: CountOrNone = 0
    """Steps between two measurements of every layer's health (`health.csv`, `health.png`); 0 measures none."""

    def build(self, folder: Path) -> list[Callback]:
        """Lightning's callbacks besides those of every run; what they write goes into `folder`, the run folder."""
        return []
