"""What shows on a GPU alone, on a device that is not there: tensors left behind on the CPU, and what the host waits for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("steps_elsewhere.py")
ANCHORS = "head=anchor_based assigner=max_iou loss=l1 optim=sgd"
SINGLE_SHOT = (
    "",
    "assigner=simota loss=giou loss.classification=focal model.suppression=soft",
    "head=anchor_based assigner=simota loss=l2 model.suppression=diou",
    "loss.classification=varifocal head.bins=0 model.suppression=class_agnostic optim=schedule_free",
    "neck=none backbone=efficientnet_b0",
    "backbone=timm backbone.model=convnext_atto neck=pan",
    "backbone=vgg11 optim=sgd",  # the first steps of AdamW are as large for a gradient that is rounding alone
)
REGIONS = (
    "model=faster_rcnn backbone=resnet18",
    "model=faster_rcnn backbone=resnet18 neck=none",
    "model=fast_rcnn backbone=resnet18",
    "model=rcnn backbone=resnet18",
)


def steps(*recipes: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *recipes],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(map(str, (SCRIPT.parents[2], SCRIPT.parents[1], SCRIPT.parent)))},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return dict(zip(recipes, map(json.loads, lines), strict=True))


def test_a_step_of_a_single_shot_detector_mixes_no_devices_and_waits_for_nothing() -> None:
    check_single_shot(steps(ANCHORS)[ANCHORS])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", SINGLE_SHOT)
def test_with_other_parts_it_waits_for_nothing_either(recipe: str) -> None:
    check_single_shot(steps(recipe)[recipe])


def check_single_shot(step: dict[str, Any]) -> None:
    for phase in ("copy", "losses", "update"):
        assert step[phase] == {"waits": [], "copies": []}, phase
    assert len(step["detect"]["waits"]) <= 3
    assert not step["detect"]["copies"]
    check_equal(step)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", REGIONS)
def test_a_step_of_a_detector_of_regions_waits_seldom(recipe: str) -> None:
    step = steps(recipe)[recipe]
    assert step["copy"] == step["update"] == {"waits": [], "copies": []}
    assert len(step["losses"]["waits"]) <= 5
    assert not step["losses"]["copies"]
    assert len(step["detect"]["waits"]) <= 5
    check_equal(step)


def check_equal(step: dict[str, Any]) -> None:
    """Up to the order of additions: what is done at once on a GPU, a CPU does one by one."""
    there, here = step["losses of both"]
    assert there == pytest.approx(here, rel=1e-4)
    assert step["numbers of detections"][0] == step["numbers of detections"][1]
    assert step["largest difference of a score"] < 1e-4
