from __future__ import annotations

import numpy as np
import pytest
from analysed_cases import as_index, hard_matches
from tide_cases import make_case

from detector.evaluation.analysis.matching import match_images
from detector.evaluation.analysis.operating_points import SCORE_POINTS, best_operating_points, score_curves


@pytest.mark.parametrize("seed", range(14))
def test_no_threshold_has_a_better_f1_and_a_higher_one_is_worse(seed: int) -> None:
    one = match_images(*as_index(make_case(seed))) if seed < 4 else hard_matches(seed)
    points = best_operating_points(one, one.labels, one.positives)
    for k in range(one.classes):
        for t in (0, 5):
            found = one.found[t][one.labels == k]
            scores = one.scores[one.labels == k]
            tried = {}
            for score in {float(s) for s in scores}:
                true, false = (found[scores >= score] >= 0).sum(), (found[scores >= score] == -1).sum()
                if true:
                    f1 = 2 * true / (true + false + one.positives[k])
                    tried[f1, score] = (true / (true + false), true / one.positives[k])
            ours = tuple(getattr(points, name)[k, t] for name in ("f1", "threshold", "precision", "recall"))
            expected = (*max(tried), *tried[max(tried)]) if tried else (np.nan,) * 4
            assert ours == pytest.approx(expected, nan_ok=True)


def test_precision_and_recall_are_those_of_sklearn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    one = match_images(*as_index(make_case(3)))
    curves = score_curves(one)
    for k in range(one.classes):
        chosen = one.labels == k
        found = one.found[0, chosen] >= 0
        if not found.any():
            continue
        precision, recall, thresholds = metrics.precision_recall_curve(found, one.scores[chosen])
        for s, point in enumerate(SCORE_POINTS):
            place = np.searchsorted(thresholds, point)
            true, false = int(curves.true[k, 0, s]), int(curves.false[k, 0, s])
            assert true == pytest.approx(recall[place] * found.sum())
            if true + false:
                assert true / (true + false) == pytest.approx(precision[place])


@pytest.mark.parametrize("seed", range(5))
def test_curves_count_detections_with_at_least_each_score(seed: int) -> None:
    one = hard_matches(seed)
    curves = score_curves(one)
    for k in range(one.classes):
        for s in (0, 10, 50, 90, 100):
            shown = (one.labels == k) & (one.scores >= SCORE_POINTS[s])
            np.testing.assert_array_equal(curves.true[k, :, s], (one.found[:, shown] >= 0).sum(axis=1))
            np.testing.assert_array_equal(curves.false[k, :, s], (one.found[:, shown] == -1).sum(axis=1))
