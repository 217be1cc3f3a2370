"""Whether two pictures show the same photograph, or only a scene that is alike.

Pictures of circuit boards of one design, or of one place, agree in all that a perceptual hash looks at. A copy, however
it was cut, shrunk and compressed, also agrees in each small part once the two are laid on one another; two pictures of
one design differ where one has a defect, and two frames of one scene where something has moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from detector.data.checks.picture_hash import SIDE

ALIKE = 0.9
"""Correlation of two aligned thumbnails from which a pair is looked at more closely. Of copies with an edge cut off by up to
a tenth, another brightness or compression it was 0.92 and more; of the unrelated pairs with the nearest hashes 0.68 at most."""
CLOSER_SIDE = 256
SAME_PARTS = 0.65
"""Agreement of the worst hundredth of all parts from which two pictures are the same. Copies have 0.75 to 1, unless a large
part of them is blown out; boards of one design with different defects 0.56 at most."""

_NOISE = 30.0
"""Variance of grey levels below which a difference within a part counts for little: JPEG leaves as much."""
_ITERATIONS = cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT
_Alignment = np.ndarray  # float32 [2, 3]: pixel of the first → pixel of the second


@dataclass(frozen=True)
class Agreement:
    """How far two aligned pictures agree."""

    correlation: float
    """The correlation of grey levels where both have any, −1..1; −1 where less than half of the first is in the second."""
    parts: float
    """The first percentile, over all places, of the structural similarity (Wang et al. 2004, without luminance) of the
    sixteenths around them."""


def alignment(first: np.ndarray, second: np.ndarray) -> tuple[float, _Alignment]:
    """The correlation of two thumbnails, uint8 [64, 64], at their best alignment, and that alignment."""
    whole = np.eye(2, 3, dtype=np.float32)
    options = [whole]
    try:
        # Evangelidis & Psarakis 2008: maximises the correlation over affine maps
        _, found = cv2.findTransformECC(
            first, second, whole.copy(), cv2.MOTION_AFFINE, (_ITERATIONS, 30, 1e-3), None, 3
        )
        options.append(found.astype(np.float32))
    except cv2.error:  # it did not converge: the pictures are nothing alike, or too plain
        pass
    agreed = [(_laid(first, second, option, 1.0).correlation, option) for option in options]
    return max(agreed, key=lambda one: one[0])


def closer_agreement(first: np.ndarray, second: np.ndarray, coarse: _Alignment) -> Agreement:
    """How two pictures agree, uint8 [256, 256] grey, of whose thumbnails `alignment` gave `coarse`."""
    scale = CLOSER_SIDE / SIDE
    start = coarse.copy()
    start[:, 2] = scale * coarse[:, 2] + (scale - 1) / 2 * (1 - coarse[:, :2].sum(axis=1))
    options = [start]
    try:
        _, found = cv2.findTransformECC(
            first, second, start.copy(), cv2.MOTION_AFFINE, (_ITERATIONS, 50, 1e-5), None, 5
        )
        options.append(found.astype(np.float32))
    except cv2.error:
        pass
    return max((_laid(first, second, option, 1.5) for option in options), key=lambda one: one.correlation)


def closer_view(picture: np.ndarray) -> np.ndarray:
    """A picture uint8 [H, W, 3] RGB as `closer_agreement` wants it."""
    small = cv2.resize(picture, (CLOSER_SIDE, CLOSER_SIDE), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)


def _laid(first: np.ndarray, second: np.ndarray, aligned: _Alignment, blur: float) -> Agreement:
    side = len(first)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(second, aligned, (side, side), flags=how)
    shared = cv2.warpAffine(np.full_like(second, 255), aligned, (side, side), flags=how) == 255
    rim = np.ones((3, 3) if side == SIDE else (7, 7), dtype=np.uint8)
    shared = cv2.erode(shared.astype(np.uint8), rim, borderValue=0) > 0
    if 2 * np.count_nonzero(shared) < side * side:
        return Agreement(-1.0, -1.0)
    x, y = (cv2.GaussianBlur(one.astype(np.float32), (0, 0), blur) for one in (first, moved))
    dx, dy = x[shared] - x[shared].mean(), y[shared] - y[shared].mean()
    together, own = float((dx * dy).mean()), float((dy * dy).mean())
    correlation = together / (float((dx * dx).mean()) * own + 1e-9) ** 0.5
    part = (side // 16, side // 16)
    inside = cv2.erode(shared.astype(np.uint8), np.ones(part, dtype=np.uint8), borderValue=0) > 0
    if together <= 0 or not inside.any():
        return Agreement(correlation, -1.0)

    y *= together / own  # another brightness and contrast is no difference

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.boxFilter(values, cv2.CV_32F, part))

    mean_x, mean_y = mean(x), mean(y)
    variances = mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2
    structure = (2 * (mean(x * y) - mean_x * mean_y) + _NOISE) / (variances + _NOISE)
    return Agreement(correlation, float(np.quantile(structure[inside], 0.01)))
