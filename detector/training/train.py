"""One training run, from its configuration to its folder."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import lightning as L
from lightning.fabric.utilities.rank_zero import _get_rank

from detector import config
from detector.build import count_parameters, proposal_request
from detector.data.augment import mixing_epochs
from detector.data.module import DetectionData
from detector.data.problems import cheap_problems, missing_images, summarise
from detector.errors import UserError
from detector.evaluation.report import table
from detector.models.darknet import images_line, introduction
from detector.output import new_folder, write_json
from detector.self_contained import resize_of, self_contained
from detector.training.callbacks import Stopwatch
from detector.training.module import DetectionModule
from detector.training.optim import averages_itself
from detector.training.run_folder import describe, reserved, start_again
from detector.training.trainer import make_trainer, quieten


def train(settings: config.Train) -> Path:
    """Trains, measures after each epoch, and leaves everything in the run folder, which it returns.

    With `resume`, a run folder, the run goes on as if it had never stopped; the other settings are those of that run. One
    that was stopped before its first epoch was complete starts again.
    """
    is_main = not _get_rank()  # None before a launcher has said otherwise
    checkpoint = None
    if settings.resume:
        folder = Path(settings.resume)
        checkpoint = folder / "last.ckpt" if (folder / "last.ckpt").is_file() else None
    else:
        folder = Path(settings.runs) / settings.name / "started-by-another-process"
        settings = self_contained(settings)
    quieten()
    L.seed_everything(settings.seed, verbose=False)

    data = DetectionData(
        settings.data,
        settings.augment,
        settings.image_size,
        seed=settings.seed,
        epochs=settings.trainer.epochs,
        proposals=proposal_request(settings.model),
        resize=resize_of(settings.model),
    )
    if is_main:
        _report_problems(data)
    _skip_missing_images(data)
    module = DetectionModule(
        settings,
        data.class_names,
        data.category_ids,
        data.val_index,
        data.batches_per_epoch,
        pretrained=checkpoint is None,
    )
    if not settings.resume and is_main:
        folder = new_folder(Path(settings.runs) / settings.name)
        describe(folder, settings)

    with reserved(folder) if is_main else nullcontext():
        if is_main:
            if checkpoint is None:
                start_again(folder)
            _introduce(settings, module, data, folder, new=checkpoint is None)
        stopwatch = Stopwatch()
        trainer = make_trainer(settings, folder, stopwatch)
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        if trainer.interrupted:
            raise KeyboardInterrupt
        if trainer.is_global_zero:
            _conclude(folder, module, stopwatch, trainer.current_epoch)
    return folder


def _report_problems(data: DetectionData) -> None:
    for split, index in (("train", data.train_index), ("val", data.val_index)):
        if problems := cheap_problems(index):
            print(f"{split}: {summarise(problems)}; these are skipped, scripts/check_data.py lists them all")


def _skip_missing_images(data: DetectionData) -> None:
    """Training goes on without an image; a score over fewer images would not be the data's score."""
    missing = {problem.where for problem in missing_images(data.val_index)}
    if missing:
        raise UserError(
            f"data.val: {len(missing)} images are missing (first: {min(missing)}); a score needs all of them"
        )
    missing = {problem.where for problem in missing_images(data.train_index)}
    if missing:
        present = [i for i, file in enumerate(data.train_index.files.tolist()) if file not in missing]
        if not present:
            raise UserError(f"data.train: none of its {len(missing)} images is there (first: {min(missing)})")
        data.train_index = data.train_index.subset(present)


def _introduce(settings: config.Train, module: DetectionModule, data: DetectionData, folder: Path, new: bool) -> None:
    parameters = count_parameters(module.detector)
    print(f"run folder: {folder}")
    if isinstance(model := settings.model, config.Darknet):
        assert model.cfg_text is not None
        weights = model.weights if new else None
        network, head = module.detector.backbone, module.detector.head
        print(*introduction(model.cfg, model.cfg_text, weights, network, head), sep="\n")
        print(images_line(model.cfg, model.cfg_text, resize_of(model), settings.image_size))
    else:
        parts = [part.name for part in (settings.backbone, settings.neck, settings.head) if part is not None]
        print(f"detector: {settings.model.name} of {', '.join(parts)}: {parameters:,} parameters")
    if new and isinstance(backbone := settings.backbone, config.Darknet53 | config.DarknetCfg) and backbone.weights:
        mean, std = settings.model.mean, settings.model.std
        print(f"backbone: weights of {backbone.weights}; they see RGB in 0..1 as model.mean={mean} model.std={std}")
    if settings.trainer.ema and averages_itself(settings):
        print("trainer.ema is off: optim=schedule_free averages the weights itself")
    print(
        f"data: {len(data.train_index)} training and {len(data.val_index)} validation images, "
        f"{len(data.class_names)} classes ({', '.join(data.class_names[:8])}{', ...' * (len(data.class_names) > 8)})"
    )
    augment, epochs = settings.augment, settings.trainer.epochs
    mixing = [name for name in ("mosaic", "mixup", "cutmix") if getattr(augment, name)]
    if mixing and not mixing_epochs(augment, epochs):
        print(
            f"augment: no {' or '.join(mixing)} in this run: it is off in the last {augment.mixing_off_epochs} epochs "
            f"(augment.mixing_off_epochs), and there are {epochs}"
        )


def _conclude(folder: Path, module: DetectionModule, stopwatch: Stopwatch, epochs: int) -> None:
    if not module.best:
        raise UserError(
            f"trainer.evaluate_every={module.config.trainer.evaluate_every}: the run ended before it was measured"
        )
    metrics = {
        **module.best,
        "best_epoch": module.best["epoch"],
        "epochs": epochs,
        "parameters": count_parameters(module.detector),
        "train_seconds": stopwatch.seconds,
        "images_per_second": stopwatch.images / stopwatch.seconds if stopwatch.seconds else None,
    }
    del metrics["epoch"]
    write_json(folder / "metrics.json", metrics)
    print(table(metrics))
    print(
        f"trained {stopwatch.seconds:.0f} s, {metrics['images_per_second']:.1f} images a second; "
        f"best epoch {metrics['best_epoch']} of {epochs}"
    )
    files = "best.ckpt, last.ckpt, metrics.json, metrics.csv, detections.json, predictions.png, curves.png"
    print(f"everything lies in {folder}: {files}")
