"""Blur, noise and any other single-image transform of the albumentations library on a canvas and its objects."""

from __future__ import annotations

import inspect
import os
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from detector.data.augment.canvas_objects import CanvasObjects
from detector.data.geometry import MINIMUM_SIDE, MINIMUM_VISIBLE
from detector.data.options import Augment
from detector.errors import UserError

BLUR = {"name": "GaussianBlur", "sigma_limit": (0.5, 2.0), "blur_limit": 0, "p": 1.0}
"""Sigma in pixels of the canvas; its kernel follows from it."""
NOISE = {"name": "GaussNoise", "std_range": (0.01, 0.05), "p": 1.0}
"""Standard deviation as a share of 255, in each channel alone: from hardly visible to that of a dark photograph."""


class Albumentations:
    """A chain of transforms by name, random only through the generator that each call is given.

    Args:
        transforms: {"name": class of albumentations, argument: value, ...} for each, in the order of application.
        size: side of the canvas, which the whole chain must keep.

    Raises:
        UserError: no such transform; an argument that it does not have, or has but not with this value.
    """

    def __init__(self, transforms: list[dict[str, Any]], size: int) -> None:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or importing it asks the network for a newer version
        import albumentations  # here, because it takes seconds and few need it

        self.size = size
        chain = [_transform(albumentations, number, spec, size) for number, spec in enumerate(transforms)]
        boxes = albumentations.BboxParams(
            format="pascal_voc",
            label_fields=["rows"],
            clip=True,  # without it a box that rounding put outside raises
            filter_invalid_bboxes=True,
            min_width=MINIMUM_SIDE,
            min_height=MINIMUM_SIDE,
            min_visibility=MINIMUM_VISIBLE,
        )
        self.moves_boxes = any("bboxes" in transform.targets for transform in chain)
        self.compose = albumentations.Compose(chain, bbox_params=boxes if self.moves_boxes else None)

    def __call__(
        self, rng: np.random.Generator, image: np.ndarray, objects: CanvasObjects
    ) -> tuple[np.ndarray, CanvasObjects]:
        """uint8 [S, S, 3] RGB and its objects → the same, transformed; objects that are no longer seen are left out.

        Raises:
            UserError: the chain gave an image of another size or type.
        """
        # Compose has one seed for all, so that two transforms with probability one half would always go together.
        seeds = rng.integers(2**32, size=len(self.compose.transforms)).tolist()
        for transform, seed in zip(self.compose.transforms, seeds, strict=True):
            transform.set_random_seed(seed)
        boxes = {}
        if self.moves_boxes:
            everywhere = [objects.boxes] if objects.proposals is None else [objects.boxes, objects.proposals]
            boxes["bboxes"] = np.concatenate(everywhere)
            boxes["rows"] = np.arange(len(boxes["bboxes"]))
        result = self.compose(image=image, **boxes)
        image = result["image"]
        if image.shape != (self.size, self.size, 3) or image.dtype != np.uint8:
            raise UserError(
                f"augment.albumentations turned a uint8 image of {self.size}x{self.size}x3 into {image.dtype} "
                f"{'x'.join(map(str, image.shape))}: use transforms that keep size and type"
            )
        if not self.moves_boxes:
            return image, objects
        rows = np.asarray(result["rows"], dtype=np.int64)
        moved = np.asarray(result["bboxes"], dtype=np.float32).reshape(-1, 4)
        own = rows < len(objects.boxes)
        proposals = None if objects.proposals is None else moved[~own]
        return image, replace(objects.rows(rows[own]), boxes=moved[own], proposals=proposals)


def camera_faults(augment: Augment, size: int) -> list[tuple[float, Albumentations]]:
    """Blur and noise, each with its probability, in that order: the lens comes before the sensor.

    Which are applied is for the caller to draw: a chain that does nothing in the end costs more than that.
    """
    faults = ((augment.blur, BLUR), (augment.noise, NOISE))
    return [(probability, Albumentations([spec], size)) for probability, spec in faults if probability]


def _transform(library: Any, number: int, spec: dict[str, Any], size: int) -> Any:
    where = f"augment.albumentations[{number}]"
    if not isinstance(spec, dict) or "name" not in spec:
        raise UserError(f"{where} is {spec!r}: write it as {{name: ClassName, argument: value, ...}}")
    name = str(spec["name"])
    found = getattr(library, name, None)
    if not (inspect.isclass(found) and issubclass(found, library.BasicTransform)):
        raise UserError(f"{where}: albumentations {library.__version__} has no transform {name}")
    made: Any = found
    arguments = {key: value for key, value in spec.items() if key != "name"}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # all that it does about a misspelt argument is to warn
        try:
            transform, always = made(**arguments), made(**{**arguments, "p": 1.0})
        except (TypeError, ValueError, UserWarning) as error:
            accepted = ", ".join(inspect.signature(made.__init__).parameters.keys() - {"self"})
            reason = " ".join(str(error).split())
            raise UserError(f"{where}: {name} does not take {arguments}: {reason} (arguments: {accepted})") from None
        try:
            always(image=np.zeros((size, size, 3), dtype=np.uint8))
        except Exception as error:  # what a transform raises that was given the wrong thing is not documented
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise UserError(
                f"{where}: {name} with {str(arguments)[:300]} cannot be applied to a picture ({reason})"
            ) from None
    return transform
