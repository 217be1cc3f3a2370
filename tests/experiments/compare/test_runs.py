from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from run_folders import empty_run

from detector import config
from detector.errors import UserError
from detector.experiments.compare.runs import find_runs
from detector.output import write_json

Configure = Callable[..., config.Train]


@pytest.fixture
def folders(tiny: Configure, tmp_path: Path) -> Path:
    """Three finished runs, one that was stopped, and the link that training leaves."""
    for name in ("one/a", "one/b", "two/deep/c"):
        empty_run(tmp_path / name, tiny(), {})
    empty_run(tmp_path / "one" / "stopped", tiny())
    (tmp_path / "one" / "latest").symlink_to("b")
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").touch()
    return tmp_path


def names(given: list[str]) -> tuple[list[str], list[str]]:
    finished, unfinished = find_runs(given)
    return [run.folder.name for run in finished], [folder.name for folder in unfinished]


def test_runs_are_found_in_folders_by_patterns_and_by_name_each_once_in_the_order_given(folders: Path) -> None:
    assert names([str(folders)]) == (["a", "b", "c"], ["stopped"])
    assert names([str(folders / "two"), str(folders / "one")]) == (["c", "a", "b"], ["stopped"])
    assert names([str(folders / "one" / "[ab]")]) == (["a", "b"], [])
    assert names([str(folders / "one" / "latest"), str(folders / "one")]) == (["latest", "a"], ["stopped"])


def test_runs_of_a_folder_come_as_they_were_started(folders: Path) -> None:
    for name, day in (("one/b", 3), ("one/a", 4), ("two/deep/c", 1)):
        write_json(folders / name / "environment.json", {"started": f"2026-01-0{day}T00:00:00+00:00"})
    assert names([str(folders)]) == (["c", "b", "a"], ["stopped"])
    assert names([str(folders / "one"), str(folders / "two")]) == (["b", "a", "c"], ["stopped"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nothing", "runs=.*nothing: no such folder"),
        ("one/x*", r"runs=.*one/x\*: no such folder"),
        ("empty", "runs=.*empty: no run folder"),
        ("one/stopped", "1 runs, none of them finished .*; the first is .*stopped"),
    ],
)
def test_what_is_no_finished_run_is_named(folders: Path, given: str, words: str) -> None:
    (folders / "empty").mkdir()
    with pytest.raises(UserError, match=words):
        find_runs([str(folders / given)])


def test_files_that_are_not_what_they_should_be_are_named(folders: Path) -> None:
    metrics, settings = (folders / "one" / "a" / name for name in ("metrics.json", "config.yaml"))
    metrics.write_text('{"AP": 0.5}')
    with pytest.raises(UserError, match=r"a/metrics.json: lacks per_class, parameters, train_seconds"):
        find_runs([str(folders)])
    metrics.write_text("{")
    with pytest.raises(UserError, match=r"a/metrics.json: not valid JSON"):
        find_runs([str(folders)])
    settings.write_text(settings.read_text() + "colour: red\n")
    with pytest.raises(UserError, match=r"a/config.yaml: colour: no such key"):
        find_runs([str(folders)])
