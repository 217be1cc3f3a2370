"""A folder's menu is the one place that lists its parts: everything else follows from it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from composition import composed
from test_recipes_outside import recipe

from detector import config
from detector.command_line import CONFIGS
from detector.config.plugins import bases
from detector.options import PARTS

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = [cls for group in ("model", *PARTS) for cls in config.GROUPS[group]]


def sentences(cls: type) -> dict[str, str]:
    """The docstring of each field, of the nearest class that has one."""
    found: dict[str, str] = {}
    for owner in reversed(cls.__mro__[:-1]):
        if not dataclasses.is_dataclass(owner):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            is_field = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            if is_field and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[field.target.id] = str(text.value.value)  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("cls", OPTIONS, ids=lambda cls: cls.__name__)
def test_every_option_has_a_sentence_that_stands_alone(cls: type) -> None:
    said = sentences(cls)
    for field in dataclasses.fields(cls):
        first = said[field.name].split("\n")[0]
        assert first.endswith("."), field.name
        assert first[0].isupper() or first[0].isdigit() or first.startswith("timm"), field.name
        assert not first.startswith(("Of the ", "Of a ", "... ")), field.name


@pytest.mark.parametrize("group", ["model", *PARTS])
def test_every_choice_is_named_for_the_module_beside_it_and_builds_something_else_than_its_base(group: str) -> None:
    for cls in config.GROUPS[group]:
        assert cls.__name__.endswith("Options")
        assert issubclass(cls, bases()[group])
        names = [name for name, one in vars(inspect.getmodule(cls)).items() if inspect.isclass(one)]
        assert cls.__name__.removesuffix("Options") in [*names, "Darknet"]  # whose network is a SingleShot


@pytest.mark.parametrize("file", sorted((CONFIGS / "model").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_model_is_composed_of_the_parts_that_its_options_name_and_no_others(file: Path) -> None:
    overrides = ["model.cfg=some.cfg"] if file.stem == "darknet" else []
    settings = composed("data=shapes", f"model={file.stem}", *overrides)
    assert {part for part in PARTS if getattr(settings, part) is not None} == set(settings.model.parts)


TRY = """
from composition import composed
from detector import config
from detector.assigners.nearest import NearestAssigner
from detector.checkpoint import build
from detector.command_line import choices

settings = composed("data=shapes", "assigner=nearest", "assigner.top=2")
assert settings.assigner.top == 2
assert isinstance(build(settings, 3).criterion.assigner, NearestAssigner)
assert "nearest" in choices("assigner")
assert "nearest" in [config.schema_name("assigner", cls) for cls in config.GROUPS["assigner"]]
"""


def test_the_part_of_the_page_is_one_file_one_word_and_one_yaml(tmp_path: Path) -> None:
    for folder in ("detector", "configs"):
        subprocess.run(["cp", "-r", str(ROOT / folder), str(tmp_path)], check=True)
    (tmp_path / "detector/assigners/nearest.py").write_text(recipe("nearest"))
    menu = tmp_path / "detector/assigners/__init__.py"
    text = f"from detector.assigners.nearest import NearestAssignerOptions\n{menu.read_text()}"
    menu.write_text(
        text.replace("    SimOTAAssignerOptions,\n", "    NearestAssignerOptions,\n    SimOTAAssignerOptions,\n")
    )
    (tmp_path / "configs/assigner/nearest.yaml").write_text(
        "defaults:\n  - /schema/assigner/nearest@_here_\n  - _self_\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", TRY], cwd=tmp_path, env=_path(tmp_path, ROOT / "tests"), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def _path(*folders: Path) -> dict[str, Any]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
