"""Our numbers against pycocotools by hand at the size of COCO's val2017, with detections made to lie on thresholds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools_by_hand import differences, index_of

from detector.evaluation.results import write_results

COCO_TINY = Path("../shared/data/coco_tiny")
IMAGES, OBJECTS, CATEGORIES, DETECTIONS = 5000, 36_000, 80, 500_000
THRESHOLDS = np.arange(50, 100, 5) / 100


def val2017_of_chance(seed: int) -> dict[str, Any]:
    """Boxes with two decimals, as COCO's, some over the edge; category ids with gaps; one class in ten is rare."""
    random = np.random.default_rng(seed)
    image_ids = random.choice(600_000, IMAGES, replace=False).tolist()
    categories = np.sort(random.choice(np.arange(1, 91), CATEGORIES, replace=False)).tolist()
    share = 1 / np.arange(1, CATEGORIES + 1)
    sides = np.exp(random.uniform(np.log(4), np.log(400), (OBJECTS, 2)))
    boxes = np.concatenate([random.uniform(-5, 600, (OBJECTS, 2)), sides], axis=1).round(2)
    areas = (boxes[:, 2] * boxes[:, 3] * random.uniform(0.4, 1, OBJECTS)).round(4)
    owners = random.choice(image_ids[:4952], OBJECTS).tolist()  # as in val2017, some images have no object
    of = random.choice(categories, OBJECTS, p=share / share.sum()).tolist()
    crowds = (random.random(OBJECTS) < 0.012).tolist()
    ids = (1 + random.permutation(OBJECTS)).tolist()
    return {
        "images": [{"id": i, "file_name": f"{i:012d}.jpg", "height": 640, "width": 640} for i in image_ids],
        "categories": [{"id": i, "name": f"class {i}"} for i in categories],
        "annotations": [
            {"id": i, "image_id": owner, "category_id": category, "bbox": box, "area": area, "iscrowd": int(crowd)}
            for i, owner, category, box, area, crowd in zip(
                ids, owners, of, boxes.tolist(), areas.tolist(), crowds, strict=True
            )
        ],
    }


def detections_on_thresholds(annotations: dict[str, Any], number: int, seed: int) -> list[dict[str, Any]]:
    """One in three covers a share of its object that is exactly a threshold, one in three lies near, one anywhere."""
    random = np.random.default_rng(seed)
    objects = annotations["annotations"]
    chosen = random.integers(0, len(objects), number)
    boxes = np.array([one["bbox"] for one in objects], dtype=np.float64)[chosen]
    kind = random.integers(0, 3, number)
    side = 2 + random.integers(0, 2, number)
    on_threshold = np.flatnonzero(kind == 0)
    boxes[on_threshold, side[on_threshold]] *= random.choice(THRESHOLDS, len(on_threshold))
    near = kind == 1
    boxes[near] += random.normal(0, 0.15, (number, 4))[near] * boxes[near][:, [2, 3, 2, 3]]
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 0)
    anywhere = kind == 2
    boxes[anywhere, :2] = random.uniform(0, 500, (number, 2))[anywhere]
    scores = random.beta(1, 3, number).round(3) + 0.3 * (kind < 2)  # rounded: many are equal
    image_ids = np.array([one["image_id"] for one in objects])[chosen].tolist()
    categories = np.array([one["category_id"] for one in objects])[chosen].tolist()
    return [
        {"image_id": image, "category_id": category, "bbox": box, "score": score}
        for image, category, box, score in zip(image_ids, categories, boxes.tolist(), scores.tolist(), strict=True)
    ]


def assert_no_difference(annotations: Path, results: Path) -> None:
    found = differences(annotations, results, index_of(annotations))
    print("\n" + "\n".join(f"{name}: pycocotools {theirs}, ours {ours}" for name, (ours, theirs) in found.items()))
    assert len(found) > 12
    assert all(ours == theirs for ours, theirs in found.values())
    assert found["AP"][0] is not None
    assert 0.02 < found["AP"][0] < 0.9


@pytest.mark.slow
def test_no_number_differs_at_the_size_of_coco(tmp_path: Path) -> None:
    content = val2017_of_chance(0)
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    write_results(tmp_path / "results.json", detections_on_thresholds(content, DETECTIONS, 1))
    assert_no_difference(tmp_path / "annotations.json", tmp_path / "results.json")


@pytest.mark.skipif(not COCO_TINY.exists(), reason="no coco_tiny")
def test_no_number_differs_on_real_annotations(tmp_path: Path) -> None:
    annotations = COCO_TINY / "annotations/instances_val2017.json"
    content = json.loads(annotations.read_text())
    write_results(tmp_path / "results.json", detections_on_thresholds(content, 2000, 2))
    assert_no_difference(annotations, tmp_path / "results.json")
