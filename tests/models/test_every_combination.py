"""Every value of every group trains, and every two parts together, or they are refused at once with the reason.

The rows are pairwise: backbone × neck × head × assigner × box loss × augmentation, as few rows as hold every pair, and in
each row one option of another group besides. The values are the files of `configs/`, so that what is added there is
trained here. Of a backbone in several sizes the smallest stands in the rows; the others train by themselves.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import lightning as L
import pytest
import torch
import yaml
from composition import composed
from covering import all_pairs, covering_rows, with_extras
from learning import ap50_when_overfit, data_of, trained
from lightning.pytorch.callbacks import Callback
from scenes_on_disk import write

from detector import config
from detector.checkpoint import build
from detector.cli.user_errors import answer_errors
from detector.command_line import CONFIGS
from detector.layers import ACTIVATIONS, INITIALISATIONS, NORMS
from detector.losses.classification import ClassLossKind
from detector.nms import KINDS
from detector.training.module import DetectionModule
from detector.training.train import train

REQUIRED = {"backbone=timm": "backbone=timm backbone.model=convnext_atto"}
"""What a choice cannot do without."""
ELSEWHERE = ("backbone=darknet_cfg", "data=auto")
"""The one is what its file says (`tests/backbones/test_darknet_cfg.py`), the other becomes one of its neighbours."""
VARIANTS = {"head": ["head=anchor_free head.bins=0"]}
"""Options that change what a part is: each is combined with everything, like a part of its own."""


def files(group: str) -> list[str]:
    choices = sorted(f"{group}={p.stem}" for p in (CONFIGS / group).iterdir())
    return [REQUIRED.get(choice, choice) for choice in choices if choice not in ELSEWHERE]


def by_size(group: str) -> list[list[str]]:
    """The choices of each schema, from the smallest values of its keys (depth, width, ...) to the largest."""
    families: dict[str, list[tuple[Any, str]]] = {}
    for choice in files(group):
        text = (CONFIGS / group / f"{choice.split()[0].removeprefix(f'{group}=')}.yaml").read_text()
        (schema,) = re.findall(rf"/schema/{group}/(\w+)@", text)
        sizes = {key: value for key, value in yaml.safe_load(text).items() if key != "defaults"}
        families.setdefault(schema, []).append((sorted(sizes.items()), choice))
    return [[choice for _, choice in sorted(members)] for members in families.values()]


def everywhere(key: str, value: str) -> str:
    return f"backbone.{key}={value} neck.{key}={value} head.{key}={value}"


PARTS = ("backbone", "neck", "head", "assigner", "loss", "augment")
FACTORS = [
    [members[0] for members in by_size("backbone")],
    *([*files(group), *VARIANTS.get(group, [])] for group in PARTS[1:]),
]
LARGER = [choice for members in by_size("backbone") for choice in members[1:]]
EXTRAS = [
    *files("optim"),
    *(f"optim.schedule={name}" for name in ("cosine", "steps", "one_cycle", "constant")),
    *(f"model.suppression={kind}" for kind in KINDS),
    *(f"loss.classification={kind}" for kind in get_args(ClassLossKind)),
    "loss.label_smoothing=0.1",
    # a network without any activation is linear; as the value of one part, see FPN's default
    *(everywhere("activation", name) for name in ACTIVATIONS if name != "none"),
    *(everywhere("norm", name) for name in NORMS),
    *(f"backbone.initialisation={name}" for name in INITIALISATIONS),
    "backbone.frozen_stages=1",
    "neck.spp=true",
    "neck.attention=sam",
    "neck.dropblock=0.1",
    "neck.lowest=2",
    "neck.highest=6",
    "head.depthwise=true",
    "augment.mixup=1.0",
    "augment.cutmix=1.0",
    "augment.flip_vertical=0.5",
    "augment.rotate90=0.5",
    "augment.albumentations=[{name:ToGray,p:0.5}]",
    "trainer.precision=bf16",
    "trainer.channels_last=false",
    "trainer.accumulate=2",
    "trainer.ema=0",
    "trainer.frozen_epochs=1",
    "trainer.multi_scale=0.5",
    "trainer.adversarial=1.0",
]


REFUSED = [
    ("head=anchor_free", "assigner=max_iou", "has none: choose head=anchor_based"),
    ("neck.spp=", "backbone=csp_darknet", "csp_darknet ends in an SPP of its own"),
    ("neck.lowest=2", "head=anchor_based", "lists for 3 levels, the neck has 4 (P2, P3, P4, P5)"),
    ("neck.highest=6", "head=anchor_based", "lists for 3 levels, the neck has 4 (P3, P4, P5, P6)"),
    ("neck.activation=", "neck=none", "neck none has no convolutions"),
    ("neck.norm=batch", "neck=none", "neck none has no convolutions"),
    ("neck.norm=group", "neck=none", "neck none has no convolutions"),
    ("backbone.activation=", "backbone=timm", "choose one of own"),
    ("backbone.norm=", "backbone=timm", "choose one of own"),
    ("backbone.initialisation=", "backbone=timm", "choose one of own"),
    ("head.depthwise=", "head=anchor_based", "head.depthwise: no such key"),
]
"""Beginnings of overrides that do not go together, and why: nothing else may be refused."""


def refused(a: str, b: str) -> bool:
    return reason(a, b) is not None


def reason(a: str, b: str) -> str | None:
    """Why two values do not go together, if they do not."""
    for first, second, why in REFUSED:
        for one, other in ((a, b), (b, a)):
            if begins(one, first) and begins(other, second):
                return why
    return None


def begins(value: str, start: str) -> bool:
    return any(override.startswith(start) for override in value.split())


ROWS = with_extras(covering_rows(FACTORS, refused), EXTRAS, refused)
IN_EVERY_ROW = ("data=shapes", "model=single_shot", "trainer=default")
OTHERS = [
    (choice,)
    for group in ("data", "model", "trainer", "freebie")
    for choice in files(group)
    if choice not in IN_EVERY_ROW
]
"""With the default parts alone."""

MACHINE = ["logger=csv", "trainer.accelerator=cpu", "trainer.precision=fp32", "trainer.progress=false"]
CFG = (
    """[net]
width=96
height=96
channels=3
"""
    + "".join(
        f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize=3\nstride=2\npad=1\nactivation=leaky\n"
        for filters in (16, 32, 64, 128)
    )
    + """[convolutional]
filters=30
size=1
stride=1
pad=1
activation=linear
[yolo]
mask=0,1,2
anchors=20,20, 32,32, 44,44
classes=5
num=3
"""
)


def settings_of(values: tuple[str, ...], side: int, images: int, folder: Path) -> config.Train:
    """A row's configuration, for so many drawn scenes of so many pixels."""
    overrides = " ".join(values).split()
    if any("timm" in override for override in overrides):
        pytest.importorskip("timm")
    # of these scenes no two objects cover more than a fifth of each other, and the first four have all classes
    scenes = config.Shapes(
        scene_size=side, train_images=images, val_images=1, batch_size=images, workers=0, scene_seed=4
    )
    own = [f"data.{key}={getattr(scenes, key)}" for key in ("scene_size", "train_images", "val_images", "scene_seed")]
    for value in overrides:
        if value.startswith("data=") and value != "data=shapes":
            own = write(scenes, value.removeprefix("data="), folder / "data")
        if value == "model=darknet":
            (folder / "small.cfg").write_text(CFG)
            overrides.append(f"model.cfg={folder / 'small.cfg'}")
    if not any(value.startswith("data=") for value in overrides):
        overrides.insert(0, "data=shapes")
    fixed = [f"image_size={side}", f"data.batch_size={images}", "data.workers=0", "optim.warmup_epochs=5"]
    return composed(*MACHINE, *fixed, *overrides, *own)


def name_of(values: tuple[str, ...]) -> str:
    return "-".join(re.sub(rf"\b({'|'.join(PARTS)})=", "", value) for value in values)


class GradientsArrive(Callback):
    """After the first step back every parameter that is trained has a finite gradient, and no part is left out."""

    def on_after_backward(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, DetectionModule)
        gradients = {name: p.grad for name, p in module.detector.named_parameters() if p.requires_grad}
        assert [name for name, g in gradients.items() if g is None or not g.isfinite().all()] == []
        reached = {name.split(".")[0] for name, g in gradients.items() if g is not None and g.any()}
        assert reached == {name.split(".")[0] for name in gradients}


def test_every_two_parts_are_in_a_row_or_refused_and_every_option_in_one() -> None:
    together = {pair for row in ROWS for pair in combinations(row, 2)}
    pairs = {(a, b) for (_, a), (_, b) in all_pairs(FACTORS)}
    assert {pair for pair in pairs if not refused(*pair)} == together & pairs
    assert {row[-1] for row in ROWS} == set(EXTRAS)


def rows_to_train() -> Iterator[Any]:
    """Every test run tries each backbone, in its first row, and each kind of model and data; the slow one all."""
    tried: set[str] = set()
    for row in [*ROWS, *OTHERS]:
        again = row[0] in tried or row[0].startswith("freebie=")
        yield pytest.param(row, marks=pytest.mark.slow if again else (), id=name_of(row))
        tried.add(row[0])


@pytest.mark.parametrize("values", rows_to_train())
def test_trains_a_step_and_detects(values: tuple[str, ...], tmp_path: Path) -> None:
    settings = settings_of((*values, "trainer.epochs=1", "augment.mixing_off_epochs=0"), 64, 2, tmp_path)
    module = trained(settings, data_of(settings), GradientsArrive())
    assert module.trainer.global_step == 1
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=generator)
    for found in module.measured.eval().detect(images):
        assert found.boxes.isfinite().all()
        assert (found.scores.diff() <= 0).all()
        assert len(found) <= settings.model.max_detections


@pytest.mark.parametrize(
    ("a", "b"),
    [
        *((a, b) for (_, a), (_, b) in all_pairs(FACTORS) if refused(a, b)),
        *((extra, value) for extra in EXTRAS for factor in FACTORS for value in factor if refused(extra, value)),
    ],
)
def test_is_refused_at_once_with_the_reason(a: str, b: str, capsys: pytest.CaptureFixture[str]) -> None:
    if "timm" in b:
        pytest.importorskip("timm")
    with pytest.raises(SystemExit) as stopped, answer_errors():
        build(composed("data=shapes", *a.split(), *b.split()), classes=5)
    assert stopped.value.code == 2
    why = reason(a, b)
    assert why is not None
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("logger", files("logger"))
def test_a_whole_run_with_every_logger(logger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if (package := logger.removeprefix("logger=")) in ("mlflow", "wandb"):
        pytest.importorskip(package)
    monkeypatch.setenv("WANDB_MODE", "offline")
    settings = settings_of((logger, "trainer.epochs=1"), 64, 2, tmp_path)
    folder = train(dataclasses.replace(settings, runs=str(tmp_path / "runs")))
    assert (folder / "metrics.csv").is_file()
    assert any(folder.glob("tensorboard/events*")) == settings.logger.tensorboard


@pytest.mark.slow
@pytest.mark.parametrize("values", [*ROWS, *OTHERS, *((size, "augment=none") for size in LARGER)], ids=name_of)
def test_overfits_two_images(values: tuple[str, ...], tmp_path: Path) -> None:
    """Mixed ones too: of what a mosaic shows are the two images that every step sees.

    It takes longer without a norm, and where strong augmentation leaves rims of objects: of one 4 pixels wide 100 steps found
    the class alone.
    """
    steps = 300 if any("norm=none" in value or value == "augment=strong" for value in values) else 100
    settings = settings_of((*values, f"trainer.epochs={steps}", "augment.mixing_off_epochs=0"), 96, 2, tmp_path)
    assert ap50_when_overfit(settings) > 0.95
