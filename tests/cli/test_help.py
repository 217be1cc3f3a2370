from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from detector import __version__
from detector.cli.choices import SETS_OF_VALUES, keys_of
from detector.cli.commands import COMMANDS, Command
from detector.cli.help import WIDTH, help_text, overview
from detector.cli.keys import check_overrides
from detector.command_line import names
from detector.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
ROWS = pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)


@ROWS
def test_help_names_every_key_and_choice_and_no_schema_in_80_columns(command: Command) -> None:
    text = help_text(command, [])
    keys = keys_of(command)
    words = set(text.replace(",", " ").replace("=", " ").replace(":", " ").split())
    for key in keys.own:
        assert key in words
    for group, default in keys.groups.items():
        assert {group, *names(group)} <= words or len(names(group)) == 1
        if group not in SETS_OF_VALUES:
            assert set(keys.of(group, default)) - {"name"} <= words
    assert "schema" not in text
    assert all(len(line) <= WIDTH and line.isprintable() for line in help_text(command, ["all"]).splitlines())


@ROWS
def test_every_key_of_a_command_says_in_words_what_it_is(command: Command) -> None:
    keys = keys_of(command)
    described = list(keys.own.values())
    for group, choice in keys.groups.items():
        if group not in SETS_OF_VALUES:
            described += keys.of(group, choice).values()
    assert [option.name for option in described if not option.kind] == []


@ROWS
def test_the_examples_of_help_have_keys_and_choices_that_there_are(command: Command) -> None:
    for example in command.examples:
        given = shlex.split(example)
        if command.positional:
            given = [one for one in given if "=" in one]
        check_overrides(command, given)
    with pytest.raises(UserError):
        check_overrides(command, ["no_such_key=1"])


def test_help_of_a_choice_shows_the_defaults_of_its_file() -> None:
    text = help_text(COMMANDS["train"], ["backbone=resnet18"])
    assert "backbone.depth=18" in text
    assert "one of 18, 34, 50, 101" in text
    assert "backbone.depth=0.33" in help_text(COMMANDS["train"], ["backbone"])
    with pytest.raises(UserError, match=r"backbone=resnet1: choose one of .*resnet18"):
        help_text(COMMANDS["train"], ["backbone=resnet1"])


def test_the_overview_names_every_command() -> None:
    assert all(f"\n  {name} " in overview() for name in COMMANDS)


def test_every_script_runs_the_command_of_its_name_and_there_is_no_other() -> None:
    scripts = {path.stem: path.read_text() for path in (ROOT / "scripts").glob("*.py")}
    assert scripts.keys() == COMMANDS.keys()
    assert all(f'script("{name}")' in text for name, text in scripts.items())


def _output(*arguments: str, code: int = 0) -> tuple[str, str]:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    return done.stdout, done.stderr


def test_help_and_version_import_neither_torch_nor_hydra() -> None:
    for arguments in (["scripts/train.py", "--help"], ["-m", "detector", "seminar", "-h"], ["-m", "detector", "help"]):
        _, imported = _output("-X", "importtime", *arguments)
        modules = {line.split("|")[-1].strip() for line in imported.splitlines()}
        assert "detector.cli.help" in modules
        assert not modules & {"torch", "hydra", "omegaconf", "numpy"}
    assert _output("-m", "detector", "--version")[0].startswith(f"detector-lab {__version__} ")
    assert _output("scripts/train.py", "--help")[0].count("python scripts/train.py") >= 3
    assert _output("-m", "detector", "train", "-h")[0].count("detector train") >= 3


def test_a_misspelt_command_is_one_line() -> None:
    said = _output("-m", "detector", "tran", "data=shapes", code=2)[1]
    assert said.startswith("error: tran: there is no such command; did you mean train?")
    assert said.count("\n") == 1
