from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from detector.inference.tiles import Tile, merged, tiles_of
from detector.nms import NMS
from detector.types import Detections


def found(*rows: tuple[list[float], float, int]) -> Detections:
    boxes, scores, labels = zip(*rows, strict=True) if rows else ((), (), ())
    return Detections(torch.tensor(boxes).reshape(-1, 4), torch.tensor(scores), torch.tensor(labels, dtype=torch.int64))


@pytest.mark.parametrize(
    ("size", "side", "overlap"), [((100, 250), 64, 0.25), ((640, 641), 640, 0.2), ((300, 90), 100, 0.0)]
)
def test_tiles_cover_the_picture_and_overlap_as_much_as_they_should(
    size: tuple[int, int], side: int, overlap: float
) -> None:
    whole, *tiles = tiles_of(size, side, overlap)
    assert whole == Tile(0, 0, size[1], size[0])
    seen = np.zeros(size, dtype=int)
    for tile in tiles:
        assert 0 <= tile.left < tile.right <= size[1]
        assert 0 <= tile.top < tile.bottom <= size[0]
        assert max(tile.right - tile.left, tile.bottom - tile.top) == side
        seen[tile.top : tile.bottom, tile.left : tile.right] += 1
    assert seen.min() == 1
    for first, last in (("left", "right"), ("top", "bottom")):
        starts = sorted({(getattr(tile, first), getattr(tile, last)) for tile in tiles})
        for (_, end), (start, _) in pairwise(starts):
            assert end - start >= int(overlap * side)


def test_a_picture_no_larger_than_a_tile_is_one() -> None:
    assert tiles_of((64, 50), 64, 0.2) == [Tile(0, 0, 50, 64)]


LEFT, RIGHT = Tile(0, 0, 100, 100), Tile(80, 0, 180, 100)
WHOLE = Tile(0, 0, 180, 100)


def test_an_object_in_the_overlap_is_one_object() -> None:
    one = merged(
        [found(), found(([82, 10, 98, 30], 0.8, 1)), found(([2, 10, 18, 30], 0.9, 1), ([40, 40, 60, 60], 0.5, 0))],
        [WHOLE, LEFT, RIGHT],
        (100, 180),
        NMS(),
    )
    assert one.scores.tolist() == pytest.approx([0.9, 0.5])
    assert one.boxes.tolist() == [[82, 10, 98, 30], [120, 40, 140, 60]]
    assert one.labels.tolist() == [1, 0]


def test_a_box_that_a_border_cuts_gives_way_to_the_whole_one_even_with_a_better_score() -> None:
    """The object is at 70 to 110 of the picture; the left tile sees it up to 100, the right one from 80 on."""
    pieces = [
        found(([70, 10, 110, 50], 0.6, 1)),
        found(([70, 10, 98.5, 50], 0.9, 1)),
        found(([1.5, 10, 30, 50], 0.8, 1)),
    ]
    one = merged(pieces, [WHOLE, LEFT, RIGHT], (100, 180), NMS(iou_threshold=0.9))
    assert one.boxes.tolist() == [[70, 10, 110, 50]]
    other_class = [found(([70, 10, 110, 50], 0.6, 0)), *pieces[1:]]
    assert len(merged(other_class, [WHOLE, LEFT, RIGHT], (100, 180), NMS(iou_threshold=0.9))) == 3


def test_a_box_at_the_border_of_the_picture_is_whole() -> None:
    one = merged(
        [found(([5, 10, 60, 50], 0.5, 1)), found(([0, 10, 30, 50], 0.9, 1)), found()],
        [WHOLE, LEFT, RIGHT],
        (100, 180),
        NMS(),
    )
    assert len(one) == 2
