from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from detector.errors import UserError
from detector.types import Batch, Detections, Target
from detector.visualization import pictures
from detector.visualization.draw import class_color
from detector.visualization.pictures import batch_picture, curves_picture, predictions_picture

NAMES = ("cat", "dog")


def make_target(boxes: list[list[float]], labels: list[int], crowd: list[bool] | None = None) -> Target:
    return Target(
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        crowd=torch.tensor(crowd or [False] * len(labels), dtype=torch.bool),
        area=torch.zeros(len(labels)),
        image_id="picture",
        original_size=(160, 160),
        transform=torch.eye(3),
    )


def count(picture: np.ndarray, label: int) -> int:
    return int((picture == class_color(label)).all(axis=2).sum())


def grey(value: int = 127) -> np.ndarray:
    return np.full((160, 160, 3), value, dtype=np.uint8)


def test_a_batch_is_drawn_with_the_boxes_of_each_image_on_it() -> None:
    images = torch.stack([torch.full((3, 160, 160), value, dtype=torch.uint8) for value in (100, 101, 102)])
    targets = [make_target([[40, 60, 100, 120]], [0]), make_target([], []), make_target([[20, 80, 80, 140]], [1])]
    picture = batch_picture(Batch(images, targets), NAMES)
    places = [np.nonzero((picture == value).all(axis=2)) for value in (100, 101, 102)]
    assert len(places[1][0]) == 160 * 160  # no object, nothing drawn
    for value, label, box in ((0, 0, (40, 60, 100, 120)), (2, 1, (20, 80, 80, 140))):
        top, left = places[value][0].min(), places[value][1].min()
        cell = picture[top : top + 160, left : left + 160]
        assert (cell[box[1] : box[3], box[0] - 1] == class_color(label)).all()
        assert count(cell, 1 - label) == 0
    assert picture.dtype == np.uint8


def test_colours_of_a_batch_are_rgb() -> None:
    images = torch.zeros(1, 3, 160, 160, dtype=torch.uint8)
    images[:, 0] = 201
    picture = batch_picture(Batch(images, [make_target([], [])]), NAMES)
    assert (picture == (201, 0, 0)).all(axis=2).sum() == 160 * 160


def test_at_most_so_many_images_of_a_batch_are_drawn() -> None:
    batch = Batch(torch.full((7, 3, 160, 160), 7, dtype=torch.uint8), [make_target([], [])] * 7)
    for most, drawn in ((4, 4), (16, 7)):
        picture = batch_picture(batch, NAMES, most=most)
        assert (picture == 7).all(axis=2).sum() == drawn * 160 * 160


def test_a_crowd_is_told_from_an_object() -> None:
    images = torch.full((1, 3, 160, 160), 90, dtype=torch.uint8)
    pair = [
        batch_picture(Batch(images, [make_target([[40, 60, 100, 120]], [0], [crowd])]), NAMES)
        for crowd in (False, True)
    ]
    assert (pair[0] != pair[1]).any()


def test_annotations_are_left_and_detections_above_the_score_right() -> None:
    targets = [make_target([[40, 60, 100, 120]], [0]), make_target([], [])]
    detections = [
        Detections(
            torch.tensor([[30.0, 60, 90, 120], [10, 90, 60, 150]]), torch.tensor([0.9, 0.2]), torch.tensor([1, 1])
        ),
        Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)),
    ]
    picture = predictions_picture([grey(), grey()], targets, detections, NAMES)
    left, right = picture[:, : picture.shape[1] // 2], picture[:, picture.shape[1] // 2 :]
    assert count(left, 0) > 200
    assert count(left, 1) == 0
    assert count(right, 0) == 0
    assert count(right, 1) > 200
    lower = predictions_picture([grey(), grey()], targets, detections, NAMES, score=0.1)
    assert count(lower, 1) > count(picture, 1)
    half = picture.shape[0] // 2
    assert count(picture[half:], 0) == count(picture[half:], 1) == 0
    assert torch.equal(detections[0].scores, torch.tensor([0.9, 0.2]))


@pytest.mark.parametrize("images", [1, 3, 5])
def test_every_pair_is_shown(images: int) -> None:
    none = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    picture = predictions_picture([grey()] * images, [make_target([], [])] * images, [none] * images, NAMES)
    assert (picture == 127).all(axis=2).sum() == 2 * images * 160 * 160


def log(folder: Path, rows: list[tuple[int, dict[str, Any]]]) -> Path:
    logger = CSVLogger(folder, name="", version="")
    for step, values in rows:
        logger.log_metrics(values, step=step)
    logger.save()
    return Path(logger.log_dir) / "metrics.csv"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    """What each panel is given: title → column → (epochs, values)."""
    seen: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    draw_panel = pictures._draw_panel

    def watch(axes: Any, title: str, curves: dict[str, Any]) -> None:
        seen[title] = {column: (x.tolist(), y.tolist()) for column, (x, y) in curves.items()}
        draw_panel(axes, title, curves)

    monkeypatch.setattr(pictures, "_draw_panel", watch)
    return seen


def test_each_column_is_drawn_over_the_epochs_that_are_over(tmp_path: Path, drawn: dict[str, Any]) -> None:
    rows: list[tuple[int, dict[str, Any]]] = []
    for epoch in range(3):
        rates = {"lr-SGD/pg1": 0.1 / (epoch + 1), "lr-SGD/pg2": 0.1 / (epoch + 1)}  # drawn once
        rows += [(10 * epoch + 4, rates)]  # the learning-rate monitor writes no epoch
        rows += [(10 * epoch + 9, {"epoch": epoch, "train/loss": 5.0 - epoch, "train/box": 2.0 - epoch / 2})]
        if epoch != 1:
            rows += [
                (10 * epoch + 9, {"epoch": epoch, "val/AP": epoch / 10, "val/AP50": epoch / 5, "val/AR10": epoch / 20})
            ]
    curves_picture(log(tmp_path, rows), tmp_path / "curves.png")
    assert drawn == {
        "training loss": {"train/loss": ([1, 2, 3], [5, 4, 3]), "train/box": ([1, 2, 3], [2, 1.5, 1])},
        "AP on val": {"val/AP": ([1, 3], [0, 0.2]), "val/AP50": ([1, 3], [0, 0.4])},
        "more numbers on val": {"val/AR10": ([1, 3], [0, 0.1])},
        "learning rate": {"lr-SGD/pg1": ([0.5, 1.5, 2.5], [0.1, 0.05, pytest.approx(0.1 / 3)])},
    }
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture is not None
    assert picture.std() > 5


def contrast(colour: str) -> float:
    """Relative luminance as WCAG 2.1 defines it: what is left of a colour for someone who sees none."""
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_curves_of_one_panel_differ_in_colour_or_line() -> None:
    more = [look for name, look in pictures.LINES.items() if name not in ("loss", "AP", "AP50")]
    assert len(set(more)) == len(more) == 10
    ap, ap50 = (contrast(pictures.LINES[name][0]) for name in ("AP", "AP50"))
    assert (max(ap, ap50) + 0.05) / (min(ap, ap50) + 0.05) > 1.3
    assert pictures.LINES["AP"][0] != pictures.LINES["AP50"][0]


def test_what_a_run_has_not_is_left_out(tmp_path: Path, drawn: dict[str, Any]) -> None:
    rows = [(9, {"epoch": 0, "train/loss": float("nan"), "val/AP": 0.5}), (19, {"epoch": 1, "train/loss": 3.0})]
    curves_picture(log(tmp_path, rows), tmp_path / "curves.png")
    assert drawn == {"training loss": {"train/loss": ([2], [3])}, "AP on val": {"val/AP": ([1], [0.5])}}


def test_higher_values_are_drawn_higher(tmp_path: Path) -> None:
    def height(values: tuple[float, float], name: str) -> float:
        rows = [(10 * epoch + 9, {"epoch": epoch, "val/AP": value}) for epoch, value in enumerate(values)]
        out = tmp_path / f"{name}.png"
        curves_picture(log(tmp_path / name, rows), out)
        picture = cv2.imread(str(out))
        assert picture is not None
        blue, _, red = cv2.split(picture.astype(int))
        ys, _ = np.nonzero(blue - red > 100)
        return float(-np.median(ys))

    assert height((0.8, 0.9), "good") > height((0.1, 0.2), "poor")


@pytest.mark.parametrize("text", ["", "epoch,step,train/loss\n", "epoch,step,other\n0,9,1.0\n"])
def test_a_file_without_anything_to_draw_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "metrics.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=r"metrics\.csv: has no row"):
        curves_picture(file, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
