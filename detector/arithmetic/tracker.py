"""A network's operations, watched one by one while it runs: what each of its tensors depends on, or why that is not known.

PyTorch's dispatcher sees every operation below the level of modules and functions. Each has a rule (`dependence_rules`), and
what is computed of a tensor by one that has none is unknown from there on: nothing is left out of a receptive field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from detector.arithmetic.dependence import (
    Dependence,
    TooLargeError,
    combined,
    nothing,
    of_image,
)
from detector.arithmetic.dependence_rules import rule_of
from detector.arithmetic.moving_rules import Call

REPLACING = ("aten::copy_", "aten::fill_", "aten::zero_")
"""Operations for which what their first argument was before does not matter."""
Key = tuple[int, int, tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Unknown:
    """It depends on the image in a way that is not known."""

    reason: str
    """Which operation has no rule, or none for what it was asked."""


@dataclass(frozen=True)
class _Record:
    dependence: Dependence | Unknown | None
    time: int
    tensor: Tensor
    """Kept, so that no other tensor has its storage meanwhile."""


class Tracker(TorchDispatchMode):
    """While it is entered, it knows of every tensor what it depends on."""

    def __init__(self) -> None:
        super().__init__()
        self._records: dict[Key, _Record] = {}
        self._written: dict[int, int] = {}
        """Storage in which something depends on the image → when it was last written to."""
        self._first: dict[int, Tensor] = {}
        """Storage → the tensor that was made with it."""
        self._time = 0

    def start(self, images: Tensor) -> None:
        """Begins with images [B, C, *size], each pixel of which depends on itself."""
        self._first[_storage(images)] = images
        self._record(images, of_image(images.shape))

    def dependence_of(self, tensor: Tensor) -> Dependence | Unknown | None:
        """None: it does not depend on the images."""
        storage = _storage(tensor)
        if storage not in self._written:
            return None
        record = self._records.get(_key(tensor))
        if record is None or record.time < self._written[storage]:
            return Unknown("part of a tensor that was written to in place")
        return record.dependence

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the operation, then its rule."""
        kwargs = kwargs or {}
        inputs = _tensors([*args, *kwargs.values()])
        before = [(tensor, self.dependence_of(tensor)) for tensor in inputs]
        result = function(*args, **kwargs)
        outputs = _tensors([result])
        for output in outputs:
            self._first.setdefault(_storage(output), output)
        if any(dependence is not None for _, dependence in before):
            self._time += 1
            written = _written_arguments(function, args, kwargs)
            for output, dependence in zip(outputs, self._after(function, args, kwargs, before, outputs), strict=True):
                if any(_key(output) == _key(one) for one in written):
                    self._write(output, dependence)
                else:
                    self._record(output, dependence)
            for one in written:
                if not any(_key(one) == _key(output) for output in outputs):
                    self._write(one, Unknown(f"{function}, which writes into what it is given"))
        return result

    def _after(
        self,
        function: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        before: list[tuple[Tensor, Dependence | Unknown | None]],
        outputs: list[Tensor],
    ) -> Sequence[Dependence | Unknown | None]:
        """What each output depends on."""
        replaced = function._schema.name in REPLACING
        for _, dependence in before[replaced:]:
            if isinstance(dependence, Unknown):
                return [dependence] * len(outputs)
        rule = rule_of(function)
        if rule is None:
            return [Unknown(f"{function}, which has no rule")] * len(outputs)
        known = {id(tensor): one for tensor, one in before if isinstance(one, Dependence)}
        try:
            found = rule(Call(function, args, kwargs, known, outputs))
        except TooLargeError:
            found = None
        if found is None:
            return [Unknown(f"{function}, as it is used here")] * len(outputs)
        if not isinstance(found, Dependence):
            return found
        missing = Unknown(f"{function}, but for its first result")
        return [found if output.shape == outputs[0].shape else missing for output in outputs]

    def _record(self, tensor: Tensor, dependence: Dependence | Unknown | None) -> None:
        if dependence is None and _storage(tensor) not in self._written:
            return
        self._written.setdefault(_storage(tensor), 0)
        self._records[_key(tensor)] = _Record(dependence, self._time, tensor)

    def _write(self, part: Tensor, dependence: Dependence | Unknown | None) -> None:
        """After an operation in place nothing else in that storage is known, but the tensor that `part` is a slice of."""
        storage = _storage(part)
        whole = self._first.get(storage)
        after = None
        if whole is not None and _key(whole) != _key(part):
            after = _with_part(whole, self.dependence_of(whole), part, dependence)
        self._written[storage] = self._time
        self._record(part, dependence)
        if whole is not None and after is not None:
            self._record(whole, after)


def _with_part(
    whole: Tensor, before: Dependence | Unknown | None, part: Tensor, dependence: Dependence | Unknown | None
) -> Dependence | Unknown | None:
    """What a tensor depends on of which a slice is replaced; None where it is no slice of it or nothing is known."""
    if isinstance(before, Unknown) or not isinstance(dependence, Dependence) or whole.dim() != part.dim():
        return None
    if not whole.is_contiguous():
        return None
    places, rest = [], int(part.storage_offset() - whole.storage_offset())
    for size, step, inner, inner_step in zip(whole.shape, whole.stride(), part.shape, part.stride(), strict=True):
        start, rest = divmod(rest, step) if step else (0, rest)
        if inner > 1 and (step == 0 or inner_step % step):
            return None
        stride = inner_step // step if inner > 1 else 1
        if start + (inner - 1) * stride >= size:
            return None
        places.append(slice(start, start + (inner - 1) * stride + 1, stride))
    if before is None:
        before = nothing(dependence, whole.dim())

    def replaced(both: list[Tensor]) -> Tensor:
        old, new = both
        covered = [inner == size for inner, size in zip(part.shape, whole.shape, strict=True)]
        shape = [
            max(a, b) if all_of_it else size
            for a, b, all_of_it, size in zip(old.shape, new.shape, covered, whole.shape, strict=True)
        ]
        result = old.expand(shape).clone()
        result[tuple(slice(None) if all_of_it else one for all_of_it, one in zip(covered, places, strict=True))] = new
        return result

    try:
        return combined([before, dependence], replaced)
    except TooLargeError:
        return None


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _key(tensor: Tensor) -> Key:
    return _storage(tensor), int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride()


def _written_arguments(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Tensor]:
    found = []
    for i, argument in enumerate(function._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[i] if i < len(args) else kwargs.get(argument.name)
            found += _tensors([value])
    return found


def _tensors(values: Sequence[Any]) -> list[Tensor]:
    found = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found
