"""The processes that train together on a machine, one a device, end together."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import lightning as L
import torch.distributed

from detector import signals
from detector.errors import RunError, UserError

POLL = 0.2
"""Seconds between two looks at the other processes."""

VERDICT = 2.0
"""Seconds that an error waits: another process whose end has caused it is found and named meanwhile."""

LOST_VERDICT = 60.0
"""The same for an error that says that another process has closed its connection: it is ending, however slowly."""

LAST_BARRIER = 60.0
"""Seconds that the others have to end after the first process has done its work."""


@contextmanager
def ending_together(trainer: L.Trainer) -> Iterator[None]:
    """Within, the end of any process of `trainer` ends the others, in one line each, also one that waits for it for ever.

    Lightning's own watch kills every process, this one too, without a word and without the processes that load data.
    """
    if trainer.world_size > 1:
        _tell_no_other_process(trainer)
    over = threading.Event()
    if trainer.local_rank:
        watch = threading.Thread(target=_watch_parent, args=(over, os.getppid(), trainer.global_rank), daemon=True)
    else:
        watch = threading.Thread(target=_watch_children, args=(over, trainer), daemon=True)
    watch.start()
    try:
        yield
    except BaseException as error:
        if trainer.world_size > 1 and isinstance(error, Exception) and not isinstance(error, UserError | RunError):
            time.sleep(LOST_VERDICT if _says_lost(error) else VERDICT)
        over.set()
        for process in _children(trainer):
            signals.end_children(process.pid)
            process.kill()
            process.wait()
        raise
    over.set()
    for process in _children(trainer):
        with suppress(subprocess.TimeoutExpired):
            process.wait(LAST_BARRIER)


def _tell_no_other_process(trainer: L.Trainer) -> None:
    """Leaves signals to `detector.signals` and to the watches here.

    Lightning (2.6) has all processes agree before each step on whether one was told to stop, for which the host waits, and
    its handler of SIGTERM broadcasts once more, wherever the process is: where that is in another collective, Gloo aborts.
    """
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
    trainer._signal_connector._sigterm_notifier_fn = lambda *_: None  # type: ignore[method-assign]


def _says_lost(error: Exception) -> bool:
    """Gloo's error is a bare RuntimeError with its source file in the text; NCCL's and the store's have a type."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error).lower()


def _children(trainer: L.Trainer) -> list[subprocess.Popen[bytes]]:
    """The processes that this one has started to train with it."""
    return list(getattr(trainer.strategy.launcher, "procs", []))


def _watch_children(over: threading.Event, trainer: L.Trainer) -> None:
    while not over.wait(POLL):
        children = _children(trainer)
        if children:
            _end_lightnings_watch()
        for rank, process in enumerate(children, 1):
            code = process.poll()
            if not code:
                continue
            if signals.received() is not None:  # all were told to stop, and this one has ended on the way
                return
            number = -code if code < 0 else code - 128
            if number in signals.HANDLED:  # it was told to stop, and so all are
                os.kill(os.getpid(), number)
                return
            killed = (
                f"was killed by {signal.Signals(-code).name} (out of memory?)"
                if code < 0
                else f"ended with code {code}"
            )
            line = f"error: process {rank} of {trainer.world_size} (from 0) {killed}, {signals.way_on()}"
            signals.end_at_once(line, 2 if code == 2 else 1)


def _watch_parent(over: threading.Event, parent: int, rank: int) -> None:
    while not over.wait(POLL):
        if os.getppid() != parent:
            signals.end_at_once(f"error: process 0 of this training is gone; process {rank} ends too", 1)


def _end_lightnings_watch() -> None:
    for thread in threading.enumerate():
        if thread.name == "child-process-observer":
            thread._run = lambda: True  # type: ignore[attr-defined]
