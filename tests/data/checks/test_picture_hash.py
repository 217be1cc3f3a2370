from __future__ import annotations

import cv2
import numpy as np
import pytest

from detector.data.checks.picture_hash import (
    ORIENTATIONS,
    RADIUS,
    Orientation,
    candidates,
    close_pairs,
    hashes,
    set_bits,
    thumbnail,
)


def scenes(count: int, seed: int = 0) -> np.ndarray:
    """uint8 [N, 64, 64]: blurred noise, in which every low frequency has something to say."""
    random = np.random.default_rng(seed)
    noise = random.normal(0, 1, (count, 64, 64)).astype(np.float32)
    smooth = np.array([cv2.GaussianBlur(one, (0, 0), 5) for one in noise])
    return (128 + 50 * smooth / smooth.std(axis=(1, 2), keepdims=True)).clip(0, 255).astype(np.uint8)


def near_by_a_loop(asked: np.ndarray, known: np.ndarray) -> set[tuple[int, int, int]]:
    """Places and distances of the pairs within the radius, each pair looked at."""
    return {
        (i, j, distance)
        for i, one in enumerate(asked.tolist())
        for j, other in enumerate(known.tolist())
        if (distance := bin(one ^ other).count("1")) <= RADIUS
    }


def test_close_pairs_are_those_of_a_loop_over_all_pairs() -> None:
    random = np.random.default_rng(1)
    known = random.integers(0, 2**63, 150, dtype=np.uint64)
    asked = known[random.integers(0, 150, 200)].copy()
    for n in range(len(asked)):  # up to twelve bits of each are flipped, wherever they are
        for bit in random.choice(64, n % 13, replace=False):
            asked[n] ^= np.uint64(1) << np.uint64(bit)
    found = {tuple(map(int, row)) for row in zip(*close_pairs(asked, known), strict=True)}
    expected = near_by_a_loop(asked, known)
    assert found == expected
    assert {distance for _, _, distance in expected} == set(range(RADIUS + 1))


def test_a_pair_that_differs_by_the_radius_is_found_however_its_bits_are_spread() -> None:
    random = np.random.default_rng(2)
    for _ in range(200):
        one = random.integers(0, 2**63, 1, dtype=np.uint64)
        flipped = sum(1 << int(bit) for bit in random.choice(64, RADIUS, replace=False))
        assert len(close_pairs(one ^ np.uint64(flipped), one)[0]) == 1


def test_bits_are_counted_as_python_counts_them() -> None:
    numbers = np.random.default_rng(0).integers(0, 2**64, 100, dtype=np.uint64)
    assert set_bits(numbers).tolist() == [bin(one).count("1") for one in numbers.tolist()]


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
def test_the_hash_of_an_orientation_is_that_of_the_picture_laid_so(orientation: Orientation) -> None:
    pictures = scenes(20)
    laid = np.array([orientation.applied(one) for one in pictures])
    assert set_bits(hashes(pictures, orientation) ^ hashes(laid)).max() <= 1


def test_orientations_are_named_as_opencv_turns() -> None:
    picture = scenes(1)[0]
    by_name = {str(one): one.applied(picture) for one in ORIENTATIONS}
    assert np.array_equal(by_name["turned by 90° clockwise"], cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE))
    assert np.array_equal(
        by_name["turned by 90° counterclockwise"], cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE)
    )
    assert np.array_equal(by_name["turned by 180°"], cv2.rotate(picture, cv2.ROTATE_180))
    assert np.array_equal(by_name["mirrored left to right"], cv2.flip(picture, 1))


def test_a_bit_is_the_sign_of_a_frequency_of_opencvs_transform() -> None:
    picture = scenes(1)[0]
    frequencies = cv2.dct(cv2.resize(picture.astype(np.float32), (32, 32), interpolation=cv2.INTER_AREA))
    bits = [bool(int(hashes(picture[None])[0]) >> n & 1) for n in range(64)]
    assert bits[1:] == (frequencies[:8, :8].ravel()[1:] > 0).tolist()
    assert not bits[0]


def test_changed_copies_are_candidates_and_other_pictures_are_not() -> None:
    random = np.random.default_rng(5)
    large = np.repeat(np.array([cv2.resize(one, (320, 256)) for one in scenes(40)])[..., None], 3, axis=3)
    copies = [
        cv2.flip(large[0], 1),
        cv2.resize(large[1], (100, 200)),
        large[2][:-12, 15:],
        np.clip(large[3] * 1.2 + 10, 0, 255).astype(np.uint8),
        np.clip(large[4] + random.normal(0, 20, large[4].shape), 0, 255).astype(np.uint8),
        cv2.rotate(large[5], cv2.ROTATE_90_CLOCKWISE),
    ]
    found = candidates(np.array([thumbnail(one) for one in [*large, *copies]]))
    pairs = {tuple(sorted(pair)) for pair in zip(found.first.tolist(), found.second.tolist(), strict=True)}
    assert pairs == {(n, 40 + n) for n in range(len(copies))}
    assert len(found.first) == len(copies)
    for first, second, number in zip(found.first, found.second, found.orientations, strict=True):
        if {first, second} == {0, 40}:
            assert str(ORIENTATIONS[number]) == "mirrored left to right"
