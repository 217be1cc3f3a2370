"""Numbers that corners are made of, out of reduced precision: in bfloat16 they would be off by pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """float16 and bfloat16 → float32; float32 and float64 stay as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
