import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from composition import command, composed
from hydra.core.global_hydra import GlobalHydra

from detector import config
from detector.command_line import CONFIGS
from detector.errors import UserError
from detector.training.train import train

ROOT = Path(__file__).resolve().parents[1]
CHOICES = sorted(
    f"{path.parent.name}={path.stem}"
    for path in CONFIGS.glob("*/*.yaml")
    if path.parent.name in {*config.GROUPS, "experiment", "sweep", "freebie"}
)
REQUIRED = {
    "backbone=timm": ["backbone.model=resnet18"],
    "model=darknet": ["model.cfg=some.cfg"],
    "backbone=darknet_cfg": ["backbone.cfg=some.cfg"],
}
"""What a choice cannot do without."""


TOGETHER = ["backbone", "neck", "loss", "augment", "optim", "logger"]
"""Groups of which any choices go with one another."""


def sets_of_choices() -> list[tuple[str, ...]]:
    """Sets in which every choice stands: those of `TOGETHER` side by side, each other one alone."""
    by_group = {group: [one for one in CHOICES if one.startswith(f"{group}=")] for group in TOGETHER}
    longest = max(map(len, by_group.values()))
    rows = [tuple(one[row % len(one)] for one in by_group.values()) for row in range(longest)]
    return rows + [(one,) for one in CHOICES if one.partition("=")[0] not in TOGETHER]


@pytest.mark.parametrize("choices", sets_of_choices(), ids=" ".join)
def test_every_yaml_file_composes_into_its_dataclass(choices: tuple[str, ...]) -> None:
    own_data = choices[0].startswith(("data=", "experiment="))
    required = [one for choice in choices for one in REQUIRED.get(choice, [])]
    settings = composed(*([] if own_data else ["data=shapes"]), *choices, *required)
    for group, classes in config.GROUPS.items():
        part = getattr(settings, group)
        assert type(part) in classes or (part is None and choices[0].startswith("model="))


@pytest.mark.parametrize("choice", [c for c in CHOICES if c.startswith("loss=")])
def test_a_loss_is_what_its_file_is_called(choice: str) -> None:
    loss = composed("data=shapes", choice).loss
    assert loss is not None
    assert loss.box == choice.removeprefix("loss=")


def test_a_configuration_survives_a_dictionary_of_plain_values() -> None:
    settings = composed("experiment=shapes", "backbone=vgg16", "optim=sgd", "neck=fpn")
    assert config.from_dict(dataclasses.asdict(settings)) == settings


def test_every_group_is_a_folder_and_every_folder_a_group() -> None:
    folders = {path.name for path in CONFIGS.iterdir() if path.is_dir()}
    assert folders == {*config.GROUPS, "experiment", "sweep", "freebie"}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data=shapes", "backbone=resnet1"], ["backbone=resnet1", "resnet18", "vgg16"]),
        (["data=shapes", "backbone.dpth=3"], ["backbone.dpth", "no such key", "depth"]),
        (["data=shapes", "+backbone.dpth=3"], ["backbone.dpth", "no such key", "depth"]),
        (["data=shapes", "optim.lr=fast"], ["optim.lr=fast", "a number above 0"]),
        (["data=shapes", "trainer.epochs=1.5"], ["trainer.epochs=1.5", "a whole number from 1"]),
        (["data=shapes", "experiment=nothing"], ["experiment=nothing", "shapes"]),
        ([], ["data=", "auto, coco, shapes, voc, yolo"]),
        (["data=shapes", "resume=runs/x", "seed=3"], ["resume", "seed=3"]),
        (["data=shapes", "loss.box=cious"], ["loss.box=cious", "ciou"]),
        (["data=shapes", "trainer.ema=nan"], ["trainer.ema=nan", "a number from 0 up to, not including, 1"]),
        (
            ["data=shapes", "trainer.epochs=-1", "optim.lr=inf", "backbone.width=0"],
            ["3 values cannot be", "trainer.epochs=-1", "optim.lr=inf", "backbone.width=0"],
        ),
        (["data=shapes", "model=darknet"], ["model.cfg=... must be given"]),
        (["data=shapes", "model=darknet", "model.cfg=nothing.cfg"], ["model.cfg=nothing.cfg", "no such file"]),
        (["data=shapes", "model=darknet", "model.cfg=x.cfg", "neck=fpn"], ["neck=fpn", "no meaning", "model=darknet"]),
        (
            ["data=shapes", "model=darknet", "model.cfg=x.cfg", "head.bins=0"],
            ["head.bins=0", "no meaning", "model=darknet"],
        ),
        (["data=shapes", "model=faster_rcnn", "loss.box=giou"], ["loss.box=giou", "no meaning", "model=faster_rcnn"]),
        (["data=shapes", "model=faster_rcnn", "head=anchor_free"], ["head=anchor_free", "model=faster_rcnn"]),
        (["data=shapes", "model=faster_rcnn", "freebie=giou"], ["loss", "model=faster_rcnn"]),
        (["data=shapes", "model=faster_rcnn", "model.box_loss=l2"], ["model.box_loss=l2", "smooth_l1", "ciou"]),
        (["data=shapes", "backbone=timm"], ["backbone.model=... must be given"]),
        (["data=shapes", "backbone=darknet_cfg"], ["backbone.cfg=... must be given"]),
        (["data=shapes", "backbone=darknet_cfg", "backbone.cfg=x.cfg"], ["backbone.cfg=x.cfg", "no such file"]),
        (["data=shapes", "model.resize=crop"], ["model.resize=crop", "letterbox, stretch"]),
        (["data=shapes", "head=null"], ["head=null", "anchor_based, anchor_free"]),
        (["data=shapes", "model=darknet", "model.cfg=x.cfg", "freebie=dropblock"], ["neck", "model=darknet"]),
        (["data=shapes", "sweep=seeds"], ["sweep=seeds", "give -m as well"]),
        (["data=shapes", "sweep=nothing"], ["sweep=nothing", "box_loss", "seeds"]),
        (["data=shapes", "freebie=nothing"], ["freebie=nothing", "baseline", "mosaic"]),
        (["data=shapes", "assigner=max_iou"], ["assigner=max_iou", "head=anchor_free", "head=anchor_based", "simota"]),
        (["data=shapes", "head=anchor_based", "neck.lowest=2"], ["head.anchors", "3 levels", "P2, P3, P4, P5"]),
        (["data=shapes", "hydra.run.dir=/dev/null/x"], ["hydra.run.dir", "/dev/null/x", "Not a directory"]),
        (["data=shapes", "model.suppression=hard"], ["model.suppression=hard", "class_agnostic", "soft", "diou"]),
    ],
)
def test_a_mistake_on_the_command_line_gets_one_line_that_names_the_key_and_exit_code_2(
    overrides: list[str],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", *overrides])
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as stopped:
        command("train", train)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    for word in words:
        assert word in said


def test_any_model_follows_any_recipe_and_what_is_left_out_of_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "experiment=shapes", "model=faster_rcnn"])
    GlobalHydra.instance().clear()
    settings: list[config.Train] = []
    command("train", settings.append)
    (found,) = settings
    assert isinstance(found.model, config.FasterRCNNOptions)
    assert (found.head, found.assigner, found.loss) == (None, None, None)
    assert found.optim.lr == composed("experiment=shapes").optim.lr
    said = capsys.readouterr().err
    assert said == "left out of experiment=shapes: loss.class_weight; model=faster_rcnn has no loss\n"


def test_the_script_itself_answers_a_mistake_with_one_line_and_exit_code_2(tmp_path: Path) -> None:
    arguments = [sys.executable, str(ROOT / "scripts" / "train.py"), "data=shapes", "bckbone=vgg16"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: bckbone=vgg16: there is no such key; did you mean backbone=vgg16?\n"
    assert list(tmp_path.iterdir()) == []


def test_values_that_must_be_given_are_named() -> None:
    with pytest.raises(UserError, match=r"data=\.\.\. must be given: choose one of auto, coco, shapes, voc, yolo"):
        composed()
