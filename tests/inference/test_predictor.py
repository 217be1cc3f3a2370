from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from saved_checkpoint import save_checkpoint

import detector
from detector import config
from detector.checkpoint import build, open_checkpoint
from detector.data.formats.shapes import CLASS_NAMES
from detector.data.images.letterbox import letterbox
from detector.data.read import read_index
from detector.data.split_loader import evaluation_loader
from detector.errors import UserError
from detector.inference.predictor import Predictor
from detector.types import Detections

Configure = Callable[..., config.Train]


@pytest.fixture
def predictor(tiny: Configure, tmp_path: Path) -> Predictor:
    return Predictor(open_checkpoint(save_checkpoint(tmp_path / "a.ckpt", tiny(), CLASS_NAMES)), accelerator="cpu")


def _picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth, so that decoding at a reduced size does not change it much."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _assert_equal(found: Detections, expected: Detections, tolerance: float = 0.0) -> None:
    assert len(expected) > 5, "the test shows nothing"
    torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=tolerance)
    torch.testing.assert_close(found.boxes, expected.boxes, rtol=0, atol=tolerance * 100)
    assert torch.equal(found.labels, expected.labels)


@pytest.mark.parametrize(("height", "width"), [(50, 80), (70, 40), (130, 260), (300, 111)])
def test_boxes_are_in_pixels_of_the_picture_that_was_given(predictor: Predictor, height: int, width: int) -> None:
    picture = _picture(height, width)
    found = predictor.predict(picture, score=0)

    # by hand: the picture in the middle of a 96 x 96 square, and back
    square, _ = letterbox(picture, 96)
    network: Any = predictor.checkpoint.detector()
    (raw,) = network.detect(torch.from_numpy(square).permute(2, 0, 1)[None])
    seen_height, seen_width = round(height * 96 / max(height, width)), round(width * 96 / max(height, width))
    left, top = (96 - seen_width) // 2, (96 - seen_height) // 2
    boxes = (raw.boxes - torch.tensor([left, top, left, top])) * torch.tensor(
        [width / seen_width, height / seen_height] * 2
    )
    boxes[:, 0::2] = boxes[:, 0::2].clamp(0, width)
    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, height)
    _assert_equal(found, Detections(boxes, raw.scores, raw.labels), tolerance=1e-5)
    assert found.boxes[:, 2].max() > 0.7 * width
    assert found.boxes[:, 3].max() > 0.7 * height


def test_files_are_seen_exactly_as_evaluation_sees_them(predictor: Predictor, tmp_path: Path) -> None:
    sizes = [(50, 80), (96, 96), (97, 300), (400, 250), (800, 801)]
    turned = Image.Exif()
    turned[0x0112] = 6
    entries = []
    for i, (height, width) in enumerate(sizes):
        image, exif = Image.fromarray(_picture(height, width, seed=i)), (turned if i == 3 else Image.Exif())
        image.save(tmp_path / f"{i}.jpg", exif=exif)
        height, width = (width, height) if i == 3 else (height, width)
        entries.append({"id": i, "file_name": f"{i}.jpg", "height": height, "width": width})
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASS_NAMES)]
    content = {"images": entries, "categories": categories, "annotations": []}
    (tmp_path / "val.json").write_text(json.dumps(content))
    data = config.Coco(root=str(tmp_path), val="val.json", batch_size=len(sizes), workers=0)
    (batch,) = evaluation_loader(read_index(data, "val"), data, predictor.image_size)

    files = [tmp_path / f"{i}.jpg" for i in range(len(sizes))]
    ours = predictor.preprocess(files)
    assert torch.equal(ours.images, batch.images)
    for found, expected in zip(predictor.predict(files, score=0), predictor.detect(batch), strict=True):
        _assert_equal(found, expected)


def test_many_pictures_at_once_give_what_each_gives_alone(predictor: Predictor) -> None:
    pictures = [_picture(40 + 13 * i, 120 - 9 * i, seed=i) for i in range(7)]
    together = predictor.predict(pictures, score=0, batch_size=3)
    assert isinstance(together, list)
    for picture, found in zip(pictures, together, strict=True):
        _assert_equal(found, predictor.predict(picture, score=0), tolerance=1e-5)


def test_no_picture_gives_no_detections(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


def test_a_path_an_array_and_a_pil_image_mean_the_same(predictor: Predictor, tmp_path: Path) -> None:
    pixels = _picture(70, 110)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    by_path, by_text, by_array, by_pil, by_slice = predictor.predict(
        [
            tmp_path / "a.png",
            str(tmp_path / "a.png"),
            pixels,
            Image.open(tmp_path / "a.png"),
            pixels[:, ::-1].copy()[:, ::-1],  # negative strides
        ],
        score=0,
        batch_size=1,
    )
    for found in (by_text, by_array, by_pil, by_slice):
        _assert_equal(found, by_path)


def test_a_pil_image_is_turned_as_its_exif_says(predictor: Predictor, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(_picture(60, 90)).save(tmp_path / "a.png", exif=exif)
    _assert_equal(
        predictor.predict(Image.open(tmp_path / "a.png"), score=0), predictor.predict(tmp_path / "a.png", score=0)
    )


def test_grey_and_transparent_pil_images_are_taken_as_rgb(predictor: Predictor) -> None:
    grey = Image.fromarray(_picture(60, 90)).convert("L")
    _assert_equal(predictor.predict(grey, score=0), predictor.predict(np.stack([np.asarray(grey)] * 3, -1), score=0))
    assert len(predictor.predict(Image.fromarray(_picture(60, 90)).convert("RGBA"), score=0)) > 5


def test_only_detections_of_the_score_asked_for_come_best_first(predictor: Predictor) -> None:
    everything = predictor.predict(_picture(60, 90), score=0)
    middle = float(everything.scores.median())
    found = predictor.predict(_picture(60, 90), score=middle)
    assert 0 < len(found) < len(everything)
    _assert_equal(found, everything[everything.scores >= middle])
    assert torch.equal(found.scores, found.scores.sort(descending=True).values)


def test_a_process_that_has_predicted_can_train_at_the_same_size(tiny: Configure, tmp_path: Path) -> None:
    model = detector.load(save_checkpoint(tmp_path / "a.ckpt", tiny(), CLASS_NAMES), 192, "cpu")
    model.predict(_picture(60, 90))
    network: Any = build(tiny(), len(CLASS_NAMES)).train()
    index = read_index(config.Shapes(scene_size=192, val_images=2), "val")
    images = torch.stack([torch.from_numpy(index.image(i)).permute(2, 0, 1) for i in range(2)])
    sum(network.losses(images, [index.target(0), index.target(1)]).values()).backward()


def test_load_gives_a_predictor_with_its_class_names_and_size(tiny: Configure, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), CLASS_NAMES)
    model = detector.load(file)
    assert model.class_names == CLASS_NAMES
    assert model.image_size == 96
    larger = detector.load(str(file), image_size=160, accelerator="cpu")
    assert larger.preprocess([_picture(50, 80)]).images.shape == (1, 3, 160, 160)


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, detector; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((20, 30, 3)), "uint8"),
        (np.zeros((20, 30), dtype=np.uint8), r"\[20, 30\]"),
        (np.zeros((3, 20, 30), dtype=np.uint8), r"\[3, 20, 30\]"),
        (np.zeros((0, 30, 3), dtype=np.uint8), r"\[0, 30, 3\]"),
        (Image.new("I;16", (30, 20)), "I;16"),
        ("nowhere.png", "nowhere.png is no file"),
        (Path(__file__), "cannot be read"),
    ],
)
def test_what_is_no_picture_is_refused(predictor: Predictor, picture: np.ndarray | str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        predictor.predict(picture)


@pytest.mark.parametrize(("score", "batch_size"), [(30.0, 8), (-0.1, 8), (0.3, 0)])
def test_numbers_out_of_range_are_refused(predictor: Predictor, score: float, batch_size: int) -> None:
    with pytest.raises(UserError, match=f"score={score:g}" if batch_size else "batch_size=0"):
        predictor.predict([_picture(20, 30)], score, batch_size)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image_size": 100}, "image_size=100.*use 96"),
        ({"image_size": 0}, "image_size=0"),
        ({"accelerator": "tpu"}, "accelerator=tpu.*auto, cpu, gpu"),
    ],
)
def test_options_that_cannot_be_are_refused(
    options: dict[str, object], said: str, tiny: Configure, tmp_path: Path
) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), CLASS_NAMES)
    with pytest.raises(UserError, match=said):
        detector.load(file, **options)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_not_replaced_silently(tiny: Configure, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no GPU"):
        detector.load(save_checkpoint(tmp_path / "a.ckpt", tiny(), CLASS_NAMES), accelerator="gpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_finds_what_the_cpu_finds(tiny: Configure, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "a.ckpt", tiny(), CLASS_NAMES)
    on_cpu = detector.load(file, accelerator="cpu").predict(_picture(70, 110), score=0.2)
    on_gpu = detector.load(file, accelerator="gpu").predict(_picture(70, 110), score=0.2)
    assert on_gpu.boxes.device.type == "cpu"
    assert on_gpu.scores[:5] == pytest.approx(on_cpu.scores[:5], abs=1e-2)
