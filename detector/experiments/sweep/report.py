"""What became of the jobs of a sweep, as a table."""

from __future__ import annotations

from detector.experiments.sweep.jobs import Job

METRICS = ("AP", "AP50")


def table(jobs: list[Job]) -> str:
    """One line a job: what distinguishes it from the others, its state, its metrics, its folder."""
    split = [dict(override.split("=", 1) for override in one.overrides) for one in jobs]
    keys = [key for key in split[0] if len({values.get(key) for values in split}) > 1] if split else []
    rows = [[*keys, "state", *METRICS, "seconds", "folder"]]
    for one, values in zip(jobs, split, strict=True):
        metrics = one.metrics
        numbers = [_number(metrics.get(key), "{:.4f}") for key in METRICS]
        seconds = _number(metrics.get("train_seconds"), "{:.0f}")
        rows.append([*(values.get(key, "") for key in keys), one.state, *numbers, seconds, str(one.folder)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
