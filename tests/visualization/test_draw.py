from __future__ import annotations

from itertools import pairwise, product

import cv2
import numpy as np
import pytest
import torch

from detector.visualization.draw import class_color, contact_sheet, draw_boxes, draw_captioned_boxes, draw_marks

NAMES = ("cat", "dog")


def blank(height: int, width: int, value: int = 127) -> np.ndarray:
    return np.full((height, width, 3), value, dtype=np.uint8)


def pixels_of(image: np.ndarray, label: int) -> np.ndarray:
    return (image == class_color(label)).all(axis=2)


@pytest.mark.parametrize("side", [48, 240, 640, 1600])
def test_a_box_is_framed_in_its_class_colour_and_what_it_holds_stays_visible(side: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    x1, y1, x2, y2 = side // 3, side // 2, side * 2 // 3, side * 5 // 6
    drawn = draw_boxes(image, np.array([[x1, y1, x2, y2]], dtype=float), np.array([1]), NAMES)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert (drawn[y1:y2, x1:x2] == image[y1:y2, x1:x2]).all()
    frame = pixels_of(drawn, 1)
    assert frame[y1:y2, [x1 - 1, x2]].all()
    assert frame[y2, x1:x2].all()


def test_the_line_and_the_text_grow_with_the_image() -> None:
    def line_and_text(side: int) -> tuple[int, int]:
        box = np.array([[0.3, 0.5, 0.9, 0.9]]) * side
        frame = pixels_of(draw_captioned_boxes(blank(side, side), box, np.array([0]), [" "]), 0)
        left = int(0.3 * side)
        row, caption = frame[int(0.7 * side)], frame[: int(0.5 * side), left]
        return int(row[: left + 1].sum()), int(caption.sum())

    sizes = [line_and_text(side) for side in (240, 480, 960, 1920)]
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(sizes))
    assert line_and_text(64)[0] == 1
    assert line_and_text(64)[1] >= 10


def test_the_given_image_is_not_changed_and_the_answer_can_be_written() -> None:
    image = blank(100, 100)
    drawn = draw_boxes(image, np.array([[10.0, 40, 50, 80]]), np.array([0]), NAMES)
    assert (image == 127).all()
    drawn[0, 0] = 0


def test_tensors_and_arrays_give_the_same_picture() -> None:
    boxes, labels, scores = np.array([[10.0, 40, 50, 80]], dtype=np.float32), np.array([1]), np.array([0.5])
    image = blank(100, 100)
    from_tensors = draw_boxes(image, torch.from_numpy(boxes), torch.from_numpy(labels), NAMES, torch.from_numpy(scores))
    assert (from_tensors == draw_boxes(image, boxes, labels, NAMES, scores)).all()


def test_no_boxes_leave_the_image_as_it_is() -> None:
    image = blank(50, 60)
    assert (draw_boxes(image, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), NAMES) == image).all()


def test_the_score_and_the_class_name_are_part_of_the_caption() -> None:
    box, label, image = np.array([[50.0, 100, 250, 250]]), np.array([0]), blank(300, 300)
    pictures = [
        draw_boxes(image, box, label, NAMES),
        draw_boxes(image, box, label, ("cow", "dog")),
        draw_boxes(image, box, label, NAMES, np.array([0.5])),
        draw_boxes(image, box, label, NAMES, np.array([0.75])),
    ]
    same = [(a == b).all() for n, a in enumerate(pictures) for b in pictures[n + 1 :]]
    assert not any(same)
    assert (pictures[2] == draw_captioned_boxes(image, box, label, ["cat 0.50"])).all()


@pytest.mark.parametrize(("height", "width"), [(8, 8), (12, 300), (300, 12), (64, 64), (480, 640)])
@pytest.mark.parametrize("corner", list(product((0.0, 0.5, 1.0), repeat=2)))
def test_captions_stay_whole_and_inside_the_image_wherever_the_box_is(
    height: int, width: int, corner: tuple[float, float]
) -> None:
    x, y = corner[0] * (width - 4), corner[1] * (height - 4)
    image = blank(height, width)
    box = np.array([[x, y, x + 4, y + 4]])
    short = pixels_of(draw_captioned_boxes(image, box, np.array([0]), ["ab"]), 0)
    if min(height, width) >= 64:  # the caption's background, without its letters, is as large as in the middle
        middle = np.array([[width / 2, height / 2, width / 2 + 4, height / 2 + 4]])
        expected = pixels_of(draw_captioned_boxes(image, middle, np.array([0]), ["ab"]), 0).sum()
        assert short.sum() == pytest.approx(expected, rel=0.1)
    assert short.any()
    long = draw_captioned_boxes(image, box, np.array([0]), ["a name that is far longer than such an image is wide" * 3])
    assert long.shape == image.shape


def test_captions_of_boxes_on_one_another_do_not_hide_each_other() -> None:
    boxes = np.array([[100.0, 100, 200, 200]] * 4)
    image = blank(400, 400)
    together = draw_captioned_boxes(image, boxes, np.arange(4), ["abc"] * 4)
    together[97:203, 97:203] = 0
    for label in range(4):
        alone = draw_captioned_boxes(image, boxes[:1], np.array([label]), ["abc"])
        alone[97:203, 97:203] = 0
        assert pixels_of(alone, label).any()
        assert pixels_of(together, label).sum() == pixels_of(alone, label).sum()


def test_a_small_object_is_not_hidden_by_the_captions_of_others() -> None:
    image = blank(400, 400)
    tiny, below = [100.0, 80, 112, 92], [98.0, 100, 300, 300]  # where the caption of `below` would stand
    drawn = draw_boxes(image, np.array([below, tiny]), np.array([0, 1]), ("a longer name", "dog"))
    assert (drawn[80:92, 100:112] == 127).all()


@pytest.mark.parametrize(
    "box", [[-50.0, -50, -10, -10], [90, 90, 500, 500], [30, 30, 30, 30], [60, 60, 40, 40], [200, 200, 300, 300]]
)
def test_boxes_outside_without_area_or_with_swapped_corners_are_drawn_inside(box: list[float]) -> None:
    drawn = draw_boxes(blank(100, 100), np.array([box]), np.array([0]), NAMES)
    assert drawn.shape == (100, 100, 3)
    assert pixels_of(drawn, 0).any()


def test_the_best_box_lies_on_top() -> None:
    box = [20.0, 60, 80, 95]
    drawn = draw_boxes(blank(100, 100), np.array([box, box]), np.array([0, 1]), NAMES)
    assert pixels_of(drawn, 0)[61:94, 19].all()


def test_two_thousand_boxes_are_drawn() -> None:
    random = np.random.default_rng(0)
    corners = random.uniform(0, 600, (2000, 2))
    boxes = np.concatenate([corners, corners + random.uniform(2, 30, (2000, 2))], axis=1)
    drawn = draw_boxes(blank(640, 640), boxes, random.integers(0, 2, 2000), NAMES)
    assert (pixels_of(drawn, 0) | pixels_of(drawn, 1)).mean() > 0.3


def test_a_dashed_line_alternates_on_all_four_sides_and_leaves_what_it_holds_visible() -> None:
    image, color = blank(480, 640), (240, 228, 66)
    drawn = draw_marks(image, np.array([[200, 150, 400, 350]]), [color], [""], [True])
    full = draw_marks(image, np.array([[200, 150, 400, 350]]), [color], [""])
    assert (drawn[152:348, 202:398] == 127).all()
    for side in (np.s_[348:352, 230:395], np.s_[180:340, 198:200], np.s_[180:340, 400:402]):
        colored = (drawn[side] == color).all(axis=-1)
        black = (drawn[side] == 0).all(axis=-1)
        assert ((full[side] == color).all(axis=-1) == (colored | black)).all()
        line = (full[side] == color).all(axis=-1)
        assert 0.3 < colored[line].mean() < 0.7


def test_classes_have_clearly_different_colours_that_text_can_be_read_on() -> None:
    def lab(color: tuple[int, int, int]) -> np.ndarray:
        return cv2.cvtColor(np.array([[color]], dtype=np.float32) / 255, cv2.COLOR_RGB2LAB)[0, 0]

    def distances(count: int) -> list[float]:
        return [
            float(np.linalg.norm(lab(class_color(a)) - lab(class_color(b)))) for a in range(count) for b in range(a)
        ]

    assert min(distances(10)) > 40
    assert min(distances(20)) > 30
    assert min(distances(64)) > 10  # a just noticeable difference is about 2.3
    for label in range(64):
        frame = draw_captioned_boxes(blank(640, 640), np.array([[50.0, 90, 150, 150]]), np.array([label]), ["■■■"])
        texts = {color for color in ((0, 0, 0), (255, 255, 255)) if (frame == color).all(axis=2).any()}
        assert len(texts) == 1
        linear = [((c / 255 + 0.055) / 1.055) ** 2.4 if c > 10 else c / 3294.6 for c in class_color(label)]
        luminance = float(np.dot([0.2126, 0.7152, 0.0722], linear))
        light, dark = (1.0, luminance) if texts == {(255, 255, 255)} else (luminance, 0.0)
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.1, level AA


def test_a_colour_does_not_depend_on_how_many_classes_there_are_and_any_label_has_one() -> None:
    assert class_color(0) == class_color(64)
    assert all(0 <= c <= 255 for c in class_color(10_000))


def test_a_contact_sheet_shows_every_image_once_row_by_row() -> None:
    images = [blank(30, 40, 100), blank(20, 50, 101), blank(30, 30, 102), blank(5, 5, 103), blank(10, 10, 104)]
    sheet = contact_sheet(images, columns=2)
    places = []
    for value, image in zip(range(100, 105), images, strict=True):
        ys, xs = np.nonzero((sheet == value).all(axis=2))
        assert len(ys) == image.shape[0] * image.shape[1]
        assert (ys.max() - ys.min() + 1, xs.max() - xs.min() + 1) == image.shape[:2]
        places.append((int(ys.min()), int(xs.min())))
    assert places[0][0] == places[1][0] < places[2][0] == places[3][0] < places[4][0]
    assert places[0][1] == places[2][1] == places[4][1] < places[1][1] == places[3][1]


def test_a_contact_sheet_of_few_images_has_no_empty_columns() -> None:
    assert (contact_sheet([blank(20, 20)], columns=4) == contact_sheet([blank(20, 20)], columns=1)).all()


def test_captions_stand_below_their_image_and_cover_none() -> None:
    images = [blank(60, 80, 100), blank(40, 80, 101)]
    bare = contact_sheet(images, columns=2)
    sheet = contact_sheet(images, columns=2, captions=["first", "a caption that is much too long for its column"])
    for value, image in zip((100, 101), images, strict=True):
        assert (sheet == value).all(axis=2).sum() == image.shape[0] * image.shape[1]
    assert sheet.shape[0] > bare.shape[0]
    assert sheet.shape[1] == bare.shape[1]
    bright = sheet.min(axis=2) > 180
    ys, xs = np.nonzero(bright[:, : sheet.shape[1] // 2])
    assert ys.min() >= 60
    assert len(xs) > 10
    ys, xs = np.nonzero(bright[:, sheet.shape[1] // 2 :])
    assert ys.min() >= 40
    assert ys.max() < 75  # directly below the smaller image, in one line
    assert not bright[:, -4:].any()
