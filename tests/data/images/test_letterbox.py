import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from painted_scenes import assert_boxes_fit, painted_index
from PIL import Image
from torch import Tensor

from detector.data.dataset import DetectionDataset
from detector.data.geometry import transform_boxes
from detector.data.images.letterbox import GREY, letterbox
from detector.data.images.loading import load_image, loaded_size
from detector.data.index import AnnotatedObjects, Index, assemble
from detector.errors import UserError
from detector.types import Detections


def index_of(file: Path, size: tuple[int, int], boxes: list[list[float]]) -> Index:
    objects = AnnotatedObjects([0] * len(boxes), boxes, [0] * len(boxes), [False] * len(boxes), where=str)
    return assemble(["red"], [1], [0], [str(file)], np.array([size]), objects)


@pytest.mark.parametrize("size", [64, 160, 416])
@pytest.mark.parametrize("seed", range(3))
def test_letterboxed_boxes_fit_the_painted_rectangles(size: int, seed: int) -> None:
    dataset = DetectionDataset(painted_index(seed=seed), size)
    found = 0
    for i in range(len(dataset)):
        planes, target = dataset[0, i]
        assert planes.shape == (3, size, size)
        assert planes.dtype == torch.uint8
        found += assert_boxes_fit(planes, target.boxes, target.labels, tolerance=1.0)
    assert found == len(dataset.index.boxes)


def test_boxes_come_back_from_the_letterbox_as_they_were() -> None:
    index = painted_index()
    dataset = DetectionDataset(index, 224)
    for i in range(len(index)):
        _, target = dataset[0, i]
        scores = torch.ones(len(target.labels))
        back = Detections(target.boxes, scores, target.labels).to_original(target.transform, target.original_size)
        torch.testing.assert_close(back.boxes, index.target(i).boxes, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(50, 100), (100, 51), (33, 97), (1, 90), (300, 299), (64, 64)])
def test_the_picture_lies_in_the_middle_of_grey(height: int, width: int) -> None:
    canvas, matrix = letterbox(np.full((height, width, 3), 255, dtype=np.uint8), 64)
    rows, columns = np.nonzero((canvas == 255).all(axis=2))
    low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
    assert max(high[0] - low[0], high[1] - low[1]) == 64
    assert abs(low[0] - (64 - high[0])) <= 1
    assert abs(low[1] - (64 - high[1])) <= 1
    outside = np.ones((64, 64), dtype=bool)
    outside[low[1] : high[1], low[0] : high[0]] = False
    assert (canvas[outside] == GREY).all()
    corners = transform_boxes(np.array([[0.0, 0.0, width, height]]), matrix)[0]
    assert corners == pytest.approx([*low, *high])


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    canvas, matrix = letterbox(image, 64)
    assert np.array_equal(canvas, image)
    assert np.array_equal(matrix, np.eye(3))


def test_a_small_image_is_not_enlarged_when_it_is_loaded() -> None:
    index = painted_index(sides=(40, 60))
    assert [load_image(index, i, 64).shape[:2] for i in range(len(index))] == [tuple(s) for s in index.sizes.tolist()]


@pytest.mark.parametrize(("height", "width"), [(1501, 1999), (1003, 1777), (641, 487), (1280, 960), (2000, 333)])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_large_file_is_loaded_small_and_its_boxes_still_fit(
    tmp_path: Path, height: int, width: int, suffix: str
) -> None:
    boxes = np.array([[0.1, 0.1, 0.4, 0.45], [0.6, 0.5, 0.9, 0.9]]) * [width, height, width, height]
    boxes = boxes.round()
    image = np.zeros((height, width, 3), dtype=np.uint8)
    for x1, y1, x2, y2 in boxes.astype(int).tolist():
        image[y1:y2, x1:x2] = (255, 0, 0)
    file = tmp_path / f"large{suffix}"
    cv2.imwrite(str(file), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
    index = index_of(file, (height, width), boxes.tolist())

    size = loaded_size(index, 0, 224)
    loaded = load_image(index, 0, 224)
    assert loaded.shape == (size.height, size.width, 3)
    assert max(loaded.shape[:2]) == 224
    assert (size.reduction > 1) == (suffix == ".jpg" and max(height, width) >= 448)
    planes, target = DetectionDataset(index, 224)[0, 0]
    assert assert_boxes_fit(planes, target.boxes, target.labels, tolerance=1.0) == 2


def test_a_reduced_jpeg_shows_the_same_as_the_whole_one_shrunk(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (33, 45, 3), dtype=np.uint8)
    image = cv2.resize(noise, (1800, 1320), interpolation=cv2.INTER_CUBIC)
    file = tmp_path / "smooth.jpg"
    cv2.imwrite(str(file), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    index = index_of(file, (1320, 1800), [])
    size = loaded_size(index, 0, 416)
    assert size.reduction == 4
    whole = cv2.resize(index.image(0), (size.width, size.height), interpolation=cv2.INTER_AREA)
    difference = np.abs(load_image(index, 0, 416).astype(int) - whole.astype(int))
    assert difference.mean() < 2.0


@pytest.mark.parametrize("reduced", [False, True])
def test_an_image_turned_by_its_exif_orientation_is_loaded_upright(tmp_path: Path, reduced: bool) -> None:
    stored = np.zeros((600, 800, 3), dtype=np.uint8)
    stored[100:200, 300:500] = (255, 0, 0)
    file = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by 90 degrees
    Image.fromarray(stored).save(file, quality=100, exif=exif)
    box: list[float] = [600 - 200, 300, 600 - 100, 500]
    index = index_of(file, (800, 600), [box])
    planes, target = DetectionDataset(index, 192 if reduced else 640)[0, 0]
    assert (loaded_size(index, 0, 192 if reduced else 640).reduction > 1) == reduced
    assert assert_boxes_fit(planes, target.boxes, target.labels, tolerance=1.0) == 1


@pytest.mark.parametrize("image_size", [64, 640])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, image_size: int) -> None:
    file = tmp_path / "broken.jpg"
    file.write_bytes(b"\xff\xd8\xff\xe0 no picture")
    with pytest.raises(UserError, match=r"broken\.jpg"):
        DetectionDataset(index_of(file, (600, 600), []), image_size)[0, 0]


def test_a_file_of_another_size_than_annotated_is_named(tmp_path: Path) -> None:
    file = tmp_path / "other.jpg"
    cv2.imwrite(str(file), np.zeros((600, 500, 3), dtype=np.uint8))
    with pytest.raises(UserError, match=r"other\.jpg.*500x600"):
        DetectionDataset(index_of(file, (600, 600), []), 64)[0, 0]


def test_an_image_without_objects_is_a_sample_like_any_other(tmp_path: Path) -> None:
    file = tmp_path / "empty.png"
    cv2.imwrite(str(file), np.zeros((60, 50, 3), dtype=np.uint8))
    planes, target = DetectionDataset(index_of(file, (60, 50), []), 64)[0, 0]
    shapes: list[Tensor] = [target.boxes, target.labels, target.crowd, target.area]
    assert [tuple(tensor.shape) for tensor in shapes] == [(0, 4), (0,), (0,), (0,)]
    assert [tensor.dtype for tensor in shapes] == [torch.float32, torch.int64, torch.bool, torch.float32]
    assert target.transform.dtype == torch.float32
    assert planes.shape == (3, 64, 64)


def test_a_picture_made_smaller_is_averaged_over_areas_and_one_made_larger_is_interpolated() -> None:
    """A checkerboard of single pixels, a third as large, is nearly grey; bilinear samples would keep contrast."""
    board = ((np.indices((192, 192)).sum(axis=0) % 2) * 255).astype(np.uint8)
    canvas, _ = letterbox(np.repeat(board[..., None], 3, axis=2), 64)
    blocks = board.reshape(64, 3, 64, 3).mean(axis=(1, 3))
    assert np.abs(canvas[..., 0] - blocks).max() <= 1
    larger, _ = letterbox(np.repeat(np.array([[0, 200], [0, 200]], dtype=np.uint8)[..., None], 3, axis=2), 8)
    assert larger[0, :, 0].tolist() == pytest.approx([0, 0, 25, 75, 125, 175, 200, 200], abs=1)


@pytest.mark.parametrize(("height", "width", "limit"), [(1501, 1999, 224), (1003, 1777, 416), (2000, 333, 200)])
def test_the_scale_of_a_reduced_jpeg_is_that_of_its_decoded_pixels(height: int, width: int, limit: int) -> None:
    """libjpeg gives ceil(side / n) pixels of n original pixels each, which are then resized to the loaded size."""
    index = index_of(Path("large.jpg"), (height, width), [])
    size = loaded_size(index, 0, limit)
    n = size.reduction
    assert n in (2, 4, 8)
    assert n * limit <= max(height, width) < 2 * n * limit or n == 8
    assert size.scale[0] == pytest.approx(size.width / (n * math.ceil(width / n)), abs=0, rel=1e-12)
    assert size.scale[1] == pytest.approx(size.height / (n * math.ceil(height / n)), abs=0, rel=1e-12)
