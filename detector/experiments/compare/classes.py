"""AP of each class: which group finds what better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.data.index import Index
from detector.evaluation.comparison import CONFIDENCE
from detector.experiments.compare.table import Measured, interval_text, mean_and_deviation, p_text, statistics_of

Statistics = tuple[float | None, float | None]
"""Mean over the runs of a group and standard deviation, see `statistics_of`."""


@dataclass(frozen=True)
class ClassAP:
    """AP of one class."""

    name: str
    objects: int
    """Number of objects that are to be found: crowds are not among them."""
    aps: tuple[Statistics, ...]
    """AP of the class in each group."""

    def difference(self, group: int, reference: int) -> float | None:
        """AP of a group minus that of another; None where there is no object to find."""
        ap, other = self.aps[group][0], self.aps[reference][0]
        return None if ap is None or other is None else ap - other


def class_aps(rows: Sequence[Measured], index: Index) -> list[ClassAP]:
    """AP of each class by label; all groups were measured on `index`."""
    wanted = index.annotations.labels[~index.annotations.crowd]
    objects = np.bincount(wanted, minlength=len(index.class_names)).tolist()
    return [
        ClassAP(
            name,
            number,
            tuple(statistics_of([run.metrics["per_class"][name]["AP"] for run in row.group.runs]) for row in rows),
        )
        for name, number in zip(index.class_names, objects, strict=True)
    ]


def by_difference(classes: Sequence[ClassAP], reference: int) -> list[ClassAP]:
    """Those first in which another group is the farthest above the reference, then the others down to the farthest below.

    Classes without objects come last; equal ones keep their order.
    """

    def farthest(one: ClassAP) -> float:
        found = [one.difference(group, reference) for group in range(len(one.aps)) if group != reference]
        return max((value for value in found if value is not None), key=abs, default=-np.inf)

    return sorted(classes, key=lambda one: -farthest(one))


def class_cells(rows: Sequence[Measured], classes: Sequence[ClassAP], reference: int) -> list[list[str]]:
    """A line of titles, then one a class: objects, AP of each group, the reference first, and with two their difference, with
    its interval and corrected p where there are some."""
    order = [reference, *(group for group in range(len(rows)) if group != reference)]
    titles = ["AP of class", "objects", *(rows[group].group.label for group in order)]
    told = rows[1 - reference].class_differences if len(rows) == 2 else ()
    if len(rows) == 2:
        titles += ["difference", *([f"{CONFIDENCE:.0%}", "corrected p"] if told else [])]
    cells = [titles]
    for one in by_difference(classes, reference):
        line = [one.name, str(one.objects), *(mean_and_deviation(*one.aps[group], 3) for group in order)]
        if len(rows) == 2:
            change = one.difference(1 - reference, reference)
            line.append("–" if change is None else f"{change:+.3f}")
        if told:
            found = told[classes.index(one)]
            line += ["–", "–"] if found is None else [interval_text(found.interval), p_text(found.corrected)]
        cells.append(line)
    return cells
