from __future__ import annotations

import numpy as np
import pytest
from analysed_cases import hard_matches

from detector.evaluation.analysis.calibration import BINS, calibrate


@pytest.mark.parametrize("seed", range(10))
def test_bins_and_error_are_those_of_a_loop(seed: int) -> None:
    one = hard_matches(seed)
    found = calibrate(one, one.labels, one.classes)
    for k in range(one.classes):
        rows = [d for d in range(len(one.scores)) if one.labels[d] == k and one.found[0][d] != -2]
        bins: dict[int, list[int]] = {}
        for d in rows:
            upper_edges = [b for b in range(1, BINS) if one.scores[d] >= b / 10]
            bins.setdefault(len(upper_edges), []).append(d)
        error = 0.0
        for b, inside in bins.items():
            confidence = sum(one.scores[d] for d in inside) / len(inside)
            precision = sum(one.found[0][d] >= 0 for d in inside) / len(inside)
            assert found.count[k, b] == len(inside)
            assert (found.confidence[k, b], found.precision[k, b]) == pytest.approx((confidence, precision))
            error += len(inside) / len(rows) * abs(precision - confidence)
        assert found.count[k].sum() == len(rows)
        assert found.error[k] == pytest.approx(error if rows else np.nan, nan_ok=True)
    together = calibrate(one, np.zeros_like(one.labels), 1)
    np.testing.assert_array_equal(together.count[0], found.count.sum(axis=0))
