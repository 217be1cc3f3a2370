import numpy as np
import pytest
from painted_scenes import COLOURS, assert_boxes_fit, painted_index, painted_regions

from detector import config
from detector.data.augment.mosaic import QUADRANTS, random_centre, tile_placement
from detector.data.dataset import DetectionDataset
from detector.data.geometry import scaling, transform_boxes, translation
from detector.data.images.letterbox import GREY

MOSAIC = config.Augment(name="mosaic", mosaic=1.0)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scale": 0.5, "translate": 0.2},
        {"flip_horizontal": 0.5, "flip_vertical": 0.5, "rotate90": 0.5, "scale": 0.3},
    ],
    ids=["plain", "zoom and shift", "mirrors and turns"],
)
def test_boxes_in_a_mosaic_fit_the_painted_rectangles(changes: dict[str, float], seed: int) -> None:
    augment = config.Augment(name="mosaic", mosaic=1.0, **changes)  # type: ignore[arg-type]
    dataset = DetectionDataset(painted_index(seed=seed), 256, augment, epochs=100)
    found = sum(
        assert_boxes_fit(planes, target.boxes, target.labels, tolerance=1.25)
        for planes, target in (dataset[epoch, i] for epoch in range(4) for i in range(len(dataset)))
    )
    assert found > 100


@pytest.mark.parametrize("seed", range(2))
def test_boxes_in_a_rotated_mosaic_fit_the_painted_rectangles(seed: int) -> None:
    augment = config.Augment(
        name="mosaic", mosaic=1.0, degrees=40, shear=8, scale=0.4, flip_horizontal=0.5, rotate90=0.5
    )
    dataset = DetectionDataset(painted_index(seed=seed), 256, augment, epochs=100)
    found = sum(
        assert_boxes_fit(planes, target.boxes, target.labels, tolerance=2.0, tight_at_edges=False)
        for planes, target in (dataset[epoch, i] for epoch in range(4) for i in range(len(dataset)))
    )
    assert found > 100


def test_four_images_meet_in_the_centre_and_none_covers_another() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        centre = random_centre(rng, 100)
        rectangles = []
        for quadrant in range(4):
            width, height = rng.integers(20, 100, 2).tolist()
            own = scaling(1.7, 1.7) @ translation(-width / 2, -height / 2)
            placed = tile_placement(quadrant, centre, own, width, height) @ own
            rectangles.append(transform_boxes(np.array([[0.0, 0.0, width, height]]), placed)[0])
        for (x, y), (x1, y1, x2, y2) in zip(QUADRANTS, rectangles, strict=True):
            assert (x2 if x < 0 else x1) == pytest.approx(centre[0])
            assert (y2 if y < 0 else y1) == pytest.approx(centre[1])
            assert x * ((x1 + x2) / 2 - centre[0]) > 0
            assert y * ((y1 + y2) / 2 - centre[1]) > 0


def test_a_mosaic_holds_objects_of_several_images() -> None:
    index = painted_index(count=40)
    dataset = DetectionDataset(index, 256, config.Augment(name="mosaic", mosaic=1.0, scale=0.5), epochs=10)
    own = [len(index.target(i).boxes) for i in range(len(index))]
    seen = [len(dataset[0, i][1].boxes) for i in range(len(index))]
    assert max(seen) > max(own)


def test_the_transform_of_a_mosaic_is_that_of_its_own_image() -> None:
    index = painted_index(count=30)
    dataset = DetectionDataset(index, 256, config.Augment(name="mosaic", mosaic=1.0, scale=0.4), epochs=10)
    checked = 0
    for i in range(len(index)):
        planes, target = dataset[0, i]
        regions = painted_regions(planes.permute(1, 2, 0).numpy())
        original = index.target(i)
        assert target.image_id == i
        assert target.original_size == original.original_size
        moved = transform_boxes(original.boxes.numpy(), target.transform.numpy())
        for box, label in zip(moved, original.labels.tolist(), strict=True):
            if box.min() > 2 and box.max() < 254:
                assert any(label == other and np.abs(box - region).max() < 1.25 for other, region in regions)
                checked += 1
    assert checked > 10


def test_what_no_image_covers_is_grey() -> None:
    dataset = DetectionDataset(painted_index(), 256, config.Augment(name="mosaic", mosaic=1.0, scale=0.6), epochs=10)
    seen = 0
    for i in range(12):
        planes, _ = dataset[0, i]
        image = planes.permute(1, 2, 0).numpy().reshape(-1, 3)
        grey = (image == GREY).all(axis=1)
        seen += grey.sum()
        colours = np.concatenate([COLOURS, np.zeros((1, 3), dtype=np.uint8)])
        pure = (image[:, None] == colours).all(axis=2).any(axis=1)
        assert (grey | pure).mean() > 0.9  # the rest is interpolated edges
    assert seen > 0


def test_the_same_seed_gives_the_same_mosaic_and_another_epoch_another_one() -> None:
    index = painted_index()
    first, second = (DetectionDataset(index, 128, MOSAIC, seed=3, epochs=10) for _ in range(2))
    assert (first[1, 5][0] == second[1, 5][0]).all()
    assert (first[1, 5][0] != second[2, 5][0]).any()
    assert (first[1, 5][0] != DetectionDataset(index, 128, MOSAIC, seed=4, epochs=10)[1, 5][0]).any()


def test_the_centre_lies_anywhere_within_half_a_canvas_of_the_plane_s() -> None:
    """Uniform in -50..50 of a canvas of 100: mean 0, standard deviation 100 / √12 = 28.9, both coordinates on their own."""
    rng = np.random.default_rng(0)
    centres = np.array([random_centre(rng, 100) for _ in range(4000)])
    assert np.abs(centres).max() <= 50
    assert np.abs(centres).max(axis=0) == pytest.approx([50, 50], abs=0.5)
    assert centres.mean(axis=0) == pytest.approx([0, 0], abs=2)
    assert centres.std(axis=0) == pytest.approx([28.87, 28.87], rel=0.03)
    assert abs(np.corrcoef(centres.T)[0, 1]) < 0.05
