"""Images stretched to the square: in evaluation, training, prediction and back."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from painted_scenes import assert_boxes_fit, painted_index
from torch import Tensor

from detector import config
from detector.data.cache import open_images
from detector.data.dataset import DetectionDataset
from detector.data.images.letterbox import stretch
from detector.data.images.loading import loading_limit
from detector.data.index import AnnotatedObjects, assemble
from detector.data.module import DetectionData
from detector.data.split_loader import evaluation_loader
from detector.errors import UserError
from detector.evaluation.evaluate import evaluate
from detector.types import Detections

SHAPES = config.Shapes(scene_size=64, train_images=4, val_images=4, batch_size=2, workers=0)
GEOMETRY = config.Augment(
    name="geometry", flip_horizontal=0.5, flip_vertical=0.5, rotate90=0.7, translate=0.2, scale=0.3, mosaic=0.5
)


@pytest.mark.parametrize("size", [64, 160, 416])
@pytest.mark.parametrize(
    "augment", [None, config.Augment(name="none"), GEOMETRY], ids=["evaluation", "none", "geometry"]
)
def test_stretched_boxes_fit_the_painted_rectangles(size: int, augment: config.Augment | None) -> None:
    index = painted_index()
    dataset = DetectionDataset(index, size, augment, epochs=100, resize="stretch")
    found = 0
    for i in range(len(dataset)):
        planes, target = dataset[0, i]
        found += assert_boxes_fit(planes, target.boxes, target.labels, tolerance=1.5 if augment else 1.0)
    assert found == len(index.boxes) or augment is GEOMETRY


@pytest.mark.parametrize(("height", "width"), [(50, 100), (100, 51), (300, 90), (33, 31), (64, 64), (1, 90)])
def test_the_picture_fills_the_square(height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(1, 256, (height, width, 3), dtype=np.uint8)
    canvas, matrix = stretch(image, 64)
    assert canvas.shape == (64, 64, 3)
    assert (canvas > 0).all()
    np.testing.assert_allclose(matrix @ [width, height, 1], [64, 64, 1])
    written = np.zeros((64, 64, 3), dtype=np.uint8)
    assert stretch(image, 64, written)[0] is written
    assert np.array_equal(written, canvas)


@pytest.mark.parametrize(("height", "width"), [(480, 640), (100, 640), (640, 90), (50, 40)])
def test_training_without_augmentation_prediction_and_evaluation_show_the_same(
    tmp_path: Path, height: int, width: int
) -> None:
    """Each pixel is the bilinear one of the whole image, whatever the cache."""
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = tmp_path / "some.png"
    cv2.imwrite(str(file), image[..., ::-1])
    box = [[0.25 * width, 0.5 * height, 0.75 * width, 0.9 * height]]
    index = assemble(
        ["a"], [1], [0], [str(file)], np.array([(height, width)]), AnnotatedObjects([0], box, [0], [False], where=str)
    )
    shown: list[Tensor] = []
    for cache in ("none", "ram"):
        images = open_images(index, cache, loading_limit(128, "stretch"))
        for augment in (None, config.Augment(name="none")):
            planes, target = DetectionDataset(index, 128, augment, images=images, resize="stretch")[0, 0]
            shown.append(planes)
            torch.testing.assert_close(target.boxes, torch.tensor([[32.0, 64.0, 96.0, 115.2]]), atol=1e-3, rtol=0)
    expected = torch.from_numpy(cv2.resize(image, (128, 128), interpolation=cv2.INTER_LINEAR)).permute(2, 0, 1)
    assert all(torch.equal(planes, expected) for planes in shown)


@pytest.mark.parametrize("size", [96, 416])
def test_ground_truth_as_predictions_through_the_stretch_gives_one(size: int) -> None:
    index = painted_index(crowd=True)
    dataset = DetectionDataset(index, size, resize="stretch")
    results = []
    for i in range(len(index)):
        _, target = dataset[0, i]
        found = Detections(target.boxes, torch.linspace(1, 0.5, len(target.labels)), target.labels)
        back = found.to_original(target.transform, target.original_size)
        torch.testing.assert_close(back.boxes, index.target(i).boxes, atol=1e-3, rtol=0)
        results += back.to_coco(target.image_id, index.category_ids)
    metrics = evaluate(index, results)
    assert metrics["AP"] == pytest.approx(1.0, abs=1e-12)
    assert metrics["AR100"] == pytest.approx(1.0, abs=1e-12)


def test_loaders_of_training_and_evaluation_stretch() -> None:
    data = DetectionData.read(SHAPES, config.Augment(name="none"), 96, resize="stretch")
    (first, *_) = data.val_dataloader()
    (again, *_) = evaluation_loader(data.val_index, SHAPES, 96, resize="stretch")
    assert torch.equal(first.images, again.images)
    for target in (*first.targets, *next(iter(data.train_dataloader())).targets):
        height, width = target.original_size
        torch.testing.assert_close(target.transform, torch.tensor([96 / width, 96 / height, 1]).diag())


def test_proposals_are_stretched_too() -> None:
    index = painted_index()
    boxes = index.boxes[index.offsets[0] : index.offsets[1]]
    _, target = DetectionDataset(index, 96, proposals=lambda _: boxes, resize="stretch")[0, 0]
    torch.testing.assert_close(target.proposals, target.boxes)


@pytest.mark.parametrize("resize", ["cfg", "crop", ""])
def test_any_other_word_is_refused(resize: str) -> None:
    with pytest.raises(UserError, match=rf"model\.resize={resize}: choose one of letterbox, stretch"):
        DetectionDataset(painted_index(), 64, resize=resize)
