"""What the best weights of each run find in the validation images, resampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from detector.checkpoint import open_checkpoint
from detector.data.index import Index
from detector.data.read import read_index
from detector.data.split_loader import evaluation_loader
from detector.errors import UserError
from detector.evaluation.comparison import resample_images
from detector.evaluation.measures import ResampledMeasures, resampled_measures
from detector.evaluation.results import DETECTIONS, FlatResults, read_flat_results, write_results
from detector.experiments.compare.runs import Run
from detector.inference.predictor import Predictor

TOLERANCE = 2e-3
"""Largest difference from a run's AP: measured on another device a checkpoint may round otherwise; as trained, it is 0."""


def resample_runs(runs: Sequence[Run], indexes: Sequence[Index], resamples: int, seed: int) -> list[ResampledMeasures]:
    """What each run reaches on the validation images and on the same resamples of them; `indexes` are those of the runs.

    Raises:
        UserError: the runs were not measured on the same objects, a run's detections do not give the AP that it
            reports, or its `detections.json` is not what it should be.
    """
    for run, index in zip(runs, indexes, strict=True):
        if not same_objects(index, indexes[0]):
            raise UserError(
                f"runs: {runs[0].folder} and {run.folder} were measured on different validation data, so that they "
                "cannot be compared image by image; resamples=0 leaves the intervals out"
            )
    weights = resample_images(len(indexes[0]), resamples, seed)
    compared = []
    for run, index in tqdm(zip(runs, indexes, strict=True), "resampled runs", len(runs), leave=False, disable=None):
        found = resampled_measures(index, stored_detections(run, index), weights)
        ap = found.overall["AP"].ap if found.overall else 0.0
        if abs(ap - (run.metrics["AP"] or 0.0)) > TOLERANCE:
            raise UserError(
                f"{run.folder / DETECTIONS}: its AP is {ap:.4f}, metrics.json says {run.metrics['AP']:.4f}; "
                "has the validation data changed since the run?"
            )
        compared.append(found)
    return compared


def validation_index(run: Run) -> Index:
    """The validation split of a run, in its label space."""
    return read_index(run.config.data, "val", tuple(run.metrics["per_class"]))


def same_objects(one: Index, other: Index) -> bool:
    """Whether two splits hold the same images with the same objects."""
    if one.class_names != other.class_names or not np.array_equal(one.image_ids, other.image_ids):
        return False
    mine, theirs = one.annotations, other.annotations
    arrays = ("offsets", "boxes", "area", "labels", "crowd")
    return one is other or all(np.array_equal(getattr(mine, name), getattr(theirs, name)) for name in arrays)


def stored_detections(run: Run, index: Index) -> FlatResults:
    """The run's `detections.json`; where there is none, as in runs of older versions, it is written now."""
    file = run.folder / DETECTIONS
    if not file.is_file():
        print(f"{run.folder}: no {DETECTIONS}; best.ckpt is measured now", flush=True)
        write_results(file, _measure_again(run, index))
    return read_flat_results(file, index)


def _measure_again(run: Run, index: Index) -> list[dict[str, Any]]:
    predictor = Predictor(open_checkpoint(run.folder / "best.ckpt"))
    results: list[dict[str, Any]] = []
    proposals = run.config.model.proposal_request()
    for batch in evaluation_loader(
        index, run.config.data, predictor.image_size, proposals=proposals, resize=predictor.resize
    ):
        for target, found in zip(batch.targets, predictor.detect(batch), strict=True):
            results += found.to_coco(target.image_id, index.category_ids)
    return results
