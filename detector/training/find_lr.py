"""Lightning's learning-rate finder on any experiment."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.tuner import Tuner
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from detector import config
from detector.build import proposal_request
from detector.data.module import DetectionData
from detector.errors import UserError
from detector.output import new_folder, write_json
from detector.self_contained import resize_of
from detector.training.checkpoint_files import WholeFiles
from detector.training.module import DetectionModule
from detector.training.trainer import lightning_precision, quieten
from detector.types import Batch, Target

FEWEST_STEPS = 20
"""Lightning leaves out the first ten and the last; with fewer steps nothing is left to take a slope of."""


def find_lr(settings: config.FindLR) -> Path:
    """Trains while the rate climbs from `lowest` to `highest` (Smith 2017, section 3.3), and suggests one.

    The suggestion is Lightning's: where the smoothed loss falls most steeply. The curve lies in the folder returned.
    """
    _check(settings)
    quieten()
    L.seed_everything(settings.seed, verbose=False)
    recipe = _recipe(settings)
    data = DetectionData(
        recipe.data,
        recipe.augment,
        recipe.image_size,
        seed=recipe.seed,
        epochs=recipe.trainer.epochs,
        proposals=proposal_request(recipe.model),
        resize=resize_of(recipe.model),
    )
    module = _Searching(recipe, data.class_names, data.category_ids, data.val_index, data.batches_per_epoch)
    folder = new_folder(Path(settings.runs) / "find_lr")
    found = Tuner(_trainer(recipe, folder)).lr_find(
        module,
        train_dataloaders=data.train_dataloader(),
        min_lr=settings.lowest,
        max_lr=settings.highest,
        num_training=settings.steps,
        update_attr=False,
    )
    assert found is not None
    # the loss that ended the search may be missing
    rates, losses = (found.results[key][: len(found.results["loss"])] for key in ("lr", "loss"))
    suggestion = found.suggestion()
    finite = [(rate, loss) for rate, loss in zip(rates, losses, strict=True) if math.isfinite(loss)]
    content = {"suggestion": suggestion, "lr": [r for r, _ in finite], "loss": [loss for _, loss in finite]}
    write_json(folder / "curve.json", content)
    _draw(finite, suggestion, folder / "curve.png")
    print(f"the curve lies in {folder}: curve.png, curve.json")
    if suggestion is None:
        raise UserError(f"highest={settings.highest}: the loss exploded at once; choose a lower one, or more steps")
    print(f"suggestion: optim.lr={suggestion:.2g}")
    return folder


class _Searching(DetectionModule):
    """Ends the search where the loss explodes, which in training would be a mistake."""

    def _watch(self, losses: dict[str, Tensor], targets: list[Target]) -> None:
        pass

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_index: int) -> None:
        """Waits for the device at each step, as Lightning's finder does anyway."""
        if not math.isfinite(float(outputs["loss"])):
            self.trainer.should_stop = True


def _check(settings: config.FindLR) -> None:
    if not 0 < settings.lowest < settings.highest:
        raise UserError(f"lowest={settings.lowest}, highest={settings.highest}: must be 0 < lowest < highest")
    if settings.steps < FEWEST_STEPS:
        raise UserError(f"steps={settings.steps}: must be {FEWEST_STEPS} or more")


def _recipe(settings: config.FindLR) -> config.Train:
    """The run whose rate is looked for, without what would move the rate or hide its effect."""
    train = config.Train(**{field.name: getattr(settings, field.name) for field in fields(config.Experiment)})
    constant = replace(train.optim, schedule="constant", warmup_epochs=0.0)
    return replace(train, optim=constant, trainer=replace(train.trainer, ema=0.0, frozen_epochs=0))


def _trainer(recipe: config.Train, folder: Path) -> L.Trainer:
    part = recipe.trainer
    return L.Trainer(
        accelerator=part.accelerator,
        devices=1,
        precision=lightning_precision(part),
        max_epochs=-1,
        accumulate_grad_batches=part.accumulate,
        default_root_dir=folder,
        plugins=[WholeFiles()],
        logger=False,
        enable_checkpointing=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )


def _draw(curve: list[tuple[float, float]], suggestion: float | None, file: Path) -> None:
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([rate for rate, _ in curve], [loss for _, loss in curve])
    if suggestion is not None:
        axes.axvline(suggestion, color="black", linestyle=":", label=f"optim.lr={suggestion:.2g}")
        axes.legend()
    axes.set(xscale="log", xlabel="learning rate", ylabel="smoothed loss")
    figure.savefig(file, dpi=120)
