import csv
import dataclasses
import errno
import json
import multiprocessing.synchronize
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import detector.training.train as train_file
from detector import config
from detector.checkpoint import open_checkpoint
from detector.data.index import Index
from detector.errors import RunError, UserError
from detector.evaluation.results import FlatResults, read_flat_results
from detector.training import measuring
from detector.training import module as module_file
from detector.training.run_folder import read_config
from detector.training.train import train

Configure = Callable[..., config.Train]


def resumed(folder: Path) -> config.Train:
    return dataclasses.replace(read_config(folder), resume=str(folder))


def state(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]


class PowerCutError(Exception):
    """Raised in the middle of an epoch."""


def stop_in_epoch(monkeypatch: pytest.MonkeyPatch, epoch: int, batch: int) -> None:
    step = module_file.DetectionModule.training_step

    def training_step(self: module_file.DetectionModule, data: object, index: int) -> torch.Tensor:
        if self.current_epoch == epoch and index == batch:
            raise PowerCutError
        return step(self, data, index)  # type: ignore[arg-type]

    monkeypatch.setattr(module_file.DetectionModule, "training_step", training_step)


def test_a_run_leaves_everything_in_its_folder(tiny: Configure) -> None:
    folder = train(tiny(logger=config.TensorBoard()))
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "config.yaml", "environment.json", "metrics.csv", "tensorboard", "best.ckpt", "last.ckpt", "metrics.json",
        "detections.json", "analysis.json", "report.html",
        "train_batch.png", "predictions.png", "curves.png",
    }  # fmt: skip
    metrics = json.loads((folder / "metrics.json").read_text())
    coco = {"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"}
    assert metrics.keys() >= coco | {"per_class", "parameters", "train_seconds", "images_per_second", "epochs"}
    assert metrics["epochs"] == 2
    detector = open_checkpoint(folder / "best.ckpt").detector()
    assert metrics["parameters"] == sum(weight.numel() for weight in detector.parameters())
    assert (folder.parent / "latest").resolve() == folder.resolve()


def test_the_last_epoch_is_evaluated_whatever_evaluate_every_says(tiny: Configure) -> None:
    trainer = config.Trainer(epochs=3, evaluate_every=2, accelerator="cpu", progress=False)
    with open(train(tiny(trainer=trainer)) / "metrics.csv", newline="") as opened:
        evaluated = [row["epoch"] for row in csv.DictReader(opened) if row["val/AP"]]
    assert evaluated == ["1", "2"]


@pytest.mark.parametrize(
    ("mixing", "off", "words"), [({"mosaic": 1.0, "cutmix": 0.5}, 1, "no mosaic or cutmix in this run"), ({}, 9, None)]
)
def test_a_run_too_short_to_mix_images_says_so(
    tiny: Configure, capsys: pytest.CaptureFixture[str], mixing: dict[str, float], off: int, words: str | None
) -> None:
    augment = config.Augment(name="short", mixing_off_epochs=off, **mixing)  # type: ignore[arg-type]
    train(tiny(augment=augment, trainer=config.Trainer(epochs=1, accelerator="cpu", progress=False)))
    said = [line for line in capsys.readouterr().out.splitlines() if "mixing_off_epochs" in line]
    assert len(said) == (words is not None)
    assert words is None or words in said[0]


def test_a_machine_without_shared_memory_is_said_whatever_fails_after_it(
    tiny: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning's clean-up raises an error of its own where the first loader could not be started."""

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(multiprocessing.synchronize.SemLock, "__init__", full)
    data = config.Shapes(scene_size=96, train_images=4, val_images=2, batch_size=4, workers=1)
    with pytest.raises(RunError, match=r"no loader process .* training data: No space left on device; data\.workers=0"):
        train(tiny(data=data))


def test_a_second_run_of_the_same_name_gets_a_folder_of_its_own(tiny: Configure) -> None:
    settings = tiny(trainer=config.Trainer(epochs=1, accelerator="cpu", progress=False))
    first, second = train(settings), train(settings)
    assert first != second
    assert (first / "metrics.json").is_file()


ON_PROPOSALS = config.RCNNOptions(search_side=96, max_proposals=60, sampled_regions=8)


@pytest.mark.parametrize(
    ("model", "workers", "optim"),
    [
        (config.SingleShotOptions(), 2, config.AdamWOptions(warmup_epochs=1.0)),
        *(
            pytest.param(*row, marks=pytest.mark.slow)
            for row in (
                (config.SingleShotOptions(), 0, config.ScheduleFreeOptions(warmup_epochs=1.5)),
                (config.FasterRCNNOptions(channels=16, width=32), 0, config.AdamWOptions(warmup_epochs=1.0)),
                (config.SingleShotOptions(), 0, config.AdamWOptions(warmup_epochs=1.0)),
                (config.SingleShotOptions(), 2, config.ScheduleFreeOptions(warmup_epochs=1.5)),
                (config.SingleShotOptions(), 0, config.SGDOptions(schedule="one_cycle")),
                (config.FasterRCNNOptions(channels=16, width=32), 0, config.ScheduleFreeOptions(warmup_epochs=1.5)),
                (ON_PROPOSALS, 2, config.AdamWOptions(warmup_epochs=1.0)),
                (ON_PROPOSALS, 0, config.ScheduleFreeOptions(warmup_epochs=1.5)),
                (
                    config.FastRCNNOptions(search_side=96, channels=16, width=32),
                    0,
                    config.AdamWOptions(warmup_epochs=1.0),
                ),
            )
        ),
    ],
    ids=lambda value: value.name if isinstance(value, config.ModelOptions | config.OptimizerOptions) else value,
)
def test_four_epochs_equal_two_then_a_resume_of_two_exactly(
    tiny: Configure,
    monkeypatch: pytest.MonkeyPatch,
    model: config.ModelOptions,
    workers: int,
    optim: config.OptimizerOptions,
) -> None:
    settings = tiny(
        model=model,
        optim=optim,
        data=config.Shapes(scene_size=96, train_images=12, val_images=6, batch_size=4, workers=workers),
        trainer=config.Trainer(
            epochs=4, accelerator="cpu", precision="fp32", progress=False, multi_scale=0.3, adversarial=0.5, scale_lr=True
        ),
        augment=config.Augment(
            name="all", mosaic=0.7, mixing_off_epochs=1, flip_horizontal=0.5, scale=0.3, hue=0.1, mixup=0.3,
            albumentations=[{"name": "GaussianBlur", "p": 0.5}],
        ),
    )  # fmt: skip
    whole = train(settings)
    with monkeypatch.context() as patched:
        stop_in_epoch(patched, epoch=2, batch=1)
        with pytest.raises(PowerCutError):
            train(settings)
    stopped = (whole.parent / "latest").resolve()
    assert stopped != whole.resolve()
    assert torch.load(stopped / "last.ckpt", weights_only=True)["epoch"] == 1
    train(resumed(stopped))

    expected, found = state(whole), state(stopped)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
    first, second = (json.loads((folder / "metrics.json").read_text()) for folder in (whole, stopped))
    for key in ("AP", "AP50", "best_epoch", "epochs"):
        assert first[key] == second[key]
    logged = [list(csv.DictReader((folder / "metrics.csv").open())) for folder in (whole, stopped)]
    measured = [[(row["epoch"], row["val/AP"]) for row in rows if row["val/AP"]] for rows in logged]
    assert measured[0] == measured[1]
    assert [epoch for epoch, _ in measured[0]] == ["0", "1", "2", "3"]
    carried = [open_checkpoint(folder / "last.ckpt").history for folder in (whole, stopped)]
    assert carried[0] == carried[1]
    assert [row["epoch"] for row in carried[0]] == [1, 2, 3, 4]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tiny: Configure) -> None:
    trainer = config.Trainer(epochs=1, accelerator="cpu", precision="fp32", progress=False)
    first, again, other = (state(train(tiny(trainer=trainer, seed=seed))) for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_evaluation_changes_no_weight_and_no_buffer(tiny: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    start, end = (getattr(module_file.DetectionModule, f"on_validation_epoch_{when}") for when in ("start", "end"))
    before: dict[str, torch.Tensor] = {}

    def on_start(self: module_file.DetectionModule) -> None:
        before.update({name: value.clone() for name, value in self.state_dict().items()})
        start(self)

    def on_end(self: module_file.DetectionModule) -> None:
        end(self)
        seen.append(all(torch.equal(before[name], value) for name, value in self.state_dict().items()))

    monkeypatch.setattr(module_file.DetectionModule, "on_validation_epoch_start", on_start)
    monkeypatch.setattr(module_file.DetectionModule, "on_validation_epoch_end", on_end)
    train(tiny())
    assert seen == [True, True]


def test_best_checkpoint_is_the_best_average_and_scores_what_the_run_says(tiny: Configure) -> None:
    from detector.data.module import DetectionData
    from detector.evaluation.evaluate import evaluate
    from detector.evaluation.results import read_results

    settings = tiny()
    folder = train(settings)
    best = open_checkpoint(folder / "best.ckpt")
    raw = torch.load(folder / "best.ckpt", weights_only=True)["state_dict"]
    name = "head.class_branches.P3.0.convolution.weight"
    assert torch.equal(best.weights[name], raw[f"ema.module.{name}"])
    assert not torch.equal(best.weights[name], raw[f"detector.{name}"])

    data = DetectionData.read(settings.data, settings.augment, settings.image_size)

    def found_by(detector: Any) -> list[dict[str, Any]]:
        results = []
        for batch in data.val_dataloader():
            for target, found in zip(batch.targets, detector.detect(batch.images), strict=True):
                original = found.to_original(target.transform, target.original_size)
                results += original.to_coco(target.image_id, best.category_ids)
        return results

    def boxes(results: list[dict[str, Any]]) -> list[list[float]]:
        return [[*one["bbox"], one["score"], one["category_id"]] for one in results]

    stored = read_results(folder / "detections.json", data.val_index)
    results = found_by(best.detector())
    assert len(results) > 100
    assert [one["image_id"] for one in results] == [one["image_id"] for one in stored]
    assert np.allclose(boxes(results), boxes(stored), rtol=0, atol=1e-3)
    detector = best.detector()
    detector.load_state_dict({k.removeprefix("detector."): v for k, v in raw.items() if k.startswith("detector.")})
    others = found_by(detector.eval())
    assert len(others) != len(stored) or not np.allclose(boxes(others), boxes(stored), rtol=0, atol=1.0)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert evaluate(data.val_index, results)["AP"] == metrics["AP"]
    assert {key: metrics[key] for key in evaluate(data.val_index, stored)} == evaluate(data.val_index, stored)


def test_detections_are_those_of_the_best_evaluation_and_replaced_whole(
    tiny: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    aps = iter([0.2, None, 0.1])
    measured: list[FlatResults] = []
    indices: list[Index] = []

    def evaluate(index: Index, results: FlatResults, engine: str) -> dict[str, object]:
        measured.append(results)
        indices.append(index)
        return {**measure(index, results), "AP": next(aps), "AP50": None}

    measure = measuring.evaluate
    monkeypatch.setattr(measuring, "evaluate", evaluate)
    monkeypatch.setattr(train_file, "table", lambda metrics: "")
    folder = train(tiny(trainer=config.Trainer(epochs=3, accelerator="cpu", precision="fp32", progress=False)))
    assert len({results.scores.tobytes() for results in measured}) == 3
    kept = read_flat_results(folder / "detections.json", indices[0])
    assert all(np.array_equal(getattr(kept, name), value) for name, value in vars(measured[0]).items())
    assert not list(folder.glob(".*.unfinished"))


def test_a_loss_that_is_not_finite_stops_the_run_and_names_step_term_and_images(
    tiny: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detector.losses.criterion import Criterion

    measure = Criterion.__call__
    calls = 0

    def poisoned(self: Criterion, *arguments: object) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        losses = measure(self, *arguments)  # type: ignore[arg-type]
        return {**losses, "box": losses["box"] * float("nan")} if calls == 3 else losses

    monkeypatch.setattr(Criterion, "__call__", poisoned)
    with pytest.raises(UserError, match=r"step 3: the box loss is nan; images of the batch: \d+(, \d+){3}"):
        train(tiny())


def test_a_frozen_backbone_stays_as_it_was_and_is_trained_afterwards(tiny: Configure) -> None:
    from detector.checkpoint import build

    def backbone_after(epochs: int) -> dict[str, torch.Tensor]:
        trainer = config.Trainer(epochs=epochs, accelerator="cpu", progress=False, frozen_epochs=1, ema=0.0)
        folder = train(tiny(trainer=trainer))
        return {k: v for k, v in open_checkpoint(folder / "last.ckpt").weights.items() if k.startswith("backbone.")}

    import lightning

    lightning.seed_everything(0, verbose=False)
    untrained = build(tiny(), classes=5).state_dict()
    assert all(torch.equal(value, untrained[name]) for name, value in backbone_after(1).items())
    assert not all(torch.equal(value, untrained[name]) for name, value in backbone_after(2).items())


def test_a_run_stopped_in_its_first_epoch_starts_again_in_its_folder(
    tiny: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tiny())
    with monkeypatch.context() as patched:
        stop_in_epoch(patched, epoch=0, batch=2)
        with pytest.raises(PowerCutError):
            train(tiny())
    stopped = (whole.parent / "latest").resolve()
    (stopped / "metrics.csv").write_text("epoch,val/AP\n7,0.5\n")
    assert train(resumed(stopped)) == stopped
    again = state(stopped)
    assert all(torch.equal(value, again[name]) for name, value in state(whole).items())
    rows = [list(csv.DictReader((folder / "metrics.csv").open())) for folder in (whole, stopped)]
    assert [row["epoch"] for row in rows[0]] == [row["epoch"] for row in rows[1]]


def test_two_processes_cannot_train_in_one_folder(tiny: Configure) -> None:
    folder = train(tiny(trainer=config.Trainer(epochs=1, accelerator="cpu", progress=False)))
    script = (
        "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    )
    arguments = [sys.executable, "-c", script, str(folder / ".lock")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        longer = config.Trainer(epochs=2, accelerator="cpu", progress=False)
        with pytest.raises(UserError, match="another process is training there"):
            train(dataclasses.replace(resumed(folder), trainer=longer))
        holder.kill()


def test_resuming_what_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a run folder"):
        read_config(tmp_path)


def test_accumulated_batches_make_one_step(tiny: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    updates: list[torch.nn.Module] = []
    monkeypatch.setattr(module_file.AveragedDetector, "update", lambda self, detector: updates.append(detector))
    trainer = config.Trainer(epochs=1, accelerator="cpu", progress=False, accumulate=2)
    folder = train(tiny(trainer=trainer))  # 12 images: 3 batches of 4, 2 steps
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 2
    assert len(updates) == 2
