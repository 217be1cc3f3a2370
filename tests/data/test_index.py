import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detector.data.index import AnnotatedObjects, Index, assemble
from detector.data.problems import cheap_problems, missing_images, summarise
from detector.errors import UserError


def make_index(
    boxes: list[list[float]], owners: list[int], images: int = 3, size: tuple[int, int] = (50, 100)
) -> Index:
    labels = [n % 2 for n in range(len(boxes))]
    objects = AnnotatedObjects(owners, boxes, labels, [False] * len(boxes), where=lambda n: f"row {n}")
    files = [f"folder/{i}.png" for i in range(images)]
    return assemble(["a", "b"], [7, 9], range(images), files, np.array([size] * images), objects)


def test_objects_in_any_order_land_on_their_image() -> None:
    generator = np.random.default_rng(0)
    owners = generator.integers(0, 20, 100)
    corners = generator.uniform(0, 40, (100, 2))
    boxes = np.concatenate([corners, corners + 5], axis=1).astype(np.float32)
    index = make_index(boxes.tolist(), owners.tolist(), images=20)
    for i in range(20):
        rows = [n for n in range(100) if owners[n] == i]
        np.testing.assert_array_equal(index.target(i).boxes.numpy(), boxes[rows])
        assert index.target(i).labels.tolist() == [n % 2 for n in rows]


def test_a_box_one_pixel_outside_is_clipped_and_reported() -> None:
    index = make_index([[-1, 2, 30, 51]], [0])
    assert index.boxes.tolist() == [[0, 2, 30, 50]]
    assert [(p.kind, p.where) for p in index.problems] == [("box partly outside", "row 0")]


def test_a_box_outside_by_rounding_is_clipped_without_a_word() -> None:
    index = make_index([[0, 0, 100.0001, 50.01]], [0])
    assert index.boxes.tolist() == [[0, 0, 100, 50]]
    assert not index.problems


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ([10, 10, 10, 20], "degenerate box"),
        ([20, 10, 10, 20], "degenerate box"),
        ([10, 10, float("nan"), 20], "malformed annotation"),
        ([10, 10, float("inf"), 20], "malformed annotation"),
        ([100, 10, 120, 20], "box outside"),
        ([-20, -20, -1, -1], "box outside"),
    ],
)
def test_a_box_without_area_in_the_image_is_not_trained_on_and_reported(box: list[float], kind: str) -> None:
    index = make_index([box, [1, 1, 5, 5]], [1, 1])
    assert index.boxes.tolist() == [[1, 1, 5, 5]]
    assert index.labels.tolist() == [1]
    assert [p.kind for p in index.problems] == [kind]


def test_an_image_without_objects_has_an_empty_target() -> None:
    target = make_index([[1, 1, 5, 5]], [1]).target(2)
    assert target.boxes.shape == (0, 4)
    assert target.labels.shape == target.crowd.shape == target.area.shape == (0,)
    assert target.original_size == (50, 100)


def test_a_split_without_any_object_is_an_index() -> None:
    index = make_index([], [])
    assert len(index) == 3
    assert all(len(index.target(i).labels) == 0 for i in range(3))


def test_a_subset_keeps_the_label_space_and_each_image_its_objects() -> None:
    index = make_index([[n, 0, n + 1, 5] for n in range(10)], [0, 2, 2, 1, 4, 4, 4, 0, 1, 5], images=7)
    chosen = [6, 4, 0, 4]
    subset = index.subset(chosen)
    assert (subset.class_names, subset.category_ids) == (index.class_names, index.category_ids)
    for position, i in enumerate(chosen):
        mine, theirs = subset.target(position), index.target(i)
        assert mine.image_id == theirs.image_id
        assert mine.boxes.tolist() == theirs.boxes.tolist()
        assert mine.labels.tolist() == theirs.labels.tolist()
    assert len(index.subset([])) == 0


def test_image_ids_are_plain_ints_or_strings() -> None:
    index = make_index([], [])
    assert type(index.target(0).image_id) is int
    index.image_ids = np.array(["007", "8", "9"])
    assert index.target(0).image_id == "007"
    assert type(index.target(0).image_id) is str


def test_changing_a_target_leaves_the_index_alone() -> None:
    index = make_index([[1, 1, 5, 5]], [0])
    index.target(0).boxes[:] = 0
    assert index.boxes.tolist() == [[1, 1, 5, 5]]


def test_a_pickled_index_is_not_larger_than_its_arrays() -> None:
    count = 20_000
    index = make_index([[1, 1, 5, 5]] * count, list(range(count)), images=count)
    kept = index.annotations
    arrays = [index.image_ids, index.files, index.sizes, index.offsets, index.boxes, index.labels, index.crowd]
    arrays += [index.area, kept.offsets, kept.boxes, kept.area, kept.labels, kept.crowd]
    assert len(pickle.dumps(index)) < sum(a.nbytes for a in arrays) + 10_000


def test_what_is_measured_is_what_was_written_whatever_training_leaves_out() -> None:
    written = np.array(
        [
            [10.1, 10.2, 0.3, 20.4],
            [99.7, -3.3, 17.1, 9.9],
            [5, 5, 0, 7],
            [300, 300, 4, 4],
            [9, 9, -4, 2],
            [1, 2, np.nan, 4],
        ]
    )
    area = [0.7, 1e-300, 0, -1, np.nan, 5]
    corners = np.concatenate([written[:, :2], written[:, :2] + written[:, 2:]], axis=1)
    owners = [2, 0, 2, 1, 2, 0]
    where = [f"row {n}" for n in range(6)]
    objects = AnnotatedObjects(owners, corners, [0, 1, 1, 0, 1, 0], [False, True] * 3, where.__getitem__, area, written)
    index = assemble(["a", "b"], [7, 9], range(3), [""] * 3, np.full((3, 2), 100), objects)
    order = [1, 3, 0, 2, 4]  # by image, else as in the file
    kept = index.annotations
    assert kept.boxes.tolist() == written[order].tolist()
    assert kept.area.tolist() == [1e-300, 16, 0.7, 0, -8]
    assert (kept.labels.tolist(), kept.crowd.tolist()) == ([1, 0, 0, 1, 1], [True, True, False, False, False])
    assert (kept.offsets.tolist(), kept.owners.tolist()) == ([0, 1, 2, 5], [0, 1, 2, 2, 2])
    assert index.labels.tolist() == [1, 0]
    assert [(p.kind, p.where) for p in index.problems] == [
        ("malformed annotation", "row 5"),
        *(("degenerate box", f"row {n}") for n in (2, 4)),
        ("box outside", "row 3"),
        ("box partly outside", "row 1"),
    ]
    subset = index.subset([2, 0, 2]).annotations
    assert subset.boxes.tolist() == written[[0, 2, 4, 1, 0, 2, 4]].tolist()
    assert subset.offsets.tolist() == [0, 3, 4, 7]


def one_image(file: str, size: tuple[int, int]) -> Index:
    objects = AnnotatedObjects([], [], [], [], where=str)
    return assemble(["a"], [1], [0], [file], np.array([size]), objects)


def test_an_image_is_read_as_rgb_and_turned_as_exif_says(tmp_path: Path) -> None:
    pixels = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels[:, :20, 0] = 255  # left half red
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise: what is left comes to the top
    file = str(tmp_path / "a.jpg")
    Image.fromarray(pixels).save(file, exif=exif, quality=95)
    image = one_image(file, (40, 20)).image(0)
    assert image.shape == (40, 20, 3)
    assert image[5, 10, 0] > 200
    assert image[35, 10].max() < 50


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16"])
def test_grey_transparent_and_16_bit_files_become_rgb(tmp_path: Path, mode: str) -> None:
    file = str(tmp_path / "a.png")
    Image.new(mode, (30, 10)).save(file)
    image = one_image(file, (10, 30)).image(0)
    assert (image.shape, image.dtype) == ((10, 30, 3), np.uint8)


def test_a_missing_a_damaged_and_a_wrongly_sized_image_are_named(tmp_path: Path) -> None:
    missing, damaged, small = (str(tmp_path / name) for name in ("missing.jpg", "damaged.jpg", "small.png"))
    with open(damaged, "w") as file:
        file.write("this is no picture")
    cv2.imwrite(small, np.zeros((10, 10, 3), dtype=np.uint8))
    with pytest.raises(UserError, match=r"missing\.jpg is missing"):
        one_image(missing, (10, 10)).image(0)
    with pytest.raises(UserError, match=r"damaged\.jpg cannot be decoded"):
        one_image(damaged, (10, 10)).image(0)
    with pytest.raises(UserError, match=r"small\.png is 10x10 pixels, its annotation says 30x20"):
        one_image(small, (20, 30)).image(0)


def test_missing_files_are_found_without_decoding(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_text("not even an image")
    index = make_index([[1, 1, 1, 5]], [0], images=3)
    index.files = np.array([str(tmp_path / "0.png"), str(tmp_path / "1.png"), str(tmp_path / "none" / "2.png")])
    assert [p.where for p in missing_images(index)] == index.files[1:].tolist()
    assert [p.kind for p in cheap_problems(index)] == ["degenerate box", "missing image", "missing image"]


def test_a_summary_counts_each_kind_and_names_its_first_case() -> None:
    index = make_index([[1, 1, 1, 5], [2, 2, 2, 2], [-9, 0, 9, 9]], [0, 1, 2])
    assert summarise(index.problems) == (
        "2 × degenerate box (first: row 0: not trained on: xyxy (1, 1, 1, 5) in an image of 100x50); "
        "1 × box partly outside (first: row 2: cut for training: xyxy (-9, 0, 9, 9) in an image of 100x50)"
    )
    assert summarise([]) == "no problem"


@pytest.mark.parametrize("image_size", [64, 400])
def test_a_jpeg_whose_end_is_missing_is_named_at_every_size(tmp_path: Path, image_size: int) -> None:
    from detector.data.images.loading import load_image

    whole = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    file = tmp_path / "photograph.jpg"
    cv2.imwrite(str(file), whole)
    content = file.read_bytes()
    index = one_image(str(file), (300, 400))
    assert max(load_image(index, 0, image_size).shape) == image_size
    file.write_bytes(content + b"appended by a camera")
    assert max(load_image(index, 0, image_size).shape) == image_size
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"photograph\.jpg is damaged: the end of the JPEG is missing"):
        load_image(index, 0, image_size)
