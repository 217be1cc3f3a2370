from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest

from detector import config
from detector.data.proposals.recall import measure_recall
from detector.data.read import read_index
from detector.errors import OptionError
from detector.proposals.regions import colour_space
from detector.proposals.selective_search import STRATEGIES, SelectiveSearch

SMALL = SelectiveSearch(side=128)


def rectangles() -> tuple[np.ndarray, list[list[int]]]:
    image = np.full((90, 120, 3), (40, 60, 50), dtype=np.uint8)
    boxes = [[10, 15, 40, 50], [60, 10, 110, 40], [50, 55, 80, 85]]
    for (x1, y1, x2, y2), colour in zip(boxes, ((220, 30, 30), (30, 30, 220), (230, 220, 60)), strict=True):
        image[y1:y2, x1:x2] = colour
    return image, boxes


def test_finds_what_is_painted_to_the_pixel_and_the_whole_image() -> None:
    image, boxes = rectangles()
    found = SelectiveSearch(side=120)(image)
    assert found.dtype == np.float32
    for box in [*boxes, [0, 0, 120, 90]]:
        assert np.abs(found - box).max(axis=1).min() <= 1.0


def test_boxes_are_in_pixels_of_the_image_given() -> None:
    image, boxes = rectangles()
    larger = cv2.resize(image, (360, 270), interpolation=cv2.INTER_NEAREST)
    found = SelectiveSearch(side=120)(larger)
    for box in boxes:
        assert np.abs(found - np.array(box) * 3).max(axis=1).min() <= 3.0
    assert found.max() == 360


def test_a_smaller_image_is_searched_as_it_is() -> None:
    image, _ = rectangles()
    assert np.array_equal(SelectiveSearch(side=500)(image), SelectiveSearch(side=120)(image))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_boxes_lie_inside_the_image_and_none_comes_twice(strategy: str) -> None:
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (9, 13, 3), dtype=np.uint8), (130, 90), interpolation=cv2.INTER_CUBIC)
    found = SelectiveSearch(strategy, side=130, min_side=7)(image)
    assert len(found) > 50
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] <= (130, 90)).all()
    assert (found[:, 2:] - found[:, :2] >= 7).all()
    assert max(Counter(map(tuple, found.tolist())).values()) == 1


def test_the_same_image_has_the_same_boxes_and_chance_comes_from_nowhere_else() -> None:
    image, _ = rectangles()
    np.random.seed(0)  # noqa: NPY002
    first = SMALL(image)
    np.random.seed(1)  # noqa: NPY002
    assert np.array_equal(first, SMALL(image.copy()))


def test_large_groups_come_earlier_than_small_ones_on_average() -> None:
    """As the paper's order has it: a region near the top of its hierarchy has a small value."""
    index = read_index(config.Shapes(scene_size=128, train_images=4, val_images=1), "train")
    for i in range(4):
        found = SMALL(index.image(i))
        areas = (found[:, 2:] - found[:, :2]).prod(axis=1)
        half = len(areas) // 2
        assert np.median(areas[:half]) > np.median(areas[half:])


def test_most_objects_of_drawn_scenes_are_found() -> None:
    index = read_index(config.Shapes(scene_size=128, train_images=6, val_images=1), "train")
    proposals = [SMALL(index.image(i)) for i in range(len(index))]
    recall = measure_recall(index, lambda i: proposals[i])
    assert recall.recall[-1, 0] > 0.9
    assert recall.mabo[-1] > 0.75


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3), (17, 5)])
def test_any_image_has_a_defined_result(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for image in (noise, np.zeros_like(noise), np.full_like(noise, 255)):
        found = SMALL(image)
        assert found.shape == (len(found), 4)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()


def test_an_image_of_one_colour_is_one_region() -> None:
    assert SMALL(np.full((64, 128, 3), 77, dtype=np.uint8)).tolist() == [[0, 0, 128, 64]]


def test_colour_spaces_are_what_their_names_say() -> None:
    image = np.array([[[200, 100, 100], [0, 0, 0]]], dtype=np.uint8)
    assert colour_space(image, "rgi").tolist() == [[[128, 64, 133], [0, 0, 0]]]
    assert colour_space(image, "i")[0, :, 0].tolist() == [round(0.299 * 200 + 0.701 * 100), 0]
    assert colour_space(image, "h")[0, 0, 0] == 0
    assert colour_space(image, "hsv")[0, 0].tolist() == [0, 127, 200]  # saturation 100 / 200


def test_a_setting_that_cannot_be_is_named() -> None:
    with pytest.raises(OptionError, match="strategy=slow: selective search has fast and quality"):
        SelectiveSearch("slow")
    with pytest.raises(OptionError, match="side=3"):
        SelectiveSearch(side=3)
