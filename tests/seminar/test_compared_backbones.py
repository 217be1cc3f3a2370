from __future__ import annotations

from pathlib import Path

from seminar_experiments import fulfilled

from detector.seminar.backbones import compared


def test_shortcuts_let_a_network_be_deep_and_the_ledgers_compare_as_said(tmp_path: Path) -> None:
    assert fulfilled(lambda: compared(deep=12, steps=30), tmp_path).conditions
