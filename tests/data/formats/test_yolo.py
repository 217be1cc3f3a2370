from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detector import config
from detector.data.formats.yolo import label_file
from detector.data.read import has_test, read_index, read_split
from detector.errors import UserError

DEEPPCB = Path("../shared/data/deeppcb")
YAML = "path: .\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n"


def make_image(file: Path, size: tuple[int, int] = (80, 100)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.zeros((*size, 3), dtype=np.uint8))


def make_yolo(root: Path, labels: dict[str, str | None], yaml: str = YAML, folder: str = "images/train") -> config.Yolo:
    """`labels`: name → content of its text file, None for no file."""
    (root / "data.yaml").write_text(yaml)
    for name, text in labels.items():
        image = root / folder / f"{name}.jpg"
        make_image(image)
        if text is not None:
            label_file(image).parent.mkdir(parents=True, exist_ok=True)
            label_file(image).write_text(text)
    return config.Yolo(root=str(root))


def test_shares_of_the_image_become_pixels(tmp_path: Path) -> None:
    index = read_index(make_yolo(tmp_path, {"a": "1 0.5 0.5 0.2 0.5\n0 0.1 0.1 0.2 0.2\n"}), "train")
    np.testing.assert_allclose(index.boxes, [[40, 20, 60, 60], [0, 0, 20, 16]], atol=1e-4)
    assert index.labels.tolist() == [1, 0]
    assert index.category_ids == (0, 1)
    np.testing.assert_allclose(index.area, [800, 320], rtol=1e-5)


def test_an_image_without_a_label_file_or_with_an_empty_one_has_no_objects(tmp_path: Path) -> None:
    index = read_index(make_yolo(tmp_path, {"a": None, "b": "\n", "c": "0 0.5 0.5 0.2 0.2"}), "train")
    assert index.image_ids.tolist() == ["a", "b", "c"]
    assert np.diff(index.offsets).tolist() == [0, 0, 1]
    assert [(p.kind, p.where) for p in index.problems] == [("image without label file", "images/train/a.jpg")]


def test_a_polygon_becomes_its_hull(tmp_path: Path) -> None:
    index = read_index(make_yolo(tmp_path, {"a": "0 0.5 0.1 0.9 0.5 0.3 0.75"}), "train")
    np.testing.assert_allclose(index.boxes, [[30, 8, 90, 60]], atol=1e-4)


def test_malformed_rows_are_reported_with_file_and_line_and_the_rest_is_kept(tmp_path: Path) -> None:
    rows = ["0 0.5 0.5 0.2 0.2", "0 0.5 0.5 0.2", "", "0 0.5 0.5 0.2 x", "0.5 0.5 0.5 0.2 0.2", "0 0.5 0.5 0.2 0.2 90"]
    rows += ["0 0.5 0.5 0 0.2", "0 nan 0.5 0.1 0.2", "0 1.5 0.5 0.2 0.2", "0 1.0 0.5 0.2 0.2"]
    rows += ["0 0.1 0.1 0.5 0.1 0.5 0.5 0.9"]
    index = read_index(make_yolo(tmp_path, {"a": "\n".join(rows)}), "train")
    assert len(index.boxes) == 2
    assert sorted((p.where, p.kind) for p in index.problems) == [
        ("labels/train/a.txt:10", "box partly outside"),
        ("labels/train/a.txt:11", "malformed annotation"),
        ("labels/train/a.txt:2", "malformed annotation"),
        ("labels/train/a.txt:4", "malformed annotation"),
        ("labels/train/a.txt:5", "malformed annotation"),
        ("labels/train/a.txt:6", "malformed annotation"),
        ("labels/train/a.txt:7", "degenerate box"),
        ("labels/train/a.txt:8", "malformed annotation"),
        ("labels/train/a.txt:9", "box outside"),
    ]


def test_an_unknown_class_is_an_error_that_names_line_and_classes(tmp_path: Path) -> None:
    data = make_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2\n2 0.5 0.5 0.2 0.2\n-1 0.5 0.5 0.2 0.2"})
    with pytest.raises(UserError, match=r"2 objects.*first labels/train/a\.txt:2.*class 2; there are 0 to 1: cat, dog"):
        read_index(data, "train")
    assert len(read_split(data, "train").boxes) == 1


def test_an_unreadable_image_is_left_out_and_reported(tmp_path: Path) -> None:
    data = make_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2", "b": "0 0.5 0.5 0.2 0.2"})
    (tmp_path / "images/train/a.jpg").write_text("no picture")
    index = read_index(data, "train")
    assert index.image_ids.tolist() == ["b"]
    assert [(p.kind, p.where) for p in index.problems] == [("unreadable image", "images/train/a.jpg")]
    (tmp_path / "images/train/b.jpg").write_text("no picture")
    with pytest.raises(UserError, match=r"no image can be read: 2 × unreadable image \(first: images/train/a\.jpg"):
        read_index(data, "train")


def test_sizes_follow_the_exif_orientation(tmp_path: Path) -> None:
    data = make_yolo(tmp_path, {"a": "0 0.5 0.5 1 1"})
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (60, 20)).save(tmp_path / "images/train/a.jpg", exif=exif)
    index = read_index(data, "train")
    assert index.sizes.tolist() == [[60, 20]]
    assert index.image(0).shape == (60, 20, 3)


@pytest.mark.parametrize(
    ("entry", "folder"),
    [
        ("train: images/train", "images/train"),
        ("train: ../train/images", "train/images"),
        ("path: /home/nobody/elsewhere\ntrain: images/train", "images/train"),
        ("path: sub\ntrain: images", "sub/images"),
        ("train: [images/train]", "images/train"),
    ],
)
def test_paths_as_people_write_them_are_found(tmp_path: Path, entry: str, folder: str) -> None:
    data = make_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2"}, f"{entry}\nnames: {{0: cat, 1: dog}}\nnc: 2\n", folder)
    index = read_index(data, "train")
    assert Path(index.files[0]).resolve() == (tmp_path / folder / "a.jpg").resolve()
    assert index.image_ids.tolist() == ["a"]
    assert len(index.boxes) == 1


def test_ids_of_several_folders_and_of_subfolders_tell_the_images_apart(tmp_path: Path) -> None:
    for folder in ("images/one", "images/two/deep"):
        data = make_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2"}, "train: [images/one, images/two]\nnames: [cat]", folder)
    assert read_index(data, "train").image_ids.tolist() == ["one/a", "two/deep/a"]
    data.train = "images"
    assert read_index(data, "train").image_ids.tolist() == ["one/a", "two/deep/a"]


def test_a_list_of_files_may_be_relative_to_itself_or_absolute(tmp_path: Path) -> None:
    data = make_yolo(tmp_path, dict.fromkeys("abc", "0 0.5 0.5 0.2 0.2"), "train: lists/t.txt\nnames: [cat]\n")
    (tmp_path / "lists").mkdir()
    lines = ["../images/train/a.jpg", f"{tmp_path}/images/train/b.jpg", "images/train/c.jpg", "", "images/train/d.jpg"]
    (tmp_path / "lists" / "t.txt").write_text("\n".join(lines))
    index = read_index(data, "train")
    assert index.image_ids.tolist() == ["a", "b", "c"]
    assert len(index.boxes) == 3
    assert [(p.kind, p.where) for p in index.problems] == [("missing image", "lists/t.txt:5")]


def test_a_split_in_the_config_replaces_the_one_of_the_yaml(tmp_path: Path) -> None:
    make_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2"})
    data = make_yolo(tmp_path, {"b": "0 0.5 0.5 0.2 0.2"}, folder="images/other")
    data.train = "images/other"
    assert read_index(data, "train").image_ids.tolist() == ["b"]


def test_only_the_last_images_in_a_path_becomes_labels() -> None:
    assert label_file(Path("/images/x/images/a/b.c.png")) == Path("/images/x/labels/a/b.c.txt")
    assert label_file(Path("data/all/b.png")) == Path("data/all/b.txt")
    assert label_file(Path("my_images/images.png")) == Path("my_images/images.txt")


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("train: images/train\nnames: [cat, dog]\nnc: 3\n", r"data\.yaml: nc is 3, but names has 2: cat, dog"),
        ("train: images/train\n", "names must list the classes, it is None"),
        ("train: images/train\nnames: {1: cat, 2: dog}\n", r"keys of names must be 0 to 1, they are \[1, 2\]"),
        ("train: images/train\nnames: [cat, cat]\n", "names has 'cat' more than once"),
        ("train: images/train\nnames: [cat\n", r"data\.yaml:3 is not valid YAML"),
        ("just text", "must have the keys train, val and names"),
        ("train: images/trian\nnames: [cat]\n", r"key train: no folder .*trian; .* has train/"),
        ("train: empty\nnames: [cat]\n", "no image in .*empty"),
        ("val: images/train\nnames: [cat]\n", r"has no train; its keys are val, names"),
    ],
)
def test_a_wrong_yaml_is_refused_in_one_line(tmp_path: Path, yaml: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message) as caught:
        read_index(make_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2"}, yaml), "train")
    assert "\n" not in str(caught.value)


def test_the_classes_are_taken_in_the_order_expected_and_others_are_refused(tmp_path: Path) -> None:
    data = make_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2"})
    assert read_index(data, "train", ("cat", "dog")).class_names == ("cat", "dog")
    other = read_index(data, "train", ("dog", "cat"))
    assert (other.class_names, other.category_ids) == (("dog", "cat"), (1, 0))
    assert other.labels.tolist() == other.annotations.labels.tolist() == [1]
    with pytest.raises(UserError, match="has the classes cat, dog; expected cat, hen"):
        read_index(data, "train", ("cat", "hen"))


def test_a_split_without_any_label_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no image has a label file; .*labels/train/a\.txt"):
        read_index(make_yolo(tmp_path, {"a": None}), "train")


def test_two_images_that_share_a_label_file_are_refused(tmp_path: Path) -> None:
    data = make_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2"})
    make_image(tmp_path / "images/train/a.png")
    with pytest.raises(UserError, match=r"a\.jpg and a\.png would share a label file"):
        read_index(data, "train")


def test_a_test_split_is_there_if_the_yaml_names_one(tmp_path: Path) -> None:
    assert not has_test(make_yolo(tmp_path, {}))
    assert has_test(make_yolo(tmp_path, {}, YAML + "test: images/test\n"))


@pytest.mark.skipif(not DEEPPCB.exists(), reason="no DeepPCB")
def test_deeppcb_is_read_line_for_line() -> None:
    index = read_index(config.Yolo(root=str(DEEPPCB)), "val")
    assert len(index) == 200
    assert not index.problems
    for i in range(len(index)):
        rows = np.loadtxt(DEEPPCB / "labels" / "val" / f"{index.target(i).image_id}.txt", ndmin=2)
        target = index.target(i)
        assert target.labels.tolist() == rows[:, 0].tolist()
        boxes = target.boxes.numpy()
        np.testing.assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, rows[:, 1:3] * 640, atol=1e-3)
        np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], rows[:, 3:] * 640, atol=1e-3)
    assert index.image(0).shape == (640, 640, 3)
