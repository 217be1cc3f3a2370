"""COCO and VOC files with what labelling tools, other machines and other conventions put into them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask

from detector import config
from detector.data.file_values import Lookup, id_array, ids_of
from detector.data.formats.coco_boxes import box_of
from detector.data.index import Index
from detector.data.problems import missing_images, nothing_to_measure, refuse_nothing_to_learn, summarise
from detector.data.read import read_index
from detector.errors import UserError
from detector.evaluation.results import read_results, write_results
from detector.evaluation.run import run

CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]


def picture(file: Path, size: tuple[int, int] = (48, 64)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.full((*size, 3), 90, dtype=np.uint8))


def coco(
    root: Path, annotations: list[dict[str, Any]], names: tuple[str, ...] = ("a.png",), **changes: Any
) -> config.Coco:
    """A train.json; annotations lie in image 0 and are cats with a box unless they say otherwise."""
    content = {
        "images": [{"id": i, "file_name": name, "height": 48, "width": 64} for i, name in enumerate(names)],
        "categories": CATEGORIES,
        "annotations": [
            {"id": n, "image_id": 0, "category_id": 1, "bbox": [4, 5, 20, 30]} | one
            for n, one in enumerate(annotations)
        ],
    } | changes
    (root / "train.json").write_text(json.dumps(content))
    return config.Coco(root=str(root), train="train.json", val="val.json")


def as_val(root: Path) -> None:
    (root / "train.json").rename(root / "val.json")


def voc(root: Path, files: dict[str, str], encoding: str = "utf-8") -> config.Voc:
    """Images and xml files side by side; `files`: name → inside of its <annotation>."""
    for name, content in files.items():
        picture(root / "train" / f"{name}.png")
        (root / "train" / f"{name}.xml").write_bytes(
            f'<?xml version="1.0" encoding="{encoding}"?>\n<annotation>\n{content}</annotation>'.encode(encoding)
        )
    return config.Voc(root=str(root))


def an_object(name: str = "cat", box: tuple[object, ...] = (5, 6, 24, 35), extra: str = "") -> str:
    sides = "".join(f"<{s}>{v}</{s}>" for s, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object><name>{name}</name>{extra}<bndbox>{sides}</bndbox></object>\n"


def kinds(index: Index) -> list[str]:
    return [problem.kind for problem in index.problems]


# ----------------------------------------------------------------------------------------------------------- ids, numbers
@pytest.mark.parametrize(
    "ids",
    [
        [3, -7, 2**40],
        [2**64 - 1, 17019712617843276336, 2**63],
        [2**64, 2**100, -5],
        [-1, 2**64 - 1, 2**64 - 2],
        ["b", "10", "a"],
        [7, "seven", "8"],
        [7, "7", "07"],
    ],
)
def test_any_id_is_kept_and_written_back_unchanged(ids: list[int | str], tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{n}.png", "height": 48, "width": 64} for n, i in enumerate(ids)]
    data = coco(tmp_path, [{"image_id": i} for i in ids], images=images)
    index = read_index(data, "train")
    assert [index.image_id(n) for n in range(3)] == ids
    assert np.diff(index.offsets).tolist() == [1, 1, 1]
    results = [{"image_id": i, "category_id": 1, "bbox": [4, 5, 20, 30], "score": 0.5} for i in ids]
    write_results(tmp_path / "detections.json", results)
    assert [entry["image_id"] for entry in json.loads((tmp_path / "detections.json").read_text())] == ids
    assert read_results(tmp_path / "detections.json", index) == results
    assert ids_of(id_array(ids)) == ids


def test_ids_and_numbers_may_be_text(tmp_path: Path) -> None:
    images = [{"id": "12", "file_name": "a.png", "height": "48", "width": "64.0"}]
    categories = [{"id": "10", "name": "dog"}, {"id": "9", "name": "cat"}]
    written = {"image_id": 12, "category_id": 9.0, "bbox": ["4", "5.5", " 20 ", "3e1"], "area": "7.5", "iscrowd": "0"}
    index = read_index(coco(tmp_path, [written], images=images, categories=categories), "train")
    assert index.category_ids == ("9", "10")
    assert index.class_names == ("cat", "dog")
    assert index.boxes.tolist() == [[4, 5.5, 24, 35.5]]
    assert index.area.tolist() == [7.5]
    assert not index.crowd.any()
    assert not index.problems


def test_text_that_is_no_decimal_number_is_none(tmp_path: Path) -> None:
    wrong: list[Any] = [["1_0", 1, 5, 5], ["0x10", 1, 5, 5], ["\u0661", 1, 5, 5], [True, 1, 5, 5], [10**400, 1, 5, 5]]
    index = read_index(coco(tmp_path, [{"bbox": box} for box in wrong]), "train")
    assert kinds(index) == ["malformed annotation"] * len(wrong)


def test_ids_that_differ_in_type_alone_are_two_where_the_file_has_both() -> None:
    assert Lookup([7])("7") == 0
    assert Lookup(["7"])(7.0) == 0
    assert [Lookup([7, "7"])(value) for value in (7, "7", 7.0, True, None, [7])] == [0, 1, 0, None, None, None]


# -------------------------------------------------------------------------------------------------------------- boxes
def test_polygons_give_boxes_where_there_is_no_bbox(tmp_path: Path) -> None:
    polygons = {"segmentation": [[4, 5, 24, 5, 14, 35.5], [30, 6, 31, 6, 31, 7]]}
    index = read_index(coco(tmp_path, [polygons | {"bbox": box} for box in (None, list[float]())]), "train")
    assert index.boxes.tolist() == [[4, 5, 31, 35.5]] * 2
    assert index.annotations.boxes.tolist() == [[4, 5, 27, 30.5]] * 2


def test_masks_give_the_boxes_of_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for trial in range(60):
        pixels = np.zeros((48, 64), dtype=np.uint8, order="F")
        top, left = rng.integers(0, 40, 2)
        pixels[top : top + rng.integers(1, 30), left : left + rng.integers(1, 30)] = 1
        if trial % 3 == 0:
            pixels &= rng.integers(0, 2, pixels.shape, dtype=np.uint8)
        compressed = mask.encode(pixels)
        expected = mask.toBbox(compressed).tolist()
        flat = pixels.flatten(order="F")
        edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
        runs = np.diff(np.concatenate([[0], edges])).tolist()
        for counts in (compressed["counts"].decode(), runs):
            found = box_of({"segmentation": {"size": [48, 64], "counts": counts}})
            assert list(found or [0, 0, 0, 0]) == expected


@pytest.mark.parametrize("counts", ["~~~", "o", "", [1, -2], [10, 10**9], [1.5, 2], None, ["x"], "0" * 10])
def test_a_mask_that_is_none_is_skipped_and_reported(counts: Any, tmp_path: Path) -> None:
    written = {"bbox": None, "segmentation": {"size": [48, 64], "counts": counts}}
    index = read_index(coco(tmp_path, [written, {}]), "train")
    assert len(index.boxes) == 1
    assert kinds(index) == ["malformed annotation"]


def test_an_area_that_cannot_be_is_the_boxs_and_reported(tmp_path: Path) -> None:
    areas: list[Any] = [0, -1, float("inf"), "x", 600, 600.5, 700, None]
    index = read_index(coco(tmp_path, [{"area": area} for area in areas]), "train")
    assert index.area.tolist() == [600, 600, 600, 600, 600, 600.5, 700, 600]
    assert kinds(index) == ["area not annotated"] * 4 + ["area larger than the box"]


# --------------------------------------------------------------------------------------------------------- categories
GROUPED = [
    {"id": 0, "name": "pets", "supercategory": "none"},
    {"id": 1, "name": "cat", "supercategory": "pets"},
    {"id": 2, "name": "dog", "supercategory": "pets"},
]


def test_a_category_that_only_groups_others_is_no_class(tmp_path: Path) -> None:
    index = read_index(coco(tmp_path, [{}], categories=GROUPED), "train")
    assert index.class_names == ("cat", "dog")
    assert index.category_ids == (1, 2)
    assert index.notes == [
        "category 0 (pets) of train.json is no class: nothing is annotated with it, it is only the supercategory of cat, dog"
    ]


def test_a_group_that_another_split_annotates_is_a_class(tmp_path: Path) -> None:
    coco(tmp_path, [{"category_id": 0}], categories=GROUPED)
    as_val(tmp_path)
    data = coco(tmp_path, [{}], categories=GROUPED)
    names = read_index(data, "train").class_names
    assert names == ("pets", "cat", "dog")
    assert read_index(data, "val", names).labels.tolist() == [0]


def test_coco_s_own_categories_are_all_classes(tmp_path: Path) -> None:
    own = [{"id": 1, "name": "person", "supercategory": "person"}, {"id": 2, "name": "car", "supercategory": "vehicle"}]
    assert read_index(coco(tmp_path, [{}], categories=own), "train").class_names == ("person", "car")


def test_validation_may_list_fewer_categories_and_keeps_ids_apart(tmp_path: Path) -> None:
    coco(tmp_path, [{"category_id": 2}], categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": "owl"}])
    as_val(tmp_path)
    data = coco(tmp_path, [{}], categories=[*CATEGORIES, {"id": 3, "name": "owl"}])
    index = read_index(data, "val", read_index(data, "train").class_names)
    assert index.class_names == ("cat", "dog", "owl")
    assert index.category_ids == (1, 3, 2)  # dog's id in train.json is owl's here
    assert index.labels.tolist() == [2]
    assert ["dog cannot be measured" in note for note in index.notes] == [True]


# ------------------------------------------------------------------------------------------------------------- images
@pytest.mark.parametrize(
    "name",
    [
        "sub\\a b.JPG",
        "C:\\Users\\me\\data\\images\\sub\\a b.JPG",
        "/home/other/project/images/sub/a b.JPG",
        "..\\..\\label-studio\\media\\upload\\4\\a b.JPG",
        "sub/a%20b.JPG",
        "sub/a b.jpg",
        "http://host:8080/data/upload/sub/a%20b.JPG?token=1",
        "/data/local-files/?d=images/sub/a%20b.JPG",
        "s3://bucket/images/sub/a b.JPG",
        "SUB/A B.PNG",
    ],
)
def test_an_image_is_found_whatever_machine_named_it(name: str, tmp_path: Path) -> None:
    picture(tmp_path / "images/sub/a b.JPG")
    picture(tmp_path / "images/.hidden/a b.JPG")
    picture(tmp_path / "images/val/sub/a b.JPG")
    index = read_index(coco(tmp_path, [{}], names=(name,)), "train")
    assert index.files.tolist() == [str(tmp_path / "images/sub/a b.JPG")]


def test_an_image_that_fits_several_files_is_missing(tmp_path: Path) -> None:
    picture(tmp_path / "images/one/a.png")
    picture(tmp_path / "images/two/a.png")
    index = read_index(coco(tmp_path, [{}], names=("a.png",)), "train")
    assert [problem.kind for problem in missing_images(index)] == ["missing image"]


def test_an_image_of_another_split_is_not_taken(tmp_path: Path) -> None:
    picture(tmp_path / "images/val/a.png")
    assert missing_images(read_index(coco(tmp_path, [{}]), "train"))


def test_one_file_under_two_ids_is_reported_with_both(tmp_path: Path) -> None:
    index = read_index(coco(tmp_path, [{}, {"image_id": 1}], names=("a.png", "./a.png")), "train")
    assert len(index) == 2
    picture(tmp_path / "a.png")
    index = read_index(coco(tmp_path, [{}, {"image_id": 1}], names=("a.png", "a.png")), "train")
    assert [(p.kind, "image 0 and image 1" in p.what) for p in index.problems] == [("file under two ids", True)]


@pytest.mark.parametrize("size", [10**9, 10**30, -1, "x", None])
def test_a_size_that_no_image_has_is_read_from_the_file(size: Any, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    images = [{"id": 0, "file_name": "a.png", "height": size, "width": size}]
    assert read_index(coco(tmp_path, [{}], images=images), "train").sizes.tolist() == [[48, 64]]


def make_turned(root: Path, orientation: int, stored: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(root / f"{orientation}.png", exif=exif)


def test_boxes_of_pictures_before_exif_turns_them_lie_on_the_unturned_pictures(tmp_path: Path) -> None:
    stored = np.zeros((48, 64, 3), dtype=np.uint8)
    stored[5:35, 4:24] = 255
    for orientation in (1, 3, 6):
        make_turned(tmp_path, orientation, stored)
    data = coco(tmp_path, [{"image_id": i} for i in range(3)], names=("1.png", "3.png", "6.png"))
    index = read_index(data, "train")
    assert index.as_stored
    assert "unturned" in index.notes[0]
    for i in range(3):
        assert np.array_equal(index.image(i), stored)


def test_boxes_of_pictures_as_they_are_seen_lie_on_the_turned_pictures(tmp_path: Path) -> None:
    for orientation in (3, 6):
        make_turned(tmp_path, orientation, np.zeros((48, 64, 3), dtype=np.uint8))
    images = [{"id": 0, "file_name": "3.png"}, {"id": 1, "file_name": "6.png", "height": 64, "width": 48}]
    index = read_index(coco(tmp_path, [{}], images=images), "train")
    assert not index.as_stored
    assert [index.image(i).shape[:2] for i in range(2)] == [(48, 64), (64, 48)]


def test_sizes_of_both_kinds_are_refused_with_the_reason(tmp_path: Path) -> None:
    for orientation in (6, 8):
        make_turned(tmp_path, orientation, np.zeros((48, 64, 3), dtype=np.uint8))
    images = [{"id": o, "file_name": f"{o}.png", "height": h, "width": w} for o, h, w in ((6, 64, 48), (8, 48, 64))]
    index = read_index(coco(tmp_path, [{"image_id": 6}], images=images), "train")
    with pytest.raises(UserError, match=r"8\.png: its annotation says 64x48, its size before EXIF turns it"):
        index.image(1)


# ---------------------------------------------------------------------------------------------------------------- text
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_json_in_any_encoding_of_unicode_is_read(encoding: str, tmp_path: Path) -> None:
    data = coco(tmp_path, [{}])
    text = (tmp_path / "train.json").read_text().replace('"cat"', '"chät"')
    (tmp_path / "train.json").write_bytes(text.encode(encoding))
    assert read_index(data, "train").class_names == ("chät", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"images": [],\n"categories": "\xe4"}', r"train\.json:2 is not UTF-8"),
        (b'{"images": [],\n "images": [],\n "categories": []\n}', r"train\.json:4: .*'images' twice"),
        (b'{"images": [],\n"categories": [{"id": 1, "id": "}"}\n]}', r"train\.json:2: .*'id' twice"),
        (b'{"images": [],\n"categories": []}\n{}', r"train\.json:3 is not valid json: Extra data"),
        (b'{"images": ' + b"9" * 5000 + b"}", r"train\.json has a number that cannot be read"),
        (b"[" * 200_000, r"nested too deeply"),
    ],
)
def test_a_file_that_is_no_sound_json_is_refused_with_its_line(text: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "train.json").write_bytes(text)
    with pytest.raises(UserError, match=message):
        read_index(config.Coco(root=str(tmp_path), train="train.json"), "train")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1", "cp1252", "gbk"])
def test_an_xml_is_read_in_the_encoding_that_it_declares(encoding: str, tmp_path: Path) -> None:
    name = "猫" if encoding == "gbk" else "café"
    assert read_index(voc(tmp_path, {"a": an_object(name)}, encoding), "train").class_names == (name,)


def test_an_xml_that_declares_entities_is_left_out(tmp_path: Path) -> None:
    data = voc(tmp_path, {"a": an_object("&b;"), "c": an_object()})
    file = tmp_path / "train/a.xml"
    bomb = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>\n<annotation>'
    file.write_text(file.read_text().replace("<annotation>", bomb))
    index = read_index(data, "train")
    assert index.image_ids.tolist() == ["c"]
    assert [(p.kind, "declares the entity 'a'" in p.what) for p in index.problems] == [("malformed annotation", True)]


# ----------------------------------------------------------------------------------------------------------------- VOC
def test_words_for_difficult_are_understood(tmp_path: Path) -> None:
    words = {
        "Unspecified": False,
        "": False,
        "0": False,
        "no": False,
        "nan": False,
        "1": True,
        "true": True,
        "Yes": True,
    }
    content = "".join(an_object(extra=f"<difficult>{word}</difficult>") for word in words)
    index = read_index(voc(tmp_path, {"a": content}), "train")
    assert index.crowd.tolist() == list(words.values())
    assert not index.problems


def test_parts_and_objects_in_objects_are_no_objects(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>"
    index = read_index(voc(tmp_path, {"a": an_object(extra=part) + an_object("dog", extra=an_object("flea"))}), "train")
    assert index.class_names == ("cat", "dog")
    assert index.boxes.tolist() == [[4, 5, 24, 35]] * 2
    assert [(p.kind, p.where) for p in index.problems] == [("nested object", "train/a.xml:4")]


def test_swapped_corners_are_put_in_order_and_reported(tmp_path: Path) -> None:
    index = read_index(voc(tmp_path, {"a": an_object(box=(24, 6, 5, 35)), "b": an_object(box=(5, 35, 24, 6))}), "train")
    assert index.boxes.tolist() == [[4, 5, 24, 35]] * 2
    assert kinds(index) == ["swapped corners"] * 2


def test_names_with_spaces_and_numbers_are_told_from_the_column_of_a_class(tmp_path: Path) -> None:
    names = ["leaf 1", "leaf", "leaf 0 -1"]
    voc(tmp_path, dict.fromkeys(names, an_object()))
    (tmp_path / "train").rename(tmp_path / "Annotations")
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/train.txt").write_text('leaf 1\nleaf  -1\n"leaf 0 -1" 1\n')
    (tmp_path / "JPEGImages").mkdir()
    for name in names:
        (tmp_path / "Annotations" / f"{name}.png").rename(tmp_path / "JPEGImages" / f"{name}.png")
    index = read_index(config.Voc(root=str(tmp_path), val=None, test=None), "train")
    assert index.image_ids.tolist() == ["leaf 1", "leaf", "leaf 0 -1"]
    assert not missing_images(index)


def test_xml_files_and_images_without_each_other_are_counted(tmp_path: Path) -> None:
    data = voc(tmp_path, {"a": an_object(), "b": an_object() + "<size><width>64</width><height>48</height></size>"})
    (tmp_path / "train/b.png").unlink()
    picture(tmp_path / "train/c.png")
    index = read_index(data, "train")
    assert kinds(index) == ["image without annotation"]
    assert [Path(problem.where).name for problem in missing_images(index)] == ["b.jpg"]


# --------------------------------------------------------------------------------------------------- nothing to learn
def test_training_without_an_object_says_what_they_were_skipped_for(tmp_path: Path) -> None:
    index = read_index(coco(tmp_path, [{"bbox": [1, 2]}, {"bbox": [1, 2]}, {"bbox": [1, 2, 0, 4]}]), "train")
    with pytest.raises(
        UserError, match=r"data\.train has no object .* in 1 images; most .* 2 × malformed annotation .*\[1, 2\]"
    ):
        refuse_nothing_to_learn(index)
    with pytest.raises(UserError, match="all 1 are crowd"):
        refuse_nothing_to_learn(read_index(coco(tmp_path, [{"iscrowd": 1}]), "train"))
    refuse_nothing_to_learn(read_index(coco(tmp_path, [{}, {"iscrowd": 1}]), "train"))


def test_images_without_label_file_do_not_hide_what_the_objects_were_skipped_for(tmp_path: Path) -> None:
    for name in "abcd":
        picture(tmp_path / f"images/{name}.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("0 0.5 0.5 0.2 0\n0 0.5 0.5 0 0.2\n0 0.5 0.5 0.2\n")
    (tmp_path / "labels/z.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "data.yaml").write_text("train: images\nval: images\nnames: [one]\n")
    index = read_index(config.Yolo(root=str(tmp_path)), "train")
    line = summarise(index.problems)
    assert "3 × image without label file" in line
    assert "1 × label file without image (first: labels/z.txt" in line
    with pytest.raises(UserError, match=r"in 4 images; most is lost to 2 × degenerate box \(first: labels/a\.txt:1"):
        refuse_nothing_to_learn(index)


def test_validation_of_backgrounds_alone_is_said(tmp_path: Path) -> None:
    line = nothing_to_measure(read_index(coco(tmp_path, []), "train"))
    assert line == "data.val has no object: nothing is measured, last.ckpt is kept"
    assert nothing_to_measure(read_index(coco(tmp_path, [{}]), "train")) is None


# ------------------------------------------------------------------------------------------------------- measuring, CLI
def test_stored_detections_may_be_of_a_class_that_the_split_does_not_list(tmp_path: Path) -> None:
    coco(tmp_path, [{}], categories=CATEGORIES[:1])
    as_val(tmp_path)
    data = coco(tmp_path, [{}])
    found = [{"image_id": 0, "category_id": c, "bbox": [4, 5, 20, 30], "score": 0.5} for c in (1, 2)]
    write_results(tmp_path / "detections.json", found)
    given = config.Evaluate(data=data, detections=str(tmp_path / "detections.json"), output=str(tmp_path / "out"))
    metrics = run(given)
    assert metrics["AP"] == pytest.approx(1)
    assert metrics["per_class"]["dog"]["AP"] is None


@pytest.mark.slow
def test_the_folder_is_all_that_a_command_needs(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    coco(tmp_path, [{}, {"area": 0}])
    as_val(tmp_path)
    coco(tmp_path, [{}])
    arguments = [f"data.root={tmp_path}", "samples=0", f"output={tmp_path / 'report'}"]
    done = subprocess.run(
        [sys.executable, "scripts/check_data.py", *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"data: COCO layout in {tmp_path}: train.json (train), val.json (val)\n")
    assert "area not annotated: val.json, annotation 1: its area is 0" in done.stdout


_SCALARS = (
    st.none() | st.booleans() | st.integers(-9, 10**20) | st.floats() | st.sampled_from(["", "7", "x", "PPYo0", "1e3"])
)
_JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
)


@given(
    _JSON,
    _JSON | st.fixed_dictionaries({"counts": _JSON, "size": st.lists(_SCALARS, min_size=2, max_size=2) | _JSON}),
)
def test_any_json_value_in_the_place_of_a_box_or_a_mask_is_a_finite_box_or_none(bbox: Any, segmentation: Any) -> None:
    for annotation in ({"bbox": bbox}, {"segmentation": segmentation}):
        found = box_of(annotation)
        assert found is None or np.isfinite(found).all()
