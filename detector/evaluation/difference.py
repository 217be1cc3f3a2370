"""Whether one detector is better than another on the images of a split, and how sure that is: the paired bootstrap.

Both detectors get the same images in each resample (`detector.evaluation.comparison`), so that what is hard for both drops
out of the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detector.evaluation.comparison import CONFIDENCE, ResampledAP

FEWEST_IMAGES = 6
"""Images with an object from which on a difference has an interval. If one detector is better in each of n images, a sign test
says p = 2 / 2ⁿ: with five images nothing can be told at 0.05, and of resamples of one image each is this image."""


@dataclass(frozen=True)
class Difference:
    """AP of a second group of runs minus that of a first one, with 95 % intervals (low, high)."""

    ap: float
    over_images: tuple[float, float] | None
    """Interval of the difference of these very detectors on other images of the same kind; None where fewer than
    `FEWEST_IMAGES` have an object."""
    over_images_and_seeds: tuple[float, float] | None
    """Interval of the difference on other images and after other trainings; None also where a group has a single run."""
    p: float | None
    """How likely a difference as clear as this one would be if there were none: of that interval which covers most."""
    corrected: float | None
    """`p` corrected for the number of comparisons that were made at once (`correct`)."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval that covers most."""
        return self.over_images_and_seeds or self.over_images

    @property
    def verdict(self) -> str:
        """better, worse, or undecided where the corrected p is above 0.05 or there is none."""
        if self.corrected is None or self.corrected > 1 - CONFIDENCE:
            return "undecided"
        return "better" if self.ap > 0 else "worse"


def difference(
    first: Sequence[ResampledAP], second: Sequence[ResampledAP], seed: int = 0, images: int | None = None
) -> Difference:
    """Mean AP of the `second` runs minus mean AP of the `first`, all resampled with the same weights.

    The interval over images is the bootstrap's percentile interval. The one over images and seeds adds to each resample,
    for each group of n runs, s/√n times a Student t deviate of n − 1 degrees of freedom, where s is the standard
    deviation of the runs' APs: so uncertain is a mean of n trainings whose spread is known from these n alone (the
    Behrens-Fisher distribution; drawing n seeds from n with replacement would give too short an interval).

    `p` is found from the same values as the interval: it is the least α of which the interval of confidence 1 − α does not
    hold 0, twice the share of the R resampled differences that lie on the other side of 0, of which one more is counted
    (Davison & Hinkley 1997, section 4.2: what was measured is one of the values that there may be).

    Args:
        first: the runs of one group.
        second: those of the other one.
        seed: of the deviates.
        images: number of images with an object that is to be found; None where there are more than enough. `p` is not
            below 2 / 2ⁿ of n images.
    """
    change = _mean_resampled(second) - _mean_resampled(first)
    ap = _mean_ap(second) - _mean_ap(first)
    if images is not None and images < FEWEST_IMAGES:
        return Difference(ap, None, None, None, None)
    resamples = int(np.count_nonzero(~np.isnan(change)))
    least = 0.0 if images is None else 2.0 ** (1 - images)
    if len(first) == 1 or len(second) == 1:
        p = max(_p_of(change, resamples), least)
        return Difference(ap, _interval(change), None, p, p)
    random = np.random.default_rng(seed)
    after_other_trainings = np.tile(change, 20)  # t has long tails: many deviates for each resample
    for runs in (first, second):
        error = np.std([run.ap for run in runs], ddof=1) / np.sqrt(len(runs))
        after_other_trainings += error * random.standard_t(len(runs) - 1, len(after_other_trainings))
    p = max(_p_of(after_other_trainings, resamples), least)
    return Difference(ap, _interval(change), _interval(after_other_trainings), p, p)


def correct(differences: Sequence[Difference]) -> list[Difference]:
    """The differences with `p` corrected by `holm` for their number; those without one do not count."""
    places = [i for i, one in enumerate(differences) if one.p is not None]
    corrected = dict(zip(places, holm([differences[i].p or 0.0 for i in places]), strict=True))
    return [replace(one, corrected=corrected.get(i)) for i, one in enumerate(differences)]


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number m, in their order (Holm: A simple sequentially rejective multiple test procedure,
    1979).

    The smallest is multiplied by m, the next one by m − 1, and so on; none is below one before it, nor above 1. Whatever
    depends on what: with those up to 0.05 taken for true differences, the chance that any of these is none is at most 0.05.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(factors * np.asarray(p_values, dtype=float)[order]), 1.0)
    return [float(value) for value in corrected]


def smallest_p(resamples: int) -> float:
    """The least p that so many resamples can give."""
    return 2 / (resamples + 1)


def _p_of(values: np.ndarray, resamples: int) -> float:
    values = values[~np.isnan(values)]
    beyond = min(np.count_nonzero(values <= 0), np.count_nonzero(values >= 0)) / max(len(values), 1)
    return float(min(1.0, 2 * (1 + resamples * beyond) / (resamples + 1)))


def _mean_ap(runs: Sequence[ResampledAP]) -> float:
    return float(np.mean([run.ap for run in runs]))


def _mean_resampled(runs: Sequence[ResampledAP]) -> np.ndarray:
    return np.mean([run.resampled for run in runs], axis=0)


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.nanquantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
