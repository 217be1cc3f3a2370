"""A second picture, or noise, over a picture: MixUp, CutMix and random erasing on canvases that have objects."""

from __future__ import annotations

import math

import cv2
import numpy as np

from detector.data.augment.canvas_objects import CanvasObjects

MIXUP_ALPHA = 8.0
"""a of Beta(a, a), from which MixUp draws its share: 19 of 20 lie in 0.27..0.73, so that both pictures can be seen."""
ERASED_AREA = (0.02, 0.2)
"""Share of the canvas that is erased. Zhong et al. go up to 0.4, in pictures of one large object."""
ERASED_ASPECT = 0.3
"""Height by width of what is erased lies between this and its inverse (Zhong et al. 2020)."""


def mix_up(
    rng: np.random.Generator,
    first: np.ndarray,
    first_objects: CanvasObjects,
    second: np.ndarray,
    second_objects: CanvasObjects,
) -> CanvasObjects:
    """first ← λ · first + (1 − λ) · second, λ from Beta(a, a) (Zhang et al. 2018, MixUp, section 2), in place.

    Both keep their geometry and the objects of both stay (Zhang et al. 2019, "Bag of Freebies", section 3.1). There a
    loss counts as much as its picture's share; here every object counts fully, which is why the shares are never far
    from one half: an object that can be seen is one to be found.
    """
    share = float(rng.beta(MIXUP_ALPHA, MIXUP_ALPHA))
    cv2.addWeighted(first, share, second, 1 - share, 0.0, dst=first)
    return CanvasObjects.joined([first_objects, second_objects])


def cut_mix(
    rng: np.random.Generator,
    first: np.ndarray,
    first_objects: CanvasObjects,
    second: np.ndarray,
    second_objects: CanvasObjects,
) -> CanvasObjects:
    """A rectangle of the second canvas pasted onto its place in the first, in place (Yun et al. 2019, section 3.1).

    Its sides are √(1 − λ) of the canvas's, λ uniform in 0..1, its centre uniform on the canvas, where it is cut off.
    Objects are what is seen of them: those of the first behind the rectangle, those of the second inside it.
    """
    size = first.shape[0]
    side = math.sqrt(1 - rng.random())
    x, y = rng.random(2).tolist()
    x1, y1 = max(0, round((x - side / 2) * size)), max(0, round((y - side / 2) * size))
    x2, y2 = min(size, round((x + side / 2) * size)), min(size, round((y + side / 2) * size))
    first[y1:y2, x1:x2] = second[y1:y2, x1:x2]
    place = (x1, y1, x2, y2)
    return CanvasObjects.joined([first_objects.behind(place), second_objects.inside(place)])


def erase(rng: np.random.Generator, canvas: np.ndarray, objects: CanvasObjects) -> CanvasObjects:
    """A rectangle of random pixels, in place (Zhong et al. 2020, random erasing, algorithm 1).

    The objects are what is still seen of them; the paper leaves their boxes as they were.
    """
    size = canvas.shape[0]
    area = rng.uniform(*ERASED_AREA)
    aspect = rng.uniform(ERASED_ASPECT, 1 / ERASED_ASPECT)
    height, width = round(size * math.sqrt(area * aspect)), round(size * math.sqrt(area / aspect))
    x, y = int(rng.integers(size - width + 1)), int(rng.integers(size - height + 1))
    canvas[y : y + height, x : x + width] = rng.integers(256, size=(height, width, 3), dtype=np.uint8)
    return objects.behind((x, y, x + width, y + height))
