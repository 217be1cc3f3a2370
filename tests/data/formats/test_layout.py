"""What people have on their disks, and what its folder alone says."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detector import config
from detector.data.formats.layout import complete
from detector.data.problems import missing_images
from detector.data.read import has_test, read_index
from detector.errors import UserError


def picture(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.full((48, 64, 3), 90, dtype=np.uint8))


def coco_file(file: Path, names: list[str], **changes: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [{"id": i, "file_name": name, "height": 48, "width": 64} for i, name in enumerate(names)],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": [4, 5, 20, 30]} for i in range(len(names))],
    }
    file.write_text(json.dumps(content | changes))


def xml_file(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    sides = "<xmin>5</xmin><ymin>6</ymin><xmax>24</xmax><ymax>35</ymax>"
    file.write_text(f"<annotation><object><name>cat</name><bndbox>{sides}</bndbox></object></annotation>")


def standard_coco(root: Path) -> None:
    for split in ("train", "val"):
        coco_file(root / f"annotations/instances_{split}2017.json", ["a.jpg"])
        coco_file(root / f"annotations/person_keypoints_{split}2017.json", ["a.jpg"])
        (root / f"annotations/captions_{split}2017.json").write_text('{"images": [], "annotations": []}')
        picture(root / f"{split}2017/a.jpg")


def roboflow_coco(root: Path) -> None:
    for split in ("train", "valid", "test"):
        coco_file(root / split / "_annotations.coco.json", ["a_jpg.rf.01.jpg"])
        picture(root / split / "a_jpg.rf.01.jpg")
    (root / "README.roboflow.txt").touch()


def cvat_coco(root: Path) -> None:
    for split in ("Train", "Validation"):
        coco_file(root / f"annotations/instances_{split}.json", ["a.png"])
        picture(root / f"images/{split}/a.png")


def label_studio_coco(root: Path) -> None:
    for split in ("train", "val"):
        coco_file(root / split / "result.json", ["images\\3\\a.png"])
        picture(root / split / "images/a.png")


def fiftyone_coco(root: Path) -> None:
    for split in ("train", "validation"):
        coco_file(root / split / "labels.json", ["a.png"])
        picture(root / split / "data/a.png")


def voc_devkit(root: Path) -> None:
    year = root / "VOCdevkit/VOC2012"
    (year / "ImageSets/Main").mkdir(parents=True)
    for split in ("train", "val"):
        (year / f"ImageSets/Main/{split}.txt").write_text(f"{split}_1\n")
        (year / f"ImageSets/Main/cat_{split}.txt").write_text(f"{split}_1  1\n")
        xml_file(year / f"Annotations/{split}_1.xml")
        picture(year / f"JPEGImages/{split}_1.jpg")


def roboflow_voc(root: Path) -> None:
    for split in ("train", "valid", "test"):
        xml_file(root / split / "a_jpg.rf.01.xml")
        picture(root / split / "a_jpg.rf.01.jpg")


def kaggle_voc(root: Path) -> None:
    for split in ("train", "val"):
        xml_file(root / split / "annotations/a.xml")
        picture(root / split / "images/a.png")


def parallel_voc(root: Path) -> None:
    for split in ("train", "val"):
        xml_file(root / "Annotations" / split / "cam/a.xml")
        picture(root / "JPEGImages" / split / "cam/a.png")


def yolo(root: Path) -> None:
    root.mkdir(exist_ok=True)
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat]\n")
    for split in ("train", "val"):
        picture(root / f"images/{split}/a.png")
        (root / f"labels/{split}").mkdir(parents=True)
        (root / f"labels/{split}/a.txt").write_text("0 0.5 0.5 0.25 0.5\n")


LAYOUTS = [
    (standard_coco, "coco"),
    (roboflow_coco, "coco"),
    (cvat_coco, "coco"),
    (label_studio_coco, "coco"),
    (fiftyone_coco, "coco"),
    (voc_devkit, "voc"),
    (roboflow_voc, "voc"),
    (kaggle_voc, "voc"),
    (parallel_voc, "voc"),
    (yolo, "yolo"),
]


@pytest.mark.parametrize(("make", "name"), LAYOUTS)
@pytest.mark.parametrize("above", [False, True])
def test_the_folder_is_enough_with_and_without_its_format(make: Any, name: str, above: bool, tmp_path: Path) -> None:
    make(tmp_path / "export" if above else tmp_path)
    own = {"coco": config.Coco, "voc": config.Voc, "yolo": config.Yolo}[name]
    for data in (config.Auto(root=str(tmp_path), batch_size=3), own(root=str(tmp_path), batch_size=3)):
        completed, line = complete(data)
        assert isinstance(completed, own)
        assert completed.batch_size == 3
        assert line is None or "\n" not in line
        assert (line is not None) or name != "coco"
        assert complete(completed) == (completed, None)
        for split in ("train", "val"):
            index = read_index(completed, split)
            assert index.class_names == ("cat",)
            assert index.labels.tolist() == [0]
            assert index.image(0).shape == (48, 64, 3)
            assert not missing_images(index)
        assert has_test(completed) == ("roboflow" in make.__name__)
        if has_test(completed):
            assert len(read_index(completed, "test")) == 1


def test_what_was_found_is_said(tmp_path: Path) -> None:
    standard_coco(tmp_path)
    _, line = complete(config.Auto(root=str(tmp_path)))
    assert line == (
        f"data: COCO layout in {tmp_path}: annotations/instances_train2017.json (train), "
        "annotations/instances_val2017.json (val)"
    )


@pytest.mark.parametrize("file", ["annotations/instances_train2017.json", "annotations/instances_val2017.json"])
def test_a_json_stands_for_the_folder_that_it_lies_in(file: str, tmp_path: Path) -> None:
    standard_coco(tmp_path)
    data, _ = complete(config.Auto(root=str(tmp_path / file)))
    assert data == config.Coco(
        root=str(tmp_path), train="annotations/instances_train2017.json", val="annotations/instances_val2017.json"
    )


def test_a_yaml_stands_for_the_folder_that_it_lies_in(tmp_path: Path) -> None:
    yolo(tmp_path)
    data, _ = complete(config.Auto(root=str(tmp_path / "data.yaml")))
    assert data == config.Yolo(root=str(tmp_path))


def test_two_formats_in_one_folder_must_be_chosen_from(tmp_path: Path) -> None:
    standard_coco(tmp_path)
    yolo(tmp_path)
    with pytest.raises(
        UserError, match=r"several formats: COCO layout .*; YOLO layout .*: choose data=coco or data=yolo$"
    ):
        complete(config.Auto(root=str(tmp_path)))
    assert isinstance(complete(config.Coco(root=str(tmp_path)))[0], config.Coco)


def test_several_years_of_voc_must_be_chosen_from(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        (tmp_path / "VOCdevkit" / year / "ImageSets/Main").mkdir(parents=True)
    with pytest.raises(UserError, match=r"2 data sets of VOC: choose data\.root=.*VOC2007 or data\.root=.*VOC2012"):
        complete(config.Voc(root=str(tmp_path)))


def test_a_layout_without_validation_says_what_is_missing(tmp_path: Path) -> None:
    coco_file(tmp_path / "result.json", ["a.png"])
    picture(tmp_path / "images/a.png")
    data, line = complete(config.Auto(root=str(tmp_path)))
    assert line is not None
    assert line.endswith("result.json (train), no val")
    assert len(read_index(data, "train")) == 1
    with pytest.raises(
        UserError, match=r"data\.val is not set: COCO layout .* no val; name a COCO json with data\.val="
    ):
        read_index(data, "val")


def test_files_that_say_no_split_must_be_named(tmp_path: Path) -> None:
    for name in ("one.json", "two.json"):
        coco_file(tmp_path / name, ["a.png"])
    with pytest.raises(
        UserError, match=r"data\.train is not set, and .* has several files for it: choose one of one\.json"
    ):
        read_index(config.Auto(root=str(tmp_path)), "train")
    assert len(read_index(config.Coco(root=str(tmp_path), train="two.json"), "train")) == 1


def test_what_is_given_stays(tmp_path: Path) -> None:
    roboflow_coco(tmp_path)
    data, _ = complete(config.Auto(root=str(tmp_path), train="test/_annotations.coco.json"))
    assert (data.train, data.val) == ("test/_annotations.coco.json", "valid/_annotations.coco.json")


def test_a_folder_without_data_lists_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "labelme.json").write_text('{"shapes": [], "imagePath": "a.png"}')
    with pytest.raises(UserError, match=r"holds no data set that is known.*labelme\.json, notes\.txt"):
        complete(config.Auto(root=str(tmp_path)))
    with pytest.raises(UserError, match=r"data\.root is not set"):
        complete(config.Auto())
