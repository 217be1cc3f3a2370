from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.plugins import MixedPrecision, Precision, TorchSyncBatchNorm

from detector import config
from detector.errors import UserError
from detector.training.callbacks import Stopwatch
from detector.training.checkpoint_files import WholeFiles
from detector.training.trainer import make_trainer

Configure = Callable[..., config.Train]


def gpus(monkeypatch: pytest.MonkeyPatch, count: int, bf16: bool) -> None:
    """PyTorch and Lightning believe in so many GPUs of that kind; nothing is computed on them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16 or including_emulation)
    monkeypatch.setattr(CUDAAccelerator, "is_available", staticmethod(lambda: count > 0))
    monkeypatch.setattr(CUDAAccelerator, "auto_device_count", staticmethod(lambda: count))
    monkeypatch.setattr(CUDAAccelerator, "parse_devices", staticmethod(lambda devices: list(range(int(devices)))))


def made(tiny: Configure, folder: Path, **trainer: object) -> L.Trainer:
    part = config.Trainer(progress=False, **trainer)  # type: ignore[arg-type]
    return make_trainer(tiny(trainer=part), folder, Stopwatch(), WholeFiles())


@pytest.mark.parametrize(
    ("asked", "bf16", "dtype", "scaled"),
    [
        ("auto", True, "bf16-mixed", False),
        ("auto", False, "16-mixed", True),
        ("bf16", False, "bf16-mixed", False),
        ("fp16", True, "16-mixed", True),
        ("fp32", True, "32-true", None),
    ],
)
def test_a_gpu_without_bf16_trains_in_fp16_with_scaled_gradients(
    tiny: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    bf16: bool,
    dtype: str,
    scaled: bool | None,
) -> None:
    gpus(monkeypatch, 1, bf16)
    plugin = made(tiny, tmp_path, precision=asked, accelerator="cuda").precision_plugin
    assert plugin.precision == dtype
    if scaled is None:
        assert type(plugin) is Precision
    else:
        assert isinstance(plugin, MixedPrecision)
        assert plugin.device == "cuda"
        assert (plugin.scaler is not None) == scaled


@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
def test_a_cpu_trains_in_bf16_only_where_it_multiplies_in_it(
    tiny: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accelerator: str
) -> None:
    gpus(monkeypatch, 1 if accelerator == "cpu" else 0, bf16=False)  # a GPU that is there and not used decides nothing
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for has in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        plugin = made(tiny, tmp_path, accelerator=accelerator).precision_plugin
        assert plugin.precision == ("bf16-mixed" if has else "32-true")


def test_statistics_are_shared_between_gpus_where_that_is_asked_for(
    tiny: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(monkeypatch, 2, bf16=True)
    several = {"devices": 2, "strategy": "ddp", "accelerator": "cuda"}
    assert made(tiny, tmp_path, **several).strategy._layer_sync is None  # type: ignore[attr-defined]
    asked = made(tiny, tmp_path, sync_batch_norm=True, **several).strategy._layer_sync  # type: ignore[attr-defined]
    assert isinstance(asked, TorchSyncBatchNorm)
    with pytest.raises(UserError, match=r"trainer\.sync_batch_norm=true: .* 2 processes of a cpu"):
        made(tiny, tmp_path, sync_batch_norm=True, **{**several, "accelerator": "cpu"})
