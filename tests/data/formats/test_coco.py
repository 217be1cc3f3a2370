import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector import config
from detector.data.read import read_index, read_split
from detector.errors import UserError

COCO_TINY = Path("../shared/data/coco_tiny")


def make_coco(root: Path, annotations: list[dict[str, Any]], file: str = "train.json", **changes: Any) -> config.Coco:
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": 80, "width": 100} for i in (30, 10, 20)],
        "categories": [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 17, "name": "ant"}],
        "annotations": [{"id": n, "bbox": [1, 2, 3, 4], "category_id": 3} | a for n, a in enumerate(annotations)],
    } | changes
    (root / file).write_text(json.dumps(content))
    return config.Coco(root=str(root), train="train.json", val="val.json")


def test_gaps_in_the_category_ids_are_closed_in_their_order(tmp_path: Path) -> None:
    data = make_coco(tmp_path, [{"image_id": 10, "category_id": c} for c in (90, 3, 17)])
    index = read_index(data, "train")
    assert index.category_ids == (3, 17, 90)
    assert index.class_names == ("cat", "ant", "dog")
    assert index.labels.tolist() == [2, 0, 1]


def test_images_without_annotations_stay_in_the_order_of_the_file(tmp_path: Path) -> None:
    index = read_index(make_coco(tmp_path, [{"image_id": 20}]), "train")
    assert index.image_ids.tolist() == [30, 10, 20]
    assert np.diff(index.offsets).tolist() == [0, 0, 1]
    assert index.target(2).boxes.tolist() == [[1, 2, 4, 6]]


def test_crowds_and_areas_are_as_annotated_and_a_missing_area_is_the_boxs(tmp_path: Path) -> None:
    annotations: list[dict[str, Any]] = [{"image_id": 10, "iscrowd": 1, "area": 5.5}, {"image_id": 10, "iscrowd": 0}]
    index = read_index(make_coco(tmp_path, annotations), "train")
    assert index.crowd.tolist() == [True, False]
    assert index.area.tolist() == [5.5, 12]


def test_everything_wrong_is_reported_together_and_the_rest_is_kept(tmp_path: Path) -> None:
    annotations: list[dict[str, Any]] = [
        {"image_id": 99},
        {"image_id": 10, "bbox": [1, 2, 0, 4]},
        {"image_id": 10, "bbox": [1, 2, 3, -4]},
        {"image_id": 10, "bbox": [-5, 2, 10, 4], "area": 40},
        {"image_id": 10, "bbox": [100, 2, 10, 4]},
        {"image_id": 10, "bbox": [1, 2]},
        {"image_id": 10, "bbox": None},
        {"image_id": 10},
    ]
    index = read_index(make_coco(tmp_path, annotations), "train")
    assert index.boxes.tolist() == [[0, 2, 5, 6], [1, 2, 4, 6]]
    assert index.area.tolist() == [40, 12]
    assert sorted((int(p.where.split()[-1]), p.kind) for p in index.problems) == [
        (0, "annotation of a missing image"),
        (1, "degenerate box"),
        (2, "degenerate box"),
        (3, "box partly outside"),
        (4, "box outside"),
        (5, "malformed annotation"),
        (6, "malformed annotation"),
    ]


def test_an_unknown_category_is_an_error_that_lists_the_known(tmp_path: Path) -> None:
    data = make_coco(tmp_path, [{"image_id": 10, "category_id": 4}])
    with pytest.raises(UserError, match=r"annotation 0: .*id 4; there are 3 \(cat\), 17 \(ant\), 90 \(dog\)"):
        read_index(data, "train")
    assert [p.kind for p in read_split(data, "train").problems] == ["unknown class"]


def test_validation_maps_its_own_ids_to_the_labels_of_training(tmp_path: Path) -> None:
    make_coco(tmp_path, [])
    other = [{"id": 1, "name": "dog"}, {"id": 2, "name": "ant"}, {"id": 3, "name": "cat"}]
    data = make_coco(tmp_path, [{"image_id": 10, "category_id": 1}], "val.json", categories=other)
    index = read_index(data, "val", read_index(data, "train").class_names)
    assert index.class_names == ("cat", "ant", "dog")
    assert index.category_ids == (3, 2, 1)
    assert index.labels.tolist() == [2]


def test_validation_with_objects_of_other_classes_is_refused(tmp_path: Path) -> None:
    data = make_coco(tmp_path, [{"image_id": 10, "category_id": 3}, {"image_id": 10, "category_id": 90}], "val.json")
    with pytest.raises(
        UserError, match=r"data\.val: an object of an unknown class.*annotation 1: .*'dog'.*ant, bee, cat"
    ):
        read_index(data, "val", ("ant", "bee", "cat"))
    with pytest.raises(UserError, match=r"other classes than expected: cat, ant, dog; expected bee"):
        read_index(data, "val", ("bee",))


@pytest.mark.parametrize("place", ["train2017", "images/train2017", "images", "."])
def test_images_are_found_in_the_usual_places(tmp_path: Path, place: str) -> None:
    (tmp_path / "annotations").mkdir()
    data = make_coco(tmp_path, [], "annotations/instances_train2017.json")
    data.train = "annotations/instances_train2017.json"
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / place / "30.jpg").touch()
    assert Path(read_index(data, "train").files[0]) == tmp_path / place / "30.jpg"


def test_the_image_folder_can_be_named_and_must_exist_then(tmp_path: Path) -> None:
    data = make_coco(tmp_path, [])
    (tmp_path / "pictures").mkdir()
    data.images = "pictures"
    assert Path(read_index(data, "train").files[1]) == tmp_path / "pictures" / "10.jpg"
    data.images = "pixtures"
    with pytest.raises(UserError, match=r"data\.images: no folder .*pixtures; .* has pictures/"):
        read_index(data, "train")


def test_annotations_can_be_read_without_any_image(tmp_path: Path) -> None:
    assert len(read_index(make_coco(tmp_path, [{"image_id": 10}]), "train")) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": []}, "has no image"),
        ({"categories": None}, "has no list 'categories'"),
        ({"images": [{"id": 1}]}, "entry 0 of 'images' has no 'file_name'"),
        ({"images": [{"id": 1, "file_name": name} for name in "ab"]}, "2 images with the id 1"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}, "more than one category with the name 'a'"),
    ],
)
def test_a_file_that_is_no_coco_json_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_index(make_coco(tmp_path, [], **changes), "train")
    assert "\n" not in str(caught.value)
    assert "data.train" in str(caught.value)


def test_broken_json_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text('{"images": [],\n"categories": [},\n')
    with pytest.raises(UserError, match=r"train\.json:2 is not valid json"):
        read_index(config.Coco(root=str(tmp_path), train="train.json"), "train")


@pytest.mark.skipif(not COCO_TINY.exists(), reason="no COCO_Tiny")
def test_coco_tiny_is_read_as_pycocotools_reads_it() -> None:
    from pycocotools.coco import COCO

    data = config.Coco(root=str(COCO_TINY), train="annotations/instances_train2017.json")
    index = read_index(data, "train")
    coco = COCO(str(COCO_TINY / "annotations/instances_train2017.json"))
    assert index.category_ids == tuple(sorted(coco.cats))
    assert index.class_names[-1] == coco.cats[90]["name"]
    assert index.crowd.sum() == sum(a["iscrowd"] for a in coco.anns.values()) > 0
    for i in range(len(index)):
        target = index.target(i)
        annotations = coco.imgToAnns[target.image_id]
        boxes = np.array([a["bbox"] for a in annotations]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        np.testing.assert_allclose(target.boxes.numpy(), boxes, atol=0.011)
        assert [index.category_ids[label] for label in target.labels] == [a["category_id"] for a in annotations]
        np.testing.assert_allclose(target.area.numpy(), [a["area"] for a in annotations], rtol=1e-6)
    assert index.image(3).shape[:2] == index.target(3).original_size
    assert not index.problems
