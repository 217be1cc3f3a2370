import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from detector import config
from detector.data.check import check
from detector.data.checks.boxes import duplicate_boxes
from detector.data.read import read_index
from detector.data.statistics import statistics
from detector.errors import RunError, UserError

BCCD = Path("../shared/data/bccd")


def write_split(root: Path, split: str, annotations: list[dict[str, Any]], images: int = 4) -> None:
    """COCO json and noise pictures of 100 × 80 pixels, each picture another."""
    (root / split).mkdir(parents=True)
    generator = np.random.default_rng(len(split))
    for i in range(images):
        picture = generator.integers(0, 255, (80, 100, 3), dtype=np.uint8)
        cv2.imwrite(str(root / split / f"{i}.jpg"), picture)
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": 80, "width": 100} for i in range(images)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [{"bbox": [10, 10, 20, 5]} | a for a in annotations],
    }
    (root / f"{split}.json").write_text(json.dumps(content))


def settings(root: Path, **changes: Any) -> config.CheckData:
    data = config.Coco(root=str(root), train="train.json", val="val.json")
    augment = config.Augment(name="test", flip_horizontal=0.5)
    standard = config.CheckData(data=data, augment=augment, image_size=64, samples=2, output=str(root / "out"))
    return replace(standard, **changes)


def test_everything_that_is_wrong_is_listed_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_split(
        tmp_path,
        "train",
        [
            {"image_id": 0, "category_id": 1},
            {"image_id": 0, "category_id": 1},
            {"image_id": 0, "category_id": 2},
            {"image_id": 1, "category_id": 1, "bbox": [10, 10, 0, 5]},
            {"image_id": 1, "category_id": 1, "bbox": [-9, 10, 20, 5]},
            {"image_id": 1, "category_id": 5},
            {"image_id": 77, "category_id": 1},
        ],
    )
    write_split(tmp_path, "val", [{"image_id": 0, "category_id": 1}])
    train = tmp_path / "train"
    (train / "1.jpg").unlink()
    whole = (train / "2.jpg").read_bytes()
    (train / "2.jpg").write_bytes(whole[: len(whole) // 2])
    cv2.imwrite(str(train / "3.jpg"), np.zeros((40, 100, 3), dtype=np.uint8))
    shutil.copy(train / "0.jpg", tmp_path / "val" / "2.jpg")
    shutil.copy(tmp_path / "val" / "0.jpg", tmp_path / "val" / "1.jpg")

    report = check(settings(tmp_path))
    assert sorted((p.kind, Path(p.where.split(",")[0]).name) for p in report.problems["train"]) == [
        ("annotation of a missing image", "train.json"),
        ("box partly outside", "train.json"),
        ("degenerate box", "train.json"),
        ("duplicate box", "0.jpg"),
        ("missing image", "1.jpg"),
        ("unknown class", "train.json"),
        ("unreadable image", "2.jpg"),
        ("wrong size", "3.jpg"),
    ]
    assert sorted((p.kind, Path(p.where).name) for p in report.problems["val"]) == [
        ("image in two splits", "2.jpg"),
        ("repeated image", "1.jpg"),
    ]
    printed = capsys.readouterr().out
    for problem in [*report.problems["train"], *report.problems["val"]]:
        assert f"{problem.kind}: {problem.where}: {problem.what}" in printed
    assert str(report) in (report.folder / "report.txt").read_text()


def test_training_samples_are_drawn_from_the_sound_images(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [{"image_id": i, "category_id": 1} for i in range(4)])
    write_split(tmp_path, "val", [])
    (tmp_path / "train" / "1.jpg").write_text("no picture")
    report = check(settings(tmp_path, samples=10))
    samples = sorted(report.folder.glob("sample_*.png"))
    assert len(samples) == 3
    assert all(Image.open(file).size == (64, 64) for file in samples)
    assert (report.folder / "samples.png").is_file()


def test_sound_data_has_no_problem(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [{"image_id": 0, "category_id": 2}])
    write_split(tmp_path, "val", [{"image_id": 3, "category_id": 1, "iscrowd": 1}])
    report = check(settings(tmp_path))
    assert report.problems == {"train": [], "val": []}
    assert report.splits["train"].per_class == (0, 1)
    assert report.splits["val"].crowds == 1
    assert report.splits["val"].without_objects == 3


def test_a_split_that_cannot_be_read_does_not_hide_the_other(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [{"image_id": 0, "category_id": 2}])
    report = check(settings(tmp_path))
    assert list(report.splits) == ["train"]
    assert [(p.kind, p.where) for p in report.problems["val"]] == [("unreadable split", "data.val")]


def test_no_readable_split_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root: no folder"):
        check(settings(tmp_path / "nowhere"))


def test_an_earlier_report_is_not_overwritten(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [{"image_id": 0, "category_id": 2}])
    write_split(tmp_path, "val", [])
    check(settings(tmp_path))
    with pytest.raises(UserError, match=r"output=.*out: exists already"):
        check(settings(tmp_path))


def test_statistics_count_as_a_loop_does() -> None:
    index = read_index(config.Shapes(train_images=60, scene_size=128), "train")
    found = statistics(index, image_size=256)
    areas = [float(a) for a in index.area]
    sides = []
    for i in range(len(index)):
        for x1, y1, x2, y2 in (index.target(i).boxes * 2).tolist():
            sides.append(((x2 - x1) * (y2 - y1)) ** 0.5)
    assert found.objects == len(areas)
    assert found.per_size == (
        sum(a < 1024 for a in areas),
        sum(1024 <= a < 9216 for a in areas),
        sum(a >= 9216 for a in areas),
    )
    assert found.per_class == tuple(index.labels.tolist().count(k) for k in range(5))
    assert found.sides[0] == pytest.approx(min(sides), rel=1e-5)
    assert found.sides[3] == pytest.approx(float(np.median(sides)), rel=1e-5)
    assert found.sides[-1] == pytest.approx(max(sides), rel=1e-5)


def test_the_same_box_in_two_images_is_no_duplicate() -> None:
    index = read_index(config.Shapes(train_images=30), "train")
    assert not duplicate_boxes(index)
    doubled = index.subset([3, 3])
    assert not duplicate_boxes(doubled)
    doubled.offsets = np.array([0, len(doubled.boxes), len(doubled.boxes)])
    assert len(duplicate_boxes(doubled)) == len(index.target(3).labels) > 0


def test_drawn_scenes_pass(tmp_path: Path) -> None:
    data = config.Shapes(train_images=8, val_images=4, test_images=3, scene_size=64)
    report = check(settings(tmp_path, data=data))
    assert {split: s.images for split, s in report.splits.items()} == {"train": 8, "val": 4, "test": 3}
    assert report.problems == {"train": [], "val": [], "test": []}


@pytest.mark.skipif(not BCCD.exists(), reason="no BCCD")
def test_the_known_defects_of_bccd_are_found_and_no_test_split_is_asked_for(tmp_path: Path) -> None:
    report = check(settings(tmp_path, data=config.Voc(root=str(BCCD)), image_size=320))
    assert {split: [p.kind for p in found] for split, found in report.problems.items()} == {
        "train": ["degenerate box", *4 * ["near-duplicate box"]],
        "val": ["degenerate box", *2 * ["near-duplicate box"]],
    }


def test_what_is_to_fail_fails_once_all_is_written(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [{"image_id": 0, "category_id": 2}, {"image_id": 1, "category_id": 1}])
    write_split(tmp_path, "val", [{"image_id": 3, "category_id": 1}, {"image_id": 2, "category_id": 2}])
    shutil.copy(tmp_path / "train" / "0.jpg", tmp_path / "val" / "2.jpg")
    check(settings(tmp_path, fail_on=["files", "objects", "duplicates"]))
    for number, fail_on in enumerate((["leaks"], ["problems"])):
        folder = tmp_path / f"failed {number}"
        with pytest.raises(RunError, match=r"^fail_on=\[\w+\]: 1 × image in two splits; see .*report\.html$"):
            check(settings(tmp_path, fail_on=fail_on, output=str(folder)))
        content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        assert content["failed"] == {"image in two splits": 1}
        (leak,) = content["problems"]["val"]
        assert leak["image"]["file"] == str(tmp_path / "val" / "2.jpg")
        assert leak["other"] == {"split": "train", "file": str(tmp_path / "train" / "0.jpg")}
        assert (folder / "report.html").is_file()


def test_the_json_says_of_each_problem_which_image_and_box_it_is_about(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [{"image_id": 1, "category_id": 1, "bbox": [-9, 10, 20, 5]}])
    write_split(tmp_path, "val", [{"image_id": 0, "category_id": 2}])
    report = check(settings(tmp_path))
    content = json.loads((report.folder / "report.json").read_text(encoding="utf-8"))
    (problem,) = content["problems"]["train"]
    assert problem["kind"] == "box partly outside"
    assert problem["group"] == "objects"
    assert problem["image"] == {"split": "train", "file": str(tmp_path / "train" / "1.jpg")}
    assert problem["boxes"] == [[-9, 10, 11, 15]]
    assert content["splits"]["train"]["per_class"] == {"cat": 1, "dog": 0}
