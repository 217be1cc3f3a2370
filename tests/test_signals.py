"""Signals to small programs, whatever they are doing."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from processes import Script

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")

START = """
import sys, time
from pathlib import Path
from detector import signals
signals.install()
signals.GRACE = 0.5
from detector.cli.user_errors import answer_errors
signals.goes_on(lambda: "here")
def ready(): Path("ready").touch()
with answer_errors(), signals.unwinding():
"""
NEVER = """
    import ctypes
    lock, libc = ctypes.create_string_buffer(256), ctypes.CDLL(None)
    libc.pthread_mutex_lock(lock); ready(); libc.pthread_mutex_lock(lock)
"""
WAITS = """
    try:
        ready(); time.sleep(600)
    finally:
        Path("cleaned").touch()
"""
WRITES = """
    unfinished = Path(".a.json.unfinished")
    with signals.written_whole(unfinished):
        unfinished.touch(); ready(); time.sleep(600)
"""
SWALLOWS = """
    class Careless:
        def __del__(self):
            ready(); time.sleep(600)
    Careless()
    Path("went on").touch(); time.sleep(600)
"""
STUBBORN = """
    unfinished = Path(".a.json.unfinished")
    with signals.written_whole(unfinished):
        unfinished.touch()
        import subprocess; subprocess.Popen(["sleep", "600"])
        try:
            ready(); time.sleep(600)
        except BaseException:
            signals.GRACE = 600; Path("caught").touch(); time.sleep(600)
"""
HOLDS = """
    with signals.held():
        ready()
        while signals.received() is None: time.sleep(0.01)
        Path("went on").touch()
    Path("too far").touch()
"""
BREAKS = """
    try:
        ready(); time.sleep(600)
    finally:
        raise RuntimeError("what an interruption has broken")
"""


def run(folder: Path, body: str, number: int) -> Script:
    script = Script(folder, "-c", START + body)
    script.wait_for((folder / "ready").exists)
    script.send(number)
    return script


@pytest.mark.parametrize(
    ("body", "number", "code"),
    [
        pytest.param(WAITS, signal.SIGTERM, 143, id="waits-SIGTERM"),
        pytest.param(WAITS, signal.SIGINT, 130, id="waits-SIGINT"),
        pytest.param(WAITS, signal.SIGHUP, 129, id="waits-SIGHUP"),
        pytest.param(WRITES, signal.SIGTERM, 143, id="writes-SIGTERM"),
        pytest.param(BREAKS, signal.SIGINT, 130, id="breaks-SIGINT"),
        pytest.param(HOLDS, signal.SIGTERM, 143, id="holds-SIGTERM"),
        pytest.param(NEVER, signal.SIGTERM, 143, id="never-SIGTERM"),
        pytest.param(NEVER, signal.SIGINT, 130, id="never-SIGINT"),
        pytest.param(SWALLOWS, signal.SIGTERM, 143, id="swallows-SIGTERM"),
    ],
)
def test_a_signal_ends_a_program_with_its_code_one_line_and_nothing_half_written(
    body: str, number: signal.Signals, code: int, tmp_path: Path
) -> None:
    ended = run(tmp_path, body, number).end()
    assert ended.code == code
    assert ended.errors == [f"stopped by {number.name} here"]
    assert {path.name for path in tmp_path.iterdir()} == {"ready", *(["cleaned"] if body == WAITS else [])} | (
        {"went on"} if body in (SWALLOWS, HOLDS) else set()
    )


def test_a_second_signal_ends_at_once_and_leaves_no_file_and_no_process(tmp_path: Path) -> None:
    script = run(tmp_path, STUBBORN, signal.SIGINT)
    script.wait_for((tmp_path / "caught").exists)
    script.send(signal.SIGINT)
    ended = script.end()
    assert (ended.code, ended.errors) == (130, ["stopped by SIGINT here"])
    assert not (tmp_path / ".a.json.unfinished").exists()


def test_a_signal_that_the_shell_ignores_stays_ignored(tmp_path: Path) -> None:
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    script = Script(tmp_path, "-c", ignore + START + "\n    ready(); time.sleep(0.5); print('done')")
    script.wait_for((tmp_path / "ready").exists)
    script.send(signal.SIGTERM)
    ended = script.end()
    assert (ended.code, ended.output, ended.errors) == (0, "done\n", [])


@pytest.mark.parametrize(
    ("name", "number", "code"),
    [("train", signal.SIGTERM, 143), ("train", signal.SIGINT, 130), ("compare", signal.SIGTERM, 143)],
)
def test_a_signal_while_a_script_imports_is_answered_in_one_line(
    name: str, number: signal.Signals, code: int, tmp_path: Path
) -> None:
    imported = "-X"  # prints each import to standard error: the moment is the one after `signals` is there
    script = Script(
        tmp_path, imported, "importtime", str(Path(__file__).resolve().parents[1] / "scripts" / f"{name}.py")
    )
    assert script.process.stderr is not None
    said = iter(script.process.stderr.readline, "")
    next(line for line in said if line.rstrip().endswith("| hydra.version") or "omegaconf.version" in line)
    script.send(number)
    ended = script.end()
    assert ended.code == code
    assert [line for line in ended.errors if "import time:" not in line] == [
        f"stopped by {number.name} before anything was done: nothing is lost"
    ]
