"""How far each group lies from the reference in each measure and each class, with p-values that are corrected together."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from detector.evaluation.comparison import CONFIDENCE
from detector.evaluation.difference import Difference, correct, difference, smallest_p
from detector.evaluation.measures import MEASURES, ResampledMeasures
from detector.experiments.compare.groups import Group
from detector.experiments.compare.table import Measured

_Place = TypeVar("_Place", bound=Hashable)


def with_differences(
    rows: Sequence[Measured], reference: Group, found: Mapping[Path, ResampledMeasures], seed: int
) -> list[Measured]:
    """The groups with their differences from the reference.

    There are three families of comparisons, each corrected for its own number: AP of the groups, by which they are judged;
    their other measures; their classes.

    Args:
        rows: all groups.
        reference: one of them.
        found: what each run reaches, by its folder.
        seed: start of the random numbers of the intervals.
    """
    first = [found[one.folder] for one in reference.runs]
    measured: dict[tuple[int, str], Difference] = {}
    classes: dict[tuple[int, int], Difference] = {}
    for i, row in enumerate(rows):
        if row.group is reference:
            continue
        second = [found[one.folder] for one in row.group.runs]
        for name in first[0].overall:  # all runs were measured on the same objects
            before, after = ([one.overall[name] for one in runs] for runs in (first, second))
            measured[i, name] = difference(before, after, seed, first[0].images[name])
        for k, images in enumerate(first[0].class_images):
            if images:
                before, after = ([ap for one in runs if (ap := one.classes[k])] for runs in (first, second))
                classes[i, k] = difference(before, after, seed, images)
    measured = _corrected({place: one for place, one in measured.items() if place[1] == "AP"}) | _corrected(
        {place: one for place, one in measured.items() if place[1] != "AP"}
    )
    classes = _corrected(classes)
    return [
        row
        if row.group is reference
        else replace(
            row,
            differences={name: measured[i, name] for name in MEASURES if (i, name) in measured},
            class_differences=tuple(classes.get((i, k)) for k in range(len(first[0].class_images))),
        )
        for i, row in enumerate(rows)
    ]


def _corrected(differences: Mapping[_Place, Difference]) -> dict[_Place, Difference]:
    return dict(zip(differences, correct(list(differences.values())), strict=True))


def correction(rows: Sequence[Measured], resamples: int) -> str:
    """What a reader must know of the p-values: how they are corrected, and where there are too few resamples for them."""
    compared = [row for row in rows if row.differences]
    aps = len(compared)
    others = sum(one.p is not None for row in compared for name, one in row.differences.items() if name != "AP")
    classes = sum(one is not None and one.p is not None for row in compared for one in row.class_differences)
    families = [f"{aps} {'group' if aps == 1 else 'groups'} in AP", f"{others} differences in other measures"]
    families += [f"{classes} differences of classes"] if classes else []
    text = (
        "p is the least α of which the interval of confidence 1 − α does not hold 0. Corrected p allows for the number of "
        f"comparisons made at once (Holm 1979), each kind for itself: {', '.join(families)}. The verdict asks it to be at most "
        f"{1 - CONFIDENCE:.2f}; so of all that is called better or worse in one kind, the chance that anything is wrongly "
        "called so is at most 5 in 100. The intervals are 95 % each and not corrected: among 20 of them one is expected to "
        "miss the truth."
    )
    most = max(aps, others, classes)
    if most * smallest_p(resamples) > 1 - CONFIDENCE:
        text += (
            f" With {resamples} resamples no p is below {smallest_p(resamples):.2g}, which is too much after a correction for "
            f"{most}: resamples={math.ceil(2 * most / (1 - CONFIDENCE))} can tell."
        )
    return text
