"""How PyTorch computes while a run trains: in one order where the run must repeat, otherwise as fast as the device can."""

from __future__ import annotations

import os
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from detector import config
from detector.data.free_memory import keep_freed_memory

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


class Backends(Callback):
    """Sets PyTorch's own switches for a run, and puts them back as they were when it ends.

    On a CPU, and with `trainer.deterministic` on every device, what threads add up is added in one order. Otherwise a GPU
    multiplies float32 matrices in TF32 (convolutions do so by PyTorch's default), and where the network sees tensors of one
    shape at every step, cuDNN tries its algorithms and keeps the fastest. An evaluation is computed without the last two, as
    `detector evaluate` does.
    """

    def __init__(self, recipe: config.Experiment) -> None:
        self.deterministic = recipe.trainer.deterministic
        self.one_shape = not recipe.trainer.multi_scale and recipe.model.fixed_shapes
        self._before: dict[str, Any] | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """The first hook that knows the device; before anything is computed."""
        self.begin(trainer.strategy.root_device.type)

    def begin(self, device: str) -> None:
        """Sets the switches for a run on a kind of device: cpu, cuda, mps."""
        self._device = device
        self._before = {
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
            "fill": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
            "cudnn": torch.backends.cudnn.deterministic,
            "benchmark": torch.backends.cudnn.benchmark,
            "matmul": torch.get_float32_matmul_precision(),
            "workspace": os.environ.get(CUBLAS),
        }
        if device == "cpu":
            keep_freed_memory()
        if self.deterministic or device == "cpu":
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # none is ever read
            torch.use_deterministic_algorithms(True, warn_only=not self.deterministic)
        if self.deterministic:
            torch.backends.cudnn.deterministic = True
            os.environ[CUBLAS] = ":4096:8"
        self._fast()

    def end(self) -> None:
        """Puts every switch back; a second call does nothing."""
        if (before := self._before) is None:
            return
        self._exact()
        torch.use_deterministic_algorithms(before["deterministic"], warn_only=before["warn_only"])
        torch.utils.deterministic.fill_uninitialized_memory = before["fill"]  # type: ignore[attr-defined]
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before["cudnn"], before["benchmark"]
        if before["workspace"] is None:
            os.environ.pop(CUBLAS, None)
        else:
            os.environ[CUBLAS] = before["workspace"]
        self._before = None

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """An evaluation follows."""
        self._exact()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Training goes on."""
        self._fast()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """The run is over."""
        self.end()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """The run has ended early, without a teardown."""
        self.end()

    def _fast(self) -> None:
        if self._device == "cuda":
            torch.set_float32_matmul_precision("high")
            torch.backends.cudnn.benchmark = self.one_shape and not self.deterministic

    def _exact(self) -> None:
        assert self._before is not None
        torch.set_float32_matmul_precision(self._before["matmul"])
        torch.backends.cudnn.benchmark = self._before["benchmark"] and not self.deterministic
