"""Groups of runs that no training made: detections of drawn scenes or of synthetic images, measured and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from detector import config
from detector.data.index import Index
from detector.evaluation.evaluate import evaluate
from detector.evaluation.results import DETECTIONS, FlatResults, write_flat_results
from detector.experiments.compare.cost import Cost
from detector.experiments.compare.detections import resample_runs
from detector.experiments.compare.differences import with_differences
from detector.experiments.compare.groups import Group
from detector.experiments.compare.runs import Run
from detector.experiments.compare.table import Measured

Configure = Callable[..., config.Train]


def as_run(folder: Path, index: Index, results: FlatResults, settings: config.Train) -> Run:
    """A run folder that holds nothing but detections, and what a training would have measured."""
    folder.mkdir(parents=True)
    write_flat_results(folder / DETECTIONS, index, results)
    metrics = {**evaluate(index, results), "parameters": 1_000_000, "train_seconds": 60.0}
    return Run(folder, settings, metrics)


def as_groups(
    folder: Path, index: Index, results: Mapping[str, Sequence[FlatResults]], configure: Configure
) -> list[Measured]:
    """A group for each label, with a run for each of its results."""
    groups = [
        Group(
            label,
            tuple(as_run(folder / f"{n} {seed}", index, one, configure(seed=seed)) for seed, one in enumerate(runs)),
        )
        for n, (label, runs) in enumerate(results.items())
    ]
    return [Measured(group, tuple(Cost(1.5, None) for _ in group.runs)) for group in groups]


def compared(rows: Sequence[Measured], reference: int, index: Index, resamples: int) -> list[Measured]:
    """The groups with their differences from the reference."""
    runs = [run for row in rows for run in row.group.runs]
    found = resample_runs(runs, [index] * len(runs), resamples, 0)
    return with_differences(
        rows, rows[reference].group, {run.folder: one for run, one in zip(runs, found, strict=True)}, 0
    )
