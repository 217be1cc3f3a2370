import numpy as np
import pytest
import torch
from painted_scenes import COLOURS, Painter, painted_index
from torch import Tensor

from detector import config
from detector.data.augment.canvas_objects import CanvasObjects
from detector.data.augment.mixing import ERASED_AREA, ERASED_ASPECT, cut_mix, erase, mix_up
from detector.data.dataset import DetectionDataset
from detector.data.geometry import MINIMUM_SIDE, MINIMUM_UNCOVERED, MINIMUM_VISIBLE, cover_boxes
from detector.data.images.letterbox import GREY
from detector.data.index import Index

SIZE = 64


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corners = rng.integers(0, SIZE, (4 * count, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    return boxes[(boxes[:, 2:] - boxes[:, :2] >= MINIMUM_SIDE).all(axis=1)][:count]


def objects_of(boxes: np.ndarray) -> CanvasObjects:
    rows = np.arange(len(boxes))
    return CanvasObjects(boxes, rows.astype(np.int64), rows % 2 == 0, rows.astype(np.float32))


def hull(visible: np.ndarray, thickness: int = int(MINIMUM_SIDE)) -> list[float] | None:
    """Of the pixels that are set, without rims thinner than `thickness`: of all squares of that side that are set."""
    squares = np.lib.stride_tricks.sliding_window_view(visible, (thickness, thickness)).all(axis=(2, 3))
    rows, columns = np.nonzero(squares)
    return [columns.min(), rows.min(), columns.max() + thickness, rows.max() + thickness] if len(rows) else None


def seen_of(box: np.ndarray, allowed: np.ndarray) -> list[float] | None:
    """The hull of what is seen of a box with whole coordinates where `allowed` [SIZE, SIZE] is set, pixel by pixel."""
    x1, y1, x2, y2 = box.astype(int)
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    mask[y1:y2, x1:x2] = 1
    visible = mask * allowed
    seen = hull(visible)
    if seen is None or visible.sum() < MINIMUM_VISIBLE * mask.sum():
        return None
    return seen if visible.sum() >= MINIMUM_UNCOVERED * (seen[2] - seen[0]) * (seen[3] - seen[1]) else None


def expected(boxes: np.ndarray, allowed: np.ndarray) -> list[tuple[int, list[float]]]:
    found = [(row, seen_of(box, allowed)) for row, box in enumerate(boxes)]
    return [(row, box) for row, box in found if box is not None]


def listed(objects: CanvasObjects) -> list[tuple[int, list[float]]]:
    return list(zip(objects.labels.tolist(), objects.boxes.tolist(), strict=True))


def test_a_covered_box_is_the_hull_of_the_pixels_that_stay_visible() -> None:
    rng = np.random.default_rng(0)
    kept = shrunk = dropped = 0
    for _ in range(300):
        boxes = random_boxes(rng, 20)
        cover = random_boxes(rng, 1)[0]
        x1, y1, x2, y2 = cover.astype(int)
        allowed = np.ones((SIZE, SIZE), dtype=np.uint8)
        allowed[y1:y2, x1:x2] = 0
        cut, keep = cover_boxes(boxes, (x1, y1, x2, y2))
        for box, new, kept_one in zip(boxes, cut, keep, strict=True):
            want = seen_of(box, allowed)
            assert kept_one == (want is not None), (box, cover)
            if want is None:
                dropped += 1
            else:
                assert new.tolist() == want, (box, cover)
                kept += 1
                shrunk += int((new != box).any())
    assert min(kept, shrunk, dropped) > 100


def test_no_boxes_are_covered_as_well() -> None:
    cut, keep = cover_boxes(np.zeros((0, 4), dtype=np.float32), (0, 0, 5, 5))
    assert cut.shape == (0, 4)
    assert cut.dtype == np.float32
    assert keep.shape == (0,)


def test_cutmix_keeps_of_both_pictures_the_objects_that_are_seen() -> None:
    areas = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        first_boxes, second_boxes = random_boxes(rng, 8), random_boxes(rng, 8)
        first = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
        second = np.full_like(first, 255)
        joined = cut_mix(rng, first, objects_of(first_boxes), second, objects_of(second_boxes))
        pasted = (first[..., 0] == 255).astype(np.uint8)
        areas.append(pasted.mean())
        want = expected(first_boxes, 1 - pasted) + expected(second_boxes, pasted)
        assert listed(joined) == want
        assert joined.crowd.tolist() == [row % 2 == 0 for row, _ in want]
        assert joined.area.tolist() == [row for row, _ in want]
    # Of a side r, r − r²/4 is inside on average. With r = √u, u uniform: E[(r − r²/4)²] = 1/2 − 1/5 + 1/48.
    assert np.mean(areas) == pytest.approx(1 / 2 - 1 / 5 + 1 / 48, abs=0.03)
    assert min(areas) < 0.05
    assert max(areas) > 0.8


def test_erasing_keeps_the_objects_that_are_seen_and_erases_as_much_as_it_should() -> None:
    areas, aspects = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        boxes = random_boxes(rng, 8)
        canvas = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
        erased = erase(rng, canvas, objects_of(boxes))
        rows, columns = np.nonzero(canvas.any(axis=2))
        y1, y2, x1, x2 = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        allowed = np.ones((SIZE, SIZE), dtype=np.uint8)
        allowed[y1:y2, x1:x2] = 0
        assert listed(erased) == expected(boxes, allowed)
        areas.append((y2 - y1) * (x2 - x1) / SIZE**2)
        aspects.append((y2 - y1) / (x2 - x1))
        inside = canvas[y1:y2, x1:x2]
        assert 85 < inside.mean() < 170
        assert inside.std() > 50
    assert ERASED_AREA[0] * 0.8 < min(areas) < 0.04
    assert 0.18 < max(areas) < ERASED_AREA[1] * 1.1
    assert ERASED_ASPECT * 0.75 < min(aspects) < 0.5
    assert 2 < max(aspects) < 1.25 / ERASED_ASPECT


def test_mixup_is_the_weighted_sum_with_shares_around_one_half() -> None:
    shares = []
    for seed in range(300):
        first, second = np.full((4, 4, 3), 250, dtype=np.uint8), np.zeros((4, 4, 3), dtype=np.uint8)
        both = mix_up(
            np.random.default_rng(seed),
            first,
            objects_of(np.array([[0, 0, 2, 2]], dtype=np.float32)),
            second,
            objects_of(np.zeros((0, 4), dtype=np.float32)),
        )
        assert both.boxes.tolist() == [[0, 0, 2, 2]]
        assert (first == first[0, 0, 0]).all()
        assert not second.any()
        shares.append(first[0, 0, 0] / 250)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.quantile(shares, [0.025, 0.975]) == pytest.approx([0.27, 0.73], abs=0.05)


# ------------------------------------------------------------------------------------------------------- through the set
def assert_boxes_fit_what_is_seen(image: np.ndarray, boxes: Tensor, labels: Tensor, tolerance: float = 1.25) -> int:
    """Within each box (and a little around it) the pixels of its colour reach just to its sides."""
    code = (image > 128).astype(np.uint8)
    for box, label in zip(boxes.double().numpy(), labels.tolist(), strict=True):
        mask = (code == COLOURS[label] // 255).all(axis=2).astype(np.uint8)
        x1, y1 = np.floor(box[:2] - tolerance).astype(int).clip(min=0)
        x2, y2 = np.ceil(box[2:] + tolerance).astype(int)
        near = np.zeros_like(mask)
        near[y1:y2, x1:x2] = mask[y1:y2, x1:x2]
        # a rim of about MINIMUM_SIDE may count as seen or not: it lies between pixels
        seen = [hull(near, thickness) for thickness in (2, 3, 4)]
        errors = [np.abs(box - one).max() for one in seen if one is not None]
        assert min(errors, default=np.inf) <= tolerance, f"box {box} of label {label}, but {seen} is seen"
    return len(boxes)


def one_colour_each(count: int) -> Index:
    """Images whose objects all have the image's own colour, so that none is taken for part of another image's."""
    index = painted_index(count=count)
    assert isinstance(index.painter, Painter)
    for i in range(count):
        index.labels[index.offsets[i] : index.offsets[i + 1]] = i
        index.painter.labels[i][:] = i
    return index


@pytest.mark.parametrize(
    "changes",
    [{}, {"scale": 0.4, "translate": 0.2, "flip_horizontal": 0.5, "rotate90": 0.5}],
    ids=["plain", "zoom, shift, mirrors and turns"],
)
def test_boxes_fit_the_painted_rectangles_after_cutmix(changes: dict[str, float]) -> None:
    augment = config.Augment(name="cut", cutmix=1.0, **changes)  # type: ignore[arg-type]
    dataset = DetectionDataset(one_colour_each(len(COLOURS)), 256, augment, epochs=10)
    found = 0
    for epoch in range(10):
        for i in range(len(dataset)):
            planes, target = dataset[epoch, i]
            found += assert_boxes_fit_what_is_seen(planes.permute(1, 2, 0).numpy(), target.boxes, target.labels)
    assert found > 100


def test_an_image_is_never_mixed_with_itself() -> None:
    index = painted_index(count=2)
    plain = DetectionDataset(index, 96, config.Augment(name="none"))
    (picture, own), (_, others) = plain[0, 0], plain[0, 1]
    pair = DetectionDataset(index, 96, config.Augment(name="mixup", mixup=1.0), epochs=20)
    for epoch in range(20):
        assert torch.equal(pair[epoch, 0][1].boxes, torch.cat([own.boxes, others.boxes]))
    for augment in (config.Augment(name="mixup", mixup=1.0), config.Augment(name="cutmix", cutmix=1.0)):
        single, target = DetectionDataset(index.subset([0]), 96, augment)[0, 0]
        assert torch.equal(single, picture)
        assert torch.equal(target.boxes, own.boxes)


def test_boxes_fit_the_painted_rectangles_after_erasing() -> None:
    index = painted_index(count=40)
    whole = DetectionDataset(index, 256, config.Augment(name="whole"))
    erased = DetectionDataset(index, 256, config.Augment(name="erased", erasing=1.0))
    before = found = 0
    for i in range(len(index)):
        (planes, target), (clean, clean_target) = erased[0, i], whole[0, i]
        image = planes.permute(1, 2, 0).numpy().copy()
        rows, columns = np.nonzero((planes != clean).any(dim=0).numpy())
        image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = GREY  # random pixels have all colours
        found += assert_boxes_fit_what_is_seen(image, target.boxes, target.labels)
        before += len(clean_target.boxes)
    assert 0.8 * before < found < before


def test_cutmix_shows_two_pictures_each_in_its_place() -> None:
    index = painted_index(count=30)
    plain = DetectionDataset(index, 96, config.Augment(name="none"))
    alone = torch.stack([plain[0, i][0] for i in range(len(index))])
    mixed = DetectionDataset(index, 96, config.Augment(name="cut", cutmix=1.0))
    partners = set()
    for i in range(len(index)):
        picture, target = mixed[0, i]
        assert target.image_id == index.image_id(i)
        changed = (picture != alone[i]).any(dim=0)
        if changed.any():
            fits = [k for k in range(len(index)) if torch.equal(picture[:, changed], alone[k][:, changed])]
            assert fits
            partners.add(fits[0])
    assert len(partners) > 8


def test_blur_and_noise_change_the_picture_as_often_as_asked_and_never_the_boxes() -> None:
    index = painted_index(count=100, sides=(40, 60))
    plain = DetectionDataset(index, 64, config.Augment(name="none"))
    for name in ("blur", "noise"):
        changed = DetectionDataset(index, 64, config.Augment(name=name, **{name: 0.3}))  # type: ignore[arg-type]
        pairs = [(plain[0, i], changed[0, i]) for i in range(len(index))]
        assert all(torch.equal(a.boxes, b.boxes) for (_, a), (_, b) in pairs)
        different = [not torch.equal(a, b) for (a, _), (b, _) in pairs]
        assert np.mean(different) == pytest.approx(0.3, abs=0.12)
        first, second = (DetectionDataset(index, 64, config.Augment(name=name, **{name: 1.0})) for _ in range(2))  # type: ignore[arg-type]
        assert torch.equal(first[0, 1][0], second[0, 1][0])


def test_a_blurred_picture_has_less_contrast_and_a_noisy_one_more_in_its_flat_parts() -> None:
    index = painted_index(count=4)

    def roughness(**changes: float) -> float:
        dataset = DetectionDataset(index, 128, config.Augment(name="one", **changes))  # type: ignore[arg-type]
        return float(np.mean([dataset[0, i][0].float().diff(dim=-1).square().mean() for i in range(len(index))]))

    assert roughness(blur=1.0) < 0.8 * roughness()
    assert roughness(noise=1.0) > roughness() + 2


def test_images_without_objects_go_through_everything() -> None:
    index = painted_index(count=3)
    index.boxes, index.labels = index.boxes[:0], index.labels[:0]
    index.crowd, index.area = index.crowd[:0], index.area[:0]
    index.offsets[:] = 0
    augment = config.Augment(
        name="all", mosaic=1.0, mixup=1.0, cutmix=1.0, erasing=1.0, blur=1.0, noise=1.0, degrees=10, hue=0.1
    )
    _, target = DetectionDataset(index, 64, augment, epochs=2)[0, 0]
    assert target.boxes.shape == (0, 4)
    assert target.boxes.dtype == torch.float32
    assert target.labels.shape == (0,)
