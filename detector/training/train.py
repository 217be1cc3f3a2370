"""One training run, from its configuration to its folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import lightning as L
import torch
from lightning.fabric.utilities.rank_zero import _get_rank
from torch import nn

from detector import config, signals
from detector.checkpoint import build, misfit
from detector.command_line import command_line, quoted
from detector.data.augment.random_views import mixing_epochs
from detector.data.module import DetectionData
from detector.data.problems import (
    cheap_problems,
    missing_images,
    nothing_to_measure,
    refuse_nothing_to_learn,
    summarise,
)
from detector.errors import RunError, UserError
from detector.evaluation.page.page import REPORT_FILES, leave_report
from detector.evaluation.report import table
from detector.evaluation.results import DETECTIONS, read_flat_results
from detector.layers import count_parameters
from detector.models.darknet import images_line, introduction
from detector.output import new_folder, write_json
from detector.resolve import resize_of, resolve_files
from detector.training.callbacks import Stopwatch
from detector.training.checkpoint_files import LAST, WholeFiles
from detector.training.init import new_detector
from detector.training.loggers import check_logger
from detector.training.model_card import MODEL_CARD, CardContent, write_model_card
from detector.training.module import DetectionModule
from detector.training.more_epochs import finished_line
from detector.training.processes import ending_together
from detector.training.progress import surroundings
from detector.training.resume import fingerprint, stopped_run, taking_up
from detector.training.run_folder import describe, reserved, start_again, write_config
from detector.training.run_page.callback import RUN_PAGE
from detector.training.trainer import make_trainer, quieten


def train(settings: config.Train, detector: nn.Module | None = None, own_data: DetectionData | None = None) -> Path:
    """Trains, measures after each epoch, and leaves everything in the run folder, which it returns.

    Args:
        settings: the whole configuration; without `data` where `own_data` is given.
        detector: the one to train, in place, built from the same parts; by default a new one is built.
        own_data: images and objects that no file describes.

    With `resume`, a run folder, the run goes on as if it had never stopped; the other settings are those of that run, except
    for `trainer.epochs`, which may be another number. One that was stopped before its first epoch was complete starts again;
    one that is finished is left as it is.

    Raises:
        UserError: in one line, what is wrong with the configuration, the data or the run that is to go on.
    """
    is_main = not _get_rank()  # None before a launcher has said otherwise
    config.check(settings)
    check_logger(settings.logger)
    stopped = None
    if settings.resume:
        folder = Path(settings.resume)
        if folder.is_symlink():  # `latest` may soon be another run
            folder = folder.parent / folder.readlink()
        stopped = stopped_run(folder)
    else:
        folder = Path(settings.runs) / settings.name / "started-by-another-process"
        settings = resolve_files(settings)
        signals.goes_on(lambda: "before the training had begun: there is nothing to go on from")
    checkpoint, progress = (None, None) if stopped is None else (stopped.path, stopped.progress)
    epochs = settings.trainer.epochs
    files = WholeFiles(progress.epochs if progress else 0)
    if progress:
        signals.goes_on(lambda: way_on(folder, files.finished_epochs, epochs, settings.plugins))
        if epochs < progress.epochs:
            raise UserError(f"trainer.epochs={epochs}: the run has trained {progress.epochs} epochs already; give more")
        same_end = progress.finished and epochs in (progress.epochs, progress.planned)
        if same_end and (folder / "metrics.json").is_file():
            print(finished_line(folder, progress))
            return folder
    quieten()
    L.seed_everything(settings.seed, verbose=False)

    proposals, resize = settings.model.proposal_request(), resize_of(settings.model)
    if own_data is not None:
        data = own_data.for_run(settings.seed, epochs, proposals, resize)
    else:
        data = DetectionData.read(
            settings.data, settings.augment, settings.image_size, settings.seed, epochs, proposals, resize
        )
    if stopped is not None:
        stopped.order_classes(data)
    if is_main:
        _report_problems(data)
    _skip_missing_images(data)
    taken_over: list[str] = []
    if detector is not None:
        _check_given(detector, settings, data.class_names)
    elif checkpoint is None:
        detector, taken_over = new_detector(settings, data.class_names)
    else:
        detector = build(settings, len(data.class_names), pretrained=False)
    module = DetectionModule.of_run(settings, detector, fingerprint(data.train_index))
    if stopped is not None:
        stopped.check_weights(module)
        if is_main:
            stopped.say_changed_images(data.train_index)
        stopped = None  # and its weights, which Lightning reads again
    if not settings.resume and is_main:
        folder = new_folder(Path(settings.runs) / settings.name)
        describe(folder, settings)

    with reserved(folder) if is_main else nullcontext():
        signals.goes_on(lambda: way_on(folder, files.finished_epochs, epochs, settings.plugins))
        if is_main:
            if progress is None:
                start_again(folder)
            elif epochs != progress.planned:
                write_config(folder, replace(settings, resume=None))
            (folder / "metrics.json").unlink(missing_ok=True)
            print(f"run folder: {folder}", *taken_over, sep="\n")
            _introduce(settings, module, data, new=checkpoint is None)
        stopwatch = Stopwatch()
        trainer = make_trainer(settings, folder, stopwatch, files, progress)
        with ending_together(trainer), taking_up(checkpoint):
            _fit(trainer, module, data, checkpoint)
        if trainer.is_global_zero:
            _conclude(settings, folder, module, stopwatch, trainer.current_epoch)
    return folder


def way_on(folder: Path, done: int, epochs: int, plugins: Sequence[str] = ()) -> str:
    """What the last line of a run that was stopped says after `stopped by SIGTERM `."""
    given = [f"plugins=[{','.join(map(quoted, plugins))}]"] if plugins else []
    command = command_line("train", f"resume={quoted(str(folder))}", *given)
    if not done:
        return f"before the first epoch was complete; start it again with: {command}"
    return f"after epoch {done} of {epochs}; go on with: {command}"


def _fit(trainer: L.Trainer, module: DetectionModule, data: DetectionData, checkpoint: Path | None) -> None:
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:
        if trainer.interrupted:  # Lightning's own answer to Ctrl-C where no script has set another, as in a notebook
            raise KeyboardInterrupt from None
        raise
    except RuntimeError as error:
        if "DataLoader worker" in str(error):  # a signal to all processes reaches them first, and this one in a moment
            time.sleep(0.3)
        if (first := _answered(error.__context__)) is not None:
            raise first from None
        if "does not have a deterministic implementation" in str(error):
            raise UserError(
                f"trainer.deterministic=true: PyTorch has no such form of {str(error).split()[0]}"
            ) from error
        raise


def _answered(error: BaseException | None) -> UserError | RunError | None:
    """The error that has its own line, of those that came before another: Lightning's clean-up may fail in its turn."""
    while error is not None and not isinstance(error, UserError | RunError):
        error = error.__context__
    return error


def _report_problems(data: DetectionData) -> None:
    for split, index in (("train", data.train_index), ("val", data.val_index)):
        for note in index.notes:
            print(f"{split}: {note}")
        if problems := cheap_problems(index):
            print(f"{split}: {summarise(problems)}; {command_line('check_data')} lists them all")
    if line := nothing_to_measure(data.val_index):
        print(line)


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
        refuse_nothing_to_learn(data.train_index)


def _check_given(detector: nn.Module, settings: config.Train, class_names: Sequence[str]) -> None:
    """A checkpoint of the run must open again."""
    with torch.device("meta"):
        described = build(settings, len(class_names), pretrained=False).state_dict()
    if reason := misfit(described, detector.state_dict()):
        raise UserError(
            f"model: the detector is not the one that its options describe for the {len(class_names)} classes of the data "
            f"({reason}): build it with classes={len(class_names)}"
        )


def _introduce(settings: config.Train, module: DetectionModule, data: DetectionData, new: bool) -> None:
    parameters = count_parameters(module.detector)
    if isinstance(model := settings.model, config.DarknetOptions):
        assert model.cfg_text is not None
        weights = model.weights if new else None
        network, head = module.detector.backbone, module.detector.head
        print(*introduction(model.cfg, model.cfg_text, weights, network, head), sep="\n")
        print(images_line(model.cfg, model.cfg_text, resize_of(model), settings.image_size))
    else:
        parts = [part.name for part in (settings.backbone, settings.neck, settings.head) if part is not None]
        print(f"detector: {settings.model.name} of {', '.join(parts)}: {parameters:,} parameters")
    if (
        new
        and isinstance(backbone := settings.backbone, config.Darknet53Options | config.DarknetCfgOptions)
        and backbone.weights
    ):
        mean, std = settings.model.mean, settings.model.std
        print(f"backbone: weights of {backbone.weights}; they see RGB in 0..1 as model.mean={mean} model.std={std}")
    if settings.trainer.ema and settings.optim.averages_itself:
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


def _conclude(settings: config.Train, folder: Path, module: DetectionModule, stopwatch: Stopwatch, epochs: int) -> None:
    files = [LAST, "metrics.csv", "curves.png", RUN_PAGE]
    report = None
    trained = f"trained {stopwatch.seconds:.0f} s"
    if stopwatch.seconds:
        trained += f", {stopwatch.images / stopwatch.seconds:.1f} images a second"
    if not module.best:
        print(
            f"{trained}, {epochs} epochs; nothing was measured (trainer.evaluate_every={settings.trainer.evaluate_every})"
        )
    else:
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
        if metrics["AP"] is None:
            print(f"{trained}, {epochs} epochs; nothing was measured: the validation split has no object to find")
        else:
            print(f"{trained}; best epoch {metrics['best_epoch']} of {epochs}")
            files.insert(0, "best.ckpt")
        files += ["metrics.json", "detections.json", "predictions.png"]
        if settings.evaluation.report and (folder / DETECTIONS).is_file():
            index = module.data.val_index
            results = read_flat_results(folder / DETECTIONS, index)
            report = leave_report(
                folder, index, results, module.best, settings.evaluation, "val", str(folder / files[0])
            )
            files += REPORT_FILES
        device = surroundings(module.trainer, module.data.loading.batch_size)
        train_index, val_index = module.data.train_index, module.data.val_index
        write_model_card(CardContent(settings, folder, files[0], train_index, val_index, metrics, report, device))
        files.append(MODEL_CARD)
    print(f"everything lies in {folder}: {', '.join(files)}")
