"""The layers of a ledger as blocks within blocks, as the names of their modules nest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import nn

from detector.arithmetic.model import Layer, Ledger


@dataclass
class Node:
    """A block, or a layer, which has no children."""

    label: str
    """Name of the block within the one around it."""
    path: str
    """Name of the block in the detector, "" of the detector itself; of a layer that of the ledger."""
    kind: str
    """Class of the module."""
    outputs: tuple[tuple[int, ...], ...]
    """Shapes of all tensors that come out of it."""
    layer: Layer | None = None
    submodules: frozenset[str] = frozenset()
    """Names of the modules in it, and not deeper."""
    children: list[Node] = field(default_factory=list)
    """Blocks within it, in the order in which they first run."""
    around: Node | None = None
    """The block that has nothing but this one in it, and is one with it."""

    def layers(self) -> Iterator[Layer]:
        """All in it."""
        if self.layer:
            yield self.layer
        for child in self.children:
            yield from child.layers()

    @property
    def parameters(self) -> int:
        """Parameters of all layers in the node."""
        return sum(layer.parameters for layer in self.layers())

    @property
    def multiply_accumulates(self) -> int:
        """Multiply-accumulates of all layers in the node."""
        return sum(layer.multiply_accumulates for layer in self.layers())

    @property
    def activation_bytes(self) -> int:
        """Bytes of the activations of all layers in the node."""
        return sum(layer.activation_bytes for layer in self.layers())


def make_tree(detector: nn.Module, ledger: Ledger, outputs: Mapping[str, list[tuple[int, ...]]]) -> Node:
    """A node for each block that has a layer, and for each run of each layer.

    A block with a single child and nothing else is one with it: `head.conv` instead of `head`, and in it `conv`.

    Args:
        detector: whose ledger it is.
        ledger: its layers, by name.
        outputs: of blocks, by name: shapes of what came out.
    """
    blocks: dict[str, Node] = {}

    def block(path: str) -> Node:
        if path not in blocks:
            module = detector.get_submodule(path)
            names = frozenset(name for name, _ in module.named_children())
            label = path.rpartition(".")[2]
            blocks[path] = Node(label, path, type(module).__name__, tuple(outputs.get(path, ())), submodules=names)
            if path:
                block(path.rpartition(".")[0]).children.append(blocks[path])
        return blocks[path]

    for layer in ledger.layers:
        name, _, run = layer.name.partition(":")
        given = () if layer.output_shape is None else (layer.output_shape,)
        if list(detector.get_submodule(name).children()):  # a block with parameters of its own
            block(name).children.append(
                Node(f"own parameters{run and ':' + run}", layer.name, layer.kind, given, layer)
            )
        else:
            parent, _, label = name.rpartition(".")
            block(parent).children.append(Node(f"{label}{run and ':' + run}", layer.name, layer.kind, given, layer))
    root = block("")
    root.children = [_joined(child) for child in root.children]
    return root


def _joined(node: Node) -> Node:
    node.children = [_joined(child) for child in node.children]
    if len(node.children) != 1 or (only := node.children[0]).layer:
        return node
    label = f"{node.label}.{only.label}"
    if only.outputs:
        only.label, only.around = label, node
        return only
    node.label, node.children = label, only.children  # it only holds them, as a ModuleList
    return node
