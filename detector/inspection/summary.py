"""Any network taken apart in one call: `print(inspect(network, (1, 3, 224, 224)))`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from detector.arithmetic.model import Ledger, take_ledger
from detector.arithmetic.receptive_field import FieldsFound, ReceptiveField, find_receptive_fields
from detector.inspection.dry_run import DryRun
from detector.inspection.inspected import Inspected, noting_outputs
from detector.inspection.table import ledger_cells
from detector.inspection.tree import make_tree
from detector.visualization.text_table import terminal

EXPLANATION = (
    "MACs: multiply-accumulates of convolutions and fully connected layers; MiB: float32 outputs; field: pixels that an "
    "output depends on, +all: and, through a mean or attention, on the whole image, ?: not known; every: pixels from one "
    "field to the next"
)


@dataclass(frozen=True)
class Summary:
    """The layers of a network, what they cost and what they see; as text a table."""

    inspected: Inspected
    depth: int
    """Levels of blocks that the text shows; 0: all."""

    @property
    def ledger(self) -> Ledger:
        """Every run of every layer: kind, kernel, stride, shapes, parameters, multiply-accumulates, activation memory."""
        return self.inspected.ledger

    @property
    def parameters(self) -> int:
        """Parameters of the network."""
        return self.ledger.parameters

    @property
    def multiply_accumulates(self) -> int:
        """Multiply-accumulates of its convolutions and fully connected layers for the input."""
        return self.ledger.multiply_accumulates

    @property
    def fields(self) -> dict[str, ReceptiveField]:
        """Name of a layer or block → receptive field (`detector.arithmetic.receptive_field.receptive_fields`)."""
        return self.inspected.fields

    @property
    def unknown_fields(self) -> dict[str, str]:
        """Name of a layer or block of which the receptive field is not known → why."""
        return self.inspected.unknown_fields

    def __str__(self) -> str:
        table = terminal(ledger_cells(self.inspected, self.depth))
        return "\n".join([table, "", EXPLANATION, *check_lines(self.inspected)])


def inspect(module: nn.Module, input_size: tuple[int, ...], depth: int = 0) -> Summary:
    """Takes any network apart, as it is in evaluation mode: counts, shapes, costs and receptive fields of its layers.

    It runs without content (on PyTorch's meta device): in seconds, with no memory for weights or activations, and the network
    is left as it was. Counts are compared with PyTorch's own, and the text says "checked" or what differs. The fields are
    those in a large image; of a network that takes images of one size only, those in such an image.

    Args:
        module: takes one float tensor.
        input_size: its shape, batch first: [B, C, *size] of images, signals or volumes. Others have no receptive fields.
        depth: levels of blocks that the text shows; 0: all layers.

    Raises:
        ValueError: the network does not run on an input of that shape without content; what it said is quoted.
    """
    if depth < 0:
        raise ValueError(f"depth={depth}: 1 or more, or 0 for all layers")
    if len(input_size) < 2 or min(input_size) < 1:
        raise ValueError(
            f"input_size={tuple(input_size)}: a batch and its channels are expected, as in (1, 3, 224, 224)"
        )
    run = _without_content(module, tuple(input_size))
    training = {one: one.training for one in module.modules()}
    try:
        module.eval()
        with noting_outputs(module) as outputs:
            ledger = take_ledger(module, run)
    except Exception as error:
        raise ValueError(
            f"{type(module).__name__} does not run on an input of {tuple(input_size)} without content: "
            f"{type(error).__name__}: {error}"
        ) from error
    finally:
        for one, was in training.items():
            one.training = was
    fields = FieldsFound()
    if len(input_size) > 2:
        fields = find_receptive_fields(module, input_size[1], tuple(input_size[2:]))
    dry = DryRun(run, module, input_size[-1], "image", None, ())
    tree = make_tree(module, ledger, outputs)
    return Summary(Inspected(ledger, fields.fields, fields.unknown, tree, dry), depth)


def _without_content(module: nn.Module, shape: tuple[int, ...]) -> Callable[[], Any]:
    tensors = {name: tensor.to("meta") for name, tensor in (*module.named_parameters(), *module.named_buffers())}
    dtype = next((tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()), torch.float32)
    return lambda: functional_call(module, tensors, (torch.zeros(shape, device="meta", dtype=dtype),))


def check_lines(inspected: Inspected) -> list[str]:
    """What formulas and PyTorch's own counts say of each other, differences by name, and what is not checked or not known."""
    ledger = inspected.ledger
    if mistakes := ledger.mistakes():
        return [f"WRONG: {len(mistakes)} counts are not PyTorch's", *mistakes]
    operations = sum(layer.counted_flops for layer in ledger.layers)
    lines = [
        f"checked: {ledger.parameters:,} parameters in the layers, as many in the network; "
        f"{2 * ledger.multiply_accumulates:,} operations (2 for each MAC) by formula, "
        f"{operations:,} counted by torch.utils.flop_counter"
    ]
    for operation, flops in ledger.flops_outside.items():
        lines.append(f"not checked: {flops:,} operations of {operation} outside of layers: they are in no total")
    for reason, count in Counter(inspected.unknown_fields.values()).items():
        name = next(name for name, one in inspected.unknown_fields.items() if one == reason)
        more = f" and {count - 1} more" if count > 1 else ""
        lines.append(f"not known: the receptive field of {name or 'the whole network'}{more}: {reason}")
    return lines
