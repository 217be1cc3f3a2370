"""A detector taken apart: what its layers are, what they cost, and what they see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from detector.arithmetic.model import Ledger, take_ledger
from detector.arithmetic.receptive_field import ReceptiveField, find_receptive_fields
from detector.inspection.dry_run import DryRun, dry_run
from detector.inspection.tree import Node, make_tree

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Inspected:
    """The ledger of a detector's dry run on one image, with receptive fields and blocks."""

    ledger: Ledger
    fields: dict[str, ReceptiveField]
    """Receptive fields by name of a layer or block (`receptive_fields`); missing where there is none."""
    unknown_fields: dict[str, str]
    """Name of a layer or block of which the field is not known → why."""
    tree: Node
    """The detector as blocks within blocks; its layers are the leaves."""
    dry_run: DryRun

    @property
    def parts(self) -> list[Node]:
        """What the detector is made of."""
        return self.tree.children

    def field_of(self, node: Node) -> ReceptiveField | None:
        """Receptive field of a node's output; the largest one of a block with several outputs, such as a neck."""
        own = [field for name, field in self.fields.items() if _belongs(name, node)]
        return (
            max(own, key=lambda field: (field.size, field.whole), default=None) if not self.unknown_of(node) else None
        )

    def unknown_of(self, node: Node) -> str | None:
        """Why the field of a node's output, or of one of its outputs, is not known; None where it is, or there is none."""
        return next((reason for name, reason in self.unknown_fields.items() if _belongs(name, node)), None)


def inspect_detector(detector: nn.Module, image_size: int) -> Inspected:
    """Takes a detector on the meta device apart, for one image of `image_size` · `image_size` pixels."""
    detector.eval()
    dry = dry_run(detector, image_size)
    with noting_outputs(detector) as outputs:
        ledger = take_ledger(detector, dry.run)
    fields = find_receptive_fields(dry.view)
    return Inspected(ledger, fields.fields, fields.unknown, make_tree(detector, ledger, outputs), dry)


def _belongs(name: str, node: Node) -> bool:
    """A block's field is under its own name, or that of an output of it, `neck.P3`, which is no submodule; of any run."""
    if node.layer:
        return name == node.path
    start, _, output = name.partition(":")[0].rpartition(".")
    return (
        name.partition(":")[0] == node.path
        or (start == node.path and output not in node.submodules)
        or (node.around is not None and _belongs(name, node.around))
    )


@contextmanager
def noting_outputs(module: nn.Module) -> Iterator[dict[str, list[Shape]]]:
    """Name of a submodule → shapes of all tensors that came out of it, while its hooks are there."""
    outputs: dict[str, list[Shape]] = {}

    def note(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            outputs.setdefault(name, []).extend(_shapes(output))

        return hook

    hooks = [one.register_forward_hook(note(name)) for name, one in module.named_modules() if list(one.children())]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _shapes(value: Any) -> Iterator[Shape]:
    if isinstance(value, Tensor):
        yield tuple(value.shape)
    elif isinstance(value, dict):
        yield from _shapes(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _shapes(one)
