from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from detector import config
from detector.errors import UserError
from detector.training import loggers
from detector.training.train import train

Configure = Callable[..., config.Train]


@pytest.mark.parametrize("logger", [config.Wandb(), config.MLflow()], ids=lambda logger: logger.name)
def test_a_logger_that_is_not_installed_is_named_with_its_extra_before_there_is_a_run_folder(
    logger: config.Logger, tiny: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda package: None)
    settings = tiny(logger=logger)
    with pytest.raises(UserError, match=rf"logger={logger.name}: needs .*pip install 'detector-lab\[{logger.name}\]'"):
        train(settings)
    assert not Path(settings.runs).exists()


def test_wandb_gets_the_metrics_of_a_run(tiny: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = train(tiny(logger=config.Wandb(project="p")))
    summary = dict(wandb.run.summary)
    assert wandb.run.project == "p"
    wandb.finish()
    assert "val/AP" in summary
    assert list(folder.glob("wandb/offline-run-*/*.wandb"))
    assert (folder / "metrics.csv").is_file()


def test_mlflow_gets_the_metrics_of_a_run_and_a_run_that_goes_on_is_the_same_there(
    tiny: Configure, tmp_path: Path
) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    settings = tiny(logger=config.MLflow(tracking_uri=uri))
    folder = train(settings)
    client = mlflow.MlflowClient(uri)
    run_id = (folder / "mlflow_run_id.txt").read_text().strip()
    assert "val/AP" in client.get_run(run_id).data.metrics
    assert client.get_run(run_id).data.params["seed"] == str(settings.seed)
    trainer = dataclasses.replace(settings.trainer, epochs=3)
    train(dataclasses.replace(settings, trainer=trainer, resume=str(folder)))
    assert [point.value for point in client.get_metric_history(run_id, "epoch")][-1] == 2
    experiment = client.get_experiment_by_name(settings.name)
    assert experiment is not None
    assert [run.info.run_id for run in client.search_runs([experiment.experiment_id])] == [run_id]
