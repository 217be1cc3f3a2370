from pathlib import Path

import cv2
import numpy as np
import pytest

from detector import config
from detector.data.read import read_index, read_split
from detector.errors import UserError

BCCD = Path("../shared/data/bccd")

SIZE = "<size><width>100</width><height>80</height><depth>3</depth></size>"


def an_object(name: str, box: tuple[object, ...], extra: str = "") -> str:
    sides = "".join(f"<{s}>{v}</{s}>" for s, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object>\n<name>{name}</name>{extra}<bndbox>{sides}</bndbox></object>\n"


def make_voc(
    root: Path, files: dict[str, str], split: str = "train", image_size: tuple[int, int] = (80, 100)
) -> config.Voc:
    """`files`: name → inside of its <annotation>."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>\n{content}</annotation>\n")
        cv2.imwrite(str(root / "JPEGImages" / f"{name}.png"), np.zeros((*image_size, 3), dtype=np.uint8))
    (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(files) + "\n")
    return config.Voc(root=str(root))


def test_inclusive_pixels_from_1_become_continuous_coordinates_from_0(tmp_path: Path) -> None:
    data = make_voc(tmp_path, {"a": SIZE + an_object("cat", (1, 1, 100, 80)) + an_object("cat", (11, 21, 20, 40))})
    index = read_index(data, "train")
    assert index.boxes.tolist() == [[0, 0, 100, 80], [10, 20, 20, 40]]  # the whole image; 10 × 20 pixels
    assert index.area.tolist() == [8000, 200]
    assert not index.problems


def test_labels_follow_the_sorted_names_and_ids_count_from_1(tmp_path: Path) -> None:
    data = make_voc(tmp_path, {n: SIZE + an_object(n, (5, 5, 9, 9)) for n in ("dog", "ant", "cat")})
    index = read_index(data, "train")
    assert index.class_names == ("ant", "cat", "dog")
    assert index.category_ids == (1, 2, 3)
    assert index.image_ids.tolist() == ["dog", "ant", "cat"]
    assert index.labels.tolist() == [2, 0, 1]


def test_difficult_objects_are_crowd_and_a_missing_flag_means_no(tmp_path: Path) -> None:
    content = SIZE + "".join(
        an_object("cat", (5, 5, 9, 9), extra) for extra in ("", "<difficult>0</difficult>", "<difficult>1</difficult>")
    )
    assert read_index(make_voc(tmp_path, {"a": content}), "train").crowd.tolist() == [False, False, True]


def test_a_missing_or_zero_size_is_read_from_the_image(tmp_path: Path) -> None:
    zero = "<size><width>0</width><height>0</height></size>"
    data = make_voc(tmp_path, {"a": an_object("cat", (1, 1, 60, 40)), "b": zero}, image_size=(40, 60))
    index = read_index(data, "train")
    assert index.sizes.tolist() == [[40, 60], [40, 60]]
    assert not index.problems


def test_float_coordinates_are_kept(tmp_path: Path) -> None:
    data = make_voc(tmp_path, {"a": SIZE + an_object("cat", (10.5, 20.25, 30.75, 40.0))})
    assert read_index(data, "train").boxes.tolist() == [[9.5, 19.25, 30.75, 40]]


def test_malformed_and_missing_files_are_listed_together_and_the_rest_is_read(tmp_path: Path) -> None:
    good = SIZE + an_object("cat", (5, 5, 9, 9))
    data = make_voc(tmp_path, {"bad": "\n<size><width>", "gone": good, "good": good + an_object("cat", ("x", 1, 2, 3))})
    (tmp_path / "Annotations" / "gone.xml").unlink()
    index = read_index(data, "train")
    assert index.image_ids.tolist() == ["good"]
    assert [(p.kind, p.where) for p in index.problems] == [
        ("malformed annotation", "Annotations/bad.xml:3"),
        ("missing annotation", "Annotations/gone.xml"),
        ("malformed annotation", "Annotations/good.xml:4"),
    ]


def test_a_box_without_extent_is_reported_with_its_line(tmp_path: Path) -> None:
    data = make_voc(tmp_path, {"a": SIZE + "\n" + an_object("cat", (5, 5, 9, 9)) + an_object("cat", (7, 7, 7, 7))})
    index = read_index(data, "train")
    assert len(index.boxes) == 1
    assert [(p.kind, p.where) for p in index.problems] == [("degenerate box", "Annotations/a.xml:5")]


def test_lists_of_one_class_and_repeated_names_are_understood(tmp_path: Path) -> None:
    data = make_voc(tmp_path, {"a": SIZE, "b": SIZE})
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("a  1\nb -1\n\na\n")
    index = read_index(data, "train")
    assert index.image_ids.tolist() == ["a", "b"]
    assert [(p.kind, p.where) for p in index.problems] == [("repeated image", "ImageSets/Main/train.txt:4")]


def test_validation_takes_the_label_space_of_training(tmp_path: Path) -> None:
    make_voc(tmp_path, {"v": SIZE + an_object("dog", (5, 5, 9, 9))}, split="val")
    data = make_voc(tmp_path, {"t": SIZE + an_object("cat", (5, 5, 9, 9)) + an_object("dog", (5, 5, 9, 9))})
    index = read_index(data, "val", read_index(data, "train").class_names)
    assert index.class_names == ("cat", "dog")
    assert index.labels.tolist() == [1]


def test_a_class_that_training_lacks_is_an_error_that_lists_the_classes(tmp_path: Path) -> None:
    data = make_voc(tmp_path, {"v": SIZE + "\n" + an_object("dgo", (5, 5, 9, 9))}, split="val")
    with pytest.raises(UserError, match=r"data\.val: an object of an unknown class.*v\.xml:3.*'dgo'.*are dog, cat"):
        read_index(data, "val", ("cat", "dog"))
    assert [p.kind for p in read_split(data, "val", ("cat", "dog")).problems] == ["unknown class"]


def test_a_wrong_list_or_folder_names_what_exists(tmp_path: Path) -> None:
    data = make_voc(tmp_path, {"a": SIZE}, split="trainval")
    with pytest.raises(UserError, match=r"data\.train: no file .*train\.txt; .* has trainval\.txt$"):
        read_index(data, "train")
    with pytest.raises(UserError, match=r"data\.root: no folder .*/JPEGImage"):
        read_index(config.Voc(root=str(tmp_path / "JPEGImage")), "train")


@pytest.mark.skipif(not BCCD.exists(), reason="no BCCD")
@pytest.mark.parametrize(("split", "images", "bad"), [("train", 205, "00343.xml:50"), ("val", 87, "00338.xml:158")])
def test_bccd_is_read_and_its_zero_size_box_found(split: str, images: int, bad: str) -> None:
    index = read_index(config.Voc(root=str(BCCD)), split)
    names = (BCCD / "ImageSets" / "Main" / f"{split}.txt").read_text().split()
    text = "".join((BCCD / "Annotations" / f"{name}.xml").read_text() for name in names)
    assert len(index) == images
    assert len(index.boxes) == text.count("<object>") - 1
    assert index.class_names == ("Platelets", "RBC", "WBC")
    assert (index.labels == 1).sum() == text.count("<name>RBC</name>") - 1
    assert [(p.kind, p.where) for p in index.problems] == [("degenerate box", f"Annotations/BloodImage_{bad}")]
    assert index.image(0).shape == (*index.sizes[0], 3)


def test_a_validation_split_without_the_first_class_keeps_the_labels_of_training(tmp_path: Path) -> None:
    from detector.data.module import DetectionData

    data = make_voc(tmp_path, {n: SIZE + an_object(n, (5, 5, 29, 29)) for n in ("ant", "bee", "cat")})
    make_voc(tmp_path, {"v": SIZE + an_object("cat", (5, 5, 29, 29)) + an_object("bee", (9, 9, 39, 39))}, "val")
    module = DetectionData.read(data, config.Augment(name="none"), 64)
    assert module.val_index.class_names == ("ant", "bee", "cat")
    assert module.val_index.labels.tolist() == [2, 1]
