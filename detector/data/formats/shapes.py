"""Drawn scenes: a data set without a download, hard enough to tell a sound detector from a broken one.

A scene is a textured background, strokes and soft spots that are nothing, and up to six shapes of five classes, any
size from 8 pixels to half the image, any rotation, some before others. About one scene in twenty has no object. This
file decides where things are, which is quick; `scene_painter` makes the pixels when they are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from detector.data.formats.scene_painter import ScenePainter
from detector.data.index import AnnotatedObjects, Index, assemble
from detector.data.options import Shapes
from detector.errors import UserError

CLASS_NAMES = ("circle", "square", "triangle", "star", "cross")
SMALLEST = 8.0
"""Pixels of the longer side of the smallest object."""
SMALL_SHARE = 0.06
"""Share of objects with a side of 8 to 32 pixels; the larger ones, up to half the image, are evenly spread by area."""
MOST_OBJECTS = 6
EMPTY_SHARE = 0.05
MOST_HIDDEN = 0.5
"""Share of a shape that others may cover; a shape that would be covered more is not drawn at all."""

_SPLITS = {"train": 0, "val": 1, "test": 2}
_GRID = 128
"""Side of the grid on which coverage is measured."""


@dataclass(frozen=True)
class Scene:
    """The places of the objects of one picture, from the farthest to the nearest."""

    labels: np.ndarray
    """int64 [N], indices into CLASS_NAMES."""
    outlines: list[np.ndarray]
    """N polygons, float64 [P, 2] (x, y), continuous pixels."""

    @property
    def boxes(self) -> np.ndarray:
        """float64 [N, 4] xyxy: the hull of each whole outline, whatever stands before it."""
        hulls = [np.concatenate([outline.min(axis=0), outline.max(axis=0)]) for outline in self.outlines]
        return np.array(hulls).reshape(-1, 4)

    @property
    def areas(self) -> np.ndarray:
        """float64 [N]: pixels² inside each whole outline (the shoelace formula)."""
        return np.array([_polygon_area(outline) for outline in self.outlines])


def read_shapes(data: Shapes, split: str, class_names: tuple[str, ...] | None = None) -> Index:
    """The index of a drawn split. Scenes depend on `scene_seed`, split, number and `scene_size` alone.

    Raises:
        UserError: the split is to have no image, the image is too small to hold the objects, or `class_names` differ.
    """
    count = {"train": data.train_images, "val": data.val_images, "test": data.test_images}[split]
    if count <= 0:
        raise UserError(f"data.{split}_images is {count}: the {split} split needs at least one scene")
    if data.scene_size < 4 * SMALLEST:
        raise UserError(f"data.scene_size is {data.scene_size}: drawn scenes need {4 * SMALLEST:.0f} pixels or more")
    if data.scene_seed < 0:
        raise UserError(f"data.scene_seed is {data.scene_seed}: it must be 0 or more")
    if class_names is not None and sorted(class_names) != sorted(CLASS_NAMES):
        raise UserError(f"data.name: shapes has the classes {', '.join(CLASS_NAMES)}, not {', '.join(class_names)}")

    scenes = [arrange(data.scene_seed, split, number, data.scene_size) for number in range(count)]
    owners = np.repeat(np.arange(count), [len(scene.outlines) for scene in scenes])
    index = assemble(
        CLASS_NAMES,
        range(1, len(CLASS_NAMES) + 1),
        range(count),
        [""] * count,
        np.full((count, 2), data.scene_size),
        AnnotatedObjects(
            owners,
            np.concatenate([scene.boxes for scene in scenes]),
            np.concatenate([scene.labels for scene in scenes]),
            np.zeros(len(owners), dtype=np.bool_),
            where=lambda n: f"scene {owners[n]}",
            area=np.concatenate([scene.areas for scene in scenes]),
        ),
    )
    index.painter = Painter(data.scene_seed, split, data.scene_size)
    return index


@dataclass(frozen=True)
class Painter:
    """Draws the scenes of a split by their number."""

    seed: int
    split: str
    size: int

    def __call__(self, number: int | str) -> np.ndarray:
        """Scene `number` as uint8 [size, size, 3] RGB."""
        scene = arrange(self.seed, self.split, int(number), self.size)
        generator = np.random.default_rng((self.seed, _SPLITS[self.split], int(number), 1))
        return ScenePainter(generator, self.size).paint(scene.outlines)


def arrange(seed: int, split: str, number: int, size: int) -> Scene:
    """The objects of scene `number`, for an image of `size` × `size` pixels; every outline lies inside the image."""
    generator = np.random.default_rng((seed, _SPLITS[split], number))
    wanted = 0 if generator.random() < EMPTY_SHARE else int(generator.integers(1, MOST_OBJECTS, endpoint=True))
    labels = generator.integers(len(CLASS_NAMES), size=wanted)
    sides = _sides(generator, wanted, size / 2)
    angles = generator.random(wanted) * 2 * np.pi
    places = generator.random((wanted, 2))
    outlines = [
        _place(_UNIT_OUTLINES[label], side, angle, place, size)
        for label, side, angle, place in zip(labels, sides, angles, places, strict=True)
    ]
    seen = _visible(outlines, size)
    return Scene(labels[seen], [outlines[i] for i in seen])


def _sides(generator: np.random.Generator, count: int, largest: float) -> np.ndarray:
    middle = min(4 * SMALLEST, largest)
    small = generator.uniform(SMALLEST, middle, count)
    large = np.sqrt(generator.uniform(middle**2, largest**2, count))
    return np.where(generator.random(count) < SMALL_SHARE, small, large)


def _place(unit: np.ndarray, side: float, angle: float, place: np.ndarray, size: int) -> np.ndarray:
    """The outline turned, scaled until the longer side of its hull is `side`, and put at `place` in 0..1."""
    cos, sin = np.cos(angle), np.sin(angle)
    turned = unit @ np.array([[cos, sin], [-sin, cos]])
    low = turned.min(axis=0)
    extent = turned.max(axis=0) - low
    scale = side / extent.max()
    return (turned - low) * scale + place * (size - extent * scale)


def _visible(outlines: list[np.ndarray], size: int) -> list[int]:
    """The outlines that are drawn: from the nearest to the farthest, those that the drawn ones leave uncovered enough."""
    covered = np.zeros((_GRID, _GRID), dtype=np.uint8)
    drawn = []
    for i in range(len(outlines) - 1, -1, -1):
        mask = np.zeros_like(covered)
        # 4 fractional bits; OpenCV's whole numbers are pixel centres
        cv2.fillPoly(mask, [np.rint((outlines[i] * (_GRID / size) - 0.5) * 16).astype(np.int32)], 1, shift=4)
        hidden = cv2.countNonZero(mask & covered)
        if hidden <= MOST_HIDDEN * cv2.countNonZero(mask):
            drawn.append(i)
            covered |= mask
    return drawn[::-1]


def _polygon_area(outline: np.ndarray) -> float:
    x, y = outline.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _regular(corners: int, inner: float = 1.0) -> np.ndarray:
    """A regular polygon, or a star when every second corner lies at radius `inner`."""
    angles = np.arange(corners) * 2 * np.pi / corners
    radii = np.where(np.arange(corners) % 2 == 0, 1.0, inner)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]


_ARM = 0.36
"""Half the width of the cross's arms, in half lengths of them: thin enough to differ from a square at 12 pixels."""
_CROSS_CORNER = np.array([[1, -_ARM], [1, _ARM], [_ARM, _ARM]])
_UNIT_OUTLINES = (
    _regular(96),  # at most 0.04 pixels inside the true circle of 128 pixels
    _regular(4),
    _regular(3),
    _regular(10, inner=0.42),  # a pentagram has 0.38; a little fatter survives at 12 pixels
    np.concatenate([_CROSS_CORNER @ np.array([[c, s], [-s, c]]) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]),
)
