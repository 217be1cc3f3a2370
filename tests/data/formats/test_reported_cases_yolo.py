"""Data sets of YOLO's kind as public bug reports describe them: read right, or refused in one line."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detector import config
from detector.data.index import Index
from detector.data.read import has_test, read_index
from detector.errors import UserError

CASES = Path("../shared/cases")
ROW = "0 0.5 0.5 0.2 0.2\n"
YAML = "train: images/train\nval: images/train\nnames: [cell, dot]\n"


def paint(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(file)
    return file


def put(root: Path, content: Mapping[str, str | bytes | None]) -> config.Yolo:
    """Path → text, bytes, or None for a painted picture."""
    for name, value in content.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if value is None:
            paint(file)
        elif isinstance(value, bytes):
            file.write_bytes(value)
        else:
            file.write_text(value, encoding="utf-8")
    return config.Yolo(root=str(root))


def kinds(index: Index) -> dict[str, int]:
    found = [problem.kind for problem in index.problems]
    return {kind: found.count(kind) for kind in found}


ACCENT = "é"
FOUND: dict[str, dict[str, str | bytes | None]] = {
    "percent-encoded": {"images/train/é 1.png": None, "labels/train/%C3%A9%201.txt": ROW},
    "a percent-encoded image": {"images/train/%C3%A9.png": None, "labels/train/é.txt": ROW},
    "normalised otherwise": {
        f"images/train/{unicodedata.normalize('NFC', ACCENT)}.png": None,
        f"labels/train/{unicodedata.normalize('NFD', ACCENT)}.txt": ROW,
    },
    "suffix in capitals": {"images/train/a.png": None, "labels/train/a.TXT": ROW},
    "name in capitals": {"images/train/IMG_1.PNG": None, "labels/train/img_1.txt": ROW},
    "beside the image": {"images/train/a.png": None, "images/train/a.txt": ROW},
    "in labels below": {"images/train/a.png": None, "images/train/labels/a.txt": ROW},
    "suffix of the image kept": {"images/train/a.png": None, "labels/train/a.png.txt": ROW},
    "folder Labels": {"images/train/a.png": None, "label/train/a.txt": ROW},
    "dots in the name": {"images/train/a.b.png": None, "labels/train/a.b.txt": ROW},
}


@pytest.mark.parametrize("files", FOUND.values(), ids=FOUND)
def test_an_image_finds_its_label_file(tmp_path: Path, files: dict[str, str | bytes | None]) -> None:
    index = read_index(put(tmp_path, {**files, "data.yaml": YAML}), "train")
    assert (len(index), len(index.boxes), index.problems) == (1, 1, [])


def test_an_exact_name_goes_before_a_similar_one(tmp_path: Path) -> None:
    files = {"images/train/a.png": None, "images/train/A.png": None, "labels/train/a.txt": ROW * 2}
    index = read_index(put(tmp_path, {**files, "data.yaml": YAML}), "train")
    assert index.image_ids.tolist() == ["A", "a"]
    assert np.diff(index.offsets).tolist() == [0, 2]


def test_images_of_one_name_with_a_label_file_each_are_told_apart(tmp_path: Path) -> None:
    files = {f"images/train/a.{one}": None for one in ("jpg", "png")}
    files |= {"labels/train/a.jpg.txt": ROW, "labels/train/a.png.txt": ROW * 2}  # type: ignore[dict-item]
    index = read_index(put(tmp_path, {**files, "data.yaml": YAML}), "train")
    assert index.image_ids.tolist() == ["a.jpg", "a.png"]
    assert np.diff(index.offsets).tolist() == [1, 2]


def test_what_has_no_partner_is_counted_and_named(tmp_path: Path) -> None:
    files = {f"images/train/{one}.png": None for one in "abc"} | {"images/val/v.png": None}
    files |= {"labels/train/a.txt": ROW, "labels/train/b.txt": "", "labels/train/lost.txt": ROW}  # type: ignore[dict-item]
    files |= {"labels/train/old/x.txt": ROW, "labels/train/classes.txt": "cell\ndot\n"}  # type: ignore[dict-item]
    index = read_index(put(tmp_path, {**files, "data.yaml": YAML}), "train")
    assert [(p.kind, p.where) for p in index.problems] == [
        ("image without label file", "images/train/c.png"),
        ("label file without image", "labels/train/lost.txt"),
        ("label file without image", "labels/train/old/x.txt"),
    ]


def test_labels_of_the_other_split_in_one_folder_are_not_lost(tmp_path: Path) -> None:
    files = {f"images/{one}.png": None for one in "ab"} | {f"labels/{one}.txt": ROW for one in "ab"}
    lists = {"train.txt": "images/a.png\n", "val.txt": "images/b.png\n"}
    yaml = "train: train.txt\nval: val.txt\nnames: [cell]\n"
    index = read_index(put(tmp_path, {**files, **lists, "data.yaml": yaml}), "train")
    assert (index.image_ids.tolist(), index.problems) == (["a"], [])


def test_hidden_folders_and_what_tools_leave_are_no_data(tmp_path: Path) -> None:
    files = {"images/train/a.png": None, "images/train/.ipynb_checkpoints/a-checkpoint.png": None}
    files |= {"images/train/__MACOSX/a.png": None, "images/train/._a.png": b"\0" * 9}  # type: ignore[dict-item]
    index = read_index(put(tmp_path, {**files, "labels/train/a.txt": ROW, "data.yaml": YAML}), "train")
    assert (index.image_ids.tolist(), index.problems) == (["a"], [])


def test_links_to_folders_and_files_are_followed_and_circles_end(tmp_path: Path) -> None:
    put(tmp_path / "pool", {"images/a.png": None, "labels/a.txt": ROW, "loose/b.png": None, "loose/b.txt": ROW * 2})
    data = put(tmp_path / "set", {"data.yaml": YAML})
    (tmp_path / "set/images/train").mkdir(parents=True)
    (tmp_path / "set/images/train/deep").symlink_to(tmp_path / "pool/images")
    (tmp_path / "set/images/train/b.png").symlink_to(tmp_path / "pool/loose/b.png")
    (tmp_path / "pool/images/round").symlink_to(tmp_path / "set/images/train")
    index = read_index(data, "train")
    assert index.image_ids.tolist() == ["b", "deep/a"]
    assert np.diff(index.offsets).tolist() == [2, 1]


@pytest.mark.parametrize("suffix", ["jfif", "JPE", "avif", "gif", "jp2", "ppm", "tga", "webp", "TIFF"])
def test_whatever_is_decoded_is_an_image(tmp_path: Path, suffix: str) -> None:
    data = put(tmp_path, {"labels/train/a.txt": ROW, "data.yaml": YAML})
    kind = {"jfif": "JPEG", "JPE": "JPEG", "jp2": "JPEG2000"}.get(suffix, suffix.upper())
    (tmp_path / "images/train").mkdir(parents=True)
    try:
        Image.new("RGB", (60, 40)).save(tmp_path / f"images/train/a.{suffix}", kind)
    except KeyError:
        pytest.skip(f"this Pillow writes no {kind}")
    index = read_index(data, "train")
    assert (len(index), len(index.boxes)) == (1, 1)
    assert index.image(0).shape == (40, 60, 3)


def test_pictures_that_are_not_read_are_named(tmp_path: Path) -> None:
    files = {"images/train/a.png": None, "labels/train/a.txt": ROW, "images/train/b.heic": b"\0\0\0\x18ftypheic"}
    data = put(tmp_path, {**files, "images/train/notes.md": "no picture", "data.yaml": YAML})
    paint(tmp_path / "c.png").rename(tmp_path / "images/train/c")
    index = read_index(data, "train")
    assert [(p.kind, p.where) for p in index.problems] == [
        ("file that is not read", "images/train/b.heic"),
        ("file that is not read", "images/train/c"),
    ]


# ------------------------------------------------------------------------------------------------------------------ rows
def boxes(tmp_path: Path, rows: str, extra: str = "") -> Index:
    return read_index(
        put(tmp_path, {"images/train/a.png": None, "labels/train/a.txt": rows, "data.yaml": YAML + extra}), "train"
    )


BOX = [[24.0, 16.0, 36.0, 24.0]]
POSE2 = "0 0.5 0.5 0.2 0.2 0.45 0.45 0.55 0.55\n"
POSE3 = "0 0.5 0.5 0.2 0.2 0.45 0.45 2 0.55 0.55 1\n"


@pytest.mark.parametrize(
    ("rows", "extra"),
    [
        (POSE2, "kpt_shape: [2, 2]\n"),
        (POSE3, "kpt_shape: [2, 3]\n"),
        (POSE3, ""),
        ("0 0.5 0.5 0.2 0.2 0.45 0.45 2\n", ""),
        ("0 0.5 0.5 0.2 0.2" + " 0 0 0" * 16 + " 0.45 0.5 2\n", ""),
        ("0 0.5 0.5 0.2 0.2 0.87\n", ""),
        ("0 0.5 0.5 0.2 0.2 0.87 14\n", ""),
        ("0 0.4 0.4 0.6 0.4 0.6 0.6 0.4 0.6\n", ""),  # the corners of a rotated box
    ],
)
def test_keypoints_confidences_and_corners_are_no_polygons_of_something_else(
    tmp_path: Path, rows: str, extra: str
) -> None:
    np.testing.assert_allclose(boxes(tmp_path, rows, extra).boxes, BOX, atol=1e-4)


def test_a_polygon_that_touches_the_edges_is_no_keypoints(tmp_path: Path) -> None:
    rows = "0 0 0 1 0 1 1 0 1 0 0\n" + "0 0.1 0.1 0.3 0.1 0.3 0.3 0.2 0.4 0.1 0.3\n" * 9
    np.testing.assert_allclose(boxes(tmp_path, rows).boxes[:2], [[0, 0, 60, 40], [6, 4, 18, 16]], atol=1e-4)


@pytest.mark.parametrize(
    ("rows", "extra", "what"),
    [
        ("0 0.5 0.5 0.2 0.2 45\n", "", "boxes with an angle are not read"),
        ("0 300 200 40 40\n", "", "these look like pixels"),
        ("0 0.1 0.1 0.5 0.1 0.5 0.5 0.9 0.9\n", "kpt_shape: [17, 3]\n", r"kpt_shape \[17, 3\] makes 56 a row"),
        ("cell 0.5 0.5 0.2 0.2\n", "", "a line is 'class cx cy"),
    ],
)
def test_rows_of_no_known_form_are_skipped_with_the_reason(tmp_path: Path, rows: str, extra: str, what: str) -> None:
    index = boxes(tmp_path, ROW + rows, extra)
    assert len(index.boxes) == 1
    assert kinds(index) == {"malformed annotation": 1}
    assert re.search(what, index.problems[0].what)


# ------------------------------------------------------------------------------------------------------------------ yaml
@pytest.mark.parametrize(
    "names",
    ["[no, 010, 1e3, null, on, 12:30, 2020-01-02, ~, 0x1F, y]", "{0: no, '1': 010, 2: 1e3, 3: null, 4: on, 5: 12:30, "
     "6: 2020-01-02, 7: ~, 8: 0x1F, 9: y}"],
)  # fmt: skip
def test_a_class_name_is_the_text_that_stands_in_the_file(tmp_path: Path, names: str) -> None:
    yaml = f"train: images/train\nnames: {names}\nnc: '10'\n"
    index = read_index(
        put(tmp_path, {"images/train/a.png": None, "labels/train/a.txt": ROW, "data.yaml": yaml}), "train"
    )
    assert index.class_names == ("no", "010", "1e3", "null", "on", "12:30", "2020-01-02", "~", "0x1F", "y")


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("train: images/train\nnames: [a, a]\n", "has 'a' more than once"),
        ("train: images/train\nnames: {0: a, 0: b}\n", "names has '0' more than once"),
        ("train: images/train\nnames: {0: a, 2: b}\n", r"must be 0 to 1, they are \[0, 2\]"),
        ("train: images/train\nnames: [a, '']\n", "name of class 1 is ''"),
        ("train: images/train\nnames: [a, [b]]\n", "must be text"),
        ("train: images/train\nnames: [a]\nnc: two\n", "nc is two, but names has 1"),
        ("train: images/train\nnames: [a]\ntrain: b\n", r":3: it has 'train' more than once"),
        (LAUGHS + "names: *a11\ntrain: *a11\n", "must be text"),
        (LAUGHS + "names: [a]\ntrain: *a11\n", "an entry of the list is no path"),
        ("[" * 5000 + "]" * 5000, "nested too deeply"),
        ("train: /dev/zero\nnames: [a]\n", "is a device"),
        ("train: {a: b}\nnames: [a]\n", "must be a folder, a text file or a list"),
        ("x: " + "a" * 2**20, "at most 1,048,576 are read"),
        (f"train: {'a' * 5000}\nnames: [a]\n", "no folder"),
        ('train: "a\\0b"\nnames: [a]\n', "no folder"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused_in_one_line(tmp_path: Path, yaml: str, message: str) -> None:
    data = put(tmp_path, {"images/train/a.png": None, "labels/train/a.txt": ROW, "data.yaml": yaml})
    with pytest.raises(UserError, match=message) as caught:
        read_index(data, "train")
    assert len(str(caught.value)) < 1500
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-16-le"])
def test_lists_labels_and_descriptions_of_any_encoding_are_read(tmp_path: Path, encoding: str) -> None:
    yaml = "train: train.txt\nnames: [cell, точка]\n"
    files = {"images/é.png": None, "labels/é.txt": ROW.encode(encoding), "data.yaml": yaml.encode(encoding)}
    index = read_index(put(tmp_path, {**files, "train.txt": "images/é.png\r\n".encode(encoding)}), "train")
    assert (index.class_names, len(index.boxes)) == (("cell", "точка"), 1)


def test_a_description_in_the_code_page_of_a_system_is_named(tmp_path: Path) -> None:
    data = put(tmp_path, {"images/train/a.png": None, "data.yaml": "train: images\nnames: [中]\n".encode("gbk")})
    with pytest.raises(UserError, match=r"data\.yaml:2 is not UTF-8 .*save it as UTF-8"):
        read_index(data, "train")


# ----------------------------------------------------------------------------------------------------------------- paths
@pytest.mark.parametrize(
    "line",
    [
        "images\\train\\a.png",
        ".\\images\\train\\a.png",
        "C:\\Users\\ann\\set\\images\\train\\a.png",
        "/content/drive/MyDrive/set/images/train/a.png",
        "data/obj/images/train/a.png",
        "D:/set/images/train/a.png",
        "images/train/%61.png",
        '"images/train/a.png"',
    ],
)
def test_a_list_of_another_machine_is_read(tmp_path: Path, line: str) -> None:
    files = {"images/train/a.png": None, "labels/train/a.txt": ROW, "lists/train.txt": line + "\n"}
    yaml = "train: lists/train.txt\nnames: [cell]\n"
    index = read_index(put(tmp_path, {**files, "data.yaml": yaml}), "train")
    assert (len(index), len(index.boxes), index.problems) == (1, 1, [])


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("path: C:\\data\\blood\ntrain: images\\train\n", False),
        ("train: blood-4/images/train\n", True),
        ("train: /home/ann/blood-4/images/train\n", True),
        ("path: /home/ann/blood\ntrain: images/train\n", False),
        ("train: ../images/train\n", False),
        ("train: ../../images/train\n", False),
    ],
)
def test_folders_of_another_machine_are_found_and_said(tmp_path: Path, yaml: str, said: bool) -> None:
    files = {"images/train/a.png": None, "labels/train/a.txt": ROW, "data.yaml": yaml + "names: [cell]\n"}
    index = read_index(put(tmp_path / "renamed", files), "train")
    assert len(index.boxes) == 1
    assert len(index.notes) == said
    assert all("is read as images/train" in note for note in index.notes)


def test_the_folder_images_alone_does_not_stand_for_another(tmp_path: Path) -> None:
    """images/ of the whole set is not what val/images of another machine means."""
    yaml = "train: images\nval: /home/ann/set/val/images\nnames: [cell]\n"
    data = put(tmp_path, {"images/a.png": None, "labels/a.txt": ROW, "data.yaml": yaml})
    with pytest.raises(UserError, match="key val: no folder"):
        read_index(data, "val")


def test_a_list_of_which_nothing_is_there_names_the_first_line(tmp_path: Path) -> None:
    data = put(
        tmp_path, {"images/a.png": None, "t.txt": "x/1.png\nx/2.png\n", "data.yaml": "train: t.txt\nnames: [a]\n"}
    )
    with pytest.raises(UserError, match=r"no image in .*t\.txt \(2 × missing image, first t\.txt:1: .*x/1\.png"):
        read_index(data, "train")


LAYOUTS: dict[str, dict[str, str | bytes | None]] = {
    "Darknet": {
        "obj.data": "classes = 2\ntrain = data/train.txt\nvalid = data/test.txt\nnames = data/obj.names\nbackup = b/\n",
        "obj.names": "cell\ndot\n", "train.txt": "data/obj/a.png\n", "obj/a.png": None, "obj/a.txt": ROW,
    },
    "classes.txt": {"classes.txt": "cell\ndot\n", "images/a.png": None, "labels/a.txt": ROW},
    "obj.names": {"obj.names": "cell\ndot\n", "train/images/a.png": None, "train/labels/a.txt": ROW},
    "labelImg": {"train/classes.txt": "cell\ndot\n", "train/a.png": None, "train/a.txt": ROW},
    "_darknet.labels": {"train/_darknet.labels": "cell\ndot\n", "train/a.png": None, "train/a.txt": ROW},
    "another name": {"set.yaml": YAML, "other.yaml": "a: 1\n", "images/train/a.png": None, "labels/train/a.txt": ROW},
    "names in a file": {
        "data.yaml": "train: train\nnames: obj.names\n", "obj.names": "cell\ndot\n", "train/a.png": None,
        "train/a.txt": ROW,
    },
    "valid": {"data.yaml": "training: train\nvalid: train\nnames: [cell, dot]\n", "train/a.png": None, "train/a.txt": ROW},
}  # fmt: skip


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_is_read_from_its_folder_alone(tmp_path: Path, files: dict[str, str | bytes | None]) -> None:
    data = put(tmp_path, files)
    index = read_index(data, "train")
    assert (index.class_names, len(index), len(index.boxes)) == (("cell", "dot"), 1, 1)
    assert has_test(data) is False


def test_the_root_may_be_the_description_itself(tmp_path: Path) -> None:
    put(tmp_path, {"images/train/a.png": None, "labels/train/a.txt": ROW, "one.yaml": YAML, "two.yaml": YAML})
    assert len(read_index(config.Yolo(root=str(tmp_path / "one.yaml")), "train").boxes) == 1
    with pytest.raises(UserError, match=r"several descriptions, one\.yaml, two\.yaml: choose one with data\.root=FILE"):
        read_index(config.Yolo(root=str(tmp_path)), "train")


# ----------------------------------------------------------------------------------------------------------------- cases
def shade(index: Index) -> int:
    return max(int(index.image(i).max()) for i in range(len(index)))


REPORTED: dict[str, tuple[int, int, Callable[[Index], bool]]] = {
    "01-labels-url-encoded/data": (4, 8, lambda _: True),
    "02-labels-beside-in-images/data": (6, 12, lambda _: True),
    "03-utf16-list/data": (4, 8, lambda _: True),
    "10-tiff-exif-orientation/data": (6, 12, lambda _: True),
    "11-12bit-in-16bit/data": (3, 6, lambda index: shade(index) > 100),
    "16-yaml-names-not-text/data": (4, 8, lambda index: index.class_names == ("no", "010")),
    "16-yaml-names-not-text/data_nc_text": (4, 8, lambda _: True),
    "17-yaml-project-prefix/data-renamed": (3, 6, lambda index: len(index.notes) == 1),
    "18-notebook-checkpoints/data": (4, 8, lambda _: True),
    "21-tiff-16bit-rgb/data": (2, 4, lambda index: shade(index) > 100),
    "30-exif-orientation-text/data": (4, 8, lambda _: True),
    "30-exif-orientation-text/data_nine": (4, 8, lambda _: True),
    "32-val-only-backgrounds/data": (4, 8, lambda _: True),
    "33-truncated-pictures/data": (1, 2, lambda index: kinds(index) == {"unreadable image": 4}),
    "35-jfif-avif-gif/data": (6, 12, lambda _: True),
    "39-windows-paths-in-lists/data": (4, 8, lambda _: True),
    "39-windows-paths-in-lists/data_absolute": (4, 8, lambda index: len(index.notes) == 1),
}


@pytest.mark.skipif(not CASES.exists(), reason="no reported cases")
@pytest.mark.parametrize("case", REPORTED)
def test_a_reported_data_set_is_read_whole(case: str) -> None:
    images, objects, holds = REPORTED[case]
    index = read_index(config.Yolo(root=str(CASES / case)), "train")
    assert (len(index), len(index.boxes)) == (images, objects)
    for i in range(len(index)):
        assert index.image(i).shape[:2] == tuple(index.sizes[i])
    assert holds(index)
    assert index.problems == [] or case.startswith("33")


@pytest.mark.skipif(not CASES.exists(), reason="no reported cases")
def test_the_reported_description_in_another_encoding_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.yaml:\d+ is not UTF-8"):
        read_index(config.Yolo(root=str(CASES / "04-yaml-gbk/data")), "train")


def test_pictures_painted_at_12_bits_are_not_black(tmp_path: Path) -> None:
    data = put(tmp_path, {"labels/train/a.txt": ROW, "data.yaml": YAML})
    (tmp_path / "images/train").mkdir(parents=True)
    assert cv2.imwrite(str(tmp_path / "images/train/a.png"), np.full((40, 60), 4000, np.uint16))
    assert read_index(data, "train").image(0).min() == 250
