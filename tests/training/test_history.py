from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import detector
from detector import config
from detector.checkpoint import KEY, open_checkpoint
from detector.errors import UserError
from detector.training.history import History
from detector.training.train import train
from detector.visualization.pictures import curves_of_history

Configure = Callable[..., config.Train]


def _logged(folder: Path, column: str) -> dict[int, list[float]]:
    """Epoch, from 1, → values that `metrics.csv` has of it; of runs this short it has every step."""
    rows: dict[int, list[float]] = {}
    with (folder / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row[column]:
                rows.setdefault(int(row["epoch"]) + 1, []).append(float(row[column]))
    return rows


def test_a_lone_checkpoint_knows_what_its_run_measured(tiny: Configure, tmp_path: Path) -> None:
    folder = train(tiny(trainer=config.Trainer(epochs=3, accelerator="cpu", precision="fp32", progress=False)))
    whole, best = (open_checkpoint(folder / name) for name in ("last.ckpt", "best.ckpt"))
    assert [row["epoch"] for row in whole.history] == [1, 2, 3]
    assert [row["step"] for row in whole.history] == [3, 6, 9]
    assert best.history == whole.history[: best.epoch + 1]
    losses = [name for name in whole.history[0] if name.startswith("train/")]
    assert len(losses) > 2
    for name in (*losses, "val/AP", "val/AR100"):
        logged = _logged(folder, name)
        for row in whole.history:
            assert row[name] == pytest.approx(np.mean(logged[int(row["epoch"])]), rel=1e-5, abs=1e-7), name
    rates = [row["lr"] for row in whole.history]
    assert rates[0] > rates[1] > rates[2] >= 0

    alone = Path(folder / "last.ckpt").rename(tmp_path / "alone.ckpt")
    detector.evaluate(alone, accelerator="cpu", output=tmp_path / "out")
    with Image.open(tmp_path / "out" / "curves.png") as picture:
        assert min(picture.size) > 400
    assert detector.load(alone, accelerator="cpu").history == whole.history


def test_a_row_has_the_losses_of_its_own_epoch_alone() -> None:
    history = History()
    for epoch, value in ((1, 8.0), (2, 1.0), (2, 3.0)):
        history.add_step(epoch, ["box", "class"], torch.tensor([value, 2 * value]))
    history.add_evaluation(2, 3, 0.1, {"AP": 0.25, "APs": None, "per_class": {}})
    history.add_evaluation(3, 4, 0.1, {"AP": 0.5})
    first, second = history.rows
    assert first == {
        "epoch": 2,
        "step": 3,
        "lr": 0.1,
        "train/loss": 6,
        "train/box": 2,
        "train/class": 4,
        "val/AP": 0.25,
    }
    assert second == {"epoch": 3, "step": 4, "lr": 0.1, "val/AP": 0.5}
    curves = curves_of_history(history.rows)
    assert curves["val/AP"][0].tolist() == [2, 3]
    assert curves["train/box"][0].tolist() == [2]
    assert "step" not in curves


@pytest.mark.parametrize("history", ["rows", [1.0], [{"val/AP": "0.5"}], [{1: 0.5}]])
def test_a_history_that_is_none_is_refused_in_one_line(history: object, tmp_path: Path) -> None:
    kept = Path(__file__).resolve().parents[1] / "kept_run" / "best.ckpt"
    content = torch.load(kept, weights_only=True)
    assert open_checkpoint(kept).history == ()
    del content[KEY]["digest"]
    content[KEY]["history"] = history
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match=r"a\.ckpt: .* its history is no list of named numbers$"):
        open_checkpoint(tmp_path / "a.ckpt")
