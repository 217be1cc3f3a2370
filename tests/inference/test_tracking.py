"""Objects whose identity is known keep one number. Most of this needs `pip install 'detector-lab[track]'`."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from saved_checkpoint import save_checkpoint

from detector import config
from detector.data.formats.shapes import CLASS_NAMES
from detector.errors import UserError
from detector.inference.predict import predict
from detector.inference.predictor import Predictor
from detector.inference.tracking import Tracker
from detector.types import Batch, Detections

Configure = Callable[..., config.Train]
ROOT = Path(__file__).resolve().parents[2]
FRAMES = 40
needs_trackers = pytest.mark.skipif(importlib.util.find_spec("trackers") is None, reason="trackers is not installed")
needs_supervision = pytest.mark.skipif(
    importlib.util.find_spec("supervision") is None, reason="supervision is not installed"
)


def _true_boxes(frame: int) -> dict[str, tuple[int, int, int, int]]:
    """Where each object is: two cross each other's way in lanes of their own, one stands, one comes late, one is hidden."""
    boxes = {
        "right": (2 + 2 * frame, 4, 14 + 2 * frame, 18),
        "left": (80 - 2 * frame, 24, 92 - 2 * frame, 36),
        "still": (40, 44, 58, 56),
        "hidden": (4 + frame, 62, 20 + frame, 74),
        "late": (90 - frame, 78, 96 + 10 - frame, 92),
    }
    absent = {"hidden": 15 <= frame < 20, "late": frame < 12}
    return {name: box for name, box in boxes.items() if not absent.get(name)}


def _found(boxes: dict[str, tuple[int, int, int, int]], scores: dict[str, float], seed: int) -> Detections:
    """The boxes a little off their places, best first."""
    names = sorted(boxes, key=lambda name: -scores.get(name, 0.9))
    off = np.random.default_rng(seed).uniform(-0.7, 0.7, (len(names), 4))
    places = torch.tensor(np.array([boxes[name] for name in names]) + off, dtype=torch.float32).reshape(-1, 4)
    return Detections(
        places,
        torch.tensor([scores.get(name, 0.9) for name in names]),
        torch.zeros(len(names), dtype=torch.long),
    )


def _name_of(box: Any, boxes: dict[str, tuple[int, int, int, int]]) -> str:
    """The object whose centre is nearest."""
    centre = np.array(box).reshape(2, 2).mean(0)
    return min(boxes, key=lambda name: float(np.abs(np.array(boxes[name]).reshape(2, 2).mean(0) - centre).sum()))


def _check_identities(ids: dict[str, list[int | None]]) -> None:
    """Each object has one number of its own, from its second frame on."""
    assert sorted(ids) == ["hidden", "late", "left", "right", "still"]
    for numbers in ids.values():
        assert numbers[0] is None
        assert None not in numbers[1:]
        assert len(set(numbers[1:])) == 1
    assert len({numbers[1] for numbers in ids.values()}) == 5


@needs_trackers
def test_each_object_keeps_one_number_through_weak_frames_and_none_at_all() -> None:
    tracker = Tracker(score=0.5, frame_rate=10)
    ids = defaultdict(list)
    for frame in range(FRAMES):
        boxes = _true_boxes(frame)
        weak = {"right": 0.2} if 10 <= frame < 16 else {}
        given = _found(boxes, weak, seed=frame)
        given = Detections(*(torch.cat([one, other]) for one, other in _with_noise(given, frame)))
        found = tracker.update(given)
        assert found.ids is not None
        assert found.scores.tolist() == [one for one in given.scores.tolist() if one >= 0.5]  # in their order
        for box, number in zip(found.boxes.tolist(), found.ids.tolist(), strict=True):
            ids[_name_of(box, boxes)].append(None if number < 0 else number)
    _check_identities(ids)
    assert len(ids["right"]) == FRAMES - 6


def _with_noise(found: Detections, seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """A false detection at a random place in every frame, below the score from which one may be an object."""
    x, y = np.random.default_rng(1000 + seed).uniform(0, 80, 2)
    noise = torch.tensor([[x, y, x + 3, y + 3]], dtype=torch.float32), torch.tensor([0.15]), torch.tensor([0])
    return list(zip((found.boxes, found.scores, found.labels), noise, strict=True))


def _video(file: Path) -> None:
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (96, 96))
    for frame in range(FRAMES):
        picture = np.full((96, 96, 3), 20, np.uint8)
        for x1, y1, x2, y2 in _true_boxes(frame).values():
            picture[y1:y2, max(x1, 0) : x2] = 230
        writer.write(picture)
    writer.release()


def _bright_rectangles(_: Predictor, batch: Batch) -> list[Detections]:
    """A detector of bright rectangles, which knows nothing of other frames."""
    found = []
    for image, target in zip(batch.images, batch.targets, strict=True):
        mask = (image.float().mean(0) > 110).numpy().astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h, area in stats[1:] if area > 20], dtype=torch.float32)
        scores, labels = torch.linspace(0.9, 0.8, len(boxes)), torch.arange(len(boxes)) % len(CLASS_NAMES)
        one = Detections(boxes.reshape(-1, 4), scores, labels)
        found.append(one.to_original(target.transform, target.original_size))
    return found


@pytest.fixture
def checkpoint(tiny: Configure, tmp_path: Path) -> str:
    return str(save_checkpoint(tmp_path / "a.ckpt", tiny(), CLASS_NAMES))


@needs_trackers
def test_numbers_of_a_video_are_in_everything_that_is_written(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Predictor, "detect", _bright_rectangles)
    _video(tmp_path / "clip.mp4")
    out = tmp_path / "out"
    given = config.Predict(
        checkpoint,
        str(tmp_path / "clip.mp4"),
        str(out),
        track=True,
        save=["pictures", "txt", "coco"],
        accelerator="cpu",
    )
    predict(given)
    entries = json.loads((out / "detections.json").read_text())["pictures"]
    assert len(entries) == FRAMES
    ids = defaultdict(list)
    coco = COCO(str(out / "coco.json"))
    for frame, entry in enumerate(entries):
        boxes = _true_boxes(frame)
        assert sorted(_name_of(box, boxes) for box in entry["boxes"]) == sorted(boxes)
        for box, number in zip(entry["boxes"], entry["ids"], strict=True):
            ids[_name_of(box, boxes)].append(number)
        assert [one["track_id"] for one in coco.imgToAnns[frame + 1]] == entry["ids"]
        rows = [line.split() for line in (out / "labels" / f"clip_{frame:06d}.txt").read_text().splitlines()]
        assert [int(row[6]) for row in rows] == [-1 if one is None else one for one in entry["ids"]]
    _check_identities(ids)


def test_tracking_is_refused_where_it_has_no_meaning_or_no_library(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((60, 80, 3), np.uint8))
    _video(tmp_path / "clip.mp4")
    monkeypatch.setitem(sys.modules, "trackers", None)
    for source, words in (
        ("a.png", "^track=true: has no meaning for images; source=.*a.png is no video$"),
        ("clip.mp4", r"^track=true: needs the package trackers: pip install 'detector-lab\[track\]'.*$"),
    ):
        with pytest.raises(UserError, match=words):
            predict(config.Predict(checkpoint, str(tmp_path / source), str(tmp_path / "out"), track=True))
    assert not (tmp_path / "out").exists()


def test_numbers_stay_with_their_detections() -> None:
    found = Detections(torch.tensor([[0.0, 0, 10, 10], [5, 5, 9, 9]]), torch.tensor([0.9, 0.8]), torch.tensor([1, 0]))
    found.ids = torch.tensor([7, -1])
    (chosen,) = (found[torch.tensor([False, True])],)
    assert chosen.ids is not None
    assert chosen.ids.tolist() == [-1]
    moved = found.cpu().to_original(torch.eye(3), (20, 20))
    assert moved.ids is not None
    assert moved.ids.tolist() == [7, -1]


@needs_supervision
def test_supervision_gets_all_that_is_known_of_a_detection() -> None:
    boxes, labels = torch.tensor([[0.0, 1, 2, 3], [4, 5, 6, 7]]), torch.tensor([2, 0])
    found = Detections(boxes, torch.tensor([0.9, 0.4]), labels, torch.tensor([5, 6]))
    given = found.to_supervision(CLASS_NAMES)
    np.testing.assert_array_equal(given.xyxy, boxes.numpy())
    assert given.confidence.tolist() == pytest.approx([0.9, 0.4])
    assert given.class_id.tolist() == [2, 0]
    assert given.tracker_id.tolist() == [5, 6]
    assert given.data["class_name"].tolist() == [CLASS_NAMES[2], CLASS_NAMES[0]]
    assert len(Detections(torch.zeros(0, 4), torch.zeros(0), labels[:0]).to_supervision(CLASS_NAMES)) == 0


@needs_trackers
def test_the_example_of_the_docs_draws_each_frame(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = re.findall(r"```python\n(import supervision.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)
    monkeypatch.setattr(Predictor, "detect", _bright_rectangles)
    monkeypatch.chdir(tmp_path)
    _video(tmp_path / "street.mp4")
    Path(checkpoint).rename(tmp_path / "best.ckpt")
    exec(example, {})
    capture = cv2.VideoCapture(str(tmp_path / "drawn.mp4"))
    drawn = []
    while (read := capture.read())[0]:
        drawn.append(read[1])
    assert len(drawn) == FRAMES
    coloured = [(np.ptp(one.astype(int), axis=2) > 60).sum() for one in drawn]  # the scene itself is grey
    assert coloured[0] == 0  # nothing has a number yet
    assert min(coloured[1:]) > 50
