from __future__ import annotations

import argparse
import sys
from typing import Any

import pytest

from detector.cli.commands import COMMANDS
from detector.cli.compose import run


def test_a_command_composes_where_argparse_looks_at_each_help_as_in_python_3_14(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parser: Any = argparse.ArgumentParser
    add = parser.add_argument
    looked_at = []

    def check(self: argparse.ArgumentParser, action: argparse.Action) -> None:
        if action.help and "%" in action.help:  # a TypeError where help is no text
            action.help % vars(action)
        looked_at.append(action)

    def add_and_check(self: Any, *arguments: Any, **options: Any) -> argparse.Action:
        action: argparse.Action = add(self, *arguments, **options)
        self._check_help(action)
        return action

    if sys.version_info < (3, 14):
        monkeypatch.setattr(parser, "add_argument", add_and_check)
    monkeypatch.setattr(parser, "_check_help", check, raising=False)
    given: list[Any] = []
    run(COMMANDS["seminar"], ["question=1e"], given.append)
    assert [one.question for one in given] == ["1e"]
    assert looked_at
    assert parser._check_help is check
