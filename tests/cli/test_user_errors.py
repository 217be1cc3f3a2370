from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("closed", ["stdout", "both"])
@pytest.mark.parametrize(
    "command", [["--version"], ["check_data", "data=shapes", "data.train_images=2", "data.val_images=2", "samples=0"]]
)
def test_a_command_whose_output_nobody_reads_any_more_ends_as_a_broken_pipe(
    command: list[str], closed: str, tmp_path: Path
) -> None:
    """As in `detector ... | head -1`, and with `2>&1`."""
    done = _unread([*command, f"output={tmp_path / 'new'}"], closed)
    assert done.returncode in (128 + signal.SIGPIPE, -signal.SIGPIPE)  # to a shell they are the same
    assert "Traceback" not in (done.stderr or "")


@pytest.mark.parametrize("closed", ["stdout", "both"])
def test_a_mistake_of_which_nobody_reads_still_ends_with_2(closed: str) -> None:
    done = _unread(["no_such_command"], closed)
    assert done.returncode == 2
    if closed == "stdout":
        assert done.stderr.startswith("error: no_such_command: ")
        assert done.stderr.count("\n") == 1


def _unread(command: list[str], closed: str) -> subprocess.CompletedProcess[str]:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        return subprocess.run(
            [sys.executable, "-m", "detector", *command],
            stdout=nobody,
            stderr=nobody if closed == "both" else subprocess.PIPE,
            text=True,
            check=False,
        )
