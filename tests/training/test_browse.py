import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from composition import command
from hydra.core.global_hydra import GlobalHydra

from detector import config
from detector.data.dataset import DetectionDataset, training_samples
from detector.data.read import read_index
from detector.errors import UserError
from detector.training.browse import browse
from detector.visualization.draw import class_color

ROOT = Path(__file__).resolve().parents[2]
SHAPES = config.Shapes(train_images=12, val_images=5, scene_size=128)
MOSAIC = config.Augment(name="mosaic", mosaic=1.0, mixing_off_epochs=10, flip_horizontal=0.5, scale=0.5, value=0.4)


def settings(folder: Path, **changes: Any) -> config.BrowseData:
    standard = config.BrowseData(
        data=SHAPES, augment=MOSAIC, image_size=128, rows=2, columns=3, output=str(folder / "sheet.png")
    )
    return replace(standard, **changes)


def read(file: Path) -> np.ndarray:
    picture = cv2.imread(str(file))
    assert picture is not None
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def cells(file: Path, rows: int, columns: int, side: int) -> list[np.ndarray]:
    """The images of a sheet [side, side, 3], each where the sheet's background leaves room for it."""
    sheet = read(file)
    gap = (sheet.shape[1] - columns * side) // (columns + 1)
    high = (sheet.shape[0] - gap) // rows
    corners = [(gap + row * high, gap + column * (side + gap)) for row in range(rows) for column in range(columns)]
    return [sheet[top : top + side, left : left + side] for top, left in corners]


@pytest.mark.parametrize("augment", [MOSAIC, config.Augment(name="none")], ids=["mosaic", "none"])
def test_the_sheet_shows_the_first_epochs_images_with_their_boxes(tmp_path: Path, augment: config.Augment) -> None:
    given = settings(tmp_path, augment=augment, seed=4)
    drawn = cells(browse(given), 2, 3, 128)
    # the images that a training of 100 epochs makes of the same seed
    dataset = DetectionDataset(read_index(SHAPES, "train"), 128, augment, seed=4, epochs=100)
    ids = [target.image_id for target in training_samples(dataset.index, 128, augment, 4, 6).targets]
    assert len(set(ids)) == len(drawn) == 6
    boxes = 0
    for cell, image_id in zip(drawn, ids, strict=True):
        position = [dataset.index.image_id(i) for i in range(len(dataset))].index(image_id)
        image, target = dataset[(0, position)]
        untouched = (cell == image.permute(1, 2, 0).numpy()).all(axis=2)
        assert untouched.mean() > 0.3
        for box, label in zip(target.boxes.round().int().tolist(), target.labels.tolist(), strict=True):
            left, top, right, bottom = box
            if min(right - left, bottom - top) < 30:
                continue
            frame = cell.copy()
            frame[top + 3 : bottom - 3, left + 3 : right - 3] = 0
            frame = frame[max(top - 3, 0) : bottom + 3, max(left - 3, 0) : right + 3]
            assert (frame == class_color(label)).all(axis=2).sum() > (right - left + bottom - top) / 2
            boxes += 1
    assert boxes > 5


def test_the_seed_alone_chooses_the_images() -> None:
    index = read_index(SHAPES, "train")

    def chosen(augment: config.Augment, seed: int) -> list[object]:
        return [target.image_id for target in training_samples(index, 64, augment, seed, 5).targets]

    assert chosen(MOSAIC, 0) == chosen(config.Augment(name="none"), 0)
    assert chosen(MOSAIC, 0) != chosen(MOSAIC, 1)


def test_a_sheet_of_few_images_has_no_empty_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = browse(settings(tmp_path, split="val", rows=3, columns=2))
    assert "5 of 5 images of data.val" in capsys.readouterr().out
    few = cells(file, 3, 2, 128)
    assert read(file).shape[0] > 3 * 128
    assert few[5].std() == 0  # the background
    assert all(cell.std() > 5 for cell in few[:5])


def test_without_output_each_sheet_gets_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = [browse(settings(tmp_path, output=None)) for _ in range(2)]
    assert files[0] != files[1]
    assert all(file.is_file() and file.name == "mosaic_train.png" for file in files)
    assert (tmp_path / "runs/browse_data/latest/mosaic_train.png").is_file()


def test_missing_images_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": 40, "width": 50} for i in range(4)],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": [10, 10, 20, 20]} for i in range(4)],
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    (tmp_path / "train").mkdir()
    for i in (0, 1, 3):
        cv2.imwrite(str(tmp_path / "train" / f"{i}.png"), np.full((40, 50, 3), 99, dtype=np.uint8))
    given = settings(tmp_path, data=config.Coco(root=str(tmp_path), train="train.json"))
    browse(given)
    printed = capsys.readouterr().out
    assert "1 missing image left out, the first " in printed
    assert "2.png" in printed
    assert "3 of 3 images" in printed
    for i in (0, 1, 3):
        (tmp_path / "train" / f"{i}.png").unlink()
    with pytest.raises(UserError, match=r"data\.train: none of its 4 images is there"):
        browse(replace(given, output=str(tmp_path / "other.png")))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"split": "tain"}, "split=tain: choose one of train, val, test"),
        ({"rows": 0}, "rows=0: must be 1 or more"),
        ({"columns": -1}, "columns=-1: must be 1 or more"),
        ({"image_size": 100}, "image_size=100 is not a multiple of 32"),
        ({"output": "sheet.jpg"}, "ends in .png"),
        ({"output": "nowhere/sheet.png"}, "there is no folder nowhere"),
        ({"augment": config.Augment(name="x", mosaic=2.0)}, "mosaic"),
    ],
)
def test_a_value_that_cannot_be_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words.replace(".", r"\.")):
        browse(settings(tmp_path, **changes))
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_sheet_is_not_overwritten(tmp_path: Path) -> None:
    before = browse(settings(tmp_path)).read_bytes()
    with pytest.raises(UserError, match=r"sheet\.png: exists already"):
        browse(settings(tmp_path, augment=config.Augment(name="none")))
    assert (tmp_path / "sheet.png").read_bytes() == before


def test_the_command_composes_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = ["data=shapes", "data.train_images=4", "augment=mosaic", "image_size=64", "rows=1", "columns=2"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["browse_data.py", *overrides, "output=sheet.png"])
    GlobalHydra.instance().clear()
    command("browse_data", browse)
    assert read(tmp_path / "sheet.png").shape[1] >= 2 * 64


@pytest.mark.slow
def test_a_wrong_path_gets_one_line_and_exit_code_2(tmp_path: Path) -> None:
    script = str(ROOT / "scripts" / "browse_data.py")
    arguments = [sys.executable, script, "data=voc", "data.root=nowhere", "augment=mosaic"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: data.root: no folder")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
