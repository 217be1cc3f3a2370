"""AP of a detector as COCO measures it, at one IoU, by size and by class, on the images as they are and on resamples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.data.index import Index
from detector.evaluation.comparison import (
    OVER_IOUS,
    Matches,
    ResampledAP,
    class_precisions,
    match_by_area,
    mean_over_classes,
)
from detector.evaluation.results import FlatResults

MEASURES = ("AP", "AP50", "AP75", "APs", "APm", "APl")
_BY_SIZE = {"APs": "small", "APm": "medium", "APl": "large"}


@dataclass(frozen=True)
class ResampledMeasures:
    """What a detector reaches, on the images as they are and on R resamples of them."""

    overall: dict[str, ResampledAP]
    """By name of `MEASURES`; those without an object to find are left out."""
    classes: tuple[ResampledAP | None, ...]
    """AP of each class, by label; None without an object to find. NaN in a resample that holds none of its objects."""
    images: dict[str, int]
    """Number of images with an object that a measure asks for."""
    class_images: tuple[int, ...]
    """Number of images with an object of each class."""


def resampled_measures(index: Index, results: FlatResults, weights: np.ndarray) -> ResampledMeasures:
    """All measures of the detections, resampled by `weights`, int32 [R, I], as `resample_images` makes them."""
    matches = match_by_area(index, results)
    with_all = np.concatenate([np.ones((1, len(index)), dtype=weights.dtype), weights])
    classes = class_precisions(matches["all"], with_all)
    mean = mean_over_classes(classes)
    values = {name: mean[:, places].mean(axis=1) for name, places in OVER_IOUS.items()}
    for name, area in _BY_SIZE.items():
        values[name] = mean_over_classes(class_precisions(matches[area], with_all)).mean(axis=1)
    overall = {name: _resampled(one) for name, one in values.items() if not np.isnan(one[0])}
    if "AP" in overall:
        overall["AP"] = ResampledAP(matches["all"].ap, overall["AP"].resampled)
    return ResampledMeasures(
        overall,
        tuple(None if np.isnan(one[0]).any() else _resampled(one.mean(axis=1)) for one in classes),
        {name: _images(matches[_BY_SIZE.get(name, "all")]) for name in overall},
        tuple(len(np.unique(one.objects)) for one in matches["all"].classes),
    )


def _resampled(values: np.ndarray) -> ResampledAP:
    """`values` begin with that of the images as they are."""
    return ResampledAP(float(values[0]), values[1:])


def _images(matches: Matches) -> int:
    return len(np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *(one.objects for one in matches.classes)])))
