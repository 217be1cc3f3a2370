"""Perceptual hashes of pictures, and the pairs of pictures whose hashes nearly agree, found without comparing all pairs.

A hash is the signs of the 63 lowest frequencies of a picture's discrete cosine transform (pHash; Zauner 2010), so that
another size, compression or brightness changes few of its bits. Mirroring and turning only change signs and swap rows with
columns: the hashes of a picture's eight orientations come from one transform. A crop moves everything; each picture is
therefore also looked up by the hashes of five crops of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 64
"""Side of a thumbnail, in pixels, whatever the picture's shape."""
RADIUS = 7
"""Bits of 63 in which two hashes may differ. Copies made smaller, or saved at JPEG quality 30, of the photographs, microscope
pictures and circuit boards that it was chosen on differ by 3 at most, unrelated ones by 13 or more."""
CROPPED = 3
"""Thumbnail pixels, of 64, that a crop leaves out on each axis."""
BLANK = 4.0
"""Standard deviation of a thumbnail's grey levels below which there is nothing to recognise a picture by."""

_FREQUENCIES, _SAMPLES = 8, 32
_BAND = 16
_SET_BITS = np.array([bin(number).count("1") for number in range(2**_BAND)], dtype=np.uint8)
_CHUNK = 2**22


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to lay a rectangle on another: transposed first, then mirrored."""

    transposed: bool = False
    upside_down: bool = False
    left_right: bool = False

    def applied(self, picture: np.ndarray) -> np.ndarray:
        """The picture [H, W] laid so."""
        picture = picture.T if self.transposed else picture
        picture = picture[::-1] if self.upside_down else picture
        return np.ascontiguousarray(picture[:, ::-1] if self.left_right else picture)

    def __str__(self) -> str:
        return {
            (False, False, False): "upright",
            (False, False, True): "mirrored left to right",
            (False, True, False): "mirrored top to bottom",
            (False, True, True): "turned by 180°",
            (True, False, False): "mirrored along the diagonal",
            (True, False, True): "turned by 90° clockwise",
            (True, True, False): "turned by 90° counterclockwise",
            (True, True, True): "mirrored along the other diagonal",
        }[self.transposed, self.upside_down, self.left_right]


ORIENTATIONS = tuple(Orientation(t, u, m) for t in (False, True) for u in (False, True) for m in (False, True))


@dataclass(frozen=True)
class Candidates:
    """P pairs of pictures that may be the same, nearest first; each pair once."""

    first: np.ndarray
    """int64 [P]: place of the picture that was laid as `orientations` says, or cropped."""
    second: np.ndarray
    """int64 [P]: place of the other one."""
    orientations: np.ndarray
    """int64 [P]: which of `ORIENTATIONS` lays the first on the second."""
    distances: np.ndarray
    """int64 [P]: bits in which they differ."""


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """A picture uint8 [H, W, 3] RGB as uint8 [64, 64] grey levels, each the mean of its part of the picture."""
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)


def hashes(thumbnails: np.ndarray, orientation: Orientation | None = None) -> np.ndarray:
    """uint64 [N] of thumbnails uint8 [N, 64, 64], as if each were laid in that orientation before."""
    return _signs(_frequencies(thumbnails, (0, SIDE), (0, SIDE)), orientation or Orientation())


def candidates(thumbnails: np.ndarray) -> Candidates:
    """The pairs of thumbnails uint8 [N, 64, 64] of which one, as a whole in some orientation or upright and cropped, has a
    hash that differs from that of the other in at most `RADIUS` bits."""
    whole = _frequencies(thumbnails, (0, SIDE), (0, SIDE))
    known = _signs(whole, Orientation())
    end, middle = CROPPED, CROPPED / 2
    crops = [(0, 0), (0, end), (end, 0), (end, end), (middle, middle)]
    lookups = [(_signs(whole, one), number) for number, one in enumerate(ORIENTATIONS)]
    lookups += [
        (_signs(_frequencies(thumbnails, (y, SIDE - CROPPED), (x, SIDE - CROPPED)), Orientation()), 0) for y, x in crops
    ]
    found = []
    for asked, orientation in lookups:
        first, second, distance = close_pairs(asked, known)
        differ = first != second
        found.append(np.stack([first, second, np.full(len(first), orientation, dtype=np.int64), distance])[:, differ])
    first, second, orientations, distances = np.concatenate(found, axis=1)
    # of a pair that was found several times, in any direction, the nearest stays, and of these the first that was looked up
    order = np.argsort(distances, kind="stable")
    unordered = np.minimum(first, second) * len(known) + np.maximum(first, second)
    _, kept = np.unique(unordered[order], return_index=True)
    order = order[np.sort(kept)]
    return Candidates(first[order], second[order], orientations[order], distances[order])


def close_pairs(asked: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of hashes uint64 [A] and [K] that differ in at most `RADIUS` bits: places, places, distances, int64 [P].

    Of the four bands of 16 bits of such a pair at least one differs in at most one bit, or together they would differ in
    eight (multi-index hashing; Norouzi et al. 2012). So only hashes are compared that share such a band.
    """
    pairs, distances = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.uint8)]
    for band in range(4):
        wanted, keys = _band(asked, band), _band(known, band)
        # in the order of their keys, so that neighbours in memory are compared with neighbours
        asked_order, known_order = np.argsort(wanted, kind="stable"), np.argsort(keys, kind="stable")
        wanted, asked_sorted, known_sorted = wanted[asked_order], asked[asked_order], known[known_order]
        starts = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=2**_BAND))])
        for flipped in (0, *(1 << bit for bit in range(_BAND))):
            probe = wanted ^ flipped
            begins = starts[probe]
            counts = starts[probe + 1] - begins
            for rows in _chunks(counts):
                repeats = counts[rows]
                which = np.repeat(np.arange(rows.start, rows.stop), repeats)
                shift = begins[rows] - (np.cumsum(repeats) - repeats)
                other = np.arange(len(which)) + np.repeat(shift, repeats)
                distance = set_bits(asked_sorted[which] ^ known_sorted[other])
                near = np.flatnonzero(distance <= RADIUS)
                pairs.append(asked_order[which[near]] * len(known) + known_order[other[near]])
                distances.append(distance[near])
    unique, once = np.unique(np.concatenate(pairs), return_index=True)
    return unique // len(known), unique % len(known), np.concatenate(distances)[once].astype(np.int64)


def _band(numbers: np.ndarray, band: int) -> np.ndarray:
    """int64: the 16 bits of each number that make up a band."""
    return (numbers >> np.uint64(band * _BAND)).astype(np.uint16).astype(np.int64)


def set_bits(numbers: np.ndarray) -> np.ndarray:
    """uint8 [P]: how many bits of each uint64 [P] are set; numpy counts them itself only from version 2 on."""
    first, second, third, fourth = np.take(_SET_BITS, numbers.view(np.uint16).reshape(-1, 4)).T
    return first + second + third + fourth


def _chunks(counts: np.ndarray) -> list[slice]:
    """Rows whose counts add up to no more than `_CHUNK`, or single ones."""
    so_far = np.cumsum(counts)
    slices, start = [], 0
    while start < len(counts):
        reached = (so_far[start - 1] if start else 0) + _CHUNK
        stop = max(start + 1, int(np.searchsorted(so_far, reached, side="right")))
        slices.append(slice(start, stop))
        start = stop
    return slices


def _frequencies(thumbnails: np.ndarray, rows: tuple[float, float], columns: tuple[float, float]) -> np.ndarray:
    """float32 [N, 8, 8]: the lowest frequencies of a window, (start, length) on each axis, averaged to 32 × 32 samples."""
    left, right = _transform(*rows), _transform(*columns)
    parts = [
        left @ part.astype(np.float32) @ right.T for part in np.array_split(thumbnails, len(thumbnails) // 4096 + 1)
    ]
    return np.concatenate(parts)


def _transform(start: float, length: float) -> np.ndarray:
    """float32 [8, 64]: means over 32 equal parts of start .. start + length, then the cosine transform of type II."""
    edges = start + length * np.arange(_SAMPLES + 1) / _SAMPLES
    pixels = np.arange(SIDE)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    means = overlap.clip(min=0) * _SAMPLES / length
    cosines = np.cos(np.pi / _SAMPLES * np.outer(np.arange(_FREQUENCIES), np.arange(_SAMPLES) + 0.5))
    return (cosines @ means).astype(np.float32)


def _signs(frequencies: np.ndarray, orientation: Orientation) -> np.ndarray:
    """uint64 [N]: a bit for each frequency of [N, 8, 8] but the mean, set where it is positive."""
    laid = frequencies.transpose(0, 2, 1) if orientation.transposed else frequencies
    signs = np.ones((2, _FREQUENCIES), dtype=np.float32)
    signs[0, 1::2] = -1 if orientation.upside_down else 1
    signs[1, 1::2] = -1 if orientation.left_right else 1
    bits = (laid * signs[0][:, None] * signs[1] > 0).reshape(len(frequencies), -1)
    bits[:, 0] = False
    return np.packbits(bits, axis=1, bitorder="little").view("<u8")[:, 0].astype(np.uint64)
