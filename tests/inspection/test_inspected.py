from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from detector import config
from detector.arithmetic.model import take_ledger
from detector.build_detector import build_detector
from detector.inspection.inspected import Inspected, inspect_detector
from detector.inspection.tree import Node, make_tree


@pytest.fixture(scope="module")
def faster_rcnn() -> Inspected:
    with torch.device("meta"):
        detector = build_detector(
            model=config.FasterRCNNOptions(proposals=40),
            backbone=config.ResNetOptions(depth=18),
            neck=config.FPNOptions(highest=6),
            classes=5,
            image_size=128,
        )
    return inspect_detector(detector, 128)


def find(node: Node, path: str) -> Node:
    return next(one for one in every(node) if one.path == path)


def every(node: Node) -> list[Node]:
    return [node, *(one for child in node.children for one in every(child))]


def test_the_leaves_are_the_ledger_and_blocks_add_up(faster_rcnn: Inspected) -> None:
    ledger, tree = faster_rcnn.ledger, faster_rcnn.tree
    leaves = [node.layer for node in every(tree) if node.layer]
    assert sorted(leaf.name for leaf in leaves) == sorted(layer.name for layer in ledger.layers)
    assert (tree.parameters, tree.multiply_accumulates) == (ledger.parameters, ledger.multiply_accumulates)
    for node in every(tree):
        if node.children:
            assert node.activation_bytes == sum(child.activation_bytes for child in node.children)
            assert node.parameters == sum(child.parameters for child in node.children)


def test_parts_come_as_the_image_passes_through_them(faster_rcnn: Inspected) -> None:
    labels = [part.label for part in faster_rcnn.parts]
    assert labels == ["normalise", "backbone.stages", "neck", "proposals.network.head", "roi_stage"]


def test_blocks_have_the_volumes_of_their_outputs(faster_rcnn: Inspected) -> None:
    assert find(faster_rcnn.tree, "backbone.stages.4").outputs == ((1, 512, 4, 4),)
    assert [shape[2] for shape in find(faster_rcnn.tree, "neck").outputs] == [16, 8, 4, 2]
    assert find(faster_rcnn.tree, "roi_stage.pool").outputs == ((40, 256, 7, 7),)
    assert find(faster_rcnn.tree, "roi_stage.class_logits").outputs == ((40, 6),)


def test_fields_grow_by_the_formula_from_stage_to_stage(faster_rcnn: Inspected) -> None:
    """ResNet-18: 7, pooling 2·2, then two 3×3 convolutions a block: 4·2 at each of 4 convolutions, then 4, 3·8, ..."""
    field = faster_rcnn.field_of(find(faster_rcnn.tree, "backbone.stages.1"))
    assert field is not None
    assert (field.size, field.stride) == ((7 + 2 * 2 + 4 * 2 * 4,) * 2, (4, 4))
    field = faster_rcnn.field_of(find(faster_rcnn.tree, "backbone.stages.2"))
    assert field is not None
    assert field.size == (43 + 2 * 4 + 3 * 2 * 8,) * 2


def test_the_field_of_a_block_is_the_largest_of_its_outputs_not_of_its_layers(faster_rcnn: Inspected) -> None:
    backbone, last = faster_rcnn.parts[1], find(faster_rcnn.tree, "backbone.stages.4")
    assert faster_rcnn.field_of(backbone) == faster_rcnn.field_of(last)
    neck = faster_rcnn.field_of(faster_rcnn.parts[2])
    assert neck is not None
    assert neck == max((faster_rcnn.fields[f"neck.P{level}"] for level in (3, 4, 5, 6)), key=lambda one: one.size)


def test_a_shared_layer_has_a_field_for_each_level_and_layers_behind_a_region_none(faster_rcnn: Inspected) -> None:
    name = "proposals.network.head.cls_logits"
    fields = [faster_rcnn.field_of(find(faster_rcnn.tree, name + run)) for run in ("", ":2", ":3", ":4")]
    assert [field and field.stride for field in fields] == [(8, 8), (16, 16), (32, 32), (64, 64)]
    assert all(faster_rcnn.field_of(node) is None for node in every(find(faster_rcnn.tree, "roi_stage")))


def test_the_number_of_regions_is_said(faster_rcnn: Inspected) -> None:
    assert faster_rcnn.dry_run.regions == 40
    assert any("40 regions (model.proposals)" in note for note in faster_rcnn.dry_run.notes)


class Outer(nn.Module):
    """A block with parameters of its own, a layer used twice, a chain of blocks with one child each."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4, 1, 1))
        self.chain = nn.ModuleDict({"inner": nn.ModuleList([nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU())])})
        self.twice = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner: Any = self.chain["inner"]
        x = inner[0](self.twice(self.twice(x)))
        return x * self.scale


def test_blocks_nest_by_name_and_a_chain_is_one_block() -> None:
    network = nn.Sequential(Outer())
    ledger = take_ledger(network, lambda: network(torch.zeros(1, 4, 8, 8)))
    (outer,) = make_tree(network, ledger, {"0": [(1, 4, 6, 6)], "0.chain.inner.0": [(1, 4, 6, 6)]}).children
    assert [child.label for child in outer.children] == ["twice", "twice:2", "chain.inner.0", "own parameters"]
    assert [child.parameters for child in outer.children] == [20, 0, 148, 4]
    assert [leaf.label for leaf in outer.children[2].children] == ["0", "1"]
    assert outer.children[2].kind == "Sequential"


def test_a_block_that_fills_another_has_the_field_of_its_outputs() -> None:
    """timm's network inside the backbone gives a list; the backbone gives the dictionary of levels."""
    pytest.importorskip("timm")
    with torch.device("meta"):
        detector = build_detector(
            model=config.RCNNOptions(max_proposals=4),
            backbone=config.TimmOptions(model="tf_mobilenetv3_small_minimal_100"),
            classes=2,
            image_size=64,
        )
    inspected = inspect_detector(detector, 64)
    backbone = inspected.parts[1]
    assert backbone.label == "backbone.model"
    assert inspected.field_of(backbone) == inspected.fields["backbone.C5"]
    assert inspected.ledger.mistakes() == []
