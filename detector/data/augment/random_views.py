"""Random geometry and colour of training images. Every function draws from the generator that it is given."""

from __future__ import annotations

import math

import cv2
import numpy as np

from detector.data.geometry import quarter_turns, rotation, scaling, shearing, translation
from detector.data.options import Augment
from detector.errors import UserError


def check_augment(augment: Augment) -> None:
    """Raises a UserError that names the first value outside its range."""
    below_one = math.nextafter(1.0, 0.0)
    ranges = {
        **dict.fromkeys(("mosaic", "mixup", "cutmix", "erasing", "blur", "noise"), (0.0, 1.0)),
        **dict.fromkeys(("flip_horizontal", "flip_vertical", "rotate90"), (0.0, 1.0)),
        **dict.fromkeys(("hue", "saturation", "value"), (0.0, 1.0)),
        "mixing_off_epochs": (0.0, math.inf),
        "degrees": (0.0, 180.0),
        "translate": (0.0, 1.0),
        "scale": (0.0, below_one),
        "shear": (0.0, 45.0),
    }
    for key, (low, high) in ranges.items():
        value = getattr(augment, key)
        if not low <= value <= high:
            limit = "less than 1" if high == below_one else f"at most {high:g}"
            raise UserError(f"augment.{key}={value}: must be at least {low:g} and {limit}")


def mixing_epochs(augment: Augment, epochs: int) -> int:
    """How many of the first of `epochs` epochs have mosaic, MixUp and CutMix."""
    return max(0, epochs - augment.mixing_off_epochs)


def random_orientation(rng: np.random.Generator, augment: Augment, width: int, height: int) -> np.ndarray:
    """Mirroring and quarter turns of one image: [3, 3], image pixels → pixels about the image's centre."""
    matrix = translation(-width / 2, -height / 2)
    if augment.flip_horizontal and rng.random() < augment.flip_horizontal:
        matrix = scaling(-1, 1) @ matrix
    if augment.flip_vertical and rng.random() < augment.flip_vertical:
        matrix = scaling(1, -1) @ matrix
    if augment.rotate90 and rng.random() < augment.rotate90:
        matrix = quarter_turns(int(rng.integers(1, 4))) @ matrix
    return matrix


def random_view(rng: np.random.Generator, augment: Augment, size: int) -> np.ndarray:
    """Rotation, shear, zoom and shift: [3, 3], pixels about the scene's centre → pixels of a canvas of `size`.

    Zoom, angles and shifts are uniform in the ranges of `augment`; all zero, the scene's centre comes to the canvas's.
    """
    zoom, degrees, shear_x, shear_y, x, y = rng.uniform(-1.0, 1.0, 6).tolist()
    zoom = 1 + augment.scale * zoom
    matrix = scaling(zoom, zoom)
    if augment.degrees:
        matrix = rotation(augment.degrees * degrees) @ matrix
    if augment.shear:
        matrix = shearing(augment.shear * shear_x, augment.shear * shear_y) @ matrix
    return translation((0.5 + augment.translate * x) * size, (0.5 + augment.translate * y) * size) @ matrix


def jitter_colour(
    rng: np.random.Generator, augment: Augment, image: np.ndarray, scratch: tuple[np.ndarray, np.ndarray]
) -> None:
    """Hue shift and saturation and value gains, in place, on the uint8 planes of HSV.

    Args:
        rng: draws the three changes uniformly within the ranges of `augment`.
        augment: the ranges; all zero changes nothing.
        image: uint8 [H, W, 3] RGB.
        scratch: uint8 [H, W, 3] and [3, H, W], written over: to ask for fresh memory takes longer than the work.
    """
    if not (augment.hue or augment.saturation or augment.value):
        return
    hue, saturation, value = rng.uniform(-1.0, 1.0, 3).tolist()
    hsv, (hue_plane, saturation_plane, value_plane) = scratch
    planes = [hue_plane, saturation_plane, value_plane]
    cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV, dst=hsv), planes)
    if augment.hue:
        shift = 90 * augment.hue * hue  # OpenCV's hue of uint8 images is 0..179: half degrees
        table = np.rint(np.arange(256) + shift) % 180
        cv2.LUT(hue_plane, table.astype(np.uint8), dst=hue_plane)
    # Three times as fast as tables; rounds, and stops at 255.
    cv2.convertScaleAbs(saturation_plane, dst=saturation_plane, alpha=1 + augment.saturation * saturation)
    cv2.convertScaleAbs(value_plane, dst=value_plane, alpha=1 + augment.value * value)
    cv2.cvtColor(cv2.merge(planes, dst=hsv), cv2.COLOR_HSV2RGB, dst=image)
