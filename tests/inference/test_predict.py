from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from saved_checkpoint import save_checkpoint

import detector
from detector import config
from detector.data.formats.shapes import CLASS_NAMES
from detector.errors import UserError
from detector.inference import sources
from detector.inference.predict import predict
from detector.inference.predictor import Predictor
from detector.inference.tiles import merged, tiles_of
from detector.types import Batch, Detections

Configure = Callable[..., config.Train]


@pytest.fixture
def checkpoint(tiny: Configure, tmp_path: Path) -> str:
    return str(save_checkpoint(tmp_path / "a.ckpt", tiny(), CLASS_NAMES))


def _pictures(folder: Path, sizes: dict[str, tuple[int, int]]) -> Path:
    """PNG or JPEG files by name and (height, width)."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, (height, width) in sizes.items():
        coarse = random.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(folder / name)
    return folder


def _video(file: Path, frames: int) -> None:
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 12.0, (80, 60))
    random = np.random.default_rng(0)
    for _ in range(frames):
        writer.write(cv2.resize(random.integers(0, 256, (5, 7, 3), dtype=np.uint8), (80, 60)))
    writer.release()


def _run(checkpoint: str, source: Path, output: Path, **options: Any) -> dict[str, Any]:
    given = config.Predict(checkpoint, str(source), str(output), accelerator="cpu", **options)
    assert predict(given) == output
    return json.loads((output / "detections.json").read_text())


def test_the_numbers_of_a_folder_are_those_of_the_predictor(checkpoint: str, tmp_path: Path) -> None:
    sizes = {"b.png": (60, 90), "a.jpg": (300, 200), "c.png": (96, 96)}
    folder = _pictures(tmp_path / "in", sizes)
    content = _run(checkpoint, folder, tmp_path / "out", score=0.2, batch_size=2)
    assert (content["checkpoint"], content["score"]) == (checkpoint, 0.2)
    assert [entry["file"] for entry in content["pictures"]] == ["a.jpg", "b.png", "c.png"]
    model = detector.load(checkpoint, accelerator="cpu")
    for entry in content["pictures"]:
        expected = model.predict(folder / entry["file"], score=0.2)
        assert len(expected) > 0
        assert (entry["height"], entry["width"]) == sizes[entry["file"]]
        assert entry["scores"] == pytest.approx(expected.scores.tolist(), abs=1e-5)
        assert np.array(entry["boxes"]) == pytest.approx(expected.boxes.numpy(), abs=1e-2)
        assert entry["classes"] == [CLASS_NAMES[label] for label in expected.labels]


def test_each_picture_is_drawn_at_its_own_size_and_changed_only_where_something_is_found(
    checkpoint: str, tmp_path: Path
) -> None:
    folder = _pictures(tmp_path / "in", {"a.png": (60, 90), "b.png": (200, 100)})
    _run(checkpoint, folder, tmp_path / "found", score=0.2)
    _run(checkpoint, folder, tmp_path / "nothing", score=1.0)
    for name in ("a.png", "b.png"):
        original = np.asarray(Image.open(folder / name))
        drawn = np.asarray(Image.open(tmp_path / "found" / "pictures" / name))
        assert drawn.shape == original.shape
        assert (drawn != original).any()
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "nothing" / "pictures" / name)), original)


def test_two_files_with_one_stem_get_two_pictures(checkpoint: str, tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "in", {"a.jpg": (60, 90), "a.png": (50, 50)})
    _run(checkpoint, folder, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out" / "pictures").iterdir()} == {"a.png", "a.png.png"}


def test_the_overview_shows_twelve_pictures_none_larger_than_640_pixels(checkpoint: str, tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "many", {f"{i:02d}.png": (60, 90) for i in range(14)})
    _run(checkpoint, folder, tmp_path / "out")
    with Image.open(tmp_path / "out" / "overview.png") as sheet:
        assert 4 * 90 <= sheet.width < 5 * 90
        assert 3 * 60 <= sheet.height < 3 * 60 + 4 * 30
    folder = _pictures(tmp_path / "large", {"a.jpg": (900, 1800)})
    _run(checkpoint, folder, tmp_path / "out large")
    with Image.open(tmp_path / "out large" / "overview.png") as sheet:
        assert 640 <= sheet.width < 680
        assert 320 <= sheet.height < 380


def test_boxes_lie_right_on_the_small_pictures_of_the_overview(checkpoint: str, tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "in", {"a.png": (900, 1800)})
    best = float(detector.load(checkpoint, accelerator="cpu").predict(folder / "a.png", score=0).scores[0])
    content = _run(checkpoint, folder, tmp_path / "best", score=best - 1e-6)
    _run(checkpoint, folder, tmp_path / "nothing", score=1.0)
    with_box, without = (np.asarray(Image.open(tmp_path / name / "overview.png")) for name in ("best", "nothing"))
    gap = (without.shape[1] - 640) // 2
    changed = (with_box != without).any(axis=2)[gap : gap + 320, gap : gap + 640]
    x1, y1, x2, y2 = np.array(content["pictures"][0]["boxes"][0]) * 640 / 1800
    middle_x, middle_y = int(x1 + x2) // 2, int(y1 + y2) // 2
    for x in (x1, x2):
        assert changed[middle_y, max(0, round(x) - 3) : round(x) + 4].any()
    for y in (y1, y2):
        assert changed[max(0, round(y) - 3) : round(y) + 4, middle_x].any()
    assert not changed[middle_y, middle_x]


def test_a_video_becomes_a_video_of_the_same_frames(checkpoint: str, tmp_path: Path) -> None:
    _video(tmp_path / "clip.mp4", frames=26)
    content = _run(checkpoint, tmp_path / "clip.mp4", tmp_path / "out", score=0.2, batch_size=4)
    assert [(entry["file"], entry["frame"]) for entry in content["pictures"]] == [("clip.mp4", i) for i in range(26)]
    assert any(entry["boxes"] for entry in content["pictures"])
    capture = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(12)
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    assert [frame.shape for frame in frames] == [(60, 80, 3)] * 26
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clip.mp4", "detections.json", "overview.png"]


def test_an_output_folder_that_holds_something_is_left_alone(checkpoint: str, tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "in", {"a.png": (60, 90)})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="out: exists already"):
        _run(checkpoint, folder, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    with pytest.raises(UserError, match="no folder can be made there"):
        _run(checkpoint, folder, tmp_path / "out" / "mine.txt" / "deeper")


def test_an_empty_output_folder_is_used_and_by_default_each_run_gets_its_own(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _pictures(tmp_path / "in", {"a.png": (60, 90)})
    (tmp_path / "empty").mkdir()
    _run(checkpoint, folder, tmp_path / "empty")
    monkeypatch.chdir(tmp_path)
    first, second = (predict(config.Predict(checkpoint, str(folder), accelerator="cpu")) for _ in range(2))
    assert first != second
    assert first.parent == second.parent == Path("runs/predict")
    assert (first / "detections.json").read_bytes() == (second / "detections.json").read_bytes()


def test_what_is_printed_counts_objects_and_says_the_rates_and_the_folder(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _pictures(tmp_path / "in", {"a.png": (60, 90), "b.png": (60, 90)})
    content = _run(checkpoint, folder, tmp_path / "out", score=0.2)
    printed = capsys.readouterr().out
    objects = sum(len(entry["scores"]) for entry in content["pictures"])
    assert f"{objects} objects with score ≥ 0.2 in 2 images" in printed
    assert re.search(r"model: [\d.]+ images a second; with reading, drawing and writing: [\d.]+\n", printed)
    assert str(tmp_path / "out") in printed


def test_a_video_that_ends_before_its_header_says_is_reported(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _video(tmp_path / "whole.avi", frames=20)
    whole = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    frames = len(_run(checkpoint, tmp_path / "cut.avi", tmp_path / "out")["pictures"])
    assert 0 < frames < 20
    assert f"should have 20 frames by its header; {frames} could be read" in capsys.readouterr().out


def test_another_suppression_is_used(checkpoint: str, tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "in", {"a.png": (96, 96)})
    own, soft = (
        _run(checkpoint, folder, tmp_path / f"{kind}", score=0.0, suppression=kind)["pictures"][0]["scores"]
        for kind in (None, "soft")
    )
    assert own[0] == soft[0]
    assert own != soft


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"suppression": "gready"}, "choose one of greedy, class_agnostic, soft, diou"),
        ({"iou_threshold": 2.0}, "must be in 0..1"),
        ({"suppression": "soft", "iou_threshold": 0.5}, "no meaning with suppression=soft"),
    ],
)
def test_a_wrong_suppression_is_named(checkpoint: str, options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        _run(checkpoint, _pictures(tmp_path / "in", {"a.png": (96, 96)}), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [({"score": 30.0}, "score=30"), ({"batch_size": 0}, "batch_size=0"), ({"image_size": 97}, "96")],
)
def test_a_wrong_number_is_named_before_anything_is_written(
    options: dict[str, Any], said: str, checkpoint: str, tmp_path: Path
) -> None:
    folder = _pictures(tmp_path / "in", {"a.png": (60, 90)})
    with pytest.raises(UserError, match=said):
        _run(checkpoint, folder, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_everything_that_is_saved_says_the_same(checkpoint: str, tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "in", {"a.png": (60, 90)})
    _pictures(folder / "sub", {"b.jpg": (200, 100), "a.png": (50, 50)})
    content = _run(checkpoint, folder, tmp_path / "out", score=0.6, save=["txt", "crops", "coco"])
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        *("detections.json", "overview.png", "labels", "crops", "coco.json", "classes.txt")
    }
    assert [entry["file"] for entry in content["pictures"]] == ["a.png", "sub/a.png", "sub/b.jpg"]
    assert (out / "classes.txt").read_text().split() == list(CLASS_NAMES)
    coco = COCO(str(out / "coco.json"))
    assert sum(len(entry["boxes"]) for entry in content["pictures"]) == len(coco.anns) > 3
    for entry, image in zip(content["pictures"], coco.loadImgs(sorted(coco.imgs)), strict=True):
        size = entry["width"], entry["height"]
        assert (image["file_name"], image["width"], image["height"]) == (entry["file"], *size)
        name = entry["file"].rsplit(".", 1)[0]
        rows = np.loadtxt(out / "labels" / f"{name}.txt", ndmin=2)
        annotations = coco.imgToAnns[image["id"]]
        pixels = np.asarray(Image.open(folder / entry["file"]))
        for k, (box, score, name_of_class) in enumerate(
            zip(entry["boxes"], entry["scores"], entry["classes"], strict=True)
        ):
            x1, y1, x2, y2 = box
            label = CLASS_NAMES.index(name_of_class)
            assert rows[k] == pytest.approx(
                [
                    label,
                    (x1 + x2) / 2 / size[0],
                    (y1 + y2) / 2 / size[1],
                    (x2 - x1) / size[0],
                    (y2 - y1) / size[1],
                    score,
                ],
                abs=1e-5,
            )
            assert annotations[k]["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1])
            assert coco.cats[annotations[k]["category_id"]]["name"] == name_of_class
            crop = np.asarray(Image.open(out / "crops" / name_of_class / f"{name}_{k}.png"))
            expected = pixels[int(y1) : math.ceil(y2), int(x1) : math.ceil(x2)]
            assert crop.shape == expected.shape
            if entry["file"].endswith(".png"):
                np.testing.assert_array_equal(crop, expected)


def test_only_detections_of_the_classes_asked_for_are_kept(checkpoint: str, tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "in", {"a.png": (60, 90)})
    (whole,) = _run(checkpoint, folder, tmp_path / "all", score=0.2)["pictures"]
    wanted = [CLASS_NAMES[2], CLASS_NAMES[0]]
    (some,) = _run(checkpoint, folder, tmp_path / "some", score=0.2, classes=wanted)["pictures"]
    kept = [i for i, name in enumerate(whole["classes"]) if name in wanted]
    assert 0 < len(kept) < len(whole["classes"])
    assert some["boxes"] == [whole["boxes"][i] for i in kept]
    with pytest.raises(UserError, match=f"'{CLASS_NAMES[0]}s' is none of the checkpoint's: {CLASS_NAMES[0]}"):
        _run(checkpoint, folder, tmp_path / "none", classes=[f"{CLASS_NAMES[0]}s"])


def test_tiles_find_what_the_predictor_finds_in_each(checkpoint: str, tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "in", {"a.png": (90, 160), "b.png": (40, 60)})
    content = _run(checkpoint, folder, tmp_path / "out", score=0.6, tiles=96, tile_overlap=0.3, batch_size=3)
    large, small = content["pictures"]
    model = detector.load(checkpoint, accelerator="cpu")
    pixels = np.asarray(Image.open(folder / "a.png"))
    whole, *tiles = tiles_of((90, 160), 96, 0.3)
    assert len(tiles) == 2
    parts = [pixels[t.top : t.bottom, t.left : t.right] for t in (whole, *tiles)]
    found = [model.predict(part, score=0.6) for part in parts]
    expected = merged(found, [whole, *tiles], (90, 160), model.checkpoint.options.model.build_suppression())
    assert len(expected) > len(found[0])
    assert large["scores"] == pytest.approx(expected.scores.tolist(), abs=1e-5)
    assert np.array(large["boxes"]) == pytest.approx(expected.boxes.numpy(), abs=1e-2)
    assert small["scores"] == pytest.approx(model.predict(folder / "b.png", score=0.6).scores.tolist(), abs=1e-5)


def test_what_was_found_before_an_early_end_is_whole_json(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _pictures(tmp_path / "in", {f"{i}.png": (60, 90) for i in range(12)} | {"91.png": (60, 90)})
    decode = sources.decode

    def damaged(file: str) -> np.ndarray:
        if file.endswith("91.png"):
            raise UserError("91.png is damaged")
        return decode(file)

    monkeypatch.setattr(sources, "decode", damaged)
    with pytest.raises(UserError, match=r"91\.png is damaged"):
        _run(checkpoint, folder, tmp_path / "out", batch_size=1, save=["coco"])
    entries = json.loads((tmp_path / "out" / "detections.json").read_text())["pictures"]
    assert [entry["file"] for entry in entries] == sorted(f"{i}.png" for i in range(12))[: len(entries)]
    assert len(entries) > 3
    assert len(json.loads((tmp_path / "out" / "coco.json").read_text())["images"]) == len(entries)


def test_frames_end_a_video_and_mean_nothing_for_images(checkpoint: str, tmp_path: Path) -> None:
    _video(tmp_path / "clip.mp4", frames=9)
    content = _run(checkpoint, tmp_path / "clip.mp4", tmp_path / "out", frames=4, save=["txt"])
    assert [entry["frame"] for entry in content["pictures"]] == [0, 1, 2, 3]
    assert len(list((tmp_path / "out" / "labels").iterdir())) == 4
    assert not (tmp_path / "out" / "clip.mp4").exists()
    with pytest.raises(UserError, match="frames=4: has no meaning for images"):
        _run(checkpoint, _pictures(tmp_path / "in", {"a.png": (60, 90)}), tmp_path / "none", frames=4)


def test_pictures_are_read_while_the_network_computes_but_not_many_ahead(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _pictures(tmp_path / "in", {f"{i:02d}.png": (60, 90) for i in range(30)})
    read: list[str] = []
    ahead: list[int] = []
    decode, detect = sources.decode, Predictor.detect

    def counted(file: str) -> np.ndarray:
        read.append(file)
        return decode(file)

    def slow(self: Predictor, batch: Batch) -> list[Detections]:
        time.sleep(0.1)
        ahead.append(len(read) - len(ahead))
        return detect(self, batch)

    monkeypatch.setattr(sources, "decode", counted)
    monkeypatch.setattr(Predictor, "detect", slow)
    _run(checkpoint, folder, tmp_path / "out", batch_size=1, score=0.9)
    assert len(ahead) == 30
    assert 2 <= max(ahead) <= 5
