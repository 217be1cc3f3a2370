from __future__ import annotations

import numpy as np
import pytest
from analysed_cases import as_index, hard_matches, iou_of
from tide_cases import make_case

from detector.evaluation.analysis.matching import Matched, match_images
from detector.evaluation.analysis.olrp import optimal_lrp


def by_formula(one: Matched, k: int, score: float) -> tuple[float, float, float, float]:
    """LRP and its three parts, as the paper has them, of the detections of a class with at least that score."""
    rows = [d for d in range(len(one.scores)) if one.labels[d] == k and one.scores[d] >= score]
    true = [d for d in rows if one.found[0][d] >= 0]
    tp, fp = len(true), sum(one.found[0][d] == -1 for d in rows)
    fn = int(one.positives[k]) - tp
    off = [1 - iou_of(one.boxes[d], one.index.annotations.boxes[one.found[0][d]]) for d in true]
    lrp = (sum(distance / (1 - 0.5) for distance in off) + fp + fn) / (tp + fp + fn)
    nothing = float("nan")
    return lrp, sum(off) / tp if tp else nothing, fp / (tp + fp) if tp + fp else nothing, fn / (tp + fn)


@pytest.mark.parametrize("seed", range(20))
def test_it_is_the_minimum_of_the_papers_formula_over_all_thresholds(seed: int) -> None:
    one = match_images(*as_index(make_case(seed))) if seed < 8 else hard_matches(seed)
    found = optimal_lrp(one)
    for k in range(one.classes):
        if not one.positives[k]:
            assert np.isnan(found.olrp[k])
            continue
        of_class = sorted({float(s) for s in one.scores[one.labels == k]}, reverse=True)
        assert found.olrp[k] == pytest.approx(min(by_formula(one, k, s)[0] for s in (np.inf, *of_class)), abs=1e-12)
        there = np.inf if np.isnan(found.threshold[k]) else found.threshold[k]
        ours = (found.olrp[k], found.localisation[k], found.false_positives[k], found.false_negatives[k])
        assert ours == pytest.approx(by_formula(one, k, there), abs=1e-12, nan_ok=True)
