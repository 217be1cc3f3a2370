"""Our numbers against pycocotools run by hand on files."""

from __future__ import annotations

import gc
import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools_by_hand import by_hand

from detector import boxes as box_ops
from detector import config
from detector.data.index import AnnotatedObjects, Index, assemble
from detector.data.read import read_index
from detector.evaluation import coco
from detector.evaluation.coco import METRICS, ground_truth
from detector.evaluation.comparison import match
from detector.evaluation.evaluate import evaluate
from detector.evaluation.report import table
from detector.evaluation.results import flatten
from detector.types import Detections, Target

COCO_TINY = Path("../shared/data/coco_tiny")
BCCD = Path("../shared/data/bccd")


def assert_equal_to_by_hand(index: Index, results: list[dict[str, Any]], annotations: Path, folder: Path) -> None:
    file = folder / "results.json"
    file.write_text(json.dumps(results))
    twelve, per_category = by_hand(annotations, file)
    ours = evaluate(index, results)
    assert [-1 if ours[key] is None else ours[key] for key in METRICS] == twelve
    for category, name in zip(index.category_ids, index.class_names, strict=True):
        measured = (ours["per_class"][name]["AP"], ours["per_class"][name]["AP50"])
        assert measured == (per_category[category] or (None, None))


def noisy_results(index: Index, seed: int, noise: float = 0.12) -> list[dict[str, Any]]:
    """Moved, missed, doubled and misnamed objects, with rounded scores so that there are ties."""
    random = np.random.default_rng(seed)
    results = []
    for i in range(len(index)):
        target = index.target(i)
        for box, label in zip(target.boxes.numpy().astype(float), target.labels.tolist(), strict=True):
            for _ in range(random.integers(0, 4)):
                width, height = box[2] - box[0], box[3] - box[1]
                moved = box + random.normal(0, noise, 4) * [width, height, width, height]
                size = np.maximum(moved[2:] - moved[:2], 0.5)
                wrong_class = random.random() < 0.1
                results.append(
                    {
                        "image_id": index.image_id(i),
                        "category_id": index.category_ids[
                            int(random.integers(len(index.class_names))) if wrong_class else label
                        ],
                        "bbox": [*moved[:2].round(2).tolist(), *size.round(2).tolist()],
                        "score": round(random.random(), 2),
                    }
                )
    return results


def random_annotations(seed: int) -> dict[str, Any]:
    """A COCO json: gaps in the ids, images out of order, crowds, areas of their own, a class and images unused."""
    random = np.random.default_rng(seed)
    image_ids = [int(i) for i in random.permutation(1000)[:12]]
    annotations = []
    for n in range(150):
        size = np.exp(random.uniform(np.log(4), np.log(200), 2))
        corner = random.uniform(0, 400 - size)
        box = np.concatenate([corner, size]).round(2)
        annotations.append(
            {
                "id": n + 1,
                "image_id": image_ids[int(random.integers(10))],
                "category_id": [2, 3, 90][int(random.integers(3))],
                "bbox": box.tolist(),
                "area": float((box[2] * box[3] * random.uniform(0.4, 1)).round(4)),
                "iscrowd": int(random.random() < 0.1),
            }
        )
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": 400, "width": 400} for i in image_ids],
        "categories": [{"id": i, "name": f"class {i}"} for i in (90, 3, 2, 5)],
        "annotations": annotations,
    }


def index_of(data: dict[str, Any]) -> Index:
    position = {image["id"]: i for i, image in enumerate(data["images"])}
    label = {category["id"]: k for k, category in enumerate(data["categories"])}
    annotations = data["annotations"]
    xywh = np.array([a["bbox"] for a in annotations]).reshape(-1, 4)
    return assemble(
        [category["name"] for category in data["categories"]],
        list(label),
        list(position),
        [image["file_name"] for image in data["images"]],
        np.array([(image["height"], image["width"]) for image in data["images"]]),
        AnnotatedObjects(
            owners=[position[a["image_id"]] for a in annotations],
            boxes=np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
            labels=[label[a["category_id"]] for a in annotations],
            crowd=[bool(a["iscrowd"]) for a in annotations],
            where=lambda n: f"annotation {n}",
            area=[a["area"] for a in annotations],
            written=xywh,
        ),
    )


@pytest.mark.parametrize("seed", range(4))
def test_numbers_equal_pycocotools_on_random_data(tmp_path: Path, seed: int) -> None:
    data = random_annotations(seed)
    annotations = tmp_path / "annotations.json"
    annotations.write_text(json.dumps(data))
    index = index_of(data)
    results = noisy_results(index, seed)
    assert 0.05 < evaluate(index, results)["AP"] < 0.95
    assert_equal_to_by_hand(index, results, annotations, tmp_path)


@pytest.mark.skipif(not COCO_TINY.exists(), reason="no coco_tiny")
@pytest.mark.parametrize("split", ["train", "val"])
def test_numbers_equal_pycocotools_on_real_coco_annotations(tmp_path: Path, split: str) -> None:
    annotations = COCO_TINY / f"annotations/instances_{split}2017.json"
    names = [f"annotations/instances_{name}2017.json" for name in ("train", "val")]
    index = read_index(config.Coco(root=str(COCO_TINY), train=names[0], val=names[1]), split)
    results = noisy_results(index, seed=1)
    assert len(results) > 500
    assert_equal_to_by_hand(index, results, annotations, tmp_path)


def test_string_image_ids_give_the_numbers_of_int_ids() -> None:
    data = random_annotations(0)
    index = index_of(data)
    named = index_of(data)
    named.image_ids = np.array([f"{i:06d}" for i in index.image_ids.tolist()])
    results = noisy_results(index, seed=0)
    assert evaluate(index, results) == evaluate(named, [{**r, "image_id": f"{r['image_id']:06d}"} for r in results])


def test_only_the_best_hundred_of_an_image_with_two_thousand_objects_count() -> None:
    grid = np.stack(np.meshgrid(np.arange(50), np.arange(40)), axis=-1).reshape(-1, 2) * 10.0
    data: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "", "height": 400, "width": 500}],
        "categories": [{"id": 1, "name": "dot"}],
        "annotations": [
            {"id": n + 1, "image_id": 1, "category_id": 1, "bbox": [x, y, 8, 8], "area": 64, "iscrowd": 0}
            for n, (x, y) in enumerate(grid.tolist())
        ],
    }
    results = [
        {"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 1 - a["id"] / 1e4}
        for a in data["annotations"]
    ]
    metrics = evaluate(index_of(data), results)
    assert metrics["AR1"] == pytest.approx(1 / 2000)
    assert metrics["AR10"] == pytest.approx(10 / 2000)
    assert metrics["AR100"] == metrics["ARs"] == pytest.approx(100 / 2000)
    assert metrics["AP"] == pytest.approx(6 / 101)  # recall 0, 0.01, ..., 0.05 are reached
    assert metrics["APm"] is metrics["APl"] is None
    assert (metrics["voc"]["AP50_11point"], metrics["voc"]["AP50_area"]) == (
        pytest.approx(1.0),
        1.0,
    )  # VOC counts all detections


def letterbox(target: Target, size: int) -> torch.Tensor:
    height, width = target.original_size
    scale = size / max(height, width)
    return torch.tensor([[scale, 0, (size - scale * width) / 2], [0, scale, (size - scale * height) / 2], [0, 0, 1]])


def truth_as_results(index: Index, size: int) -> list[dict[str, Any]]:
    """Every object, crowds too, found in a letterboxed input of `size` pixels and mapped back to the original image."""
    results = []
    for i in range(len(index)):
        target, rows = index.target(i), index.annotations.rows(i)
        matrix = letterbox(target, size)
        boxes = torch.from_numpy(index.annotations.corners[rows]).float()
        labels = torch.from_numpy(index.annotations.labels[rows])
        found = Detections(box_ops.transform(boxes, matrix), torch.linspace(1, 0.5, len(labels)), labels)
        results += found.to_original(matrix, target.original_size).to_coco(target.image_id, index.category_ids)
    return results


@pytest.mark.parametrize("size", [96, 416, 640])
def test_ground_truth_as_predictions_through_the_letterbox_gives_one(size: int) -> None:
    index = index_of(random_annotations(2))
    assert index.annotations.crowd.any()
    metrics = evaluate(index, truth_as_results(index, size))
    for key in ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100"):
        assert metrics[key] == pytest.approx(1.0, abs=1e-12)
    assert metrics["voc"]["AP50_area"] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("root", "data"),
    [
        (COCO_TINY, config.Coco(root=str(COCO_TINY), val="annotations/instances_val2017.json")),
        (BCCD, config.Voc(root=str(BCCD))),
        (Path("../shared/data/deeppcb"), config.Yolo(root="../shared/data/deeppcb")),
    ],
    ids=["coco", "voc", "yolo"],
)
def test_ground_truth_of_real_data_as_predictions_gives_one(root: Path, data: config.Data) -> None:
    if not root.exists():
        pytest.skip(f"no {root.name}")
    index = read_index(data, "val")
    metrics = evaluate(index, truth_as_results(index, 640))
    assert metrics["AP"] == pytest.approx(1.0, abs=1e-12)
    assert metrics["voc"]["AP50_area"] == pytest.approx(1.0, abs=1e-12)
    measured = [values["AP"] for values in metrics["per_class"].values() if values["AP"] is not None]
    assert measured == pytest.approx([1.0] * len(measured), abs=1e-12)


def test_a_detection_in_a_crowd_counts_neither_way_and_a_missed_crowd_costs_nothing() -> None:
    data = random_annotations(0)
    data["annotations"] = [
        {"id": 1, "image_id": data["images"][0]["id"], "category_id": 3, "area": 2500, "iscrowd": crowd, "bbox": box}
        for crowd, box in ((0, [10, 10, 50, 50]), (1, [100, 100, 200, 200]))
    ]
    index = index_of(data)
    on_object = {"image_id": data["images"][0]["id"], "category_id": 3, "bbox": [10, 10, 50, 50], "score": 0.1}
    in_crowd = {**on_object, "bbox": [120, 120, 60, 60], "score": 0.9}
    nowhere = {**on_object, "bbox": [300, 10, 60, 60], "score": 0.8}
    assert evaluate(index, [on_object])["AP"] == pytest.approx(1.0)
    assert evaluate(index, [in_crowd, in_crowd, on_object])["AP"] == pytest.approx(1.0)
    assert evaluate(index, [nowhere, on_object])["AP"] == pytest.approx(0.5)


def test_no_detections_give_zero() -> None:
    metrics = evaluate(index_of(random_annotations(0)), [])
    assert [metrics[key] for key in METRICS] == [0.0] * 12
    assert metrics["voc"]["AP50_11point"] == metrics["voc"]["AP50_area"] == 0
    assert metrics["per_class"]["class 3"] == {"AP": 0.0, "AP50": 0.0}
    assert metrics["per_class"]["class 5"] == {"AP": None, "AP50": None}


@pytest.mark.parametrize("with_detections", [False, True])
def test_no_objects_give_none_in_valid_json(with_detections: bool) -> None:
    data = random_annotations(0)
    data["annotations"] = []
    entry = {"image_id": data["images"][0]["id"], "category_id": 3, "bbox": [10, 10, 50, 50], "score": 0.1}
    metrics = evaluate(index_of(data), [entry] if with_detections else [])
    assert [metrics[key] for key in METRICS] == [None] * 12
    nothing = {"AP50_11point": None, "AP50_area": None}
    assert metrics["voc"] == {**nothing, "per_class": dict.fromkeys(metrics["per_class"], nothing)}
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_a_split_without_classes_and_objects_has_no_numbers() -> None:
    nothing = assemble([], [], [3, 1], ["", ""], np.full((2, 2), 50), AnnotatedObjects([], [], [], [], where=str))
    metrics = evaluate(nothing, [])
    assert [metrics[key] for key in METRICS] == [None] * 12
    assert (metrics["per_class"], metrics["voc"]["per_class"]) == ({}, {})
    assert "–" in table(metrics)
    assert np.isnan(match(nothing, flatten(nothing, [])).ap)


def test_the_order_of_results_does_not_matter() -> None:
    index = index_of(random_annotations(1))
    results = noisy_results(index, seed=1)
    for place, result in enumerate(results):
        result["score"] = (place * 7919 % len(results) + 1) / (len(results) + 1)  # no ties
    assert len({result["score"] for result in results}) == len(results)
    metrics = evaluate(index, results)
    for seed in range(3):
        shuffled = [results[i] for i in np.random.default_rng(seed).permutation(len(results))]
        assert evaluate(index, shuffled) == metrics


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    index = index_of(random_annotations(0))
    evaluate(index, noisy_results(index, seed=0))
    assert capfd.readouterr() == ("", "")


def test_measuring_again_gives_the_same_and_reuses_the_ground_truth_until_the_index_is_gone() -> None:
    index = index_of(random_annotations(0))
    results = noisy_results(index, seed=0)
    first = evaluate(index, results)
    truth = ground_truth(index)
    evaluate(index, [])
    assert evaluate(index, results) == first
    assert ground_truth(index) is truth
    other = index_of(random_annotations(1))
    assert ground_truth(other) is not truth
    keys = {id(index), id(other)}
    assert keys <= set(coco._ground_truths)
    del index, other
    gc.collect()
    assert not keys & set(coco._ground_truths)


def test_a_subset_is_measured_on_its_own_images() -> None:
    index = index_of(random_annotations(3))
    subset = index.subset([4, 1, 7])
    results = noisy_results(subset, seed=3)
    alone = evaluate(subset, results)
    assert alone["AR100"] > evaluate(index, results)["AR100"]
    assert list(alone["per_class"]) == list(index.class_names)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_of_a_process_that_has_measured_measures_the_same_and_does_not_wait_for_ever() -> None:
    index = index_of(random_annotations(0))
    results = noisy_results(index, seed=0)
    expected = evaluate(index, results)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(evaluate, (index, results)).get(timeout=60) == expected
