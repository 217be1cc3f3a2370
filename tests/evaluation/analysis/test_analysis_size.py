"""An analysis of 5,000 images and 500,000 detections: seconds of one core, megabytes, and that nothing disagrees with AP."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from pycocotools_by_hand import index_of
from synthetic_detections import image_difficulty, synthetic_index, synthetic_results
from test_coco_size import DETECTIONS, IMAGES, detections_on_thresholds, val2017_of_chance

from detector.data.index import Index
from detector.evaluation.analysis import ANALYSIS, analyse, write_analysis
from detector.evaluation.evaluate import evaluate
from detector.evaluation.results import FlatResults, flatten


def many_detections_of_each_object(folder: Path) -> tuple[Index, FlatResults]:
    """And many equal scores."""
    content = val2017_of_chance(0)
    (folder / "annotations.json").write_text(json.dumps(content))
    index = index_of(folder / "annotations.json")
    return index, flatten(index, detections_on_thresholds(content, DETECTIONS, 1))


def false_detections_of_many_classes(_: Path) -> tuple[Index, FlatResults]:
    """As of a detector that shows everything above 0.001: 250,000 pairs of an image and a class have detections."""
    index = synthetic_index(IMAGES, 80, 7.2, seed=0)
    return index, synthetic_results(index, image_difficulty(index, 0), 0.7, false=94, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("make", [many_detections_of_each_object, false_detections_of_many_classes])
def test_it_takes_less_than_30_seconds_of_a_core_at_the_size_of_coco(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    index, results = make(tmp_path)
    metrics = evaluate(index, results)
    started = time.process_time()
    one = analyse(index, results, metrics)
    write_analysis(tmp_path, one)
    seconds = time.process_time() - started
    megabytes = (tmp_path / ANALYSIS).stat().st_size / 1e6
    print(f"\n{len(results.scores)} detections: {seconds:.1f} s of a core, {megabytes:.1f} MB")
    assert seconds < 30
    assert megabytes < 20
    assert np.nanmean(one.matched.precision) == pytest.approx(metrics["AP"], abs=1e-12)
    assert one.costs.min() >= 0
