"""Random geometry and colour of training images. Every function draws from the generator that it is given."""

from __future__ import annotations

import math

import cv2
import numpy as np

from detector.data.geometry import quarter_turns, rotation, scaling, shearing, translation
from detector.data.options import Augment
from detector.errors import UserError

_GREY = np.tile([0.213, 0.715, 0.072], (3, 1))
"""Three times the brightness of a colour."""
_TURNED = np.array([[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]])
"""What a quarter turn of the hue adds to grey."""


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


def jitter_colour(rng: np.random.Generator, augment: Augment, image: np.ndarray, scratch: np.ndarray) -> np.ndarray:
    """Turns the hue and scales saturation and brightness, each by a number from the ranges of `augment`.

    Args:
        rng: draws the three numbers uniformly.
        augment: the ranges; all zero changes nothing.
        image: uint8 [H, W, 3] RGB.
        scratch: of the same shape, written over: to ask for fresh memory takes longer than the work.

    Returns:
        `scratch` with the other colours, or `image` itself.
    """
    if not (augment.hue or augment.saturation or augment.value):
        return image
    hue, saturation, value = rng.uniform(-1.0, 1.0, 3).tolist()
    matrix = colour_matrix(math.pi * augment.hue * hue, 1 + augment.saturation * saturation, 1 + augment.value * value)
    return cv2.transform(image, matrix, dst=scratch)  # to less than 1 of 255 levels; stops at 0 and 255


def colour_matrix(hue: float, saturation: float, value: float) -> np.ndarray:
    """What hue, saturation and brightness do to a colour, in one linear map: float64 [3, 3], RGB → RGB.

    value · (grey + saturation · (cos hue · (colour − grey) + sin hue · turned)), with grey = 0.213 R + 0.715 G + 0.072 B
    in all three channels: W3C Filter Effects Module Level 1, the types `hueRotate` and `saturate` of feColorMatrix and the
    function `brightness`. In HSV such changes take eight times as long.

    Args:
        hue: angle in radians; 0 changes nothing.
        saturation: at least 0; 0 leaves grey, 1 changes nothing.
        value: at least 0; 1 changes nothing.
    """
    colour = np.eye(3) - _GREY
    return value * (_GREY + saturation * (math.cos(hue) * colour + math.sin(hue) * _TURNED))
