from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from detector import config
from detector.data.index import AnnotatedObjects, Index, InMemory, assemble
from detector.data.options import Data
from detector.data.split_loader import evaluation_loader
from detector.evaluation.evaluate_detector import evaluate_detector
from detector.evaluation.second_look import detect_mirrored
from detector.inference.predictor import detect_originals
from detector.types import Detections

SIZES = [(40, 80), (90, 60), (64, 64)]
"""(height, width)"""
BOXES = [[(4, 6, 24, 20), (50, 10, 70, 34)], [(30, 60, 55, 85), (5, 5, 25, 25)], [(2, 2, 30, 22), (40, 40, 60, 60)]]


class BrightRectangles(nn.Module):
    """A detector of bright rectangles, which also believes in one at a fixed place of its input, whatever it sees."""

    def __init__(self, ghost: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.ghost = ghost

    def losses(self, images: Tensor, targets: Any) -> dict[str, Tensor]:
        raise NotImplementedError

    def detect(self, images: Tensor) -> list[Detections]:
        found = []
        for image in images:
            _, _, stats, _ = cv2.connectedComponentsWithStats((image[0] > 150).numpy().astype(np.uint8))
            boxes = [[x, y, x + w, y + h] for x, y, w, h, _ in stats[1:]]
            scores = [0.9] * len(boxes)
            if self.ghost:
                boxes, scores = [*boxes, [20, 46, 28, 58]], [*scores, 0.95]
            tensor = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
            order = torch.tensor(scores).sort(descending=True, stable=True).indices
            found.append(Detections(tensor[order], torch.tensor(scores)[order], torch.zeros(len(boxes)).long()))
        return found


def _index(annotated: list[list[tuple[int, int, int, int]]]) -> Index:
    pictures: dict[int | str, np.ndarray] = {}
    for i, ((height, width), boxes) in enumerate(zip(SIZES, BOXES, strict=True)):
        pictures[i] = np.full((height, width, 3), 30, np.uint8)
        for x1, y1, x2, y2 in boxes:
            pictures[i][y1:y2, x1:x2] = 255
    owners = [i for i, boxes in enumerate(annotated) for _ in boxes]
    flat = [box for boxes in annotated for box in boxes]
    index = assemble(
        ("dot",), (1,), range(len(SIZES)), [""] * len(SIZES), np.array(SIZES),
        AnnotatedObjects(owners, flat, [0] * len(flat), [False] * len(flat), where=str),
    )  # fmt: skip
    index.painter = InMemory(pictures)
    return index


def test_boxes_of_the_mirror_image_come_back_to_where_they_are() -> None:
    index, detector = _index(BOXES), BrightRectangles(ghost=False)
    for resize in ("letterbox", "stretch"):
        loader = evaluation_loader(index, Data(name="index", workers=0, batch_size=2), 96, resize=resize)
        found = detect_mirrored(loader, lambda batch: detect_originals(detector, batch, torch.device("cpu")), [7, 8, 9])
        assert sorted(set(found.images.tolist())) == [7, 8, 9]
        for i, boxes in enumerate(BOXES):
            own = found.boxes[found.images == 7 + i]
            corners = sorted(np.column_stack([own[:, :2], own[:, :2] + own[:, 2:]]).tolist())
            np.testing.assert_allclose(corners, sorted(boxes), atol=1.1)  # a pixel of the input at most


def test_an_object_without_annotation_is_stable_and_what_only_the_detector_sees_is_not(tmp_path: Path) -> None:
    index = _index([BOXES[0], BOXES[1], BOXES[2][:1]])
    given = config.Evaluate(image_size=96, output=str(tmp_path / "out"), accelerator="cpu")
    evaluate_detector(BrightRectangles(ghost=True), given, index)
    cases = json.loads((tmp_path / "out" / "analysis.json").read_text())["label_errors"]["cases"]
    missing = [
        (one["image"], one["score"] < 0.93, one["stable"]) for one in cases if one["kind"] == "missing annotation"
    ]
    assert missing[0] == (2, True, True)
    assert len(missing) > 1
    assert all(one[1:] == (False, False) for one in missing[1:])
