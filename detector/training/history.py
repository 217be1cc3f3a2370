"""The log of a run that its checkpoints carry: what each evaluation measured, and what was lost on the way to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor


class History:
    """One row an evaluation, with the words of `metrics.csv`."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        """`epoch` and `step`, counted from 1; `lr`, that of the first group of parameters; `train/loss` and `train/TERM`, means
        over the steps of that epoch on the first process; `val/AP` and so on, those that are a number."""
        self._epoch = 0
        self._steps = 0
        self._sums: dict[str, float] = {}

    def add_step(self, epoch: int, terms: Sequence[str], losses: Tensor) -> None:
        """The losses [terms] of a step, in host memory."""
        if epoch != self._epoch:
            self._epoch, self._steps, self._sums = epoch, 0, {}
        self._steps += 1
        for name, value in zip(terms, losses.tolist(), strict=True):
            self._sums[name] = self._sums.get(name, 0.0) + value

    def add_evaluation(self, epoch: int, step: int, lr: float, metrics: Mapping[str, Any]) -> None:
        """A new row, with the losses of the steps that were added for this epoch."""
        row: dict[str, float] = {"epoch": epoch, "step": step, "lr": lr}
        if self._steps and self._epoch == epoch:
            row["train/loss"] = sum(self._sums.values()) / self._steps
            row |= {f"train/{name}": value / self._steps for name, value in self._sums.items()}
        row |= {f"val/{name}": value for name, value in metrics.items() if isinstance(value, float)}
        self.rows.append(row)
