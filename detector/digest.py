"""A digest of what a checkpoint holds, by which changed bytes are noticed: torch.load itself compares no checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


def digest(content: Any) -> str:
    """SHA-256, in hexadecimal, of nested dictionaries, lists, tuples, tensors, numbers and texts.

    It depends on keys and their order, on the dtype, the shape and the elements of each tensor, and neither on the device
    that a tensor lies on nor on how it lies in memory.

    Raises:
        TypeError: there is something else in it.
    """
    found = hashlib.sha256()
    for part in _parts(content):
        found.update(part)
    return found.hexdigest()


def _parts(value: Any) -> Iterator[Any]:
    """Bytes that no other content gives: each begins with its kind and its length."""
    match value:
        case Tensor():
            yield f"tensor {value.dtype} {tuple(value.shape)}:".encode()
            yield value.detach().cpu().reshape(-1).view(torch.uint8).numpy()
        case dict():
            yield f"dict {len(value)}:".encode()
            for key, item in value.items():
                yield from _parts(key)
                yield from _parts(item)
        case list() | tuple():
            yield f"{'list' if isinstance(value, list) else 'tuple'} {len(value)}:".encode()
            for item in value:
                yield from _parts(item)
        case str():
            text = value.encode("utf-8", "surrogatepass")
            yield f"str {len(text)}:".encode() + text
        case bytes():
            yield f"bytes {len(value)}:".encode() + value
        case None | bool() | int() | float() | torch.dtype() | torch.device():
            yield f"{type(value).__name__} {value!r}:".encode()
        case _:
            raise TypeError(f"a {type(value).__name__} has no digest")
