"""Random geometry and colour of training images. Every function draws from the generator that it is given."""

from __future__ import annotations

import math

import cv2
import numpy as np

from detector.data.geometry import quarter_turns, rotation, scaling, shearing, translation
from detector.data.options import Augment
from detector.errors import UserError

_LUMINANCE = np.array([0.213, 0.715, 0.072])
_QUARTER_TURN = np.array([[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]])
"""What the sine of the angle multiplies in the matrix of `hue-rotate`."""


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


def jitter_colour(rng: np.random.Generator, augment: Augment, image: np.ndarray) -> None:
    """Hue, saturation and brightness of uint8 [H, W, 3] RGB, changed in place by one linear map of each pixel.

    The three changes are uniform in the ranges of `augment`; all zero, nothing happens. A matrix takes a sixth of the time
    of a way through HSV and back.
    """
    if not (augment.hue or augment.saturation or augment.value):
        return
    hue, saturation, value = rng.uniform(-1.0, 1.0, 3).tolist()
    matrix = colour_matrix(180 * augment.hue * hue, 1 + augment.saturation * saturation, 1 + augment.value * value)
    cv2.transform(image, matrix, dst=image)


def colour_matrix(degrees: float, saturation: float, brightness: float) -> np.ndarray:
    """[3, 3], RGB → RGB: `hue-rotate`, then `saturate`, then `brightness` of CSS (W3C, Filter Effects Module Level 1).

    Turning the hue by `degrees` and multiplying the saturation keep what is grey and the luminance of what is not; the
    brightness multiplies all channels.
    """
    grey = np.tile(_LUMINANCE, (3, 1))
    angle = math.radians(degrees)
    turned = grey + math.cos(angle) * (np.eye(3) - grey) + math.sin(angle) * _QUARTER_TURN
    return brightness * (grey + saturation * (np.eye(3) - grey)) @ turned
