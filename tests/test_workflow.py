"""What the workflow of a public host runs is there: scripts, targets, extras, and the versions that the project names."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
(FILE,) = (ROOT / ".github/workflows").glob("*.yml")
WORKFLOW: dict[Any, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
STEPS = {job: [step["run"] for step in content["steps"] if "run" in step] for job, content in WORKFLOW["jobs"].items()}
SCRIPTS = [
    pytest.param(text, id=f"{job}-{number}") for job, texts in STEPS.items() for number, text in enumerate(texts)
]


def lowest(package: str) -> str:
    (found,) = [one for one in PROJECT["dependencies"] if re.match(rf"{package}[>=]", one)]
    return str(found).split(">=")[1]


@pytest.mark.parametrize("text", SCRIPTS)
def test_what_a_step_runs_is_there(text: str) -> None:
    text = re.sub(r"\$\{\{.*?\}\}", "newest", text)
    assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([\w-]+)", text)) <= targets
    assert all((ROOT / file).is_file() for file in re.findall(r"\bbash ([\w./-]+)", text))
    for extras in re.findall(r"\.\[([\w,]+)\]", text):
        assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()
    stamps = re.findall(r"\$\(BIN\)|(?:^|\s)(\.venv/\.[\w-]+)", (ROOT / "Makefile").read_text())
    assert set(re.findall(r"\.venv/\.[\w-]+", text)) <= set(stamps)
    if "mkdocs build" in text:
        assert ".[docs]" in text, "figures are drawn by the project"


def test_the_scripts_of_the_workflow_run_what_is_there() -> None:
    text = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert [file for file in re.findall(r"(?:bash|python) ([\w./]+)", text) if not (ROOT / file).is_file()] == []
    assert "make test\n" in text


def test_every_supported_python_is_tried_with_the_newest_torch_and_one_with_the_lowest() -> None:
    matrix = WORKFLOW["jobs"]["fast"]["strategy"]["matrix"]
    assert PROJECT["requires-python"] == f">={matrix['python'][0]}"
    minors = [int(version.split(".")[1]) for version in matrix["python"]]
    assert minors == list(range(11, 15))
    assert matrix["torch"] == ["newest"]
    assert [entry["torch"] for entry in matrix["include"]] == [lowest("torch")]
    install = "\n".join(STEPS["fast"])
    assert f"torch=={lowest('torch')}.*" in install
    assert f"torchvision=={lowest('torchvision')}.*" in install


def test_the_slow_tests_run_at_night_with_every_extra() -> None:
    assert WORKFLOW[True]["schedule"], "YAML reads the key `on` as true"
    slow = WORKFLOW["jobs"]["slow"]
    assert slow["if"] == "github.event_name == 'schedule'"
    text = "\n".join(STEPS["slow"])
    assert "make test-slow" in text
    (extras,) = re.findall(r"\.\[([\w,]+)\]", text)
    # the extra `track` brings a second OpenCV: its tests have an environment of their own, at every change
    assert {*extras.split(","), "track"} == PROJECT["optional-dependencies"].keys()
    assert "bash .ci/track" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
