"""Does one job of a sweep, wherever a launcher has brought it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path

from detector import config, signals
from detector.experiments.sweep.jobs import ERROR, LOG, Job
from detector.output import write_text
from detector.resolve import resolve_files
from detector.training.run_folder import describe

LAST_LINES = 50
"""Lines of the output that a failed job's error file repeats: a traceback and what led to it."""


def run_job(job: Job, settings: config.Train, cwd: Path) -> None:
    """Trains in a process of its own, from the last checkpoint where there is one; a finished job is left alone.

    Whatever happens to that process, also a crash or a kill, is this job's result and not the sweep's: it is written to
    `error.txt` in the job's folder. Everything that it prints is also kept, in `output.log`.
    """
    words = " ".join(job.overrides)
    if job.state == "finished":
        print(f"finished already: {words} ({job.folder})", flush=True)
        return
    print(f"{'going on' if (job.folder / 'last.ckpt').is_file() else 'starting'}: {words} ({job.folder})", flush=True)
    job.folder.mkdir(parents=True, exist_ok=True)
    if not (job.folder / "config.yaml").is_file():
        write_text(job.folder / "overrides.txt", "\n".join(job.overrides) + "\n")
        describe(job.folder, resolve_files(settings))
    (job.folder / ERROR).unlink(missing_ok=True)
    code, last = _train(job.folder, cwd, settings.plugins)
    number = -code if code < 0 else code - 128
    if number in signals.HANDLED:  # someone has told the job alone to stop: it can go on, and so can the sweep
        raise signals.Stopped(number)
    if code:
        reason = _reason(code, last)
        write_text(job.folder / ERROR, "\n".join([reason, "", *last]) + "\n")
        print(f"failed: {words}: {reason}", flush=True)


def _train(folder: Path, cwd: Path, plugins: list[str]) -> tuple[int, list[str]]:
    """Exit code and last lines of the training."""
    last: deque[str] = deque(maxlen=LAST_LINES)
    command = [sys.executable, "-m", "detector.cli.train_job", str(folder.absolute()), *plugins]
    # Its standard input stays open as long as this process lives: that is how the training knows, see cli/train_job.py.
    with (
        open(folder / LOG, "a") as log,
        subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if not line.startswith("stopped by SIG"):  # the sweep says that it is stopped
                    print(line, end="", flush=True)
                log.write(line)
                log.flush()
                last.append(line.rstrip())
        except BaseException as error:
            if isinstance(error, signals.Stopped):
                process.send_signal(error.number)
                with suppress(subprocess.TimeoutExpired):
                    log.write(process.communicate(timeout=signals.GRACE / 2)[0] or "")
            signals.end_children(process.pid)
            process.kill()
            process.wait()
            for unfinished in folder.glob(".*.unfinished"):  # one that was killed has not tidied up
                unfinished.unlink(missing_ok=True)
            raise
    return process.returncode, list(last)


def _reason(code: int, last: list[str]) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    said = [line for line in last if line.strip()]
    answers = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    return (answers or said or [f"exit code {code}"])[-1]
