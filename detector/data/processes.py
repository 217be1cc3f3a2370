"""The start of loader processes, which are never forked from a process that has had threads.

A thread that is inside a library when its process forks leaves the library's locks taken in the child, for ever. So
loader processes are forked by a server that has no thread (`forkserver`), and where the system has none, are new
interpreters (`spawn`).
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import os
import signal
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from multiprocessing.synchronize import SemLock
from typing import Any

from detector.data.cores import loader_processes, usable_cores
from detector.data.options import Augment, Data

PRELOADED = ["torch.utils.data._utils.worker", "cv2", "detector.data.dataset", "detector.data.formats.shapes"]
"""Imported once by the server; none of these modules starts a thread, and neither does albumentations."""
_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "NO_ALBUMENTATIONS_UPDATE": "1",
}
"""Environment of the server: OpenBLAS starts its threads when imported, and albumentations asks the network."""
_SERVER = "forkserver"


if sys.platform != "win32":
    from multiprocessing.context import ForkServerContext, ForkServerProcess

    class _LoaderProcess(ForkServerProcess):
        def terminate(self) -> None:
            """Its SIGTERM is blocked."""
            self.kill()

    class _ServerContext(ForkServerContext):
        Process = _LoaderProcess


def loader_context() -> BaseContext:
    """What a `DataLoader` takes as `multiprocessing_context`."""
    return _ServerContext() if _has_server() else multiprocessing.get_context("spawn")


def expect_loading(data: Data | None, augment: Augment | None = None) -> None:
    """Starts the server if there will be loader processes: the earlier, the less there is to wait for later."""
    if data is None or (loader_processes(usable_cores()) if data.workers is None else data.workers):
        start_server(augment is not None and bool(augment.albumentations or augment.blur or augment.noise))


def start_server(albumentations: bool = False) -> None:
    """Starts the server unless it runs, and does not wait while it imports.

    The server and all that it forks neither see Ctrl-C nor a SIGTERM that goes to all processes of a job: when they
    end is for the training process to say. They end when it does, however that happens.
    """
    if not _has_server():
        return
    from multiprocessing import forkserver, resource_tracker

    multiprocessing.get_context(_SERVER).set_forkserver_preload(PRELOADED + ["albumentations"] * albumentations)
    resource_tracker.ensure_running()  # first, because it unblocks both signals
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    with _environment({**_ENVIRONMENT, "PYTHONPATH": path}), _signals_blocked():
        forkserver.ensure_running()


@contextmanager
def starting_processes(need_main: bool = False) -> Iterator[list[Callable[[], Any]]]:
    """Processes are started inside. They do not run the main script again, except where they `need_main`.

    So a notebook and a script without `if __name__ == "__main__":` work as well, and a process starts sooner.

    Yields:
        A list, filled at the end: each function takes the name off a semaphore that was made inside. To be called when
        all processes have opened them; then nothing stays in /dev/shm, also if this process and the one that cleans up
        behind it (Python's resource tracker) are killed together.
    """
    start_server()
    main = sys.modules["__main__"]
    if not need_main:
        sys.modules["__main__"] = types.ModuleType("__main__")
    registry: dict[Any, Any] = multiprocessing.util._finalizer_registry  # type: ignore[attr-defined]
    cleanup = SemLock._cleanup  # type: ignore[attr-defined]
    earlier = set(registry)
    names: list[Callable[[], Any]] = []
    try:
        yield names
    finally:
        sys.modules["__main__"] = main
        for key, finalizer in list(registry.items()):
            if key not in earlier and getattr(finalizer, "_callback", None) is cleanup:
                names.append(finalizer)


def _has_server() -> bool:
    return _SERVER in multiprocessing.get_all_start_methods()


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _signals_blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
