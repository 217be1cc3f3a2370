from __future__ import annotations

import csv
import dataclasses
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector import config
from detector.arithmetic.convolution import Convolution
from detector.errors import UserError
from detector.inspection.run import run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def given(tmp_path: Path) -> config.InspectModel:
    return config.InspectModel(
        model=config.FastRCNNOptions(max_proposals=10, width=32),
        backbone=config.CSPDarknetOptions(width=0.125, spp=False),
        neck=config.NoNeckOptions(),
        classes=3,
        image_size=96,
        depth=1,
        output=str(tmp_path / "ledger"),
    )


def test_table_and_file_have_the_same_totals(
    given: config.InspectModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = run(given).ledger
    printed = capsys.readouterr().out
    total = next(line for line in printed.splitlines() if line.startswith("total"))
    assert f"{ledger.parameters:,}" in total
    assert "10 regions (model.max_proposals)" in printed
    assert f"{2 * ledger.multiply_accumulates:,} counted by torch.utils.flop_counter" in printed
    with open(tmp_path / "ledger" / "ledger.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows if row["part"] == "roi_stage"][-1] == "roi_stage.box_changes"
    assert sum(int(row["parameters"]) for row in rows) == ledger.parameters
    assert sum(int(row["multiply_accumulates"]) for row in rows) == ledger.multiply_accumulates
    assert sum(int(row["counted_flops"]) for row in rows) == 2 * ledger.multiply_accumulates
    first = next(row for row in rows if row["kind"] == "Conv2d")
    assert (first["kernel"], first["stride"], first["field"], first["field_stride"]) == ("3x3", "2x2", "3x3", "2x2")


def test_a_deeper_table_has_all_layers(given: config.InspectModel, capsys: pytest.CaptureFixture[str]) -> None:
    layers = run(dataclasses.replace(given, depth=0)).ledger.layers
    printed = capsys.readouterr().out
    assert sum(line.split()[1:2] == ["Conv2d"] for line in printed.splitlines()) == sum(
        layer.kind == "Conv2d" for layer in layers
    )


def test_a_wrong_count_names_its_layer_and_is_exit_code_1(
    given: config.InspectModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    right = Convolution.multiply_accumulates

    def wrong(self: Convolution, size: tuple[int, ...]) -> int:
        return right(self, size) + (self.in_channels == 3)

    monkeypatch.setattr(Convolution, "multiply_accumulates", wrong)
    with pytest.raises(SystemExit) as stopped:
        run(given)
    assert stopped.value.code == 1
    assert "error: backbone.stages.0.0.convolution: " in capsys.readouterr().err
    assert '<p class="check wrong">WRONG' in (tmp_path / "ledger" / "model.html").read_text()


def test_pretrained_weights_are_not_looked_for(given: config.InspectModel) -> None:
    missing = config.Darknet53Options(weights="no/such/file")
    assert run(dataclasses.replace(given, backbone=missing)).ledger.parameters > 40e6


def test_an_image_of_ones_own_is_shown(given: config.InspectModel, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "red.png"), np.full((20, 40, 3), (0, 0, 255), dtype=np.uint8))
    run(given)
    run(dataclasses.replace(given, image=str(tmp_path / "red.png"), output=str(tmp_path / "red")))
    assert (tmp_path / "red" / "model.html").read_text() != (tmp_path / "ledger" / "model.html").read_text()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_size": 100}, ["image_size=100", "multiple of 32"]),
        ({"image": "nothing.png"}, ["image=nothing.png", "no such file"]),
        ({"image": __file__}, ["image=", "no image"]),
        ({"classes": 0}, ["classes=0"]),
        ({"depth": -1}, ["depth=-1"]),
        ({"output": str(ROOT)}, ["output=", "exists already"]),
        ({"neck": None}, ["neck=..."]),
    ],
)
def test_mistakes_are_answered_in_one_line(
    given: config.InspectModel, changes: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(UserError) as raised:
        run(dataclasses.replace(given, **changes))  # type: ignore[arg-type]
    assert all(word in str(raised.value) for word in words)
    assert "\n" not in str(raised.value)


def test_the_number_of_classes_comes_from_data_where_there_is_some(given: config.InspectModel) -> None:
    shapes = config.Shapes(train_images=2)
    tree = run(dataclasses.replace(given, data=shapes)).tree
    logits = next(child for child in tree.children[-1].children if child.label == "class_logits")
    assert logits.outputs == ((10, 6),)


@pytest.mark.slow
def test_the_script_needs_nothing_but_the_parts(tmp_path: Path) -> None:
    command = [sys.executable, "scripts/inspect_model.py", f"output={tmp_path / 'new'}", "depth=1"]
    done = subprocess.run([*command, "backbone=vgg16", "neck=fpn"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {file.name for file in (tmp_path / "new").iterdir()} == {"ledger.csv", "model.html"}
    done = subprocess.run([*command, "backbone=vgg1"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: backbone=vgg1: choose one of ")
