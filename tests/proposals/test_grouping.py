"""Regions and their grouping against the formulas of Uijlings et al. 2013, pixel by pixel."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from detector.proposals.grouping import MEASURES, group
from detector.proposals.regions import (
    COLOUR_BINS,
    ORIENTATIONS,
    TEXTURE_BINS,
    Regions,
    colour_space,
    describe,
    segment,
    texture_bins,
)


def picture(seed: int, height: int = 24, width: int = 30) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 6 + 1, width // 6 + 1, 3))
    blocks = np.kron(coarse, np.ones((6, 6, 1)))[:height, :width]
    return (blocks + rng.normal(0, 12, blocks.shape)).clip(0, 255).astype(np.uint8)


def regions_of(seed: int) -> tuple[Regions, np.ndarray, np.ndarray, np.ndarray]:
    channels = colour_space(picture(seed), "lab")
    labels, textures = segment(channels, 20), texture_bins(channels)
    return describe(labels, channels, textures), labels, channels, textures


def histogram(values: np.ndarray, bins: int) -> np.ndarray:
    """Of pixels [N, D] with bins 0..bins−1: those of all D one behind the other, with sum 1."""
    counts = np.concatenate([np.bincount(column, minlength=bins) for column in values.T])
    return counts / counts.sum()


def similarity(a: np.ndarray, b: np.ndarray, channels: np.ndarray, textures: np.ndarray, measures: object) -> float:
    """Of two masks [H, W], straight from the pixels."""
    total = 0.0
    colours = channels.astype(int) * COLOUR_BINS // 256
    for name, values, bins in (("colour", colours, COLOUR_BINS), ("texture", textures, TEXTURE_BINS)):
        if name in measures:  # type: ignore[operator]
            total += np.minimum(histogram(values[a], bins), histogram(values[b], bins)).sum()
    sizes = a.sum() + b.sum()
    if "size" in measures:  # type: ignore[operator]
        total += 1 - sizes / a.size
    if "fill" in measures:  # type: ignore[operator]
        x1, y1, x2, y2 = hull(a | b)
        total += 1 - ((x2 - x1) * (y2 - y1) - sizes) / a.size
    return total


def hull(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def touch(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(
        (a[:, 1:] & b[:, :-1]).any() or (a[:, :-1] & b[:, 1:]).any() or (a[1:] & b[:-1]).any() or (a[:-1] & b[1:]).any()
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_region_is_described_as_its_pixels_say(seed: int) -> None:
    regions, labels, channels, textures = regions_of(seed)
    count = labels.max() + 1
    assert count > 5
    masks = [labels == n for n in range(count)]
    assert regions.image_size == labels.size
    for n, mask in enumerate(masks):
        assert regions.sizes[n] == mask.sum()
        assert tuple(regions.boxes[n]) == hull(mask)
        colours = channels[mask].astype(int) * COLOUR_BINS // 256
        assert np.allclose(regions.colour[n], histogram(colours, COLOUR_BINS))
        assert np.allclose(regions.texture[n], histogram(textures[mask], TEXTURE_BINS))
    expected = [(a, b) for a, b in combinations(range(count), 2) if touch(masks[a], masks[b])]
    assert list(map(tuple, regions.neighbours.tolist())) == expected


def test_a_step_in_brightness_has_texture_in_its_own_direction_and_none_in_the_opposite_one() -> None:
    image = np.zeros((20, 20, 1), dtype=np.uint8)
    image[:, 10:] = 200  # brighter to the right: the derivative along x is positive
    bins = texture_bins(image)
    assert bins.shape == (20, 20, ORIENTATIONS)
    at_edge = bins[10, 9]
    assert at_edge[0] == TEXTURE_BINS - 1
    assert at_edge[4] == 0
    assert at_edge[1] == at_edge[7] > 0
    assert not bins[:, :4].any()
    assert texture_bins(image.transpose(1, 0, 2))[9, 10].argmax() == 2


@pytest.mark.parametrize("measures", [MEASURES, ("texture", "size", "fill"), *((name,) for name in MEASURES)])
@pytest.mark.parametrize("seed", range(2))
def test_grouping_joins_the_most_similar_neighbours_again_and_again(measures: tuple[str, ...], seed: int) -> None:
    """All pairs of neighbours are looked at anew in each round, from the pixels."""
    regions, labels, channels, textures = regions_of(seed)
    masks = [labels == n for n in range(labels.max() + 1)]
    boxes = [hull(mask) for mask in masks]
    found = group(regions, measures)
    assert len(found) == 2 * len(boxes) - 1
    while len(masks) > 1:
        pairs = [(a, b) for a, b in combinations(range(len(masks)), 2) if touch(masks[a], masks[b])]
        values = [similarity(masks[a], masks[b], channels, textures, measures) for a, b in pairs]
        best = max(values)
        # rounding may choose among pairs that are equally similar: follow the choice that was made
        candidates = [pair for pair, value in zip(pairs, values, strict=True) if best - value < 1e-5]
        made = tuple(found[len(boxes)])
        (a, b) = next(pair for pair in candidates if hull(masks[pair[0]] | masks[pair[1]]) == made)
        boxes.append(made)
        masks = [mask for n, mask in enumerate(masks) if n not in (a, b)] + [masks[a] | masks[b]]
    assert [tuple(box) for box in found.tolist()] == boxes
    assert tuple(found[-1]) == (0, 0, labels.shape[1], labels.shape[0])


def test_one_region_is_its_own_group() -> None:
    flat = np.zeros((10, 12, 1), dtype=np.uint8)
    regions = describe(np.zeros((10, 12), dtype=np.int64), flat, texture_bins(flat))
    assert group(regions, MEASURES).tolist() == [[0, 0, 12, 10]]
