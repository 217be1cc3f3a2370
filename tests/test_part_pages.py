"""The site's page for each part: it is there, says what the part is, and its figure is what the part computes."""

from __future__ import annotations

import dataclasses
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import part_pages
import pytest
import torch
import yaml
from block_figures import Block, trace, work_by_stride
from curve_figures import STEPS, WARMUP, moved_box, rates, scaled_box, value_and_slope
from part_pages import Page, pages
from scene_figures import SIDE, assign, augmentation_sheet, overlapping_predictions

from detector.arithmetic.model import take_ledger
from detector.assigners.max_iou import MaxIoUAssignerOptions
from detector.assigners.task_aligned import TaskAlignedAssignerOptions
from detector.backbones.vgg import VGGOptions
from detector.data.options import Augment
from detector.heads.anchor_free import AnchorFreeHeadOptions
from detector.layers import count_parameters
from detector.necks import NECKS
from detector.optimizers import AdamWOptions, ScheduleFreeOptions
from detector.options import MISSING
from detector.types import FeatureInfo

ROOT = Path(__file__).resolve().parents[1]
FEATURES = FeatureInfo(("C2", "C3", "C4", "C5"), (8, 16, 24, 40), (4, 8, 16, 32))
PAGES = pages()


def test_every_choice_of_a_part_has_a_page_that_says_how_to_choose_it() -> None:
    paths = [page.path for page in PAGES]
    assert len(paths) == len(set(paths)) > 25
    for group in ("backbone", "neck", "head", "assigner", "loss", "model", "augment", "optim"):
        chosen = [choice for page in PAGES if page.group == group for choice in page.choices]
        assert sorted(chosen) == sorted(file.stem for file in (ROOT / "configs" / group).glob("*.yaml")), group
    assert [page.title for page in PAGES if page.picture is None] == ["All losses together"]


@pytest.mark.parametrize("page", [one for one in PAGES if one.options], ids=lambda one: one.path)
def test_a_page_has_every_option_with_its_default(page: Page) -> None:
    text = part_pages.text(page)
    assert f"::: {page.shown}\n" in text
    assert page.options is not None
    for field in dataclasses.fields(page.options):
        name = field.name
        rows = re.findall(rf"^\| `{name}` \| .+ \| (.+) \| \w.+ \|$", text, re.MULTILINE)
        assert len(rows) == (name != "name"), f"{name}: {rows}"
        shown = rows[0].strip("`") if rows else ""
        match field.default:
            case bool(value):
                assert shown == str(value).lower()
            case int(value) | float(value):
                assert float(shown) == value
            case str(value) if rows and value != MISSING:
                assert shown == value


@pytest.mark.parametrize("page", [one for one in PAGES if one.group in ("backbone", "neck", "head", "assigner")])
def test_what_a_page_shows_names_its_paper(page: Page) -> None:
    file = ROOT.joinpath(*page.shown.split(".")).with_suffix(".py")
    assert re.search(r"\b(19|20)\d\d\b", file.read_text(encoding="utf-8")) or page.name == "darknet_cfg"


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("fpn", {"P3": {"C3", "C4", "C5"}, "P4": {"C4", "C5"}, "P5": {"C5"}}),  # Lin et al. 2017, figure 3
        ("pan", {level: {"C3", "C4", "C5"} for level in ("P3", "P4", "P5")}),
        ("none", {"P3": {"C3"}, "P4": {"C4"}, "P5": {"C5"}}),
    ],
)
def test_a_diagram_of_a_neck_connects_each_level_with_what_it_is_made_of(name: str, seen: dict[str, set[str]]) -> None:
    cls = next(cls for cls in NECKS if cls.name == name)
    build: Any = partial(cls().build, FEATURES)
    inputs, outputs = trace(build, FEATURES)
    assert {one.label: {given.label for given in inputs if one.depends_on(given)} for one in outputs} == seen
    info = build().info
    assert [(one.channels, one.stride) for one in outputs] == list(zip(info.channels, info.strides, strict=True))


def test_a_diagram_of_a_head_has_a_convolution_for_each_that_it_has() -> None:
    with torch.device("meta"):
        head = AnchorFreeHeadOptions().build(FEATURES, 3, 64)
    _, outputs = trace(lambda: AnchorFreeHeadOptions().build(FEATURES, 3, 64), FEATURES)
    blocks: set[Block] = set()
    waiting = list(outputs)
    while waiting:
        blocks.add(one := waiting.pop())
        waiting += one.sources
    convolutions = sum(isinstance(one, torch.nn.Conv2d) for one in head.modules())
    assert sum(one.kind == "block" for one in blocks) == convolutions == 4 * 2 * 3
    assert {one.label: one.channels for one in outputs} == {"class_logits": 3, "box_logits": 64}


def test_the_work_of_a_backbone_adds_up_and_its_convolutions_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        vgg, images = VGGOptions(depth=16).build().eval(), torch.zeros(1, 3, 64, 64)
    work = work_by_stride(take_ledger(vgg, lambda: vgg(images)), 64)
    assert {stride: dict(one.kernels) for stride, one in work.items()} == {
        1: {3: 2}, 2: {3: 2}, 4: {3: 3}, 8: {3: 3}, 16: {3: 3}, 32: {},
    }  # fmt: skip  # Simonyan & Zisserman 2015, table 1, column D
    assert [one.channels for one in work.values()] == [64, 128, 256, 512, 512, 512]
    assert sum(one.parameters for one in work.values()) == count_parameters(vgg)
    with torch.device("meta"):
        drawn = part_pages.backbone_figure(take_ledger(vgg, lambda: vgg(images)), vgg.info, 64)
    words = [text.get_text() for axes in drawn.axes for text in axes.texts]
    assert "C3\n512 × 8 × 8" in words


def test_task_aligned_points_lie_in_their_object() -> None:
    seen = assign(TaskAlignedAssignerOptions(top=9))
    taken = seen.found.weights > 0
    places = seen.points.centres[seen.found.points[taken]]
    boxes = seen.boxes[seen.found.objects[taken]]
    assert ((places >= boxes[:, :2]) & (places <= boxes[:, 2:])).all()
    assert seen.found.objects[taken].bincount(minlength=len(seen.boxes)).min() >= 1
    assert seen.found.objects[taken].bincount().max() <= 9


def test_an_anchor_of_the_cell_of_each_centre_is_assigned_by_max_iou() -> None:
    seen = assign(MaxIoUAssignerOptions())
    taken = seen.found.weights > 0
    places, strides = seen.points.centres[seen.found.points[taken]], seen.points.strides[seen.found.points[taken]]
    boxes = seen.boxes[seen.found.objects[taken]]
    assert ((places - (boxes[:, :2] + boxes[:, 2:]) / 2).abs() <= strides[:, None] / 2).all()
    assert set(seen.found.objects[taken].tolist()) == set(range(len(seen.boxes)))


def test_curves_of_box_losses_are_those_of_the_formula() -> None:
    moved, slope = value_and_slope(moved_box("iou"), torch.tensor([0.5, -0.5, 1.0]))
    np.testing.assert_allclose(moved, [2 / 3, 2 / 3, 1.0])  # 1 − (1 − x) / (1 + x)
    np.testing.assert_allclose(slope[:2], [2 / 1.5**2, -2 / 1.5**2], rtol=1e-6)
    scaled, _ = value_and_slope(scaled_box("iou"), torch.tensor([1.0, -1.0]))
    np.testing.assert_allclose(scaled, [0.75, 0.75])
    stretched, _ = value_and_slope(scaled_box("iou", height=False), torch.tensor([1.0, -1.0]))
    np.testing.assert_allclose(stretched, [0.5, 0.5])
    of_ciou, _ = value_and_slope(scaled_box("ciou", height=False), torch.tensor([1.0]))
    assert of_ciou[0] > 0.5, "another shape costs CIoU more"


def test_curves_of_learning_rates_climb_and_fall_as_the_options_say() -> None:
    cosine = rates(AdamWOptions(lr=0.4, final_lr=0.1))
    assert len(cosine) == STEPS
    assert cosine.argmax() == WARMUP
    np.testing.assert_allclose([cosine[0], cosine.max(), cosine[-1]], [0.4 / (WARMUP + 1), 0.4, 0.04], rtol=1e-3)
    free = rates(ScheduleFreeOptions(lr=0.4))
    assert free[0] < 0.1
    assert (free[WARMUP:] == 0.4).all()


def test_scenes_differ_where_an_augmentation_changes_them_and_nowhere_else() -> None:
    sheet = augmentation_sheet({"nothing": Augment(name="nothing"), "turned": Augment(name="turned", rotate90=1.0)})
    gap = (sheet.shape[1] - 3 * SIDE) // 4
    plain, nothing, turned = (sheet[gap : gap + SIDE, gap + (SIDE + gap) * i :][:, :SIDE] for i in range(3))
    assert np.array_equal(plain, nothing)
    assert (plain == turned).mean() < 0.5


def test_of_the_predictions_of_an_object_one_is_of_another_class() -> None:
    boxes = torch.tensor([[10.0, 10.0, 60.0, 60.0], [80.0, 80.0, 120.0, 120.0]])
    _, scores = overlapping_predictions(boxes, torch.tensor([1, 4]))
    assert scores.argmax(dim=1).tolist() == [1, 1, 1, 2, 4, 4, 4, 0]
    assert ((scores > 0).sum(dim=1) == 1).all()


def test_a_figure_is_the_same_whenever_it_is_drawn() -> None:
    page = next(page for page in PAGES if page.shown == "detector.layers")
    assert page.picture is not None
    first, second = part_pages.content(page.picture.draw()), part_pages.content(page.picture.draw())
    assert first == second
    assert b"<dc:date>" not in first


def test_the_menu_leads_to_every_page_and_the_table_of_parts_to_most() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    menu = part_pages.on_config(config)["nav"]
    listed = str(next(entry["Parts"] for entry in menu if isinstance(entry, dict) and "Parts" in entry))
    assert all(page.path in listed for page in PAGES)
    shown = SimpleNamespace(file=SimpleNamespace(src_uri="parts.md"))
    linked = part_pages.on_page_markdown((ROOT / "docs/parts.md").read_text(encoding="utf-8"), shown)
    targets = set(re.findall(r"\]\((parts/\w+/\w+\.md)\)", linked))
    assert targets <= {page.path for page in PAGES}
    assert len(targets) > 20
    assert part_pages.on_page_markdown("`necks/fpn.py` |", SimpleNamespace(file=SimpleNamespace(src_uri="a.md"))) == (
        "`necks/fpn.py` |"
    )
