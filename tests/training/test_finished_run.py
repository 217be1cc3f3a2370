import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from detector import config
from detector.data.index import Index
from detector.errors import UserError
from detector.evaluation.results import FlatResults
from detector.training.run_folder import read_config
from detector.training.train import train

Configure = Callable[..., config.Train]


def trainer(epochs: int, **more: object) -> config.Trainer:
    return config.Trainer(epochs=epochs, accelerator="cpu", precision="fp32", progress=False, **more)  # type: ignore[arg-type]


def resumed(folder: Path, epochs: int | None = None) -> config.Train:
    settings = dataclasses.replace(read_config(folder), resume=str(folder))
    return (
        settings
        if epochs is None
        else dataclasses.replace(settings, trainer=dataclasses.replace(settings.trainer, epochs=epochs))
    )


def rates(folder: Path) -> list[float]:
    state = torch.load(folder / "last.ckpt", weights_only=True)
    return [state["optimizer_states"][0]["param_groups"][0]["lr"], state["lr_schedulers"][0]["_last_lr"][0]]


def test_a_finished_run_says_so_and_stays_as_it_is(tiny: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train(tiny(trainer=trainer(1)))
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    capsys.readouterr()
    assert train(resumed(folder)) == folder
    said = capsys.readouterr().out
    assert said == f"finished: 1 of 1 epochs; resume={folder} trainer.epochs=2 trains longer\n"
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_run_stopped_between_its_last_epoch_and_its_results_writes_them(tiny: Configure) -> None:
    folder = train(tiny(trainer=trainer(1)))
    written = json.loads((folder / "metrics.json").read_text())
    log = (folder / "metrics.csv").read_text()
    for name in ("metrics.json", "predictions.png", "curves.png"):
        (folder / name).unlink()
    train(resumed(folder))
    assert json.loads((folder / "metrics.json").read_text()) == written
    assert (folder / "predictions.png").is_file()
    assert (folder / "metrics.csv").read_text() == log


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["cosine", "constant", "one_cycle"])
def test_a_longer_run_follows_the_schedule_of_its_new_length(
    tiny: Configure, capsys: pytest.CaptureFixture[str], schedule: str
) -> None:
    optim = config.SGDOptions(schedule=schedule, lr=0.01, warmup_epochs=1.0)
    augment = config.Augment(name="m", mosaic=0.5, mixing_off_epochs=1)
    folder = train(tiny(optim=optim, augment=augment, trainer=trainer(2)))
    best = json.loads((folder / "metrics.json").read_text())["AP"]
    before = rates(folder)[0]
    capsys.readouterr()
    train(resumed(folder, 4))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("goes on to 4 epochs")]
    assert "instead of 2, 2 are done" in line
    assert "mosaic is on until epoch 3" in line
    if schedule == "constant":
        assert "the learning rate stays 0.01" in line
    else:
        start = line.split("the learning rate goes from ")[1].split(" here")[0]
        first, second = map(float, start.split(" to "))
        assert first == pytest.approx(before, rel=0.01)
        assert second > first
    assert read_config(folder).trainer.epochs == 4
    assert torch.load(folder / "last.ckpt", weights_only=True)["epoch"] + 1 == 4
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["epochs"] == 4
    assert metrics["AP"] >= best
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["epoch"] for row in rows if row["val/AP"]] == ["0", "1", "2", "3"]

    whole = train(tiny(optim=optim, augment=augment, trainer=trainer(4), name="whole"))
    assert rates(folder) == pytest.approx(rates(whole), rel=1e-6)


def test_a_length_below_what_is_trained_is_refused(tiny: Configure) -> None:
    folder = train(tiny(trainer=trainer(2)))
    with pytest.raises(UserError, match=r"trainer\.epochs=1: the run has trained 2 epochs already"):
        train(resumed(folder, 1))


def test_a_run_that_patience_ended_is_finished(tiny: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    optim = config.SGDOptions(schedule="constant", lr=1e-9, warmup_epochs=0.0)
    folder = train(tiny(optim=optim, trainer=trainer(9, patience=1, ema=0.0)))
    done = torch.load(folder / "last.ckpt", weights_only=True)["epoch"] + 1
    assert done < 9
    capsys.readouterr()
    train(resumed(folder))
    assert capsys.readouterr().out.startswith(f"finished: {done} of 9 epochs, ended by trainer.patience; ")
    (folder / "metrics.json").unlink()
    train(resumed(folder))
    assert json.loads((folder / "metrics.json").read_text())["epochs"] == done


@pytest.mark.parametrize("every", [1, 9])
def test_a_validation_split_without_objects_trains_and_keeps_the_last_checkpoint(
    tiny: Configure, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    from detector.evaluation.evaluate import evaluate
    from detector.training import measuring

    def of_nothing(index: Index, results: FlatResults, engine: str) -> dict[str, object]:
        return {**evaluate(index, results, engine), "AP": None, "AP50": None}

    monkeypatch.setattr(measuring, "evaluate", of_nothing)
    folder = train(tiny(trainer=trainer(2, patience=1, evaluate_every=every)))
    assert (folder / "last.ckpt").is_file()
    assert not (folder / "best.ckpt").exists()
    said = capsys.readouterr().out
    assert "nothing was measured" in said
    assert "best.ckpt" not in said.splitlines()[-1]


def test_evaluation_less_often_than_there_are_epochs_measures_the_last_one(tiny: Configure) -> None:
    folder = train(tiny(trainer=trainer(2, evaluate_every=5)))
    assert {"best.ckpt", "last.ckpt", "metrics.json"} <= {path.name for path in folder.iterdir()}
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["epoch"] for row in rows if row["val/AP"]] == ["1"]


def test_weights_that_are_not_finite_never_replace_a_good_checkpoint(
    tiny: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detector.training.module import DetectionModule

    def poison(self: DetectionModule) -> None:
        if self.current_epoch == 1:
            next(self.detector.parameters()).data[0] = float("nan")

    monkeypatch.setattr(DetectionModule, "on_train_epoch_end", poison, raising=False)
    settings = tiny(trainer=trainer(3, ema=0.0))
    with pytest.raises(UserError, match=r"epoch 2, step 6: 1 weights are no longer finite .*last\.ckpt is from before"):
        train(settings)
    (folder,) = (path for path in (Path(settings.runs) / settings.name).iterdir() if not path.is_symlink())
    state = torch.load(folder / "last.ckpt", weights_only=True)
    assert state["epoch"] == 0
    assert all(value.isfinite().all() for value in state["state_dict"].values())
