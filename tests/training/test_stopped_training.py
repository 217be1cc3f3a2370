"""Real trainings that are told to stop."""

from __future__ import annotations

import re
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from processes import PAIR, ROOT, SMALL, Ended, Script

from detector.signals import Stopped
from detector.training.checkpoint_files import WholeFiles

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


def start(folder: Path, *overrides: str) -> Script:
    """A training that has written its first checkpoint."""
    script = Script(folder, "train", *SMALL, "trainer.epochs=400", f"runs={folder}/runs", "name=t", *overrides)
    script.wait_for((folder / "runs/t/latest/last.ckpt").exists)
    return script


def check(ended: Ended, folder: Path, number: signal.Signals) -> list[str]:
    """The command that the last line names."""
    assert ended.code == CODES[number], ended
    assert [line for line in ended.errors if "stopped by" in line] == ended.errors[-1:], ended
    said = re.fullmatch(rf"stopped by {number.name} after epoch (\d+) of 400; go on with: (.*)", ended.errors[-1])
    assert said, ended
    assert not any("Traceback" in line for line in ended.errors)
    run = (folder / "runs/t/latest").resolve()
    assert not list(run.glob(".*.unfinished"))
    assert torch.load(run / "last.ckpt", weights_only=True)["epoch"] + 1 == int(said.group(1))
    command = shlex.split(said.group(2))
    assert command == ["python", str(ROOT / "scripts/train.py"), f"resume={run}"]
    return command[2:]


@pytest.mark.slow  # .ci/run sends one as well
def test_sigterm_ends_with_143_and_the_command_that_goes_on(tmp_path: Path) -> None:
    script = start(tmp_path)
    script.send(signal.SIGTERM)
    check(script.end(), tmp_path, signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "group", "overrides"),
    [
        pytest.param(signal.SIGTERM, False, ["data.workers=2", "data.cache=ram"], id="loaders-alone"),
        pytest.param(signal.SIGTERM, True, ["data.workers=2"], id="loaders-group"),
        pytest.param(signal.SIGINT, True, ["data.workers=2"], id="loaders-interrupt"),
        pytest.param(signal.SIGTERM, False, ["data.val_images=100", "data.train_images=4"], id="validation"),
        pytest.param(signal.SIGINT, False, ["data.val_images=100", "data.train_images=4"], id="validation-interrupt"),
    ],
)
def test_a_training_that_is_told_to_stop_goes_on_with_the_command_it_names(
    number: signal.Signals, group: bool, overrides: list[str], tmp_path: Path
) -> None:
    script = start(tmp_path, *overrides)
    time.sleep(0.5)
    (script.send_all if group else script.send)(number)
    command = check(script.end(), tmp_path, number)
    done = torch.load((tmp_path / "runs/t/latest/last.ckpt"), weights_only=True)["epoch"] + 1
    again = Script(tmp_path, "train", *command, f"trainer.epochs={done + 1}").end()
    assert again.code == 0, again
    assert (tmp_path / "runs/t/latest/metrics.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("whom", ["parent", "child", "group"])
def test_two_processes_end_together(whom: str, number: signal.Signals, tmp_path: Path) -> None:
    script = start(tmp_path, *PAIR)
    if whom == "group":
        script.send_all(number)
    elif whom == "parent":
        script.send(number)
    else:
        next(child for child in script.children() if "train.py" in " ".join(child.cmdline())).send_signal(number)
    check(script.end(), tmp_path, number)


@pytest.mark.slow
@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_sweep_stops_as_a_whole(number: signal.Signals, group: bool, tmp_path: Path) -> None:
    sweep = ["-m", *SMALL, f"runs={tmp_path}/runs", "name=t", "seed=0,1", "trainer.epochs=400"]
    script = Script(tmp_path, "train", *sweep)
    script.wait_for(lambda: list(tmp_path.glob("runs/t/sweep/*/last.ckpt")))
    (script.send_all if group else script.send)(number)
    ended = script.end()
    assert ended.code == CODES[number], ended
    (line,) = ended.errors
    assert line.startswith(f"stopped by {number.name} with 0 of 2 jobs finished; go on with: python ")
    assert shlex.split(line.split("go on with: ")[1])[2:] == sweep
    assert "failed" not in ended.output
    assert not list(tmp_path.glob("runs/t/sweep/*/error.txt"))
    (job,) = tmp_path.glob("runs/t/sweep/*/")
    assert not list(job.glob(".*.unfinished"))


class Interrupts:
    """Pickling it is interrupted."""

    def __reduce__(self) -> str:
        raise Stopped(signal.SIGTERM)


def test_a_checkpoint_that_is_interrupted_leaves_the_one_before_and_nothing_else(tmp_path: Path) -> None:
    files = WholeFiles()
    file = tmp_path / "last.ckpt"
    files.save_checkpoint({"epoch": 0, "weights": torch.ones(1000)}, file)
    with pytest.raises(Stopped):
        files.save_checkpoint({"epoch": 1, "weights": [torch.zeros(1000), Interrupts()]}, file)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
    assert torch.load(file, weights_only=True)["weights"].sum() == 1000
    assert files.finished_epochs == 1
