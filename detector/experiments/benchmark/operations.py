"""Operations of a training step, by part: what a CPU can say of how long a GPU would wait for its host.

A GPU is given one operation after the other. Each costs the host some microseconds, whatever its size, and where the host
must know a result before it can go on, the device runs dry: such an operation is a wait. Neither number depends on the
device, so both can be counted without one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from detector import config
from detector.experiments.benchmark.borders import PARTS, PartBorders
from detector.experiments.benchmark.training import repeat_a_step
from detector.types import Batch
from detector.visualization.text_table import terminal

WAITING = (
    "aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal", "aten::nonzero", "aten::masked_select",
    "aten::unique_dim", "aten::_unique", "aten::_unique2", "aten::unique_consecutive", "aten::bincount", "torchvision::nms",
)  # fmt: skip
"""Operations whose result, or the size of it, the host waits for."""
READING = ("tolist", "numpy", "cpu", "item", "__array__")
"""Methods of a tensor that bring its values to the host."""
COUNTED = 2
"""The step that is counted: the first ones fill what is kept from step to step."""


def measure_operations(settings: config.Benchmark) -> dict[str, Any]:
    """Operations and waits of one step by part, for `data.batch_size` images and for an eighth of them.

    The count on a CPU is that on a GPU but for two stages, whose proposals a CPU suppresses level by level of each image, and a
    GPU in one operation for every 81,920 boxes.
    """
    large = settings.data.batch_size
    sizes = sorted({max(1, large // 8), large})
    report: dict[str, Any] = {"unit": "operations"}
    for size in sizes:
        counting = StepCounter()
        repeat_a_step(replace(settings, data=replace(settings.data, batch_size=size)), [counting])
        report[f"batch_{counting.batch_size}"] = counting.report()
    return report


def table(report: dict[str, Any]) -> str:
    """The figures of `measure_operations` as text: a line for each part, two columns for each size of a batch."""
    sizes = [key for key in report if key.startswith("batch_")]
    heads = [f"{what} at {size.removeprefix('batch_')}" for size in sizes for what in ("operations", "waits")]
    lines = [
        [part, *(f"{report[size][what][part]:,}" for size in sizes for what in ("operations", "waits"))]
        for part in (*PARTS, "all")
    ]
    return terminal([["part", *heads], *lines])


class StepCounter(PartBorders):
    """Counts one step of a training and ends it; `operations` and `waits` by part."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.names: Counter[tuple[str, str]] = Counter()
        """How often each operation was called, by (part, name)."""
        self._modes = (_Operations(self._count), _Methods(self._count_method))
        self._recording = False

    def report(self) -> dict[str, dict[str, int]]:
        """`operations` and `waits`, each by part, with their sum as `all`."""
        return {
            name: {**{part: counter[part] for part in PARTS}, "all": counter.total()}
            for name, counter in (("operations", self.operations), ("waits", self.waits))
        }

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the borders of the parts and begins to listen."""
        super().on_fit_start(trainer, pl_module)
        for mode in self._modes:
            mode.__enter__()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """From the end of one step to the same place in the next."""
        trainer.should_stop = batch_idx == COUNTED
        self.batch_size = len(batch.targets)
        self._recording = batch_idx == COUNTED - 1

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Nothing is counted any more."""
        for mode in reversed(self._modes):
            mode.__exit__(None, None, None)

    def _count(self, name: str, waits: bool) -> None:
        if self._recording:
            self.operations[self._part[-1]] += 1
            self.waits[self._part[-1]] += waits
            self.names[self._part[-1], name] += 1

    def _count_method(self, name: str) -> None:
        if name == "to" and self._recording and self._part[-1] == "copy":
            self._count("to", waits=False)
        # what is read in other parts lies on the host already, or is copied without waiting for it
        elif name in READING and self._recording and self._part[-1] not in ("other", "copy"):
            self.waits[self._part[-1]] += 1
            self.names[self._part[-1], name] += 1


class _Operations(TorchDispatchMode):
    """Reports every operation that a device would be given: views, which move nothing, are none."""

    def __init__(self, count: Callable[[str, bool], None]) -> None:
        super().__init__()
        self._count_one = count

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view and func not in (torch.ops.aten.detach.default, torch.ops.aten._unsafe_view.default):
            name = func._schema.name
            self._count_one(name, name in WAITING or _selects_by_mask(name, args) or _repeats(name, kwargs or {}))
        return result


def _selects_by_mask(name: str, args: tuple[Any, ...]) -> bool:
    """Indexing by a mask asks how many are true, except where one number is written to them."""
    if not name.startswith(("aten::index", "aten::_index_put_impl", "aten::_unsafe_index")) or len(args) < 2:
        return False
    indices = args[1] if isinstance(args[1], (list, tuple)) else ()
    masks = any(isinstance(one, Tensor) and one.dtype in (torch.bool, torch.uint8) for one in indices)
    return masks and not ("put" in name and isinstance(args[2], Tensor) and args[2].numel() == 1)


def _repeats(name: str, kwargs: dict[str, Any]) -> bool:
    """Repeating by numbers that lie on the device, where the host does not say how many there will be."""
    return name == "aten::repeat_interleave" and kwargs.get("output_size") is None


class _Methods(TorchFunctionMode):
    """Reports the calls of functions and methods: copies from one device to another are no operations on a CPU."""

    def __init__(self, count: Callable[[str], None]) -> None:
        super().__init__()
        self._count_one = count

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self._count_one(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))
