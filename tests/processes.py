"""The project's scripts as real processes, in a group of their own, and what is left of them afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
PYTHONPATH = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
PATIENCE = 600
"""Seconds; a machine may have other work."""

SMALL = [
    "data=shapes", "data.train_images=8", "data.val_images=4", "data.scene_size=64", "data.batch_size=4",
    "data.workers=0", "image_size=64", "backbone.width=0.125", "neck.width=0.125", "logger=csv",
    "trainer.accelerator=cpu", "trainer.precision=fp32",
]  # fmt: skip
PAIR = ["trainer.devices=2", "trainer.strategy=ddp"]


@dataclass
class Ended:
    """A process that has ended."""

    code: int
    output: str
    errors: list[str]
    """Lines on standard error that are not empty."""


class Script:
    """`scripts/NAME.py` with arguments, or any other program, in a folder."""

    def __init__(self, folder: Path, name: str, *arguments: str) -> None:
        program = [str(ROOT / "scripts" / f"{name}.py")] if not name.startswith("-") else [name]
        self.process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": PYTHONPATH},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # a shell's job in the background has SIGINT ignored, one under nohup SIGHUP, and so would all that it starts
            preexec_fn=_answer_all,
        )

    def wait_for(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end, "took too long"
            time.sleep(0.01)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def send(self, number: int) -> None:
        """To this process alone."""
        self.process.send_signal(number)

    def send_all(self, number: int) -> None:
        """To the whole group, as a terminal and most schedulers do."""
        os.killpg(self.process.pid, number)

    def end(self, seconds: float = PATIENCE) -> Ended:
        """Waits until nothing of the group is left."""
        output, errors = self.process.communicate(timeout=seconds)
        until = time.monotonic() + PATIENCE / 10
        while time.monotonic() < until and _group(self.process.pid):
            time.sleep(0.1)
        left = _group(self.process.pid)
        for process in left:
            process.kill()
        assert not left, f"still there: {left}"
        return Ended(self.process.returncode, output, [line for line in errors.splitlines() if line.strip()])


def _answer_all() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _group(number: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.Error):
            continue
    return found
