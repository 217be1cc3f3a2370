"""How a script ends when it is told to stop: one line, exit code 128 + the signal's number, nothing half-written or running.

The standard library alone, so that this stands before the seconds of import that a script needs.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

GRACE = 5.0
"""Seconds after which a program that was told to stop, and has not ended, is ended wherever it is."""

HANDLED = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(BaseException):
    """A signal has told the program to stop; no `except Exception` holds it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


_unfinished: set[Path] = set()
_received: int | None = None
_unwinds = False
_held = False
_goes_on: Callable[[], str] = lambda: "before anything was done: nothing is lost"  # noqa: E731
_said = False
_last_word = threading.Lock()


def install() -> None:
    """From now on a signal ends the program at once; one that the shell has told it to ignore stays ignored."""
    for number in HANDLED:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)


def received() -> int | None:
    """The signal that has told the program to stop, if one has."""
    return _received


def goes_on(text: Callable[[], str]) -> None:
    """Decides what follows `stopped by SIGTERM ` in the last line: how far the program has come, and what goes on."""
    global _goes_on
    _goes_on = text


def done() -> None:
    """The program has done its work: a signal that comes later ends what is left of it as it ends any other."""
    for number in HANDLED:
        if signal.getsignal(number) is _handle:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def unwinding() -> Iterator[None]:
    """Within, the first signal raises `Stopped` where the program is, so that everything can clean up after itself.

    A second signal ends the program at once, and so does a thread where the program has not ended after `GRACE` seconds,
    for instance because it waits in compiled code, where no exception reaches it. Does nothing without `install`.
    """
    global _unwinds
    if not any(signal.getsignal(number) is _handle for number in HANDLED):
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_enforce, args=(read,), name="signals", daemon=True).start()
    hook = sys.unraisablehook
    sys.unraisablehook = lambda given: None if isinstance(given.exc_value, Stopped) else hook(given)
    _unwinds = True
    try:
        yield
    finally:
        _unwinds = False
        if _received is None:
            signal.set_wakeup_fd(-1)
            os.close(write)


@contextmanager
def held() -> Iterator[None]:
    """Within, which must be brief, the first signal waits until the end: two acts that belong together are both done."""
    global _held
    earlier = _received
    _held = True
    try:
        yield
    finally:
        _held = False
        if earlier is None and _received is not None:
            _end(_received, first=True)


@contextmanager
def written_whole(unfinished: Path) -> Iterator[None]:
    """Within, `unfinished` is being written and is then renamed; however the program ends, it is not left behind."""
    _unfinished.add(unfinished)
    try:
        yield
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        _unfinished.discard(unfinished)


def stopped(number: int) -> NoReturn:
    """The last line and the exit code of a program that was told to stop and has cleaned up."""
    with suppress(Exception):
        sys.stdout.flush()
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler raises for a loader process that ends
    end_children()
    _say(_line(number))
    sys.exit(128 + number)


def end_at_once(line: str | None, code: int) -> NoReturn:
    """Ends the program from any thread, whatever it is doing, with all that it has started and half-written files."""
    _say(line)
    for path in list(_unfinished):
        with suppress(OSError):
            path.unlink(missing_ok=True)
    with suppress(Exception):
        end_children()
    os._exit(code)


def way_on() -> str:
    """What follows `stopped by SIGTERM ` in the last line."""
    return _goes_on()


def end_children(of: int | None = None) -> None:
    """Kills the processes that this one, or process `of`, has started, with all that they have started."""
    import psutil

    with suppress(psutil.Error):
        for process in psutil.Process(of).children(recursive=True):
            with suppress(psutil.Error):
                # Python's tracker of shared memory ends by itself, when it has cleaned up
                if not any("resource_tracker" in word for word in process.cmdline()):
                    process.kill()


def _handle(number: int, frame: FrameType | None) -> None:
    global _received
    first = _received is None
    if _received is None:
        _received = number
    if not (first and _held):
        _end(_received, first)


def _end(number: int, first: bool) -> None:
    if first and _unwinds:
        raise Stopped(number)
    with suppress(Exception):
        sys.stdout.flush()
    end_at_once(_line(number), 128 + number)


def _line(number: int) -> str | None:
    """Nothing where another of several processes that train together says it."""
    return None if _rank() else f"stopped by {signal.Signals(number).name} {_goes_on()}"


def _enforce(read: int) -> None:
    """Python runs a handler only between two instructions of the main thread; the number of a signal arrives here at once."""
    numbers: list[int] = []
    deadline = float("inf")
    while True:
        wait = None if not numbers else max(0.0, deadline - time.monotonic())
        if select.select([read], [], [], wait)[0]:
            if not (data := os.read(read, 64)):
                os.close(read)
                return
            numbers += [number for number in data if number in HANDLED]
            if numbers:
                deadline = min(deadline, time.monotonic() + (GRACE if len(numbers) == 1 else 0.5))
        elif time.monotonic() >= deadline:
            end_at_once(_line(numbers[0]), 128 + numbers[0])


def _say(line: str | None) -> None:
    """Writes a program's last line to standard error, past Python's buffers, which another thread may hold; once."""
    global _said
    held = _last_word.acquire(timeout=0.5)
    if line is not None and not _said:
        _said = True
        start = "\n" if os.isatty(2) else ""  # a progress bar may stand there
        with suppress(Exception):
            if select.select([], [2], [], 1.0)[1]:  # nobody may be reading
                os.write(2, f"{start}{line}\n".encode())
    if held:
        _last_word.release()


def _rank() -> int:
    """The number of this process among those that train together, from 0."""
    given = [next((os.environ[key] for key in ("RANK", "LOCAL_RANK", "SLURM_PROCID") if key in os.environ), "0")]
    return max(int(rank) for rank in [*given, os.environ.get("NODE_RANK", "0")] if rank.isdecimal())
