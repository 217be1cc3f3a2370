"""What a check of a data set found, as text for people and as JSON for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detector.data.checks.finding import FILES, GROUPS, Finding, Place, group_of
from detector.data.index import Index
from detector.data.statistics import QUANTILES, Statistics
from detector.visualization.text_table import terminal

PRINTED_SUSPICIONS = 5
"""Suspicions of a kind and a split that the terminal shows; the files have all."""
_SIZES = ("small", "medium", "large")


@dataclass(frozen=True)
class Report:
    """What `check` found."""

    class_names: tuple[str, ...]
    image_size: int
    splits: dict[str, Statistics]
    indices: dict[str, Index]
    """The splits that can be read."""
    problems: dict[str, list[Finding]]
    """What is wrong, by split; what is between splits is with the later one."""
    suspicions: dict[str, list[Finding]]
    """What may be wrong and wants a look, by split."""
    notes: dict[str, list[str]]
    """Notes by split: how its files were understood, and what was not looked at."""
    folder: Path
    """The folder of the report and the pictures."""

    def __str__(self) -> str:
        return self.text()

    def text(self, most_suspicions: int | None = None) -> str:
        """The whole report; with at most so many suspicions of each kind and split."""
        notes = [f"{split}: {note}" for split, found in self.notes.items() for note in found]
        problems = [_list(split, found, "problem") for split, found in self.problems.items()]
        suspicions = [
            _list(split, found, "suspicion", most_suspicions) for split, found in self.suspicions.items() if found
        ]
        return "\n\n".join([_table(self), *notes, *problems, *suspicions])

    def findings(self) -> Iterator[tuple[str, Finding]]:
        """All problems, then all suspicions, each with its split."""
        for found in (self.problems, self.suspicions):
            for split, of_split in found.items():
                yield from ((split, one) for one in of_split)

    def failures(self, fail_on: Sequence[str]) -> Counter[str]:
        """Kind → how many, of the findings whose group is in `fail_on` (`CheckData.fail_on`)."""
        groups = set(fail_on)
        if "problems" in groups:
            groups |= {FILES, *GROUPS} - {"suspicions"}
        return Counter(one.kind for _, one in self.findings() if group_of(one.kind) in groups)

    def as_json(self, fail_on: Sequence[str]) -> dict[str, Any]:
        """The content of `report.json`; boxes are xyxy in pixels of the image as annotated."""
        return {
            "class_names": list(self.class_names),
            "image_size": self.image_size,
            "splits": {split: self._statistics_json(found) for split, found in self.splits.items()},
            "counts": Counter(group_of(one.kind) for _, one in self.findings()),
            "failed": dict(self.failures(fail_on)),
            "problems": {split: list(map(self._finding_json, found)) for split, found in self.problems.items()},
            "suspicions": {split: list(map(self._finding_json, found)) for split, found in self.suspicions.items()},
            "notes": self.notes,
        }

    def _statistics_json(self, found: Statistics) -> dict[str, Any]:
        return asdict(found) | {
            "per_class": dict(zip(self.class_names, found.per_class, strict=True)),
            "per_size": dict(zip(_SIZES, found.per_size, strict=True)),
            "sides": dict(zip(map(str, QUANTILES), found.sides, strict=bool(found.sides))),
        }

    def _finding_json(self, one: Finding) -> dict[str, Any]:
        return {
            "kind": one.kind,
            "group": group_of(one.kind),
            "where": one.where,
            "what": one.what,
            "image": self._image(one.place),
            "boxes": [list(box) for box in one.boxes],
            "other": self._image(one.other),
        }

    def _image(self, place: Place | None) -> dict[str, str] | None:
        return None if place is None else {"split": place[0], "file": self.indices[place[0]].where(place[1])}


def _table(report: Report) -> str:
    splits = list(report.splits.values())
    rows: list[tuple[str, Sequence[object]]] = [
        ("", list(report.splits)),
        ("images", [s.images for s in splits]),
        ("  without objects", [s.without_objects for s in splits]),
        ("objects", [s.objects for s in splits]),
        ("  of these crowd or difficult", [s.crowds for s in splits]),
        *((f"  {name}", [s.per_class[label] for s in splits]) for label, name in enumerate(report.class_names)),
        ("annotated area (pixels² of the image)", [""] * len(splits)),
        ("  small, under 32²", [s.per_size[0] for s in splits]),
        ("  medium, under 96²", [s.per_size[1] for s in splits]),
        ("  large", [s.per_size[2] for s in splits]),
        (f"box side at image_size={report.image_size} (pixels)", [""] * len(splits)),
        *(
            (f"  {_quantile_name(q)}", [f"{s.sides[n]:.1f}" if s.sides else "-" for s in splits])
            for n, q in enumerate(QUANTILES)
        ),
    ]
    return terminal([[name, *map(str, values)] for name, values in rows])


def _quantile_name(quantile: float) -> str:
    return {0.0: "smallest", 0.5: "median", 1.0: "largest"}.get(quantile, f"{quantile:.0%} are below")


def _list(split: str, found: Sequence[Finding], noun: str, most: int | None = None) -> str:
    if not found:
        return f"{split}: no {noun}"
    lines = []
    for kind, number in sorted(Counter(one.kind for one in found).items()):
        shown = [one for one in found if one.kind == kind][:most]
        lines += [f"  {kind}: {one.where}: {one.what}" for one in shown]
        if number > len(shown):
            lines.append(f"  {kind}: {number - len(shown)} more in report.txt")
    return "\n".join([f"{split}: {len(found)} {noun}{'s' if len(found) > 1 else ''}", *lines])
