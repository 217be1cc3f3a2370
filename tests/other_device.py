"""A device that is not there, so that what goes wrong on a GPU alone shows on a CPU.

Its tensors are computed on the CPU and say that they lie elsewhere. An operation that is given tensors of both places
raises, as it does on a GPU, and what a GPU would be waited for is counted. PyTorch cannot forget a device that it has been
told of: import this in a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "other"
COPIES = ("aten::_to_copy", "aten::copy_")
INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
SIZED_BY_VALUES = (
    "aten::_local_scalar_dense",
    "aten::equal",
    "aten::masked_select",
    "aten::nonzero",
    "aten::unique_consecutive",
    "aten::unique_dim",
    "aten::_unique2",
)
"""Operations whose result, or its size, the host must know before it goes on."""


class Module(_DummyBackendModule):
    """What `torch.autocast` asks a device's module for."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


_setup_privateuseone_for_python_backend(NAME, backend_module=Module())
torch.__future__.set_overwrite_module_params_on_conversion(True)


class Elsewhere(Tensor):
    """A tensor that says that it lies on the other device, and takes the ways that a GPU's takes."""

    inner: Any
    is_cuda: Any = property(lambda self: True)

    @staticmethod
    def __new__(cls, inner: Tensor) -> Elsewhere:
        made: Any = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )
        made.inner = inner
        return made

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a tensor of another device cannot be read by NumPy")

    __array__: Any = numpy

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise RuntimeError(f"{func}: not within OtherDevice")


class OtherDevice(TorchDispatchMode):
    """While it is entered, the other device is there.

    Attributes:
        waits: names of the operations at which the host would wait for a GPU.
        copies: of tensors to the device, those that the host would wait for (from memory that is not pinned, or not asked
            for otherwise).
        operations: on the device, the number of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.device = torch.device(NAME, 0)
        self.reset()

    def reset(self) -> None:
        """Counts from 0 again."""
        self.waits: list[str] = []
        self.copies: list[tuple[int, ...]] = []
        self.operations = 0

    def __enter__(self) -> OtherDevice:
        torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor(..., device=...)` becomes a copy that is seen here
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch._C._set_only_lift_cpu_tensors(False)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        if name == "aten::_pin_memory":
            return args[0].clone()
        if name == "aten::is_pinned":
            return False
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        elsewhere = any(isinstance(tensor, Elsewhere) for tensor in tensors)
        asked = kwargs.get("device")
        target = elsewhere if asked is None else torch.device(asked).type == NAME
        if name == "aten::copy_":
            target = isinstance(args[0], Elsewhere)
        if elsewhere or target:
            self._count(name, args, kwargs, tensors, target)

        given, named = tree_map(_inner, (args, kwargs))
        if asked is not None:
            named["device"] = torch.device("cpu")
        result = func(*given, **named)
        if target:
            result = tree_map(lambda leaf: Elsewhere(leaf) if isinstance(leaf, Tensor) else leaf, result)
        return return_and_correct_aliasing(func, args, kwargs, result) if elsewhere or target else result

    def _count(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], tensors: Sequence[Tensor], target: bool
    ) -> None:
        self.operations += 1
        here = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere)]
        if name in COPIES:
            if not target:
                self.waits.append("copy to the host")
            elif here and not (kwargs.get("non_blocking") or args[2:3] == (True,)):
                self.copies.append(tuple(here[0].shape))
            return
        indexed = name in INDEXING and isinstance(args[0], Elsewhere)
        if any(tensor.dim() for tensor in here):
            if not indexed:
                raise RuntimeError(f"{name} with {[(str(one.device), tuple(one.shape)) for one in tensors]}")
            self.waits.append(f"{name} by indices of the host")
        masks = (torch.bool, torch.uint8)
        if name in SIZED_BY_VALUES or (name == "aten::repeat_interleave" and kwargs.get("output_size") is None):
            self.waits.append(name)
        elif indexed and any(isinstance(one, Tensor) and one.dtype in masks for one in args[1]):
            self.waits.append(f"{name} by a mask")


def _inner(leaf: Any) -> Any:
    return leaf.inner if isinstance(leaf, Elsewhere) else leaf
