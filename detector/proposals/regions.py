"""The regions that selective search starts from, and what it knows about each (Uijlings et al. 2013, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

COLOUR_BINS = 25
"""Bins of each channel's colour histogram (section 3.2)."""
ORIENTATIONS = 8
TEXTURE_BINS = 10
"""Bins of the texture histogram of each channel and orientation (section 3.2)."""
SIGMA = 0.8
"""Pixels: Gaussian smoothing before the segmentation (Felzenszwalb & Huttenlocher 2004, section 6)."""


@dataclass
class Regions:
    """R regions of an image, which cover it."""

    boxes: np.ndarray
    """int64 [R, 4] xyxy: x2 and y2 are the first column and row behind the region."""
    sizes: np.ndarray
    """int64 [R] pixels."""
    colour: np.ndarray
    """float32 [R, channels · 25], histograms; each row sums to 1."""
    texture: np.ndarray
    """float32 [R, channels · 8 · 10], histograms; each row sums to 1."""
    neighbours: np.ndarray
    """int64 [E, 2]: pairs (a, b), a < b, that share an edge of a pixel; each pair once."""
    image_size: int
    """Pixels of the image."""


def colour_space(image: np.ndarray, name: str) -> np.ndarray:
    """uint8 [H, W, 3] RGB → uint8 [H, W, C] in one of the spaces of section 3.2.

    hsv; lab; rgi: red and green as shares of the sum, and intensity; h: the hue of hsv; i: intensity.
    """
    match name:
        case "hsv":
            return cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
        case "lab":
            return cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        case "h":
            return cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)[:, :, :1]
        case "i":
            return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None]
        case "rgi":
            total = image.sum(axis=2, dtype=np.float32)
            share = image[:, :, :2] * (255 / np.maximum(total, 1))[:, :, None]
            return np.dstack([share.round().astype(np.uint8), (total / 3).round().astype(np.uint8)])
    raise ValueError(name)


def segment(channels: np.ndarray, k: float) -> np.ndarray:
    """Felzenszwalb & Huttenlocher's segmentation of uint8 [H, W, C] → labels int64 [H, W], 0..R−1.

    The larger `k`, the larger the regions; none has fewer than `k` pixels.
    """
    from skimage.segmentation import felzenszwalb  # here, because it takes a while and few need it

    return felzenszwalb(channels, scale=k, sigma=SIGMA, min_size=round(k), channel_axis=2)


def texture_bins(channels: np.ndarray) -> np.ndarray:
    """uint8 [H, W, C] → uint8 [H, W, C · 8]: the bin of each pixel's Gaussian derivative in eight directions, σ = 1.

    Directions are 45 degrees apart; a falling edge counts in the opposite direction. The bins divide the range from 0 to
    the largest derivative of the image.
    """
    x = np.arange(-4, 5)
    gaussian = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    planes = np.ascontiguousarray(channels, dtype=np.float32)
    along, across = (
        cv2.sepFilter2D(planes, -1, first, second).reshape(channels.shape)
        for first, second in ((x * gaussian, gaussian), (gaussian, x * gaussian))
    )
    angles = [2 * math.pi * n / ORIENTATIONS for n in range(ORIENTATIONS)]
    derivatives = np.concatenate([math.cos(a) * along + math.sin(a) * across for a in angles], axis=2)
    largest = float(derivatives.max())
    if largest <= 0:
        return np.zeros(derivatives.shape, dtype=np.uint8)
    return (derivatives.clip(min=0) * (TEXTURE_BINS / largest)).clip(max=TEXTURE_BINS - 1).astype(np.uint8)


def describe(labels: np.ndarray, channels: np.ndarray, textures: np.ndarray) -> Regions:
    """The regions of labels int [H, W], 0..R−1, each of them present.

    Args:
        labels: as `segment` gives them.
        channels: uint8 [H, W, C], the image in some colour space.
        textures: uint8 [H, W, T], its `texture_bins`.
    """
    height, width = labels.shape
    flat = labels.ravel()
    sizes = np.bincount(flat)
    boxes = np.empty((len(sizes), 4), dtype=np.int64)
    rows, columns = np.divmod(np.arange(flat.size), width)
    for column, place in ((0, columns), (1, rows)):
        low = np.full(len(sizes), max(height, width))
        high = np.zeros(len(sizes), dtype=np.int64)
        np.minimum.at(low, flat, place)
        np.maximum.at(high, flat, place)
        boxes[:, column], boxes[:, column + 2] = low, high + 1
    colours = (channels.astype(np.uint16) * COLOUR_BINS // 256).astype(np.uint8)
    return Regions(
        boxes,
        sizes,
        _histograms(flat, colours, COLOUR_BINS, sizes),
        _histograms(flat, textures, TEXTURE_BINS, sizes),
        _neighbours(labels, len(sizes)),
        flat.size,
    )


def _histograms(flat: np.ndarray, bins: np.ndarray, count: int, sizes: np.ndarray) -> np.ndarray:
    """Histograms of bins [H, W, D] in each region, one behind the other, float32 [R, D · count]."""
    dimensions = bins.shape[2]
    width = dimensions * count
    place = bins.reshape(-1, dimensions) + np.arange(dimensions) * count + (flat * width)[:, None]
    histograms = np.bincount(place.ravel(), minlength=len(sizes) * width).reshape(len(sizes), width)
    return (histograms / (sizes[:, None] * dimensions)).astype(np.float32)


def _neighbours(labels: np.ndarray, count: int) -> np.ndarray:
    beside = np.stack([labels[:, :-1].ravel(), labels[:, 1:].ravel()])
    below = np.stack([labels[:-1].ravel(), labels[1:].ravel()])
    pairs = np.concatenate([beside, below], axis=1).astype(np.int64)
    pairs = pairs[:, pairs[0] != pairs[1]]
    codes = np.unique(pairs.min(axis=0) * count + pairs.max(axis=0))
    return np.stack(np.divmod(codes, count), axis=1)
