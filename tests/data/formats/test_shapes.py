import pickle
import time

import cv2
import numpy as np
import pytest

from detector import config
from detector.data.formats.scene_painter import ScenePainter, coverage
from detector.data.formats.shapes import CLASS_NAMES, MOST_HIDDEN, MOST_OBJECTS, arrange
from detector.data.read import read_index
from detector.errors import UserError

SCENES = [arrange(0, "train", number, 256) for number in range(300)]


def painted_mask(outline: np.ndarray, size: int = 256) -> np.ndarray:
    """Where the painter changes the picture, found by painting: no texture, and black on white."""

    class Bare(ScenePainter):
        def _background(self) -> np.ndarray:
            return np.full((self.size, self.size, 3), 255, dtype=np.float32)

        def _spots(self, canvas: np.ndarray) -> None: ...

        def _strokes(self, canvas: np.ndarray) -> None: ...

        def _with_grain(self, canvas: np.ndarray) -> np.ndarray:
            return canvas

    picture = Bare(np.random.default_rng(0), size).paint([outline])
    return (picture != 255).any(axis=2)


def test_boxes_fit_the_painted_shapes_within_half_a_pixel() -> None:
    """A pixel that is touched at all is painted: an edge lies up to one pixel inside the mask's, half a one on average.

    At most half a pixel is lost to the tips of stars, which cover too little of their last pixel to be seen.
    """
    left_top, right_bottom = [], []
    for scene in SCENES:
        for outline, box in zip(scene.outlines, scene.boxes, strict=True):
            ys, xs = np.nonzero(painted_mask(outline))
            left_top += [xs.min() - box[0], ys.min() - box[1]]
            right_bottom += [xs.max() + 1 - box[2], ys.max() + 1 - box[3]]
    assert min(left_top) > -1.2
    assert max(left_top) < 0.5
    assert min(right_bottom) > -0.5
    assert max(right_bottom) < 1.2
    assert abs(np.mean(left_top) + 0.5) < 0.05
    assert abs(np.mean(right_bottom) - 0.5) < 0.05


def test_covered_pixels_add_up_to_the_annotated_area() -> None:
    excess = []
    for scene in SCENES[:100]:
        for outline, area in zip(scene.outlines, scene.areas, strict=True):
            perimeter = cv2.arcLength(outline.astype(np.float32), True)
            excess.append((coverage(outline, (256, 256)).sum() / 255 - area) / perimeter)
    assert np.abs(excess).max() < 0.3  # pixels by which the edge is off
    assert abs(np.mean(excess)) < 0.15


def test_no_shape_is_hidden_more_than_allowed() -> None:
    hidden = []
    for scene in SCENES:
        masks = [coverage(outline, (256, 256)) > 127 for outline in scene.outlines]
        for i, mask in enumerate(masks):
            nearer = np.zeros_like(mask)
            for other in masks[i + 1 :]:
                nearer |= other
            hidden.append((mask & nearer).sum() / mask.sum())
    assert max(hidden) < MOST_HIDDEN + 0.1  # coverage is measured on half the resolution
    assert sum(share > 0.1 for share in hidden) > 50  # there is occlusion at all


def test_scenes_are_of_the_promised_variety() -> None:
    index = read_index(config.Shapes(), "train")
    sides = (index.boxes[:, 2:] - index.boxes[:, :2]).max(axis=1)
    counts = np.diff(index.offsets)
    assert index.class_names == CLASS_NAMES
    assert not index.problems
    assert 8 <= sides.min() < 9
    assert 120 < sides.max() <= 128.001
    assert (sides < 12).mean() < 0.2
    assert 0.03 < (counts == 0).mean() < 0.07
    assert counts.max() == MOST_OBJECTS
    per_class = np.bincount(index.labels)
    assert per_class.min() > 0.17 * per_class.sum()


def test_a_scene_depends_on_seed_split_and_number_alone() -> None:
    data = config.Shapes(train_images=10, val_images=10, scene_size=128)
    index, again = read_index(data, "train"), read_index(data, "train")
    np.testing.assert_array_equal(index.image(3), again.image(3))
    np.testing.assert_array_equal(index.boxes, again.boxes)
    fewer = read_index(config.Shapes(train_images=5, scene_size=128), "train")
    np.testing.assert_array_equal(index.image(3), fewer.image(3))
    np.testing.assert_array_equal(index.subset([7, 3]).image(1), index.image(3))
    others = [
        index.image(4),
        read_index(data, "val").image(3),
        read_index(config.Shapes(train_images=10, scene_size=128, scene_seed=1), "train").image(3),
    ]
    for other in others:
        assert np.abs(other.astype(int) - index.image(3)).mean() > 5


def test_every_shape_can_be_seen_in_its_picture() -> None:
    """A shape's pixels differ from the same scene painted without it."""
    for number, scene in enumerate(SCENES[:60]):
        whole = ScenePainter(np.random.default_rng(number), 256).paint(scene.outlines)
        without_last = ScenePainter(np.random.default_rng(number), 256).paint(scene.outlines[:-1])
        if scene.outlines:
            inside = coverage(scene.outlines[-1], (256, 256)) == 255
            assert np.abs(whole.astype(int) - without_last)[inside].max(axis=1).mean() > 15


def test_a_pickled_index_is_small_and_still_draws() -> None:
    index = read_index(config.Shapes(train_images=50), "train")
    content = pickle.dumps(index)
    assert len(content) < 20_000
    np.testing.assert_array_equal(pickle.loads(content).image(7), index.image(7))


def test_two_thousand_scenes_are_arranged_and_pictures_drawn_quickly() -> None:
    """Both feed training on two cores; the limits leave room for a busy machine."""
    start = time.process_time()
    index = read_index(config.Shapes(), "train")
    assert time.process_time() - start < 4
    start = time.process_time()
    for i in range(50):
        index.image(i)
    assert (time.process_time() - start) / 50 < 0.015


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(UserError, match=r"data\.val_images is 0"):
        read_index(config.Shapes(val_images=0), "val")
    with pytest.raises(UserError, match=r"data\.scene_size is 16: drawn scenes need 32"):
        read_index(config.Shapes(scene_size=16), "val")
    with pytest.raises(UserError, match=r"data\.scene_seed is -1"):
        read_index(config.Shapes(scene_seed=-1), "val")
    with pytest.raises(UserError, match=r"has the classes circle, .* not cat"):
        read_index(config.Shapes(), "val", ("cat",))
