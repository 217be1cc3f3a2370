"""A learning rate for any experiment, from a short training in which the rate climbs."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import Callback
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from torch import Tensor

from detector import config
from detector.data.module import DetectionData
from detector.errors import UserError
from detector.output import new_folder, write_json
from detector.resolve import resize_of
from detector.targets import ImageId
from detector.training.backends import Backends
from detector.training.init import new_detector
from detector.training.module import DetectionModule
from detector.training.progress import surroundings
from detector.training.trainer import lightning_precision, quieten
from detector.types import Batch

FEWEST_STEPS = 20
"""Fewest steps: with fewer nothing is left of a curve once it is smoothed."""
SMOOTHED = 0.24
"""Decades of the learning rate over which the loss is smoothed (the σ of a Gaussian), but at least 1.5 steps."""
DIVERGED = 4.0
"""Times the lowest loss, means over `WINDOW` steps: the search ends."""
WINDOW = 5
LEAST_FALL = 0.05
"""Share of the loss: what falls less has not learned anything."""


@dataclass(frozen=True)
class Curve:
    """What a search has seen, and made of it."""

    rates: np.ndarray
    """float64 [S], ascending."""
    losses: np.ndarray
    """float64 [S], > 0."""
    smoothed: np.ndarray
    """float64 [S]."""
    suggestion: float | None
    """One of the rates; None where the loss does not fall."""


def find_lr(settings: config.FindLR) -> Path:
    """Trains while the rate climbs from `lowest` to `highest` (Smith 2017, section 3.3), prints one and draws the curve.

    `curve.png` and `curve.json` lie in the folder returned; nothing else is kept of the training.

    Raises:
        UserError: an option is out of its range, or the loss does not fall anywhere.
    """
    _check(settings)
    quieten()
    L.seed_everything(settings.seed, verbose=False)
    recipe = _recipe(settings)
    data = DetectionData.read(
        recipe.data,
        recipe.augment,
        recipe.image_size,
        seed=recipe.seed,
        epochs=recipe.trainer.epochs,
        proposals=recipe.model.proposal_request(),
        resize=resize_of(recipe.model),
    )
    module = _Searching.of_run(recipe, new_detector(recipe, data.class_names)[0])
    folder = new_folder(Path(settings.runs) / "find_lr")
    climb = Climb(np.geomspace(settings.lowest, settings.highest, settings.steps).tolist())
    trainer = _trainer(recipe, folder, climb)
    print(surroundings(trainer, recipe.data.batch_size), flush=True)
    trainer.fit(module, train_dataloaders=data.train_dataloader())
    if trainer.interrupted:
        raise KeyboardInterrupt
    curve = read_curve(climb.rates, climb.losses)
    content = {"suggestion": curve.suggestion, "lr": curve.rates.tolist(), "loss": curve.losses.tolist()}
    write_json(folder / "curve.json", content | {"smoothed": curve.smoothed.tolist()})
    _draw(curve, folder / "curve.png")
    print(f"the curve lies in {folder}: curve.png, curve.json")
    if curve.suggestion is None:
        raise UserError(
            f"lowest={settings.lowest:g} highest={settings.highest:g} steps={settings.steps}: the loss does not fall at any "
            "rate between them; try other ends, or more steps"
        )
    images = recipe.data.batch_size * recipe.trainer.accumulate
    print(f"suggestion: optim.lr={curve.suggestion:.2g} optim.lr_batch={images}")
    return folder


def read_curve(rates: Sequence[float], losses: Sequence[float]) -> Curve:
    """Smooths the losses of a search and suggests the rate at which the loss falls most steeply.

    Steepest in its logarithm over the logarithm of the rate (Smith 2017 reads the curve by eye; fastai's `steep` is the
    same rule on an exponential average, which lags behind): at each rate a line is fitted to log loss over log rate with
    Gaussian weights (local linear regression, Cleveland 1979), so that noise neither shifts the curve nor bends its ends.
    Only rates below that of the lowest loss count; steps after a loss that is not finite are left out.
    """
    finite = [math.isfinite(loss) and loss > 0 for loss in losses]
    number = finite.index(False) if False in finite else len(losses)
    x, y = np.log10(rates[:number]), np.log(losses[:number])
    curve = Curve(np.asarray(rates[:number]), np.asarray(losses[:number]), np.exp(y), None)
    if number < FEWEST_STEPS // 2:
        return curve
    width = max(SMOOTHED, 1.5 * float(x[1] - x[0]))
    weights = np.exp(-(((x[:, None] - x) / width) ** 2) / 2)
    weights /= weights.sum(axis=1, keepdims=True)
    mean_x, mean_y = weights @ x, weights @ y
    slope = (weights @ (x * y) - mean_x * mean_y) / (weights @ x**2 - mean_x**2)
    smoothed = mean_y + slope * (x - mean_x)
    lowest = int(smoothed.argmin())
    steepest = int(slope[: lowest + 1].argmin())
    falls = smoothed[: lowest + 1].max() - smoothed[lowest] > -math.log(1 - LEAST_FALL)
    return replace(curve, smoothed=np.exp(smoothed), suggestion=float(rates[steepest]) if falls else None)


class Climb(Callback):
    """Sets the learning rate of each step and keeps its loss; ends the training where the loss has diverged."""

    def __init__(self, rates: Sequence[float]) -> None:
        self.rates = rates
        self.losses: list[float] = []
        """Loss of each step, the mean over its batches."""
        self._batches: list[float] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Takes the place of the schedule."""
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rates[len(self.losses)]

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Waits for the device: a search is short."""
        self._batches.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)
        if trainer.global_step == len(self.losses) and math.isfinite(self._batches[-1]):
            return  # more batches belong to this step
        self.losses.append(sum(self._batches) / len(self._batches))
        self._batches = []
        done, of = len(self.losses), len(self.rates)
        if has_diverged(self.losses):
            trainer.should_stop = True
        if sys.stderr.isatty():
            ended = done == of or trainer.should_stop
            print("\r\033[K" if ended else f"\rstep {done} of {of}", end="", file=sys.stderr, flush=True)


def has_diverged(losses: Sequence[float]) -> bool:
    """Whether the last losses are far above the lowest ones, or the last is not finite."""
    if not math.isfinite(losses[-1]):
        return True
    if len(losses) < 2 * WINDOW:
        return False
    means = np.convolve(losses, np.full(WINDOW, 1 / WINDOW), mode="valid")
    return bool(means[-1] > DIVERGED * means.min())


class _Searching(DetectionModule):
    """A loss that explodes ends the search, where in training it would be a mistake."""

    def _watch(self, losses: dict[str, Tensor], image_ids: list[ImageId]) -> None:
        pass


def _check(settings: config.FindLR) -> None:
    if not 0 < settings.lowest < settings.highest:
        raise UserError(f"lowest={settings.lowest}, highest={settings.highest}: must be 0 < lowest < highest")
    if settings.steps < FEWEST_STEPS:
        raise UserError(f"steps={settings.steps}: must be {FEWEST_STEPS} or more")


def _recipe(settings: config.FindLR) -> config.Train:
    """The run whose rate is looked for, without what would move the rate or hide its effect."""
    train = config.Train(**{field.name: getattr(settings, field.name) for field in fields(config.Experiment)})
    constant = replace(train.optim, schedule="constant", warmup_epochs=0.0)
    return replace(train, optim=constant, trainer=replace(train.trainer, ema=0.0, frozen_epochs=0, scale_lr=False))


def _trainer(recipe: config.Train, folder: Path, climb: Climb) -> L.Trainer:
    part = recipe.trainer
    return L.Trainer(
        accelerator=part.accelerator,
        devices=1,
        precision=lightning_precision(part),
        max_epochs=-1,
        max_steps=len(climb.rates),
        accumulate_grad_batches=part.accumulate,
        callbacks=[Backends(recipe), climb],
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )


def _draw(curve: Curve, file: Path) -> None:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(curve.rates, curve.losses, ".", color="#999999", label="loss of a step")
    axes.plot(curve.rates, curve.smoothed, color="#0072B2", linewidth=2, label="smoothed")
    if curve.suggestion is not None:
        axes.axvline(curve.suggestion, color="#D55E00", linestyle="--", label=f"optim.lr={curve.suggestion:.2g}")
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="training loss")
    low, high = float(curve.smoothed.min()), float(np.median(curve.losses[: max(1, len(curve.losses) // 4)]))
    axes.set_ylim(0.7 * low, 2 * max(high, low))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=120)
