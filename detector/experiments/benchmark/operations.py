"""Operations of a training step, by part: what a CPU can say of how long a GPU would wait for its host.

A GPU is given one operation after the other. Each costs the host some microseconds, whatever its size, and where the host
must know a result before it can go on, the device runs dry: such an operation is a wait. Neither number depends on the
device, so both can be counted without one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from detector import config
from detector.experiments.benchmark.training import repeat_a_step
from detector.types import Batch
from detector.visualization.text_table import terminal

PARTS = (
    "copy", "normalise", "network", "assigner", "loss", "backward", "clip", "optimizer", "averaging", "other",
)  # fmt: skip
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


class StepCounter(Callback):
    """Counts one step of a training and ends it; `operations` and `waits` by part."""

    def __init__(self) -> None:
        self.operations: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.names: Counter[tuple[str, str]] = Counter()
        """How often each operation was called, by (part, name)."""
        self._part = ["other"]
        self._modes = (_Operations(self._count), _Methods(self._count_method))
        self._recording = False

    def report(self) -> dict[str, dict[str, int]]:
        """`operations` and `waits`, each by part, with their sum as `all`."""
        return {
            name: {**{part: counter[part] for part in PARTS}, "all": counter.total()}
            for name, counter in (("operations", self.operations), ("waits", self.waits))
        }

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What happens inside belongs to this part, except for what belongs to a part inside of it."""
        self._part.append(name)
        try:
            yield
        finally:
            self._part.pop()

    def within(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose operations belong to this part."""

        def counted(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*arguments, **named)

        return counted

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the borders of the parts."""
        module: Any = pl_module
        detector = module.detector
        for owner, method, name in (
            (module, "transfer_batch_to_device", "copy"),
            (detector, "losses", "loss"),
            (module, "backward", "backward"),
            (module, "configure_gradient_clipping", "clip"),
            (module, "optimizer_step", "optimizer"),
            (module, "training_step", "other"),
            (module.ema, "update", "averaging"),
        ):
            if owner is not None:
                object.__setattr__(owner, method, self.within(name, getattr(owner, method)))
        if (criterion := getattr(detector, "criterion", None)) is not None:
            criterion.assigner = _Assigner(self, criterion.assigner)
        for layer, name in ((detector, "network"), (getattr(detector, "normalise", None), "normalise")):
            if layer is not None:
                layer.register_forward_pre_hook(lambda *_, name=name: self._part.append(name))
                layer.register_forward_hook(lambda *_: self._part.pop() and None)
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


class _Assigner:
    """An assigner, every method of which is counted."""

    def __init__(self, counter: StepCounter, assigner: Any) -> None:
        self._counter, self._assigner = counter, assigner

    def __call__(self, *arguments: Any) -> Any:
        with self._counter.part("assigner"):
            return self._assigner(*arguments)

    def __getattr__(self, name: str) -> Any:
        return self._counter.within("assigner", getattr(self._assigner, name))


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
