"""Files that an earlier version of this project wrote still open, and mean what they meant.

`kept_run` was made by the code before checkpoints had a format number, with the network of `darknet_files.SMALL` as
`small.cfg`:

    detector train data=shapes data.scene_size=64 data.train_images=32 data.val_images=16 data.test_images=4 data.workers=0 \\
        image_size=64 model=darknet model.cfg=small.cfg augment=none trainer.epochs=60 trainer.evaluate_every=20 \\
        trainer.ema=0.99 trainer.accelerator=cpu trainer.precision=fp32 optim.lr=0.02 optim.warmup_epochs=1 logger=csv \\
        trainer.progress=false name=kept

Of its folder `best.ckpt`, `last.ckpt` and `config.yaml` are kept. They are never written anew.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from darknet_files import SMALL
from saved_checkpoint import save_checkpoint

import detector
from detector import config
from detector.assigners.task_aligned import TaskAlignedAssignerOptions
from detector.checkpoint import FORMAT, KEY, open_checkpoint
from detector.data.formats.shapes import CLASS_NAMES
from detector.errors import UserError
from detector.losses import CriterionOptions
from detector.training.run_folder import read_config
from detector.training.train import train

KEPT = Path(__file__).parent / "kept_run"
Configure = Callable[..., config.Train]


def test_a_file_without_a_format_number_holds_what_it_held() -> None:
    content = torch.load(KEPT / "best.ckpt", weights_only=True)
    assert "format" not in content[KEY], "the file of this test is not of the earlier format"
    opened = open_checkpoint(KEPT / "best.ckpt")
    assert (opened.class_names, opened.category_ids, opened.epoch) == (CLASS_NAMES, (1, 2, 3, 4, 5), 19)
    assert isinstance(opened.options.model, config.DarknetOptions)
    assert (opened.options.model.cfg_text, opened.options.image_size) == (SMALL, 64)
    assert opened.run is not None
    assert (opened.run.trainer.epochs, opened.run.name) == (60, "kept")
    assert opened.run.model == opened.options.model
    averaged = {name for name in content["state_dict"] if name.startswith("ema.module.")}
    assert {f"ema.module.{name}" for name in opened.weights} == averaged


def test_it_is_measured_as_the_run_that_wrote_it_measured_it(tmp_path: Path) -> None:
    best = torch.load(KEPT / "best.ckpt", weights_only=True)[KEY]["best"]
    found = detector.evaluate(KEPT / "best.ckpt", accelerator="cpu", output=tmp_path / "out")
    assert best["AP"] > 0.04
    for name in ("AP", "AP50", "AR100"):
        assert found[name] == pytest.approx(best[name], abs=2e-3)  # rounding differs between machines


def test_its_run_goes_on_and_writes_the_format_of_today(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    shutil.copytree(KEPT, folder)
    settings = read_config(folder)
    longer = dataclasses.replace(settings.trainer, epochs=61)
    train(dataclasses.replace(settings, resume=str(folder), trainer=longer))
    content = torch.load(folder / "last.ckpt", weights_only=True)
    assert content["epoch"] == 60
    assert content[KEY]["format"] == FORMAT
    assert content[KEY]["run"]["config"].keys().isdisjoint(content[KEY]["model"]["options"])
    assert open_checkpoint(folder / "last.ckpt").options.model == settings.model
    assert [row["epoch"] for row in open_checkpoint(folder / "last.ckpt").history] == [61]


def test_a_format_of_a_newer_version_is_refused_in_one_line(tiny: Configure, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), CLASS_NAMES)
    content = torch.load(file, weights_only=True)
    content[KEY]["format"] = FORMAT + 1
    torch.save(content, file)
    with pytest.raises(UserError) as caught:
        open_checkpoint(file)
    assert str(caught.value) == (
        f"checkpoint={file}: has format {FORMAT + 1}, of a newer version of this project than this one, which reads formats "
        f"up to {FORMAT}: update it (pip install -U detector-lab)"
    )


@pytest.mark.parametrize("value", ["2", True, None, 0, -1])
def test_a_format_that_is_no_number_is_refused(value: Any, tiny: Configure, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), CLASS_NAMES)
    content = torch.load(file, weights_only=True)
    content[KEY]["format"] = value
    torch.save(content, file)
    with pytest.raises(UserError, match=r"a\.ckpt: is not a checkpoint of this project: its format is"):
        open_checkpoint(file)


def test_detecting_and_measuring_build_neither_assigner_nor_losses(
    tiny: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), CLASS_NAMES)

    def refuse(*_: object) -> None:
        raise AssertionError("built for a checkpoint that is only to detect")

    monkeypatch.setattr(TaskAlignedAssignerOptions, "build", refuse)
    monkeypatch.setattr(CriterionOptions, "build", refuse)
    model = detector.load(file, accelerator="cpu")
    assert len(model.predict(torch.zeros(40, 60, 3, dtype=torch.uint8).numpy(), score=0.0))
    detector.evaluate(file, accelerator="cpu", output=tmp_path / "out")
    with pytest.raises(AssertionError, match="only to detect"):
        train(tiny())
    with pytest.raises(RuntimeError, match="built to detect"):
        open_checkpoint(file).detector().losses(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), [])  # type: ignore[operator]
