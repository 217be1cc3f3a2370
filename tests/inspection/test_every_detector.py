from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from composition import composed
from darknet_files import SMALL
from torch.utils.flop_counter import FlopCounterMode

from detector import config
from detector.arithmetic.model import Ledger, take_ledger
from detector.checkpoint import build
from detector.command_line import CONFIGS
from detector.inspection.dry_run import dry_run
from detector.layers import count_parameters
from detector.models.stages import StageTimer

SIDE, REGIONS = 128, 8
MODEL_OPTIONS = {
    "faster_rcnn": [f"model.proposals={REGIONS}"],
    "fast_rcnn": [f"model.max_proposals={REGIONS}"],
    "rcnn": [f"model.max_proposals={REGIONS}"],
}
BACKBONE_OPTIONS = {"timm": ["backbone.model=mobilenetv3_small_050"]}


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def combinations() -> list[tuple[str, ...]]:
    """Every model, backbone, neck and head in `configs`, as far as the model has one of its own."""
    found: list[tuple[str, ...]] = []
    for backbone in sorted({*choices("backbone")} - {"darknet_cfg"}):  # it needs a file, see below
        found.append(("model=rcnn", f"backbone={backbone}"))
        for neck in choices("neck"):
            both = (f"backbone={backbone}", f"neck={neck}")
            found += [(f"model={model}", *both) for model in ("fast_rcnn", "faster_rcnn")]
            found += [("model=single_shot", *both, f"head={head}") for head in choices("head")]
    return found


def options(combination: tuple[str, ...]) -> list[str]:
    chosen = dict(one.split("=") for one in combination)
    return [*MODEL_OPTIONS.get(chosen["model"], []), *BACKBONE_OPTIONS.get(chosen.get("backbone", ""), [])]


def test_no_model_is_left_out() -> None:
    assert {one[0] for one in combinations()} | {"model=darknet"} == {f"model={name}" for name in choices("model")}


FAST = {
    *(
        ("model=single_shot", "backbone=csp_darknet_nano", f"neck={neck}", "head=anchor_free")
        for neck in choices("neck")
    ),
    ("model=faster_rcnn", "backbone=csp_darknet_nano", "neck=pan"),
    ("model=fast_rcnn", "backbone=csp_darknet_nano", "neck=fpn"),
    ("model=rcnn", "backbone=csp_darknet_nano"),
}


def mark(combination: tuple[str, ...]) -> Any:
    fast = combination in FAST
    return pytest.param(combination, marks=[] if fast else [pytest.mark.slow], id="-".join(combination))


@pytest.mark.parametrize("combination", [mark(one) for one in combinations()])
def test_totals_are_those_of_a_real_detection(combination: tuple[str, ...]) -> None:
    if "backbone=timm" in combination:
        pytest.importorskip("timm")
    assert_totals_of_a_real_detection(
        composed("data=shapes", f"image_size={SIDE}", *combination, *options(combination))
    )


def test_totals_of_a_darknet_file_are_those_of_a_real_detection(tmp_path: Path) -> None:
    file = tmp_path / "small.cfg"
    file.write_text(SMALL)
    assert_totals_of_a_real_detection(
        composed("data=shapes", f"image_size={SIDE}", "model=darknet", f"model.cfg={file}"), classes=2
    )


def test_totals_on_a_darknet_classifier_are_those_of_a_real_detection(tmp_path: Path) -> None:
    file = tmp_path / "classifier.cfg"
    half = "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=2\npad=1\nactivation=leaky\n"
    file.write_text("[net]\nwidth=64\nheight=64\n" + 5 * half + "[avgpool]\n[softmax]\n")
    assert_totals_of_a_real_detection(
        composed("data=shapes", f"image_size={SIDE}", "backbone=darknet_cfg", f"backbone.cfg={file}")
    )


def assert_totals_of_a_real_detection(settings: config.Train, classes: int = 80) -> None:
    """The ledger, taken without content, with parameters and operations of the detector on an image."""
    with torch.device("meta"):
        hollow = build(settings, classes, pretrained=False).eval()
    dry = dry_run(hollow, SIDE)
    ledger = take_ledger(hollow, dry.run)
    assert ledger.mistakes() == []
    detector: Any = build(settings, classes, pretrained=False).eval()
    if isinstance(settings.model, config.FasterRCNNOptions):
        # an untrained network moves its anchors out of the image; unmoved, enough of them stay
        torch.nn.init.zeros_(detector.proposals.network.head.bbox_pred.weight)
    assert ledger.parameters == count_parameters(detector)
    assert 2 * ledger.multiply_accumulates + outside(ledger) == operations(detector, dry.regions)


def outside(ledger: Ledger) -> int:
    return sum(ledger.flops_outside.values())


def operations(detector: Any, regions: int | None) -> int:
    """That the flop counter sees in a real detection, in which as many regions as the ledger says are looked at."""
    images = torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8)
    corners = torch.rand(REGIONS, 2) * SIDE / 2
    proposals = [torch.cat([corners, corners + SIDE / 4], dim=1)]
    clock = StageTimer()
    with FlopCounterMode(display=False) as counter, clock.watching():
        detector.detect(images, *([proposals] if hasattr(detector, "search") else []))
    assert clock.regions == (regions or 0)
    return counter.get_total_flops()
