"""What the runs of a group find in the validation images: boxes of the first run, error kinds of all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.data.index import Index
from detector.evaluation.analysis.image_cost import image_costs
from detector.evaluation.analysis.matching import Matched, match_images
from detector.evaluation.analysis.operating_points import best_operating_points
from detector.evaluation.analysis.overlaps import overlaps_with_objects
from detector.evaluation.analysis.tide import BACKGROUND_IOU, Tide, tide
from detector.experiments.compare.detections import stored_detections
from detector.experiments.compare.groups import Group


@dataclass(frozen=True)
class Found:
    """What the runs of a group find in I images."""

    matched: Matched
    """The matches of the first run."""
    score: float
    """The score from which on F1 of the first run is highest, over all images and classes, at IoU 0.5; infinite where no
    detection is true."""
    costs: np.ndarray
    """float64 [I]: what AP of the first run would gain if an image were right."""
    errors: tuple[Tide, ...]
    """The error kinds of each run."""


def found_by(group: Group, index: Index) -> Found:
    """Matches the stored detections of a group's runs with the objects of the index that they were measured on.

    Raises:
        UserError: the detections of a run cannot be read.
    """
    matches = [match_images(index, stored_detections(run, index)) for run in group.runs]
    first = matches[0]
    everything = np.zeros_like(first.labels)
    best = best_operating_points(first, everything, np.array([first.wanted.sum()])).threshold[0, 0]
    return Found(
        first,
        np.inf if np.isnan(best) else float(best),
        image_costs(first),
        tuple(tide(one, overlaps_with_objects(one, BACKGROUND_IOU)) for one in matches),
    )
