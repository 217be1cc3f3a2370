from __future__ import annotations

import dataclasses
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from composition import command
from darknet_files import SMALL
from hydra.core.global_hydra import GlobalHydra

from detector import config
from detector.command_line import CONFIGS
from detector.experiments.sweep import run
from detector.experiments.sweep.jobs import Job, digest, job, table
from detector.experiments.sweep.run import run_job
from detector.output import write_json
from detector.signals import Stopped
from detector.training.run_folder import describe, read_config

Configure = Callable[..., config.Train]
Training = Callable[[Path, Path], tuple[int, list[str]]]


class Trainings:
    """Stands in for the process that trains; those whose seed is in `failing` fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[tuple[str, int]] = []
        self.failing: set[int] = set()
        monkeypatch.setattr(run, "_train", self)

    def __call__(self, folder: Path, cwd: Path, plugins: list[str]) -> tuple[int, list[str]]:
        settings = read_config(folder)
        self.done.append((settings.loss.box if settings.loss else settings.model.name, settings.seed))
        if settings.seed in self.failing:
            return 2, ["epoch 1/3", "error: the disk is full"]
        write_json(folder / "metrics.json", {"AP": settings.seed / 10, "AP50": 0.5, "train_seconds": 3.2})
        return 0, []


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    return Trainings(monkeypatch)


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def call(*overrides: str) -> int:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["train.py", "-m", "data=shapes", "name=t", *overrides])
        GlobalHydra.instance().clear()
        try:
            command("train", lambda settings: pytest.fail("a job of a sweep trains in a process of its own"))
        except SystemExit as stopped:
            return int(stopped.code or 0)
        return 0

    return call


def test_equal_configurations_are_one_job_wherever_they_lie(tiny: Configure) -> None:
    settings = tiny()
    elsewhere = dataclasses.replace(settings, runs="/elsewhere", name="other", resume="somewhere")
    assert digest(settings) == digest(elsewhere)
    assert job(settings, ["seed=0"]).folder == Path(settings.runs) / "tiny" / "sweep" / digest(settings)


def test_any_other_value_makes_another_job(tiny: Configure) -> None:
    changed = [
        tiny(seed=1),
        tiny(image_size=128),
        tiny(loss=config.CriterionOptions(name="ciou", label_smoothing=0.1)),
        tiny(optim=config.AdamWOptions(warmup_epochs=1.0, lr=0.0011)),
        tiny(backbone=config.ResNetOptions(depth=18)),
    ]
    assert len({digest(settings) for settings in [tiny(), *changed]}) == 6


def test_a_job_is_recognised_by_the_configuration_that_its_folder_keeps(tiny: Configure, tmp_path: Path) -> None:
    settings = tiny(augment=config.Augment(name="x", albumentations=[{"name": "Blur", "p": 0.5}]))
    describe(tmp_path, settings)
    assert digest(read_config(tmp_path)) == digest(settings)


def test_a_job_keeps_the_text_of_the_cfg_that_it_names_and_is_another_one_where_that_changes(
    tiny: Configure, trainings: Trainings, tmp_path: Path
) -> None:
    cfg = tmp_path / "some.cfg"
    cfg.write_text(SMALL)
    settings = tiny(model=config.DarknetOptions(cfg=str(cfg)))
    one = job(settings, [])
    run_job(one, settings, tmp_path)
    kept = read_config(one.folder)
    assert isinstance(kept.model, config.DarknetOptions)
    assert kept.model.cfg_text == SMALL
    assert digest(kept) == digest(settings)
    cfg.write_text(SMALL + "# changed\n")
    assert job(settings, []).folder != one.folder


@pytest.mark.slow
def test_one_failed_job_neither_stops_nor_hides_among_the_others(
    sweep: Callable[..., int], trainings: Trainings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    trainings.failing = {1}
    assert sweep("seed=0,1,2", "loss=iou,giou") == 1
    assert len(trainings.done) == 6
    said = capsys.readouterr().out
    assert "sweep of 6 jobs: 6 new" in said
    lines = said[said.index("\nseed  loss") :].splitlines()[1:]
    assert lines[0].split() == ["seed", "loss", "state", "AP", "AP50", "seconds", "folder"]
    assert [line.split()[:6] for line in lines[1:5]] == [
        ["0", "iou", "finished", "0.0000", "0.5000", "3"],
        ["0", "giou", "finished", "0.0000", "0.5000", "3"],
        ["1", "iou", "failed", "-", "-", "-"],
        ["1", "giou", "failed", "-", "-", "-"],
    ]
    failed = [line for line in lines if line.startswith("failed: ")]
    assert len(failed) == 2
    assert "loss=iou" in failed[0]
    assert "the disk is full" in failed[0]
    assert "2 of 6 jobs are not finished" in lines[-1]
    folder = Path(failed[0].split("all of it in ")[1].rstrip(")"))
    assert (tmp_path / folder).read_text().splitlines() == [
        "the disk is full", "", "epoch 1/3", "error: the disk is full",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_same_command_does_again_only_what_is_not_finished(
    sweep: Callable[..., int], trainings: Trainings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    trainings.failing = {1}
    assert sweep("seed=0,1,2") == 1
    trainings.done, trainings.failing = [], set()
    capsys.readouterr()
    assert sweep("seed=0,1,2") == 0
    assert trainings.done == [("ciou", 1)]
    said = capsys.readouterr().out
    assert "sweep of 3 jobs: 2 finished, 1 failed" in said
    assert said.count("finished already: ") == 2
    assert not list(tmp_path.rglob("error.txt"))
    # another sweep that asks for the same runs, in other words
    trainings.done = []
    assert sweep("sweep=seeds", "seed=2,3", "loss.box=ciou") == 0
    assert trainings.done == [("ciou", 3)]


def test_a_mistake_in_any_job_is_answered_before_the_first_one_starts(
    sweep: Callable[..., int], trainings: Trainings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep("seed=0,1", "optim.lr=0.1,fast") == 2
    assert trainings.done == []
    said = capsys.readouterr()
    assert said.err.startswith("error: optim.lr: ")
    assert said.err.count("\n") == 1
    assert sweep("loss=iou,nothing") == 2
    assert "loss=nothing: choose one of ciou" in capsys.readouterr().err
    assert trainings.done == []


def test_resuming_is_not_for_sweeps(
    sweep: Callable[..., int], trainings: Trainings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep("seed=0,1", "resume=runs/x") == 2
    assert "leave out -m" in capsys.readouterr().err
    assert trainings.done == []


LARGE = ("activation_norm", "assigner", "backbone_neck", "box_loss", "freebies", "one_vs_two_stage")
"""Sweeps that take 5 to 15 s to compose."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.stem, marks=pytest.mark.slow if path.stem in LARGE else ())
        for path in sorted((CONFIGS / "sweep").glob("*.yaml"))
    ],
)
def test_every_sweep_composes_into_different_jobs(
    name: str, sweep: Callable[..., int], trainings: Trainings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(f"sweep={name}", "seed=0" if name != "seeds" else "seed=0,1") == 0
    said = capsys.readouterr().out
    assert f"sweep of {len(trainings.done)} jobs: {len(trainings.done)} new" in said
    assert "finished already" not in said


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "sweep").glob("*.yaml")))
def test_the_header_of_a_sweep_says_command_result_time_and_hardware(name: str) -> None:
    header = "".join(
        line for line in (CONFIGS / "sweep" / f"{name}.yaml").read_text().splitlines(True) if line[0] == "#"
    )
    assert f"python scripts/train.py -m sweep={name} " in header
    for word in ("Expected", "Time", "hardware"):
        assert word in header


@pytest.mark.parametrize(("code", "number"), [(130, signal.SIGINT), (143, signal.SIGTERM), (-15, signal.SIGTERM)])
def test_a_job_that_is_told_to_stop_ends_the_sweep_and_is_no_failure(
    tiny: Configure, monkeypatch: pytest.MonkeyPatch, code: int, number: signal.Signals
) -> None:
    monkeypatch.setattr(run, "_train", lambda folder, cwd, plugins: (code, []))
    one = job(tiny(), ["seed=0"])
    with pytest.raises(Stopped) as stopped:
        run_job(one, tiny(), Path.cwd())
    assert stopped.value.number == number
    assert one.state == "new"
    assert not (one.folder / "error.txt").exists()


@pytest.mark.parametrize(
    ("code", "last", "reason"),
    [
        (-9, ["epoch 1"], "killed by SIGKILL (out of memory?)"),
        (-11, [], "killed by SIGSEGV"),
        (1, ["Traceback", "ValueError: no"], "ValueError: no"),
        (2, ["error: the loss is nan", "later"], "the loss is nan"),
        (3, [], "exit code 3"),
    ],
)
def test_the_reason_of_a_failure_is_one_line(
    tiny: Configure, monkeypatch: pytest.MonkeyPatch, code: int, last: list[str], reason: str
) -> None:
    monkeypatch.setattr(run, "_train", lambda folder, cwd, plugins: (code, last))
    one = job(tiny(), ["seed=0"])
    run_job(one, tiny(), Path.cwd())
    assert one.state == "failed"
    assert one.error == reason


def test_the_table_shows_what_differs(tmp_path: Path) -> None:
    jobs = [Job(("data=shapes", "loss=iou", f"seed={seed}"), tmp_path / str(seed)) for seed in (0, 1)]
    jobs[0].folder.mkdir()
    (jobs[0].folder / "metrics.json").write_text(json.dumps({"AP": 0.5, "AP50": None}))
    (jobs[1].folder).mkdir()
    (jobs[1].folder / "last.ckpt").touch()
    lines = [line.split()[:-1] for line in table(jobs).splitlines()]
    assert lines == [
        ["seed", "state", "AP", "AP50", "seconds"],
        ["0", "finished", "0.5000", "-", "-"],
        ["1", "unfinished", "-", "-", "-"],
    ]


@pytest.mark.slow
def test_every_model_of_a_sweep_follows_a_recipe_that_says_something_of_parts_it_lacks(
    sweep: Callable[..., int], trainings: Trainings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep("experiment=shapes", "sweep=one_vs_two_stage") == 0
    assert [name for name, _ in trainings.done] == ["ciou", "faster_rcnn", "fast_rcnn", "rcnn"]
    said = capsys.readouterr()
    assert "sweep of 4 jobs: 4 new" in said.out
    assert "left out of experiment=shapes: loss.class_weight; model=rcnn has no loss" in said.err
