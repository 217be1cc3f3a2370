from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from composition import command
from html_elements import data_of
from hydra.core.global_hydra import GlobalHydra
from PIL import Image
from run_folders import whole_run

from detector import config
from detector.command_line import quoted
from detector.errors import UserError
from detector.experiments.compare.groups import Group
from detector.experiments.compare.run import asks_for_details, run
from detector.experiments.compare.runs import Run, find_runs

Configure = Callable[..., config.Train]
PAN, FPN = "neck=pan neck.width=0.125", "neck=fpn neck.channels=16"


@pytest.fixture
def runs(
    tiny: Configure, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Two seeds of one configuration, one of another; made once, each test has a copy."""
    made = tmp_path_factory.getbasetemp() / "runs_to_compare"
    if not made.exists():
        for seed in (0, 1):
            whole_run(made / f"a{seed}", tiny(), seed, train_seconds=60.0 + 60 * seed)
        whole_run(made / "b", tiny(neck=config.FPNOptions(channels=16)), seed=0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("detector.experiments.compare.cost.IMAGES", 1)
    monkeypatch.setattr("detector.experiments.compare.cost.SECONDS", 0.0)
    monkeypatch.setattr("detector.experiments.compare.cost.LEAST_REPEATS", 2)
    monkeypatch.setattr("detector.experiments.compare.cost.peak_memory", lambda *_: 50.0)  # test_cost.py measures it
    return shutil.copytree(made, tmp_path / "runs" / "tiny")


def compare(folder: Path | list[Path], **options: object) -> config.Compare:
    given = folder if isinstance(folder, list) else [folder]
    return config.Compare(**{"runs": list(map(str, given)), "resamples": 50, "accelerator": "cpu"} | options)  # type: ignore[arg-type]


def test_the_table_the_plot_and_the_intervals_are_written_from_the_runs(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = run(compare(runs, output="RESULTS.md", title="Necks, tiny"))
    assert (first.group.label, second.group.label) == (PAN, FPN)
    assert [one.config.seed for one in first.group.runs] == [0, 1]
    assert first.difference is None
    assert second.difference is not None
    assert second.difference.over_images is not None
    aps = [json.loads((runs / name / "metrics.json").read_text())["AP"] for name in ("a0", "a1", "b")]
    assert second.difference.ap == pytest.approx(aps[2] - (aps[0] + aps[1]) / 2, abs=1e-9)
    low, high = second.difference.over_images
    assert low < second.difference.ap < high
    assert all(cost.gflops > 0 and cost.latency_ms for row in (first, second) for cost in row.costs)

    text = Path("RESULTS.md").read_text()
    assert "## Necks, tiny" in text
    assert f"| {PAN} | 0, 1 |" in text
    assert "1.5 ± 0.7" in text  # minutes of training
    (command,) = [line for line in text.splitlines() if line.startswith("detector compare")]
    assert command == f"detector compare {runs} resamples=50 accelerator=cpu output=RESULTS.md 'title=\"Necks, tiny\"'"
    for name in ("necks-tiny.forest.png", "necks-tiny.png"):
        assert f"(RESULTS/{name})" in text
        with Image.open(f"RESULTS/{name}") as picture:
            assert picture.width > 500
    assert "Corrected p allows for the number of comparisons made at once (Holm 1979)" in text
    assert Path("RESULTS/necks-tiny.csv").read_text().count("\n") == 3
    assert FPN in capsys.readouterr().out


def test_two_groups_are_compared_in_detail(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(compare(runs, output="RESULTS.md", title="Necks, tiny"))
    said, text = capsys.readouterr().out, Path("RESULTS.md").read_text()
    for word in ("features ms", "suppression ms", "peak MiB", "AP of class", "circle"):
        assert word in said
        assert word in text
    assert "(RESULTS/necks-tiny.details.png)" in text
    assert "(RESULTS/necks-tiny.html)" in text
    with Image.open("RESULTS/necks-tiny.details.png") as picture:
        assert picture.width > 900
    page = Path("RESULTS/necks-tiny.html").read_text()
    assert [one["label"] for one in data_of(page)["groups"]] == [PAN, FPN]
    assert data_of(page)["reference"] == 0
    assert "(Holm 1979)" in data_of(page)["explained"]
    run(compare(runs, output="RESULTS.md", title="Necks, tiny", reference=str(runs / "b"), latency=False))
    page = Path("RESULTS/necks-tiny.html").read_text()
    assert f"the reference is {FPN}." in page
    assert data_of(page)["reference"] == 1
    assert "features ms" not in Path("RESULTS.md").read_text()


def test_details_are_there_for_two_groups_for_different_models_and_where_they_are_asked_for(
    runs: Path, tiny: Configure
) -> None:
    def group(**parts: object) -> Group:
        return Group("", (Run(Path(), tiny(**parts), {}),))

    one, other = group(), group(model=config.DarknetOptions(cfg="some.cfg"))
    assert [asks_for_details([one] * count) for count in (1, 2, 3)] == [False, True, False]
    assert asks_for_details([one, one, other])
    run(compare(runs / "b", output="RESULTS.md", title="Alone", details=True))
    text = Path("RESULTS.md").read_text()
    assert "features ms" in text
    assert "| AP of class | objects | tiny |" in text
    assert "alone.html" not in text


def test_two_groups_of_different_data_have_neither_classes_nor_a_page(runs: Path, tiny: Configure) -> None:
    other = config.Shapes(scene_size=96, train_images=12, val_images=6, batch_size=4, workers=0, scene_seed=5)
    whole_run(runs.parent / "other", tiny(data=other), seed=0)
    run(compare([runs / "a0", runs.parent / "other"], latency=False, resamples=0, output="RESULTS.md", title="T"))
    text = Path("RESULTS.md").read_text()
    assert "different validation data: no AP of classes, no page" in text
    assert "AP of class " not in text
    assert Path("RESULTS/t.details.png").is_file()
    assert not Path("RESULTS/t.html").exists()


@pytest.mark.slow
def test_options_leave_latency_and_intervals_out_and_choose_the_reference(runs: Path) -> None:
    rows = run(compare(runs, resamples=0, latency=False))
    assert all(row.difference is None and row.costs[0].latency_ms is None for row in rows)
    (text,) = (path.read_text() for path in Path("runs/compare").glob("2*/results.md"))
    assert "latency ms" not in text
    assert "Intervals" not in text
    rows = run(compare(runs, latency=False, reference=str(runs / "b")))
    assert rows[1].difference is None
    assert rows[0].difference is not None


def test_a_single_run_is_a_table_of_one_line(runs: Path) -> None:
    (row,) = run(compare(runs / "b", latency=False))
    assert row.group.label == "tiny"


@pytest.mark.slow
def test_a_run_without_stored_detections_is_measured_again(runs: Path) -> None:
    (before,) = [row.difference for row in run(compare(runs, latency=False)) if row.difference]
    (runs / "b" / "detections.json").unlink()
    (after,) = [row.difference for row in run(compare(runs, latency=False)) if row.difference]
    assert before == after
    assert (runs / "b" / "detections.json").is_file()


def test_what_cannot_be_compared_is_refused_with_the_reason(runs: Path, tiny: Configure) -> None:
    other = config.Shapes(scene_size=96, train_images=12, val_images=6, batch_size=4, workers=0, scene_seed=5)
    whole_run(runs.parent / "other", tiny(data=other), seed=0)
    with pytest.raises(UserError, match=r"a0 and .*other were measured on different validation data"):
        run(compare([runs, runs.parent / "other"], latency=False))
    assert len(run(compare([runs, runs.parent / "other"], latency=False, resamples=0))) == 3

    (runs / "b" / "detections.json").write_text("[]")
    with pytest.raises(UserError, match=r"b/detections.json: its AP is 0.0000, metrics.json says"):
        run(compare(runs, latency=False))
    with pytest.raises(UserError, match=r"reference=.*other: is not one of"):
        run(compare(runs, reference=str(runs.parent / "other")))
    with pytest.raises(UserError, match="resamples=1: 2 or more"):
        run(compare(runs, resamples=1))


def test_an_unfinished_run_is_left_out_and_said(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "a1" / "metrics.json").unlink()
    run(compare(runs, latency=False, output="RESULTS.md"))
    assert "a1: not finished (no metrics.json), left out" in capsys.readouterr().out
    assert "Left out, not finished: " in Path("RESULTS.md").read_text()


# -------------------------------------------------------------------------------------------------------- command line
def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[config.Compare]:
    given: list[config.Compare] = []
    monkeypatch.setattr(sys, "argv", ["compare.py", *arguments])
    GlobalHydra.instance().clear()
    command("compare", given.append)
    return given


def test_folders_are_given_without_a_key_whatever_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for odd in ("loss=giou,seed=0", "a b", 'quo"te', "back\\"):
        Path(odd).mkdir()
    (given,) = called(monkeypatch, "x/1", "loss=giou,seed=0", "resamples=7", "a b", 'quo"te', "back\\", "title=A b")
    assert given.runs == ["x/1", "loss=giou,seed=0", "a b", 'quo"te', "back\\"]
    assert (given.resamples, given.title) == (7, "A b")
    (given,) = called(monkeypatch, "runs=[x,y]")
    assert given.runs == ["x", "y"]
    (given,) = called(monkeypatch, "x", f"title={quoted('Losses, (BCCD)')}")
    assert given.title == "Losses, (BCCD)"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "runs=... must be given"),
        (["nowhere"], "runs=nowhere: no such folder"),
        (["x", "resample=3"], "resample=3: there is no such key; did you mean resamples=3?"),
        (["x", "output=a/b.md"], "output=a/b.md: there is no folder a"),
        (["x", "accelerator=abacus"], "accelerator=abacus: choose one of auto, cpu, gpu"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["compare.py", *arguments])
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as stopped:
        command("compare", run)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {words}")
    assert said.count("\n") == 1


def test_finding_runs_reads_what_training_wrote(runs: Path) -> None:
    finished, _ = find_runs([str(runs)])
    assert [one.folder.name for one in finished] == ["a0", "a1", "b"]
    assert replace(finished[0].config, seed=1) == finished[1].config
