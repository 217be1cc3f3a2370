"""A COCO json is read in pieces and as columns: the index must be the one that its objects one by one make."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector import config
from detector.data.formats import coco_annotations, coco_json
from detector.data.formats.coco_annotations import AnnotationList, no_columns
from detector.data.formats.coco_json import load_coco
from detector.data.index import Index
from detector.data.read import read_split
from detector.errors import UserError

ODD: list[dict[str, Any]] = [
    {"image_id": "10"},
    {"image_id": 10.0},
    {"image_id": True},
    {"image_id": 99},
    {"image_id": 2**70},
    {"category_id": 5},
    {"category_id": "3"},
    {"bbox": [1, "2", 3, 4]},
    {"bbox": [1, 2, True, 4]},
    {"bbox": [1, 2, 3]},
    {"bbox": [1, 2, 3, float("nan")]},
    {"bbox": [1, 2, 10**400, 4]},
    {"bbox": [1, 2, -3, 4]},
    {"bbox": [-4.25, 2, 300.125, 4]},
    {"bbox": [], "segmentation": [[1, 1, 5, 1, 5, 7]]},
    {"area": 0},
    {"area": "7.5"},
    {"area": float("inf")},
    {"area": None},
    {"area": 9999.5},
    {"iscrowd": 1},
    {"iscrowd": True},
    {"iscrowd": "1"},
    {"iscrowd": None},
    {"iscrowd": [1]},
    {"segmentation": {"counts": [0, 4, 9], "size": [80, 100]}},
    {"note": 'says "area": twice, {as} text: "a":'},
    {"id": "own"},
]


def content(seed: int, count: int = 300) -> dict[str, Any]:
    rng = random.Random(seed)
    annotations: list[Any] = []
    for n in range(count):
        box = [rng.choice([rng.uniform(-3, 60), rng.randrange(50)]) for _ in range(4)]
        area = rng.choice([box[2] * box[3] * 0.7, box[2] * box[3], 10])
        plain = {
            "id": 7 * n,
            "image_id": rng.choice([30, 10, 20, 40]),
            "category_id": rng.choice([90, 3, 17]),
            "bbox": box,
        }
        annotations.append(plain | {"area": area, "iscrowd": rng.randrange(2)} | rng.choice([{}] * 60 + ODD))
    annotations[5] = rng.choice([None, [1], "text", 3])
    del annotations[9]["id"]
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 80, "width": 100} for i in (30, 10, 20)]
    images.append({"id": 40, "file_name": "40.jpg"})
    return {
        "info": {"text": "]}, {", "more": [{}, {"annotations": [{}]}]},
        "annotations": annotations,
        "images": images,
        "categories": [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 17, "name": "ant"}],
    }


def read(root: Path, text: str) -> Index:
    (root / "train.json").write_text(text)
    return read_split(config.Coco(root=str(root), train="train.json"), "train")


def arrays(index: Index) -> list[np.ndarray]:
    a = index.annotations
    return [
        *(index.image_ids, index.files, index.sizes, index.offsets, index.boxes, index.labels, index.crowd, index.area),
        *(a.offsets, a.boxes, a.area, a.labels, a.crowd),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_columns_give_what_each_annotation_by_itself_gives(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps(content(seed), indent=seed % 2 or None)
    with monkeypatch.context() as patch:
        patch.setattr(coco_annotations, "_columns", lambda entries, _: None if entries else no_columns())
        patch.setattr(coco_annotations, "_SMALLEST", 10**9)
        expected = read(tmp_path, text)
    with monkeypatch.context() as patch:
        patch.setattr(coco_json, "PIECE", 700)
        patch.setattr(coco_annotations, "_SMALLEST", 1 + 3 * seed)
        in_pieces = read(tmp_path, text)
    whole = read(tmp_path, text)
    assert len(expected.annotations) > 200
    assert len(expected.problems) > 5
    for index in (in_pieces, whole):
        assert index.problems == expected.problems
        for one, other in zip(arrays(index), arrays(expected), strict=True):
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)


def test_annotations_of_the_usual_form_become_columns_alone() -> None:
    found = AnnotationList()
    plain = {"id": 1, "image_id": 2, "category_id": 3, "bbox": [1, 2.5, 3, 4], "area": 12, "iscrowd": 0}
    mask = {"segmentation": {"counts": "abc", "size": [3, 4]}}
    for more in ({}, mask, {"area": None}, {"iscrowd": True}):
        found.take([plain | more] * 3)
    del plain["area"], plain["iscrowd"]
    found.take([plain])
    assert not found.others
    assert found.columns().number.tolist() == list(range(13))
    assert found.columns().area.tolist()[::3][:2] == [12, 12]
    assert np.isnan(found.columns().area[[6, 12]]).all()
    assert found.columns().crowd.tolist() == [False] * 9 + [True] * 3 + [False]


@pytest.mark.parametrize("place", ["annotations", "images", "categories", "info"])
@pytest.mark.parametrize("size", [10, 10**6])
def test_a_key_said_twice_is_found_wherever_it_stands(
    place: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coco_json, "PIECE", size)
    text = json.dumps(content(0), indent=1)
    at = text.index("{", text.index(f'\n "{place}"')) + 1
    (tmp_path / "a.json").write_text(text[:at] + '"id": 1, "id" : 2, "said": "\\":",' + text[at:])
    with pytest.raises(UserError, match=r"a\.json:\d+: the object that ends here says 'id' twice"):
        load_coco(tmp_path / "a.json", "data.train")
    text = text.replace("{", '{"annotations": [],', 1)
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match="says 'annotations' twice"):
        load_coco(tmp_path / "a.json", "data.train")


@pytest.mark.parametrize("cut", [1, 40, 5000, 20000])
def test_a_file_that_is_cut_off_is_refused_as_json_refuses_it(
    cut: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coco_json, "PIECE", 500)
    text = json.dumps(content(1), indent=1)[:-cut]
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(json.JSONDecodeError) as expected:
        json.loads(text)
    with pytest.raises(UserError, match=rf"a\.json:{expected.value.lineno} is not valid json"):
        load_coco(tmp_path / "a.json", "data.train")
