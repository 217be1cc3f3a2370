import math

import numpy as np
import pytest
import torch
from painted_scenes import assert_boxes_fit, painted_index, painted_regions

from detector import config
from detector.data.augment.albumentations import Albumentations
from detector.data.augment.canvas_objects import CanvasObjects
from detector.data.augment.random_views import colour_matrix, jitter_colour, random_view
from detector.data.dataset import DetectionDataset
from detector.data.geometry import MINIMUM_SIDE, clip_boxes, rotation, transform_boxes
from detector.errors import UserError


def objects_of(boxes: list[list[float]]) -> CanvasObjects:
    count = len(boxes)
    return CanvasObjects(
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.arange(count, dtype=np.int64),
        np.arange(count) % 2 == 1,
        np.arange(count, dtype=np.float32) * 10,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"flip_horizontal": 1.0},
        {"flip_vertical": 1.0},
        {"rotate90": 1.0},
        {"scale": 0.7},
        {"translate": 0.3},
        {"flip_horizontal": 0.5, "flip_vertical": 0.5, "rotate90": 0.5, "scale": 0.5, "translate": 0.2},
        {"hue": 0.01, "saturation": 0.2, "value": 0.2},
    ],
    ids=lambda changes: "+".join(changes) or "none",
)
@pytest.mark.parametrize("size", [160, 352])
def test_boxes_fit_the_painted_rectangles_after(changes: dict[str, float], size: int) -> None:
    augment = config.Augment(name="one", **changes)  # type: ignore[arg-type]
    dataset = DetectionDataset(painted_index(count=24), size, augment)
    found = 0
    for i in range(len(dataset)):
        planes, target = dataset[0, i]
        found += assert_boxes_fit(planes, target.boxes, target.labels, tolerance=1.25)
    assert found > len(dataset)


@pytest.mark.parametrize(
    "changes", [{"degrees": 180.0}, {"shear": 20.0}, {"degrees": 30.0, "shear": 10.0, "scale": 0.5, "translate": 0.2}]
)
def test_hulls_of_turned_boxes_fit_the_painted_rectangles_after(changes: dict[str, float]) -> None:
    augment = config.Augment(name="turned", **changes)  # type: ignore[arg-type]
    dataset = DetectionDataset(painted_index(count=24), 320, augment)
    found = 0
    for i in range(len(dataset)):
        planes, target = dataset[0, i]
        found += assert_boxes_fit(planes, target.boxes, target.labels, tolerance=2.0, tight_at_edges=False)
    assert found > len(dataset)


def test_the_transform_of_a_sample_takes_original_boxes_to_its_boxes() -> None:
    index = painted_index(count=10, crowd=True)
    augment = config.Augment(name="small", flip_horizontal=0.5, rotate90=0.5, scale=0.2)
    dataset = DetectionDataset(index, 256, augment)
    for i in range(len(index)):
        _, target = dataset[0, i]
        original = index.target(i)
        moved = transform_boxes(original.boxes.numpy(), target.transform.numpy())
        moved, keep = clip_boxes(moved, (0, 0, 256, 256))
        torch.testing.assert_close(target.boxes, torch.from_numpy(moved[keep]), atol=1e-3, rtol=0)
        for name in ("labels", "crowd", "area"):
            assert torch.equal(getattr(target, name), getattr(original, name)[torch.from_numpy(keep)])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mosaic", 1.5),
        ("cutmix", -1.0),
        ("mixing_off_epochs", -1),
        ("flip_horizontal", -0.1),
        ("scale", 1.0),
        ("saturation", 2.0),
        ("shear", 90.0),
        ("degrees", -5.0),
    ],
)
def test_a_value_out_of_its_range_is_named(key: str, value: float) -> None:
    augment = config.Augment(name="wrong", **{key: value})  # type: ignore[arg-type]
    with pytest.raises(UserError, match=rf"augment\.{key}={value}: must be at least"):
        DetectionDataset(painted_index(count=1), 64, augment)


def test_mirrors_and_turns_come_as_often_as_asked() -> None:
    index = painted_index(count=400, sides=(40, 60))
    dataset = DetectionDataset(index, 32, config.Augment(name="mirror", flip_horizontal=0.3, rotate90=0.6))
    linear = torch.stack([dataset[0, i][1].transform[:2, :2].sign() for i in range(400)])
    turned = linear[:, 0, 0] == 0
    assert turned.float().mean() == pytest.approx(0.4, abs=0.08)  # two of the three turns exchange the axes
    assert (torch.linalg.det(linear) < 0).float().mean() == pytest.approx(0.3, abs=0.08)


def test_mixup_shows_two_images_and_the_boxes_of_both() -> None:
    index = painted_index(count=30)
    unmixed = DetectionDataset(index, 192, config.Augment(name="none"))
    alone = [unmixed[0, i] for i in range(len(index))]
    mixed = DetectionDataset(index, 192, config.Augment(name="mixup", mixup=1.0))
    partners = set()
    for i in range(len(index)):
        (picture, target), (first, first_target) = mixed[0, i], alone[i]
        count = len(first_target.boxes)
        assert torch.equal(target.boxes[:count], first_target.boxes)
        rest = target.boxes[count:]
        same = [k for k in range(len(index)) if alone[k][1].boxes.shape == rest.shape]
        partner = next(k for k in same if torch.equal(alone[k][1].boxes, rest))
        partners.add(partner)
        second = alone[partner][0].double()
        first_weight = torch.linalg.lstsq(
            (first.double() - second).reshape(-1, 1), (picture.double() - second).reshape(-1, 1)
        ).solution.item()
        assert partner != i
        assert 0.1 < first_weight < 0.9
        blend = first_weight * first.double() + (1 - first_weight) * second
        assert (blend - picture).abs().max() <= 1.5
    assert len(partners) > 10


def test_a_box_is_kept_while_a_tenth_of_it_and_two_pixels_are_seen() -> None:
    boxes = np.array(
        [
            [-89.0, 0, 11, 50],  # 11 % seen
            [-91.0, 0, 9, 50],  # 9 % seen
            [-1.0, 0, 2.5, 50],
            [-1.0, 0, MINIMUM_SIDE - 0.1, 50],
            [200, 200, 300, 300],
            [-10, -10, 110, 110],
        ],
        dtype=np.float32,
    )
    cut, keep = clip_boxes(boxes, (0, 0, 100, 100))
    assert keep.tolist() == [True, False, True, False, False, True]
    assert cut[0].tolist() == [0, 0, 11, 50]
    assert cut[5].tolist() == [0, 0, 100, 100]


def test_the_hull_of_a_turned_box_is_that_of_its_four_corners() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 100, (50, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 50, (50, 2))], axis=1)
    matrix = rotation(33.0)
    matrix[:2, 2] = 5, -7
    for box, hull in zip(boxes, transform_boxes(boxes, matrix), strict=True):
        corners = [matrix @ (x, y, 1) for x in box[[0, 2]] for y in box[[1, 3]]]
        points = np.array(corners)[:, :2]
        assert hull == pytest.approx(np.concatenate([points.min(axis=0), points.max(axis=0)]))


def test_a_matrix_for_each_box_does_to_it_what_it_does_to_that_box_alone() -> None:
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 100, (20, 4)).astype(np.float32)
    matrices = rng.normal(size=(20, 3, 3))
    moved = transform_boxes(boxes, matrices)
    assert moved.dtype == np.float32
    for box, matrix, hull in zip(boxes, matrices, moved, strict=True):
        np.testing.assert_array_equal(transform_boxes(box[None], matrix)[0], hull)


# ------------------------------------------------------------------------------------------------------------- colour
def jittered(image: np.ndarray, seed: int = 0, **ranges: float) -> np.ndarray:
    augment = config.Augment(name="colour", **ranges)  # type: ignore[arg-type]
    return jitter_colour(np.random.default_rng(seed), augment, image, np.empty_like(image))


def test_colour_without_ranges_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(jittered(image), image)


Colours = tuple[tuple[int, int, int], ...]
COLOURS: Colours = ((200, 60, 40), (40, 180, 90), (60, 80, 190), (150, 150, 150), (180, 160, 60), (90, 120, 140))
# The same colours under a `filter` of a 2D canvas in Chromium 156, which rounds after each of several filters.
FILTERED: dict[tuple[float, float, float], Colours] = {
    (20, 1, 1): ((177, 70, 5), (28, 180, 129), (98, 69, 192), (150, 150, 150), (145, 170, 58), (100, 116, 147)),
    (-90, 1, 1): ((137, 63, 200), (197, 138, 40), (0, 118, 60), (150, 150, 150), (254, 126, 180), (90, 125, 90)),
    (0, 1.3, 1): ((233, 51, 25), (9, 191, 74), (53, 79, 222), (150, 150, 150), (187, 161, 31), (82, 121, 147)),
    (0, 0.4, 1): ((133, 77, 69), (102, 158, 122), (74, 82, 126), (150, 150, 150), (166, 158, 118), (105, 117, 125)),
    (0, 1, 0.8): ((160, 48, 32), (32, 144, 72), (48, 64, 152), (120, 120, 120), (144, 128, 48), (72, 96, 112)),
    (15, 1.2, 0.9): ((182, 56, 0), (6, 168, 102), (80, 62, 192), (135, 135, 135), (138, 153, 33), (84, 106, 136)),
}


@pytest.mark.parametrize(("degrees", "saturation", "value"), FILTERED)
def test_colours_change_as_the_filters_of_a_browser_change_them(
    degrees: float, saturation: float, value: float
) -> None:
    changed = np.array(COLOURS) @ colour_matrix(math.radians(degrees), saturation, value).T
    several = (degrees != 0) + (saturation != 1) + (value != 1) > 1
    filtered = np.array(FILTERED[degrees, saturation, value])
    assert np.abs(np.rint(changed.clip(0, 255)) - filtered).max() <= several


@pytest.mark.parametrize("seed", range(5))
def test_the_changes_of_colour_are_drawn_within_their_ranges_and_leave_grey_grey(seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    image[0] = np.arange(12, dtype=np.uint8)[:, None] * 20
    hue, saturation, value = np.random.default_rng(seed).uniform(-1, 1, 3) * (0.5, 0.6, 0.4)
    result = jittered(image, seed, hue=0.5, saturation=0.6, value=0.4)
    matrix = colour_matrix(hue * math.pi, 1 + saturation, 1 + value)
    for before, after in zip(image.reshape(-1, 3), result.reshape(-1, 3), strict=True):
        assert np.abs(after - (matrix @ before).clip(0, 255)).max() < 1  # OpenCV computes in whole numbers
    assert np.abs(result[0] - (image[0] * (1 + value)).clip(0, 255)).max() < 1


def test_colour_leaves_boxes_alone_and_differs_between_samples() -> None:
    index = painted_index()
    plain = DetectionDataset(index, 128, config.Augment(name="none"))
    coloured = DetectionDataset(index, 128, config.Augment(name="colour", value=0.9))
    levels = set()
    for i in range(len(index)):
        assert torch.equal(plain[0, i][1].boxes, coloured[0, i][1].boxes)
        levels.add(round(float(coloured[0, i][0].float().mean() / plain[0, i][0].float().mean()), 2))
    assert len(levels) > 3


# ----------------------------------------------------------------------------------------------------- albumentations
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"name": "Blurr"}, ["albumentations[0]", "Blurr"]),
        ({"name": "Compose"}, ["Compose"]),
        ({"name": "Blur", "blur_limits": 3}, ["Blur", "blur_limits", "blur_limit"]),
        ({"name": "Blur", "p": 7}, ["Blur", "p", "less than or equal to 1"]),
        ({"blur_limit": 3}, ["albumentations[0]", "name"]),
    ],
)
def test_a_mistaken_albumentations_entry_is_named(spec: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        Albumentations([spec], 64)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words)


def test_albumentations_that_change_the_size_are_refused() -> None:
    chain = Albumentations([{"name": "CenterCrop", "height": 32, "width": 32}], 64)
    with pytest.raises(UserError, match="32x32"):
        chain(np.random.default_rng(0), np.zeros((64, 64, 3), dtype=np.uint8), objects_of([]))


def test_boxes_fit_the_painted_rectangles_after_albumentations() -> None:
    chain = [
        {"name": "HorizontalFlip", "p": 0.5},
        {"name": "Affine", "scale": [0.7, 1.3], "keep_ratio": True, "translate_percent": [-0.2, 0.2], "p": 1.0},
    ]
    dataset = DetectionDataset(painted_index(crowd=True), 256, config.Augment(name="a", albumentations=chain))
    found = 0
    for i in range(len(dataset)):
        planes, target = dataset[0, i]
        found += assert_boxes_fit(planes, target.boxes, target.labels, tolerance=2.0)
    assert found > len(dataset)


def test_albumentations_keep_labels_crowds_and_areas_with_their_boxes() -> None:
    chain = Albumentations([{"name": "HorizontalFlip", "p": 1.0}], 100)
    objects = objects_of([[0, 0, 10, 10], [99, 0, 100, 50], [20, 0, 60, 30], [-3, 50, 40, 104]])
    _, flipped = chain(np.random.default_rng(0), np.zeros((100, 100, 3), dtype=np.uint8), objects)
    order = np.argsort(flipped.labels)
    assert flipped.labels[order].tolist() == [0, 2, 3]  # the second one is too thin
    assert flipped.boxes[order] == pytest.approx(
        np.array([[90, 0, 100, 10], [40, 0, 80, 30], [60, 50, 100, 100]]), abs=1e-3
    )
    assert flipped.crowd[order].tolist() == [False, False, True]
    assert flipped.area[order].tolist() == [0, 20, 30]
    assert (flipped.boxes.dtype, flipped.labels.dtype, flipped.area.dtype) == (np.float32, np.int64, np.float32)


def test_albumentations_are_decided_one_by_one_and_by_the_generator_alone() -> None:
    chain = Albumentations([{"name": "HorizontalFlip", "p": 0.5}, {"name": "VerticalFlip", "p": 0.5}], 8)
    corner = np.zeros((8, 8, 3), dtype=np.uint8)
    corner[0, 0] = 255
    where = []
    for seed in range(200):
        places = []
        for _ in range(2):
            image, _ = chain(np.random.default_rng(seed), corner, objects_of([]))
            places.append(tuple(np.argwhere(image[..., 0])[0].tolist()))
        assert places[0] == places[1]
        where.append(places[0])
    counts = {place: where.count(place) for place in {(0, 0), (0, 7), (7, 0), (7, 7)}}
    assert min(counts.values()) > 25


def test_a_picture_after_albumentations_still_has_its_regions() -> None:
    chain = [{"name": "GaussNoise", "std_range": [0.02, 0.05], "p": 1.0}]
    dataset = DetectionDataset(painted_index(), 160, config.Augment(name="noise", albumentations=chain))
    plain = DetectionDataset(painted_index(), 160, config.Augment(name="none"))
    (noisy, target), (clean, _) = dataset[0, 0], plain[0, 0]
    assert not torch.equal(noisy, clean)
    assert len(painted_regions(noisy.permute(1, 2, 0).numpy())) >= len(target.boxes)


def test_zoom_and_both_shifts_are_uniform_in_their_ranges_and_independent() -> None:
    """Of 4,000 views: a shift of 0.2 of 100 pixels about the middle, a zoom of 0.5; standard deviation range / √3."""
    augment = config.Augment(name="view", translate=0.2, scale=0.5)
    rng = np.random.default_rng(0)
    views = np.array([random_view(rng, augment, 100) for _ in range(4000)])
    assert views[:, 0, 0] == pytest.approx(views[:, 1, 1])
    assert not views[:, 0, 1].any()
    drawn = np.stack([views[:, 0, 0], views[:, 0, 2], views[:, 1, 2]])
    for values, middle, reach in zip(drawn, (1.0, 50.0, 50.0), (0.5, 20.0, 20.0), strict=True):
        assert np.abs(values - middle).max() <= reach + 1e-9
        assert values.mean() == pytest.approx(middle, abs=0.04 * reach)
        assert values.std() == pytest.approx(reach / 3**0.5, rel=0.04)
    assert np.abs(np.corrcoef(drawn) - np.eye(3)).max() < 0.05


def test_rotation_and_both_shears_are_uniform_in_their_ranges_and_independent() -> None:
    rng = np.random.default_rng(0)
    turned = np.array([random_view(rng, config.Augment(name="turn", degrees=30), 100) for _ in range(2000)])
    angles = np.degrees(np.arctan2(turned[:, 1, 0], turned[:, 0, 0]))
    assert np.abs(angles).max() <= 30
    assert angles.std() == pytest.approx(30 / 3**0.5, rel=0.05)
    assert np.linalg.det(turned[:, :2, :2]) == pytest.approx(np.ones(2000))
    sheared = np.array([random_view(rng, config.Augment(name="shear", shear=20), 100) for _ in range(2000)])
    x, y = np.degrees(np.arctan(sheared[:, 0, 1])), np.degrees(np.arctan(sheared[:, 1, 0]))
    for shear in (x, y):
        assert np.abs(shear).max() <= 20 + 1e-9
        assert shear.std() == pytest.approx(20 / 3**0.5, rel=0.05)
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.07
