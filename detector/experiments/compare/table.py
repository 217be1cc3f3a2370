"""The numbers of groups of runs as one table: for the terminal, in Markdown, as CSV."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from detector.evaluation.comparison import CONFIDENCE
from detector.evaluation.difference import Difference
from detector.evaluation.measures import MEASURES
from detector.experiments.compare.cost import OTHER, Cost
from detector.experiments.compare.groups import Group
from detector.experiments.compare.runs import Run
from detector.models.stages import STAGES


@dataclass(frozen=True)
class Measured:
    """A group of runs, what each run costs, and how far it lies from the reference where that was asked for."""

    group: Group
    costs: tuple[Cost, ...]
    differences: Mapping[str, Difference] = field(default_factory=dict)
    """By the names of `MEASURES`; empty for the reference."""
    class_differences: tuple[Difference | None, ...] = ()
    """In AP of each class, by label; None of a class without an object to find."""

    @property
    def difference(self) -> Difference | None:
        """The one in AP."""
        return self.differences.get("AP")


@dataclass(frozen=True)
class Column:
    """A number of a run, in the unit of its title."""

    title: str
    key: str
    """Name of the column in the CSV file."""
    digits: int
    value: Callable[[Run, Cost], float | None]


COLUMNS = (
    *(
        Column(key, key, 3, lambda run, _, key=key: run.metrics[key])  # type: ignore[misc]
        for key in MEASURES
    ),
    Column("M parameters", "parameters_millions", 2, lambda run, _: run.metrics["parameters"] / 1e6),
    Column("GFLOPs", "gflops", 2, lambda _, cost: cost.gflops),
    Column("latency ms", "latency_ms", 1, lambda _, cost: cost.latency_ms),
    Column("training min", "training_minutes", 1, lambda run, _: run.metrics["train_seconds"] / 60),
)
STAGE_COLUMNS = tuple(
    Column(f"{stage} ms", f"{stage}_ms", 1, lambda _, cost, stage=stage: cost.stages_ms.get(stage))  # type: ignore[misc]
    for stage in (*STAGES, OTHER)
)
DETAIL_COLUMNS = (
    *STAGE_COLUMNS,
    Column("regions", "regions", 0, lambda _, cost: cost.regions),
    Column("peak MiB", "memory_mib", 0, lambda _, cost: cost.memory_mib),
)
"""The columns about time and memory."""
SETTINGS, SEEDS = "what differs", "seeds"


def column_statistics(measured: Measured, column: Column) -> tuple[float | None, float | None]:
    """Mean and standard deviation (n − 1) over the runs; None where a run has no number, or where there is only one."""
    return statistics_of(
        [column.value(run, cost) for run, cost in zip(measured.group.runs, measured.costs, strict=True)]
    )


def statistics_of(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and standard deviation (n − 1) of the numbers of runs; None as in `column_statistics`."""
    present = [value for value in values if value is not None]
    if len(present) < len(values):
        return None, None
    return statistics.mean(present), statistics.stdev(present) if len(present) > 1 else None


def results_cells(rows: Sequence[Measured]) -> list[list[str]]:
    """A line of titles, then one a group: its label, its seeds, mean ± standard deviation of each column.

    What is the same for all seeds, as the number of parameters, has no deviation. A column in which no group has a
    number is left out.
    """
    columns = present(COLUMNS, rows)
    cells = [[SETTINGS, SEEDS, *(column.title for column in columns)]]
    for row in rows:
        seeds = ", ".join(str(run.config.seed) for run in row.group.runs)
        cells.append([row.group.label, seeds, *_numbers(row, columns)])
    return cells


def detail_cells(rows: Sequence[Measured]) -> list[list[str]]:
    """A line of titles, then one a group: milliseconds of each stage of a detection, regions of an image, memory.

    A column in which no group has a number is left out; no line at all where that is every column.
    """
    columns = present(DETAIL_COLUMNS, rows)
    if not columns:
        return []
    titles = [SETTINGS, *(column.title for column in columns)]
    return [titles, *([row.group.label, *_numbers(row, columns)] for row in rows)]


def present(columns: Sequence[Column], rows: Sequence[Measured]) -> list[Column]:
    """The columns in which a group has a number."""
    return [column for column in columns if any(column_statistics(row, column)[0] is not None for row in rows)]


def _numbers(row: Measured, columns: Sequence[Column]) -> list[str]:
    return [mean_and_deviation(*column_statistics(row, column), column.digits) for column in columns]


def difference_cells(rows: Sequence[Measured], reference: Group) -> list[list[str]]:
    """A line of titles, then one for each group that was compared with the reference; of a single one, for each measure."""
    compared = [row for row in rows if row.differences]
    if len(compared) == 1:
        label = compared[0].group.label
        titles = [f"{label} minus {reference.label}"]
        lines = [[name, *_told(one)] for name, one in compared[0].differences.items()]
    else:
        titles = [f"AP minus AP of {reference.label}"]
        lines = [[row.group.label, *_told(row.difference)] for row in compared if row.difference]
    return [
        [*titles, "difference", f"{CONFIDENCE:.0%} over images", "and over seeds", "p", "corrected p", "verdict"],
        *lines,
    ]


def _told(one: Difference) -> list[str]:
    return [
        f"{one.ap:+.3f}",
        interval_text(one.over_images),
        interval_text(one.over_images_and_seeds),
        p_text(one.p),
        p_text(one.corrected),
        one.verdict,
    ]


def mean_and_deviation(mean: float | None, deviation: float | None, digits: int) -> str:
    """`0.512 ± 0.004`; a dash where there is no mean, no deviation where there is none."""
    if mean is None:
        return "–"
    return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if deviation else "")


def as_csv(rows: Sequence[Measured]) -> str:
    """One line a group with all digits: `KEY` and `KEY_sd` of each column, the paired differences, intervals and p-values."""
    lines = [_csv_line(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _csv_line(row: Measured) -> dict[str, Any]:
    seeds = " ".join(str(run.config.seed) for run in row.group.runs)
    line: dict[str, Any] = {"settings": row.group.label, "seeds": seeds}
    for column in (*COLUMNS, *DETAIL_COLUMNS):
        line[column.key], line[f"{column.key}_sd"] = column_statistics(row, column)
    for name in MEASURES:
        found = row.differences.get(name)
        line[f"{name}_difference"] = found and found.ap
        prefix = "" if name == "AP" else f"{name}_"
        for key in ("over_images", "over_images_and_seeds"):
            bounds = getattr(found, key, None) or (None, None)
            line[f"{prefix}{key}_low"], line[f"{prefix}{key}_high"] = bounds
        line[f"{prefix}p"], line[f"{prefix}corrected_p"] = found and found.p, found and found.corrected
    return line | {"runs": " ".join(str(run.folder) for run in row.group.runs)}


def interval_text(bounds: tuple[float, float] | None) -> str:
    """`+0.012 to +0.034`; a dash where there is none."""
    return "–" if bounds is None else f"{bounds[0]:+.3f} to {bounds[1]:+.3f}"


def p_text(p: float | None) -> str:
    """Three digits, `< 0.001`, or a dash where there is none."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
