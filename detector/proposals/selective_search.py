"""Selective search: boxes around what could be an object (Uijlings et al. 2013, "Selective Search for Object Recognition")."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import cv2
import numpy as np

from detector.errors import OptionError, named
from detector.options import OneOf, Range
from detector.proposals.grouping import MEASURES, group
from detector.proposals.regions import colour_space, describe, segment, texture_bins


class Strategies(NamedTuple):
    """What is combined with what; each combination is a hierarchy of its own (section 3.2, table 5)."""

    colour_spaces: tuple[str, ...]
    measures: tuple[tuple[str, ...], ...]
    ks: tuple[int, ...]
    """Parameters k of the segmentation: how large the first regions are."""


ALL, WITHOUT_COLOUR = MEASURES, ("texture", "size", "fill")
STRATEGIES = {
    "fast": Strategies(("hsv", "lab"), (ALL, WITHOUT_COLOUR), (50, 100)),
    "quality": Strategies(
        ("hsv", "lab", "rgi", "h", "i"), (ALL, WITHOUT_COLOUR, ("fill",), ("size",)), (50, 100, 150, 300)
    ),
}


@dataclass
class SelectiveSearchOptions:
    """The options of selective search (Uijlings et al. 2013)."""

    strategy: Annotated[str, OneOf("fast", "quality")] = "fast"
    """How thoroughly an image is searched: fast makes 8 groupings of it, quality 80."""
    search_side: Annotated[int, Range(16, 16_384)] = 500
    """Pixels of the long side to which a larger image is brought before it is searched (Girshick et al. 2014: the width)."""
    search_min_side: Annotated[int, Range(1, 16_384)] = 5
    """Boxes with a shorter side, in pixels of the image that is searched, are left out."""

    def build_search(self) -> SelectiveSearch:
        """Selective search with these options; raises OptionError on a value that cannot be."""
        with named(side="search_side", min_side="search_min_side"):
            return SelectiveSearch(self.strategy, self.search_side, self.search_min_side)


@dataclass(frozen=True)
class SelectiveSearch:
    """An image → boxes, the same for the same image.

    Args:
        strategy: one of `STRATEGIES`: 8 hierarchies or 80.
        side: an image with a longer long side is brought to so many pixels first, so that one set of `ks` suits all of
            them. Girshick et al. 2014 bring the width to 500 pixels, also where it is less; smaller images are searched as
            they are here: enlarging shows nothing new, and takes several times as long.
        min_side: boxes with a shorter side, in pixels of the image that is searched, are left out.
    """

    strategy: str = "fast"
    side: int = 500
    min_side: int = 5

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise OptionError("strategy", f"selective search has {' and '.join(STRATEGIES)}", self.strategy)
        for key, least in (("side", 16), ("min_side", 1)):
            if (value := getattr(self, key)) < least:
                raise OptionError(key, f"must be {least} or more", value)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] RGB → float32 [P, 4] xyxy in its continuous pixels, best first, none twice.

        The order is the paper's (section 3.4): a region that arose as the i-th last of its hierarchy gets the value
        i · u, u uniform in 0..1; the smallest values come first. The whole image is among the boxes of every hierarchy.
        """
        height, width = image.shape[:2]
        scale = min(1.0, self.side / max(height, width))
        new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
        hierarchies = _hierarchies(cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_AREA), self)
        # seeded by the content, so that the same image has the same boxes anywhere
        rng = np.random.default_rng(np.frombuffer(hashlib.sha256(image.tobytes()).digest(), dtype=np.uint32))
        values = [rng.random(len(boxes)) * np.arange(len(boxes), 0, -1) for boxes in hierarchies]
        boxes = np.concatenate(hierarchies)[np.argsort(np.concatenate(values), kind="stable")]
        boxes = boxes[(boxes[:, 2:] - boxes[:, :2] >= self.min_side).all(axis=1)]
        _, first = np.unique(boxes, axis=0, return_index=True)
        factors = np.array([width / new_width, height / new_height] * 2)
        return (boxes[np.sort(first)] * factors).astype(np.float32)


@dataclass(frozen=True)
class ProposalRequest:
    """What a model that classifies proposals wants of each image."""

    search: SelectiveSearch
    limit: int
    """Largest number of proposals; the best are taken."""


def _hierarchies(image: np.ndarray, search: SelectiveSearch) -> list[np.ndarray]:
    colour_spaces, combinations, ks = STRATEGIES[search.strategy]
    found = []
    for name in colour_spaces:
        channels = colour_space(image, name)
        textures = texture_bins(channels)
        for k in ks:
            regions = describe(segment(channels, k), channels, textures)
            found += [group(regions, measures) for measures in combinations]
    return found
