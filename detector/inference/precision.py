"""The number format that a network computes in while it detects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from detector.errors import UserError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def dtype_of(precision: str, device: torch.device) -> torch.dtype:
    """The format of a `precision` of the configuration: auto | fp32 | bf16 | fp16.

    auto is bf16 on a device that multiplies in it (a GPU since Ampere, a CPU with AMX or AVX512-BF16), fp16 on other CUDA
    GPUs, and float32 everywhere else: a CPU that only imitates half precision took three times as long as in float32.

    Raises:
        UserError: it is none of these.
    """
    if precision in DTYPES:
        return DTYPES[precision]
    if precision != "auto":
        raise UserError(f"precision={precision}: choose one of auto, {', '.join(DTYPES)}")
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    multiplies = device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return torch.bfloat16 if multiplies else torch.float32


def precision_of(dtype: torch.dtype) -> str:
    """The word of the configuration for a format: fp32 | bf16 | fp16."""
    return next(word for word, one in DTYPES.items() if one == dtype)


def compute_in(network: nn.Module, dtype: torch.dtype, device: torch.device, convolutions: Sequence[nn.Conv2d]) -> None:
    """Lets the `forward` of a detector compute in `dtype`, and what it gives be float32 as before.

    So boxes, scores and suppression, which are no part of `forward`, are in full precision; the pixels are normalised in
    float32, and what autocast keeps in float32 stays in it. The weights of `convolutions` are converted once, here, instead
    of in each call.
    """
    if dtype == torch.float32:
        return
    for convolution in convolutions:
        convolution.to(dtype)
    network.forward = _forward_in(network, dtype, device)


class ComputingIn:
    """A context in which the `forward` of a detector computes in `dtype`, and gives float32; its weights stay as they are.

    It can be entered again and again, and what is compiled of the detector is translated once for it.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        self._network: Any = network
        self._forward = None if dtype == torch.float32 else _forward_in(network, dtype, device)

    def __enter__(self) -> None:
        if self._forward is not None:
            self._network.forward = self._forward

    def __exit__(self, *_: object) -> None:
        if self._forward is not None:
            del self._network.forward  # and there is that of its class again


def _forward_in(network: nn.Module, dtype: torch.dtype, device: torch.device) -> Callable[..., Any]:
    plain = network.forward

    def forward(*seen: Tensor) -> Any:
        with torch.autocast(device.type, dtype):
            return tree_map_only(Tensor, Tensor.float, plain(*seen))

    return forward
