"""Our numbers, read through our readers from two json files, against pycocotools called by hand on the same two files."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools_by_hand import by_hand, index_of, largest_difference

from detector import config
from detector.data.read import read_index
from detector.evaluation.results import read_results, write_results

SIDE = 100
OBJECTS = [[10.0, 10.0, 20.0, 20.0], [10.0, 10.0, 40.0, 10.0], [12.3, 7.7, 33.3, 21.9], [-9.5, 60.1, 48.7, 80.3],
           [0.1, 0.2, 32.0, 32.0], [1 / 3, 2 / 3, 96.0, 96.0], [50.0, 50.0, 0.0, 12.0], [55.0, 5.0, 7.0, 0.0],
           [150.0, 150.0, 20.0, 20.0], [70.0, 70.0, -5.0, 10.0], [70.0, 70.0, -5.0, -10.0]]  # fmt: skip
THRESHOLDS = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0]
coordinates = st.one_of(
    st.sampled_from(OBJECTS),
    st.tuples(*[st.floats(-20, 110)] * 2, *[st.floats(0, 120)] * 2).map(list),
    st.tuples(*[st.integers(0, 12)] * 4).map(lambda values: [8 * value for value in values]),
)


@st.composite
def two_files(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Annotations and detections: gaps in ids, any order, ties, thresholds, crowds, boxes that nobody can train on."""
    order = random.Random(draw(st.integers(0, 2**32)))
    kinds_of_ids: list[st.SearchStrategy[Any]] = [
        st.one_of(st.integers(0, 30), st.integers(0, 2**62)),
        st.from_regex(r"[a-zé][0-9]{1,3}[A-Z]?", fullmatch=True),
    ]
    image_ids = draw(st.lists(draw(st.sampled_from(kinds_of_ids)), min_size=1, max_size=4, unique=True))
    categories = draw(st.lists(st.integers(0, 90), min_size=1, max_size=4, unique=True))
    boxes = draw(st.lists(coordinates, min_size=0, max_size=12))
    ids = order.sample(range(1, 1000), len(boxes))
    annotations = []
    for number, (x, y, width, height) in zip(ids, boxes, strict=True):
        own = width * height
        area = draw(st.sampled_from([own, own, 0.7 * own, 1024, 1024.0000000001, 9216, 5.5, 1e11]))
        annotations.append(
            {
                "id": number,
                "image_id": order.choice(image_ids[:3]),
                "category_id": order.choice(categories[:3]),
                "bbox": [x, y, width, height],
                "area": area if area > 0 else own,  # what we take where it is not above 0
                "iscrowd": int(order.random() < 0.2),
            }
        )
    results = []
    for annotation in annotations or [{"image_id": image_ids[0], "category_id": categories[0], "bbox": [5, 5, 9, 9]}]:
        x, y, width, height = annotation["bbox"]
        for _ in range(order.choice([0, 1, 1, 2, 3])):
            share = order.choice(THRESHOLDS)
            moved = [
                [x, y, width * share, height],
                [x, y, width, height * share],
                [x + order.uniform(-3, 3), y + order.uniform(-3, 3), width, height],
                [x + width * (1 - share), y, width * share, height],
            ]
            found = order.choice(moved)
            results.append(
                {
                    "image_id": order.choice([annotation["image_id"]] * 5 + image_ids),
                    "category_id": order.choice([annotation["category_id"]] * 5 + categories),
                    "bbox": [*found[:2], max(found[2], 0), max(found[3], 0)],
                    "score": order.choice([0.1, 0.5, 0.5, 0.9, order.random()]),
                }
            )
    if results and draw(st.integers(0, 4)) == 0:
        results += [{**results[0], "score": order.choice([0.05, 0.3, order.random()])} for _ in range(120)]
    if not results:
        results = [{"image_id": image_ids[0], "category_id": categories[0], "bbox": [1, 1, 5, 5], "score": 1}]
    order.shuffle(results)
    order.shuffle(annotations)
    images = [{"id": i, "file_name": f"{i}.jpg", "height": SIDE, "width": SIDE} for i in image_ids]
    named = [{"id": i, "name": f"class {i}"} for i in categories]
    return {"images": images, "categories": named, "annotations": annotations}, results


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(two_files())
def test_all_numbers_are_those_of_pycocotools_on_the_same_two_files(
    tmp_path_factory: pytest.TempPathFactory, files: tuple[dict[str, Any], list[dict[str, Any]]]
) -> None:
    folder = tmp_path_factory.mktemp("files")
    annotations, results = folder / "annotations.json", folder / "results.json"
    annotations.write_text(json.dumps(files[0]))
    results.write_text(json.dumps(files[1]))
    assert largest_difference(annotations, results, index_of(annotations)) == 0.0
    # in another label space, as that of a checkpoint, the classes keep their numbers and the means their order of addition
    names = tuple(sorted((c["name"] for c in files[0]["categories"]), reverse=True))
    reordered = read_index(config.Coco(root=str(folder), train="annotations.json"), "train", names)
    assert largest_difference(annotations, results, reordered) == 0.0
    # as an evaluation of a checkpoint writes them
    written = folder / "written.json"
    write_results(written, read_results(results, reordered))
    assert json.loads(written.read_text()) == files[1]


def test_detections_on_thresholds_count_as_pycocotools_counts_them(tmp_path: Path) -> None:
    """Fractional boxes of which a share of the width is found: xyxy in float32, or in float64, moves a part of them."""
    generator = np.random.default_rng(0)
    boxes = np.concatenate([generator.uniform(0, 50, (300, 2)), generator.uniform(1, 50, (300, 2))], axis=1).round(2)
    annotations, results = tmp_path / "annotations.json", tmp_path / "results.json"
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": SIDE, "width": SIDE} for i in range(300)],
        "categories": [{"id": 4, "name": "a"}],
        "annotations": [
            {"id": i + 1, "image_id": i, "category_id": 4, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for i, box in enumerate(boxes.tolist())
        ],
    }
    annotations.write_text(json.dumps(content))
    write_results(
        results,
        [
            {"image_id": i, "category_id": 4, "bbox": [x, y, width * THRESHOLDS[i % 10], height], "score": i / 300}
            for i, (x, y, width, height) in enumerate(boxes.tolist())
        ],
    )
    index = index_of(annotations)
    assert largest_difference(annotations, results, index) == 0.0
    corners = index.annotations.corners
    for kind in ("float32", "float64"):  # neither would do
        held: np.ndarray = corners.astype(kind)
        rounded = np.concatenate([held[:, :2], held[:, 2:] - held[:, :2]], axis=1)
        moved = replace(index, annotations=replace(index.annotations, boxes=rounded.astype(np.float64)))
        assert largest_difference(annotations, results, moved) > 1e-3


def test_an_area_that_is_absent_or_not_above_0_is_that_of_the_box(tmp_path: Path) -> None:
    areas: list[Any] = [None, 0, -3.5, 0.0, 7000]
    content: dict[str, Any] = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": 200, "width": 200} for i in range(5)],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [
            {"id": i + 1, "image_id": i, "category_id": 1, "bbox": [3.3, 4.4, 30 + 20.7 * i, 90.9], "iscrowd": 0}
            for i in range(5)
        ],
    }
    results = tmp_path / "results.json"
    write_results(
        results,
        [
            {"image_id": i, "category_id": 1, "bbox": a["bbox"], "score": 0.5}
            for i, a in enumerate(content["annotations"])
        ],
    )
    for annotation, area in zip(content["annotations"], areas, strict=True):
        if area is not None:
            annotation["area"] = area
    (tmp_path / "ours.json").write_text(json.dumps(content))
    for annotation, area in zip(content["annotations"], areas, strict=True):
        annotation["area"] = area if area and area > 0 else annotation["bbox"][2] * annotation["bbox"][3]
    filled = tmp_path / "filled.json"
    filled.write_text(json.dumps(content))
    assert largest_difference(filled, results, index_of(tmp_path / "ours.json")) == 0.0


def test_annotation_ids_do_not_matter_though_pycocotools_takes_0_for_no_match(tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": 50, "width": 50} for i in range(3)],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0} for i in range(3)
        ],
    }
    results = tmp_path / "results.json"
    write_results(results, [{"image_id": i, "category_id": 1, "bbox": [1, 1, 9, 9], "score": 0.5} for i in range(3)])
    from_0, from_1 = tmp_path / "0.json", tmp_path / "1.json"
    from_0.write_text(json.dumps(content))
    for annotation in content["annotations"]:
        annotation["id"] += 1
    from_1.write_text(json.dumps(content))
    assert by_hand(from_0, results)[0][0] < by_hand(from_1, results)[0][0]
    assert largest_difference(from_1, results, index_of(from_0)) == 0.0
