"""Parts from a user's own file: `plugins=[my_parts.py]`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from composition import composed
from saved_checkpoint import save_checkpoint

from detector import config, load
from detector.checkpoint import build, open_checkpoint
from detector.cli.choices import absent_groups
from detector.cli.main import plugins_in
from detector.command_line import choices
from detector.config import plugins
from detector.errors import UserError
from detector.training.train import way_on

ROOT = Path(__file__).resolve().parents[2]
Configure = Callable[..., config.Train]

PARTS = """
from dataclasses import dataclass
from typing import ClassVar

from detector.assigners.simota import SimOTAAssignerOptions
from detector.losses import CriterionOptions
from detector.models.single_shot import SingleShotOptions
from detector.necks.fpn import FPNOptions


@dataclass
class FirstAssignerOptions(SimOTAAssignerOptions):
    name: str = "first"
    top: int = 3


@dataclass
class SquareLossOptions(CriterionOptions):
    name: str = "square"
    power: int = 2

    def build_box_loss(self):
        return lambda predicted, target, size: ((predicted - target) / size[0]).abs().pow(self.power).sum(-1)


@dataclass
class NoNeckModelOptions(SingleShotOptions):
    parts: ClassVar[tuple[str, ...]] = ("backbone", "head", "assigner", "loss")
    name: str = "without_neck"
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "my_parts.py"
    path.write_text(PARTS)
    yield path
    for loaded in plugins.loaded():
        plugins._forget(loaded)


def test_a_part_of_a_users_own_file_is_chosen_like_any_other(file: Path) -> None:
    config.load_plugins([file])
    settings = composed("data=shapes", f"plugins=[{file}]", "assigner=first", "loss=square", "loss.power=4")
    assert (settings.assigner.name, settings.loss.name, settings.plugins) == ("first", "square", [str(file)])  # type: ignore[union-attr]
    detector = build(settings, 3)
    assert detector.criterion.assigner.top == 3  # type: ignore[union-attr]
    assert detector.criterion.box_loss.__name__ == "<lambda>"  # type: ignore[union-attr]
    assert "first" in choices("assigner")
    assert composed("data=shapes", "loss=giou") == composed("data=shapes", "loss=giou", "plugins=[]")


def test_a_model_of_ones_own_is_composed_without_the_parts_that_it_does_without(file: Path) -> None:
    config.load_plugins([file])
    settings = composed("data=shapes", "model=without_neck")
    assert settings.neck is None
    assert settings.head is not None
    assert absent_groups("without_neck") == {"neck"}


def test_a_checkpoint_says_which_plugin_it_was_made_with_and_never_runs_it(
    file: Path, tiny: Configure, tmp_path: Path
) -> None:
    config.load_plugins([file])
    settings = replace(composed("data=shapes", "assigner=first", "loss=square"), plugins=["elsewhere/my_parts.py"])
    saved = save_checkpoint(tmp_path / "a.ckpt", settings, ("a", "b"))
    plugins._forget(file)
    with pytest.raises(UserError) as caught:
        open_checkpoint(saved)
    assert str(caught.value) == (
        f"checkpoint={saved}: has parts of a plugin, which is run only where it is given: "
        "give plugins=[elsewhere/my_parts.py]"
    )
    assert not plugins.loaded()
    opened = load(saved, accelerator="cpu", plugins=[file])
    assert opened.checkpoint.options.assigner.name == "first"  # type: ignore[union-attr]


def test_a_file_that_has_changed_is_run_again(file: Path) -> None:
    config.load_plugins([file])
    before = config.schema("assigner", "first")
    config.load_plugins([file])
    assert config.schema("assigner", "first") is before
    file.write_text(PARTS.replace("top: int = 3", "top: int = 5"))
    config.load_plugins([file])
    assert config.schema("assigner", "first")().top == 5
    assert len([cls for cls in config.GROUPS["assigner"] if config.schema_name("assigner", cls) == "first"]) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "my_parts.py: defines no part: a dataclass with a name, derived from one of "),
        ("x = 1\ny = 1 / 0\n", "my_parts.py, line 2: ZeroDivisionError: division by zero"),
        ("x = (\n", "my_parts.py, line 1: SyntaxError: "),
        (
            PARTS.replace('"first"', '"simota"'),
            "assigner=simota is there already: give FirstAssignerOptions another name",
        ),
        (
            PARTS.replace("@dataclass\nclass F", "class F"),
            "FirstAssignerOptions is no dataclass: write @dataclass above",
        ),
    ],
)
def test_what_is_no_plugin_is_said_in_one_line(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        config.load_plugins([file])
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"plugins: {file}")
    assert "\n" not in str(caught.value)
    assert not plugins.loaded()


def test_a_missing_file_and_a_list_without_brackets_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"plugins: gone\.py: cannot be read \(No such file or directory\)"):
        config.load_plugins(["gone.py"])
    with pytest.raises(UserError, match=r"plugins=a\.py: a list of files is expected: plugins=\[a\.py\]"):
        plugins_in(["plugins=a.py"])
    assert plugins_in(["data=shapes", "plugins=[a.py, b.py]"]) == ["a.py", "b.py"]


def test_the_command_that_goes_on_with_a_run_names_its_plugins() -> None:
    said = way_on(Path("runs/a/1"), 1, 2, ["my parts.py"])
    assert said.endswith("detector train resume=runs/a/1 'plugins=[\"my parts.py\"]'")
    assert way_on(Path("runs/a/1"), 1, 2).endswith("detector train resume=runs/a/1")


@pytest.mark.slow
def test_a_run_with_a_plugin_trains_and_resumes_and_its_checkpoint_asks_for_it(file: Path, tmp_path: Path) -> None:
    def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *arguments],
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip

    # fmt: off
    recipe = ("data=shapes", "data.train_images=4", "data.val_images=2", "data.scene_size=64", "image_size=64",
              "data.workers=0", "trainer.epochs=1", "trainer.progress=false", "trainer.accelerator=cpu", "logger=csv")
    # fmt: on
    trained = script("train", *recipe, "assigner=first", "loss=square", "plugins=[my_parts.py]")
    assert trained.returncode == 0, trained.stderr
    run = tmp_path / "runs" / "default" / "latest"
    without = script("evaluate", f"checkpoint={run}/best.ckpt", "accelerator=cpu")
    assert without.returncode == 2
    assert "give plugins=[my_parts.py]" in without.stderr
    resumed = script("train", f"resume={run}", "trainer.epochs=2", "plugins=[my_parts.py]")
    assert resumed.returncode == 0, resumed.stderr
