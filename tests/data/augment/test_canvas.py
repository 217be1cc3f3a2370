import math
from collections.abc import Callable

import numpy as np
import pytest

from detector.data.augment.canvas import draw
from detector.data.geometry import quarter_turns, rotation, scaling, shearing, transform_boxes, translation

Draw = Callable[[np.random.Generator, int, int], np.ndarray]
SIZE = 96
UNTOUCHED = 114


def smooth_image(height: int, width: int) -> np.ndarray:
    """Slow waves: a shift by half a pixel is clearly seen, the kind of interpolation hardly."""
    y, x = np.mgrid[:height, :width] + 0.5
    waves = [np.sin(x / 7 + phase) + np.cos(y / 9 - phase) for phase in (0.0, 1.0, 2.0)]
    return np.stack([127 + 60 * wave for wave in waves], axis=2).round().astype(np.uint8)


def sampled(image: np.ndarray, matrix: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear sampling, pixel by pixel, at the source of each canvas pixel's centre; and where that is well inside."""
    height, width = image.shape[:2]
    inverse = np.linalg.inv(matrix)
    result, inside = np.zeros((size, size, 3)), np.zeros((size, size), dtype=bool)
    for row in range(size):
        for column in range(size):
            x, y, _ = inverse @ (column + 0.5, row + 0.5, 1)
            if not (1 < x < width - 1 and 1 < y < height - 1):
                continue
            left, top = math.floor(x - 0.5), math.floor(y - 0.5)
            a, b = x - 0.5 - left, y - 0.5 - top
            patch = image[top : top + 2, left : left + 2].astype(float)
            result[row, column] = (1 - b) * ((1 - a) * patch[0, 0] + a * patch[0, 1]) + b * (
                (1 - a) * patch[1, 0] + a * patch[1, 1]
            )
            inside[row, column] = True
    return result, inside


def upright_map(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    zoom = rng.uniform(0.6, 2.0)
    turn = quarter_turns(int(rng.integers(4))) @ scaling(rng.choice([-1, 1]), rng.choice([-1, 1]))
    shift = translation(*(rng.uniform(0.2, 0.8, 2) * SIZE).tolist())
    return shift @ scaling(zoom, zoom) @ turn @ translation(-width / 2, -height / 2)


def slanted_map(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    slant = shearing(*rng.uniform(-10, 10, 2).tolist()) @ rotation(rng.uniform(-180, 180))
    zoom = rng.uniform(0.6, 2.0)
    shift = translation(*(rng.uniform(0.2, 0.8, 2) * SIZE).tolist())
    return shift @ scaling(zoom, zoom) @ slant @ translation(-width / 2, -height / 2)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", [upright_map, slanted_map])
def test_every_pixel_comes_from_where_the_returned_matrix_says(kind: Draw, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = smooth_image(70, 101)
    canvas = np.full((SIZE, SIZE, 3), UNTOUCHED, dtype=np.uint8)
    used = draw(canvas, image, kind(rng, 70, 101))
    expected, inside = sampled(image, used, SIZE)
    inside[[0, 1, -2, -1]] = inside[:, [0, 1, -2, -1]] = (
        False  # the crop's own edge is repeated, not its neighbour read
    )
    assert inside.sum() > 300
    assert np.abs(canvas[inside] - expected[inside]).max() <= 3


@pytest.mark.parametrize("seed", range(40))
def test_without_rotation_the_map_moves_by_at_most_a_pixel_at_what_is_seen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    asked = upright_map(rng, 70, 101)
    used = draw(np.zeros((SIZE, SIZE, 3), dtype=np.uint8), smooth_image(70, 101), asked)
    image_in_canvas = transform_boxes(np.array([[0.0, 0.0, 101.0, 70.0]]), asked)
    seen = np.clip(image_in_canvas, 0, SIZE)
    back = transform_boxes(seen, np.linalg.inv(asked))
    zoom = math.sqrt(abs(np.linalg.det(asked[:2, :2])))
    assert np.abs(transform_boxes(back, used) - seen).max() <= 0.5 + 0.5 * max(1.0, zoom)


def test_a_whole_pixel_shift_copies_the_image_exactly() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    canvas = np.full((SIZE, SIZE, 3), UNTOUCHED, dtype=np.uint8)
    used = draw(canvas, image, translation(7, 20))
    assert np.array_equal(canvas[20:60, 7:57], image)
    canvas[20:60, 7:57] = UNTOUCHED
    assert (canvas == UNTOUCHED).all()
    assert np.array_equal(used, translation(7, 20))


@pytest.mark.parametrize("degrees", [0.0, 30.0])
def test_an_image_beside_the_canvas_leaves_it_as_it_was(degrees: float) -> None:
    canvas = np.full((SIZE, SIZE, 3), UNTOUCHED, dtype=np.uint8)
    draw(canvas, smooth_image(20, 20), translation(SIZE + 40, 0) @ rotation(degrees))
    assert (canvas == UNTOUCHED).all()


def test_what_the_image_does_not_cover_stays_as_it_was() -> None:
    canvas = np.full((SIZE, SIZE, 3), UNTOUCHED, dtype=np.uint8)
    matrix = translation(48, 48) @ rotation(30) @ translation(-20, -15)
    draw(canvas, np.zeros((30, 40, 3), dtype=np.uint8), matrix)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    u, v, _ = np.einsum("ij,jhw->ihw", np.linalg.inv(matrix), np.stack([x, y, np.ones_like(x)]))
    outside = (u < -1.5) | (u > 41.5) | (v < -1.5) | (v > 31.5)
    assert (canvas[outside] == UNTOUCHED).all()
    inside = (u > 0) & (u < 40) & (v > 0) & (v < 30)
    assert (canvas[inside] == 0).all()


@pytest.mark.parametrize("degrees", [0.0, 17.0, 45.0])
@pytest.mark.parametrize("zoom", [0.11, 0.2, 0.3, 0.45])
def test_strong_shrinking_averages_instead_of_aliasing(degrees: float, zoom: float) -> None:
    stripes = np.zeros((400, 400, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    canvas = np.full((SIZE, SIZE, 3), UNTOUCHED, dtype=np.uint8)
    draw(canvas, stripes, translation(48, 48) @ rotation(degrees) @ scaling(zoom, zoom) @ translation(-200, -200))
    middle = canvas[34:62, 34:62].astype(int)
    assert np.abs(middle - 127).max() <= 3


@pytest.mark.parametrize("degrees", [0.0, 3.0, 40.0])
def test_neighbouring_tiles_leave_no_seam(degrees: float) -> None:
    tile = np.full((60, 60, 3), 230, dtype=np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(10):
        canvas = np.full((SIZE, SIZE, 3), UNTOUCHED, dtype=np.uint8)
        view = translation(*rng.uniform(40, 56, 2).tolist()) @ rotation(degrees) @ scaling(1.3, 1.3)
        for x, y in ((-60, -60), (0, -60), (-60, 0), (0, 0)):
            draw(canvas, tile, view @ translation(x, y))
        assert canvas[20:76, 20:76].min() >= 229
