"""What to lower where the memory is not enough."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from detector.errors import RunError, UserError

_SAID = re.compile(
    r"out of memory|allocate memory|bad_alloc|Insufficient memory|ALLOC_FAILED|HOST_ALLOCATION|Unable to allocate"
    r"|could not create a (?:primitive|memory)|can't start new thread",
    re.IGNORECASE,
)
"""How CUDA, PyTorch's allocators, C++, OpenCV, cuDNN, NumPy, oneDNN and Python say it, if not with a type of their own."""

_KEYS = (
    ("data.batch_size", "(trainer.accumulate=2 keeps the images of a step)"),
    ("batch_size", ""),
    ("image_size", ""),
    ("model.max_proposals", ""),
    ("trainer.precision", "(bf16 or fp16 halve the activations)"),
    ("data.workers", ""),
    ("data.cache", ""),
)


@contextmanager
def answer_memory(settings: Any) -> Iterator[None]:
    """Turns a lack of memory within, on a GPU or not, also in a loader process, into a UserError that names what to lower."""
    try:
        yield
    except Exception as error:
        if not _is_lack_of_memory(error):
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = next((line for line in lines if _SAID.search(line)), lines[-1] if lines else type(error).__name__)
        place = "of the GPU" if "CUDA" in str(error) or "OutOfMemoryError" in type(error).__name__ else "of the machine"
        raise UserError(f"out of memory {place}: lower {', '.join(_lowered(settings))} ({_short(said)})") from error


def _is_lack_of_memory(error: Exception) -> bool:
    if isinstance(error, UserError | RunError):  # it has its own line, which may name a lack of memory as one cause
        return False
    return (
        isinstance(error, MemoryError) or bool(_SAID.search(str(error))) or type(error).__name__ == "OutOfMemoryError"
    )


def _lowered(settings: Any) -> Iterator[str]:
    """The keys of these settings that decide about memory, with what they are now."""
    for key, more in _KEYS:
        value = settings
        for name in key.split("."):
            value = getattr(value, name, None)
        if (isinstance(value, int) and value > 1) or (isinstance(value, str) and value not in ("bf16", "fp16", "none")):
            yield f"{key}={value} {more}".strip()


def _short(text: str) -> str:
    text = re.sub(r"^(\[[^]]*\] *\.?|\w+(\.\w+)*Error: )", "", text)
    return text if len(text) <= 120 else f"{text[:119]}…"
