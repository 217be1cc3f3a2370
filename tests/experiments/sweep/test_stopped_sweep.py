"""Real processes, killed without warning."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.slow

OVERRIDES = [
    "data=shapes", "data.train_images=8", "data.val_images=4", "data.scene_size=64", "data.batch_size=4",
    "data.workers=0", "image_size=64", "backbone.width=0.125", "neck.width=0.125", "logger=csv", "name=t",
    "trainer.epochs=4", "trainer.accelerator=cpu", "trainer.precision=fp32",
]  # fmt: skip
PATIENCE = 1800
"""Seconds; a machine may have other work."""


def start(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "train.py"), "-m", *OVERRIDES, f"runs={folder}", *overrides],
        cwd=folder,
        # otherwise Ray writes a token for its cluster into the home folder
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_TOKEN": "0" * 64,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(folder: Path, *overrides: str) -> tuple[int, str]:
    with start(folder, *overrides) as process:
        said, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, said


def results(folder: Path) -> dict[str, float]:
    return {path.parent.name: json.loads(path.read_text())["AP50"] for path in folder.glob("t/sweep/*/metrics.json")}


def wait_for(condition: object) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "took too long"
        time.sleep(0.02)


def trains(job: Path) -> bool:
    """Whether a process has the job's folder on its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(job).encode() in path.read_bytes():
                return True
        except OSError:
            continue
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_sweep_killed_in_the_middle_goes_on_where_it_stopped_exactly(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    sweep = ["loss=iou,ciou", "seed=0,1"]
    code, said = finish(whole, *sweep)
    assert code == 0, said

    process = start(killed, *sweep)
    wait_for(lambda: len(results(killed)) == 1 and len(list(killed.glob("t/sweep/*/last.ckpt"))) == 2)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (stopped,) = (path.parent for path in killed.glob("t/sweep/*/last.ckpt") if path.parent.name not in results(killed))
    wait_for(lambda: not trains(stopped))  # the kill reached only the sweep; its job must notice
    assert torch.load(stopped / "last.ckpt", weights_only=True)["epoch"] < 3
    assert not (stopped / "metrics.json").exists()

    code, said = finish(killed, *sweep)
    assert code == 0, said
    assert said.count("finished already: ") == 1
    assert said.count("going on: ") == 1
    assert said.count("starting: ") == 2
    assert results(killed) == results(whole)
    for name in results(whole):
        expected, found = (torch.load(f / "t/sweep" / name / "last.ckpt", weights_only=True) for f in (whole, killed))
        assert all(torch.equal(value, found["state_dict"][key]) for key, value in expected["state_dict"].items())


def test_a_job_that_is_made_to_fail_leaves_its_traceback_and_the_others_finish(tmp_path: Path) -> None:
    code, said = finish(tmp_path, "init=nowhere.ckpt,null", "trainer.epochs=1,2")
    assert code == 1
    assert len(results(tmp_path)) == 2
    errors = [path.read_text() for path in tmp_path.glob("t/sweep/*/error.txt")]
    assert [one.startswith("init=nowhere.ckpt: no such file") for one in errors] == [True, True]
    assert "2 of 4 jobs are not finished" in said


def test_a_ray_cluster_gives_the_same_results(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    sweep = ["init=nowhere.ckpt,null", "seed=0,1", "trainer.epochs=1"]
    code, _ = finish(here, *sweep)
    assert code == 1
    ray = ["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2", "+hydra.launcher.ray.remote.num_cpus=1"]
    code, said = finish(there, *sweep, *ray)
    assert code == 1, said
    assert "2 of 4 jobs are not finished" in said
    assert len(results(here)) == 2
    assert results(there) == results(here)
