from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
from composition import composed

from detector.cli.choices import keys_of
from detector.cli.commands import COMMANDS
from detector.cli.keys import FOREIGN, LAUNCHERS, check_overrides
from detector.errors import UserError


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("train", "epochs=3", "epochs=3: there is no such key; did you mean trainer.epochs=3?"),
        ("train", "imgsz=320", "did you mean image_size=320?"),
        ("train", "img_size=320", "did you mean image_size=320?"),
        ("train", "batch_size=4", "did you mean data.batch_size=4?"),
        ("train", "batch=4", "did you mean data.batch_size=4?"),
        ("train", "data.batch=4", "did you mean data.batch_size=4?"),
        ("train", "lr=0.1", "did you mean optim.lr=0.1?"),
        ("train", "lr0=0.1", "did you mean optim.lr=0.1?"),
        ("train", "device=cpu", "did you mean trainer.accelerator=cpu?"),
        ("train", "device=0", "did you mean trainer.accelerator (one of auto, cpu, gpu, cuda, mps)?"),
        ("predict", "device=cpu", "did you mean accelerator=cpu?"),
        ("train", "workers=4", "did you mean data.workers=4?"),
        ("train", "weights=a.pt", "did you mean init=a.pt?"),
        ("evaluate", "weights=a.pt", "did you mean checkpoint=a.pt?"),
        ("train", "model.backbone=vgg16", "did you mean backbone=vgg16?"),
        ("train", "optimizer=sgd", "did you mean optim=sgd?"),
        ("train", "trainer.epoch=3", "did you mean trainer.epochs=3?"),
        ("train", "optim.epochs=3", "did you mean trainer.epochs=3?"),
        ("train", "experiment.epochs=3", "did you mean trainer.epochs=3?"),
        ("train", "depth=3", "did you mean backbone.depth=3 or neck.depth=3?"),
        ("train", "bakcbone=vgg16", "did you mean backbone=vgg16?"),
        ("train", "++trainer.epoch=3", "did you mean trainer.epochs=3?"),
        ("train", "backbone=vgg16 backbone.width=1", "no such key; there are activation, depth, freeze_norm"),
        ("train", "backbone=vgg16,resnet18 backbone.width=1 -m", "no such key; there are"),
        ("train", "zzz=1", "zzz=1: there is no such key; there are assigner, augment, backbone"),
        ("train", "shapes", "shapes: write KEY=VALUE"),
        ("train", "data=coc", "data=coc: choose one of auto, coco, shapes, voc, yolo; did you mean coco?"),
        ("train", "data=coco128.yaml", "data=coco128.yaml: choose one of auto, coco, shapes, voc, yolo"),
        ("train", "loss=ciou,nothing -m", "loss=nothing: choose one of ciou"),
        ("train", "model=faster_rcnn head.bins=0", "head.bins=0: has no meaning with model=faster_rcnn"),
        ("import_darknet", "model.cgf=a.cfg", "did you mean model.cfg=a.cfg?"),
        ("seminar", "quetion=3", "did you mean question=3?"),
    ],
)
def test_a_key_or_choice_that_there_is_not_is_refused_with_the_one_that_was_meant(
    command: str, arguments: str, said: str
) -> None:
    with pytest.raises(UserError) as caught:
        check_overrides(COMMANDS[command], arguments.split())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("train", "optim.lr=-1", "optim.lr=-1.0: a number above 0 to 1,000"),
        ("train", "trainer.epochs=0", "trainer.epochs=0: a whole number from 1 to 1,000,000"),
        ("train", "trainer.epochs=1.5", "trainer.epochs=1.5: a whole number from 1 to 1,000,000"),
        ("train", "optim.lr=fast", "optim.lr=fast: a number above 0 to 1,000"),
        ("train", "trainer.ema=nan", "trainer.ema=nan: a number from 0 up to, not including, 1"),
        ("train", "loss.box=cious", "loss.box=cious: choose one of iou, giou, diou, ciou, l1, l2"),
        ("train", "image_size=100", "image_size=100: a whole number a multiple of 32 from 32 to 16,384"),
        ("train", "image_size=1 optim.lr=inf", "2 values cannot be: image_size=1: a whole"),
        ("train", "experiment=bccd data.batch_size=0", "data.batch_size=0: a whole number from 1"),
        ("predict", "score=2", "score=2.0: a number from 0 to 1"),
    ],
)
def test_a_value_that_cannot_be_is_refused_as_the_composed_configuration_would_be(
    command: str, arguments: str, said: str
) -> None:
    with pytest.raises(UserError) as caught:
        check_overrides(COMMANDS[command], arguments.split())
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    "arguments",
    [
        "optim.lr=1e-3 trainer.epochs=3 loss.box=giou image_size=64",
        "optim.lr=0.1,0.2 trainer.epochs=range(0,3) -m",
        "data.workers=null data=shapes",
        "backbone.width=${neck.width}",
        "runs=7 name=on",  # texts, whatever they look like
        'seed="3"',
        "optim=adamw,sgd optim.lr=1 -m",
    ],
)
def test_a_value_that_may_be_or_only_hydra_can_read_is_let_pass(arguments: str) -> None:
    check_overrides(COMMANDS["train"], arguments.split())


def test_a_value_is_refused_without_torch() -> None:
    """A mistake is answered in half a second; torch alone takes two."""
    code = (
        "import sys\nfrom detector.cli.keys import check_overrides\nfrom detector.cli.commands import COMMANDS\n"
        "try: check_overrides(COMMANDS['train'], ['data=shapes', 'optim.lr=-1'])\n"
        "except Exception as error: print(error)\n"
        "print(sorted({'torch', 'hydra', 'omegaconf', 'lightning'} & sys.modules.keys()))"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.splitlines() == ["optim.lr=-1.0: a number above 0 to 1,000", "[]"]


@pytest.mark.parametrize(
    "arguments",
    [
        "backbone=vgg16,csp_darknet_nano backbone.width=0.25 -m",
        "backbone=choice(vgg16,csp_darknet_nano) backbone.width=0.25 -m",
        "hydra.sweep.dir=x hydra/job_logging=none hydra.launcher.x=3 data=shapes",
        "--cfg job data=shapes",
        "--config-dir elsewhere backbone=mine backbone.own=1",
        "data=null ~data",
        "experiment=shapes data.train_images=8",
        "augment.albumentations=[{name:Blur}]",
        "model.mean=[0,0,0]",
        "data.root='a=b'",
    ],
)
def test_what_hydra_can_compose_or_only_hydra_can_judge_passes(arguments: str) -> None:
    check_overrides(COMMANDS["train"], arguments.split())


def test_every_key_of_a_composed_configuration_passes_with_its_value() -> None:
    for overrides in (["data=shapes"], ["experiment=bccd"], ["data=coco", "model=faster_rcnn", "optim=sgd"]):
        leaves = list(_leaves(dataclasses.asdict(composed(*overrides)), ""))
        assert len(leaves) > 60
        check_overrides(COMMANDS["train"], [*overrides, *leaves])


def _leaves(values: dict[str, Any], prefix: str) -> Any:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        elif value is not None or prefix:
            written = (
                {None: "null", True: "true", False: "false"}.get(value, value) if not isinstance(value, list) else value
            )
            yield f"{prefix}{key}={written}"


def test_foreign_names_are_no_keys_and_mean_keys_that_there_are() -> None:
    every: set[str] = set()
    own: set[str] = set()
    for command in COMMANDS.values():
        keys = keys_of(command)
        own |= keys.own.keys()
        every |= keys.own.keys() | keys.groups.keys()
        for group, option in keys.own.items():
            every |= {f"{group}.{key}" for key in keys.of(group, None)} if option.cls else set()
    assert {key for meant in FOREIGN.values() for key in meant} <= every
    assert not FOREIGN.keys() & (own - {"weights"})


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_that_is_not_installed_is_named_with_its_package(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detector.cli.keys.find_spec", lambda module: None)
    with pytest.raises(UserError, match=rf"hydra/launcher={name}: needs pip install hydra-\w+-launcher"):
        check_overrides(COMMANDS["train"], ["-m", "data=shapes", f"hydra/launcher={name}"])
