"""A data loader whose processes cannot keep a training waiting for ever."""

from __future__ import annotations

import errno
import functools
import itertools
import multiprocessing
import multiprocessing.util
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, TypeVar, cast

import cv2
import numpy as np
import psutil
import torch
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, Dataset, get_worker_info
from torch.utils.data.dataloader import _BaseDataLoaderIter, _MultiProcessingDataLoaderIter

from detector.data.batch import NO_SHARED_MEMORY
from detector.data.free_memory import keep_freed_memory
from detector.data.processes import loader_context, starting_processes
from detector.data.shared_memory import Shared, SharedMemory, share
from detector.errors import RunError

T_co = TypeVar("T_co", covariant=True)

CHECK = 1.0
"""Seconds between two looks at whether the processes live, while nothing comes."""
_SERVER_LOST = 255
"""What Python gives as the exit code of a process when the server of such processes has gone."""
_STARTING, _STARTED, _LOADING, _DONE = 0, 1, 2, 3
"""States of a loader process, beside which it notes the position of the image."""


class LoadedSet(Protocol[T_co]):
    """What a `Loader` loads from, in its processes or by itself."""

    note: Callable[[int | None], None]
    """To be called with the position of each image before it is read, so that an error can name it, and with None when
    a batch is done."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any) -> T_co: ...

    def where(self, position: int) -> str:
        """The file of the image at a position, or another name for it."""


def no_note(position: int | None) -> None:
    """The `note` of a data set that no loader process reads."""


class Loader(DataLoader[T_co]):
    """A `DataLoader` whose processes share the arrays of their data set and are watched while they are waited for.

    Args:
        dataset: its arrays are put into shared memory when the first process is started.
        name: of the data, for errors: "training data".
        workers: how many processes; with 0 the caller's own process loads.
        timeout: seconds after which a process that gives nothing is given up.
        run: so many batches that follow one another are made by one process, which may keep what they share.
        options: those of `DataLoader`.

    Raises:
        RunError: when batches are asked for: a process gave nothing in time, died, or found no shared memory.
    """

    def __init__(
        self, dataset: LoadedSet[T_co], *, name: str, workers: int, timeout: float, run: int = 1, **options: Any
    ) -> None:
        self.loaded = dataset
        self.data_name = name
        self.patience = timeout
        self.run = run
        super().__init__(
            cast(Dataset[T_co], _InSharedMemory(dataset) if workers else dataset),
            num_workers=workers,
            multiprocessing_context=loader_context() if workers else None,
            # A loader without a generator of its own takes a number from torch's global one at each start of an epoch.
            generator=torch.Generator().manual_seed(0),
            **options,
        )

    def check_worker_number_rationality(self) -> None:
        """Says nothing, where torch would warn that there are more processes than cores: they also wait for disks."""

    def _get_iterator(self) -> _BaseDataLoaderIter:
        return _Watched(self) if self.num_workers else super()._get_iterator()


class _InSharedMemory(Dataset[Any]):
    """A data set that a process being started gets without its arrays being copied."""

    def __init__(self, dataset: LoadedSet[Any]) -> None:
        self.dataset = dataset

    @functools.cached_property
    def shared(self) -> Shared[LoadedSet[Any]]:
        return share(self.dataset)

    def __len__(self) -> int:
        return len(self.dataset)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.shared.open, ()


class _Watched(_MultiProcessingDataLoaderIter):
    """An iterator that ends with a `RunError` where torch's would wait for ever or show a traceback."""

    def __init__(self, loader: Loader[Any]) -> None:
        self._shutdown = True  # until torch's own __init__ says otherwise: if it fails, there is nothing to end
        self._workers: list[BaseProcess] = []  # type: ignore[assignment]
        # Not the loader itself: it holds this iterator, and both would outlive their last use.
        self._loaded, self._data_name, self._patience = loader.loaded, loader.data_name, loader.patience
        self._run = loader.run
        self._semaphore_names: list[Callable[[], Any]] = []
        shared = cast(_InSharedMemory, loader.dataset).shared
        memory = SharedMemory.allocate(16 * loader.num_workers, "a loader", writable=True)
        self._notes = memory.array().view(np.int64).reshape(-1, 2)
        loader.worker_init_fn = functools.partial(_start_loading, memory)
        try:
            with starting_processes(need_main=shared.mentions_main) as self._semaphore_names:
                super().__init__(loader)
        except BaseException as error:
            self._shutdown = True
            _kill(self._workers)
            while self._semaphore_names:
                self._semaphore_names.pop()()
            if isinstance(error, OSError | EOFError):
                reason = f"no loader process can be started for the {loader.data_name}: {_reason(error)}"
                raise RunError(reason) from error
            raise
        # Their SIGTERM is blocked, with which Python would end them at its own end, and wait.
        multiprocessing.util.Finalize(self, _kill, (self._workers,), exitpriority=100)

    def _try_put_index(self) -> None:
        turn = self._send_idx // self._run % self._num_workers
        self._worker_queue_idx_cycle = itertools.cycle([turn])  # from which torch takes the process of the next batch
        super()._try_put_index()

    def _get_data(self) -> Any:
        end = time.monotonic() + self._patience
        while True:
            try:
                received, data = self._try_get_data(CHECK)
            except (RuntimeError, OSError, EOFError) as error:
                self._raise_if_dead(wait=1.0)
                raise self._failure(self._awaited(), f"cannot be heard any more ({_reason(error)})") from error
            if received:
                self._take_names_off(end)
                return data
            self._raise_if_dead()
            if self._pin_memory and not self._pin_memory_thread.is_alive():
                raise self._failure(self._awaited(), "gives batches that cannot be pinned in memory")
            self._raise_if_late(self._awaited(), end)

    def _take_names_off(self, end: float) -> None:
        """Takes the names off the semaphores when every process has opened them: from now on a kill leaves none behind."""
        while self._semaphore_names:
            starting = np.flatnonzero(self._notes[:, 0] == _STARTING)
            if starting.size:
                self._raise_if_dead()
                self._raise_if_late(int(starting[0]), end)
                time.sleep(0.005)
            else:
                self._semaphore_names.pop()()

    def _raise_if_late(self, worker: int, end: float) -> None:
        if time.monotonic() > end:
            raise self._failure(
                worker,
                f"gave nothing for {self._patience:g} seconds",
                f" ({_state(self._workers[worker])}); data.timeout=SECONDS waits longer",
            )

    def _process_data(self, data: Any, *more: Any) -> Any:
        if isinstance(data, ExceptionWrapper) and issubclass(data.exc_type, RunError):
            worker, text = (
                int(data.where.split()[-1]),
                data.exc_msg.strip().splitlines()[-1].partition("RunError: ")[2],
            )
            raise RunError(f"{self._name(worker)} {text}")
        return super()._process_data(data, *more)

    def _awaited(self) -> int:
        """The process whose batch is to come next."""
        task = self._task_info.get(self._rcvd_idx, ())
        if len(task) == 1:
            return int(task[0])
        busy = np.flatnonzero(self._notes[:, 0] != _DONE)
        return int(busy[0]) if busy.size else 0

    def _raise_if_dead(self, wait: float = 0.0) -> None:
        end = time.monotonic() + wait
        while True:
            for worker, process in enumerate(self._workers):
                if not process.is_alive():
                    raise self._failure(worker, *_cause_of_death(process.exitcode))
            if time.monotonic() >= end:
                return
            time.sleep(0.02)

    def _failure(self, worker: int, what: str, more: str = "") -> RunError:
        """The error in one line; the processes are ended, because one that hangs would not end by itself."""
        state, position = self._notes[worker].tolist()
        place = "before its first image"
        if state in (_LOADING, _DONE):
            place = f"{'while loading' if state == _LOADING else 'after loading'} {self._loaded.where(position)}"
        _kill(self._workers)
        return RunError(f"{self._name(worker)} {what} {place}{more}")

    def _name(self, worker: int) -> str:
        return f"loader process {worker} (pid {self._workers[worker].pid}) of the {self._data_name}"


def _kill(processes: list[BaseProcess]) -> None:
    for process in processes:
        if process.is_alive():
            process.kill()
    for process in processes:
        process.join(CHECK)


def _start_loading(memory: SharedMemory, worker: int) -> None:
    """The first act of a loader process, before OpenCV is used."""
    cv2.setNumThreads(0)  # there are as many processes as there is room for threads
    torch.set_num_threads(1)
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    row = memory.array().view(np.int64).reshape(-1, 2)[worker]
    info = get_worker_info()
    assert info is not None

    def note(position: int | None) -> None:
        if position is None:
            row[0] = _DONE
        else:
            row[:] = _LOADING, position

    info.dataset.note = note  # type: ignore[attr-defined]
    row[0] = _STARTED


def _end_with_parent() -> None:
    """The training process may be killed while this one waits to send it something."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _cause_of_death(exitcode: int | None) -> tuple[str, str]:
    """What happened to a process, and what to do about it."""
    if exitcode == _SERVER_LOST:
        return "has lost the process that it was forked from", ""
    if exitcode is None or exitcode >= 0:
        return f"ended with exit code {exitcode}", ""
    name = signal.Signals(-exitcode).name if -exitcode in set(signal.Signals) else f"signal {-exitcode}"
    advice = {
        "SIGKILL": "; a system that runs out of memory does so: fewer data.workers, a smaller data.batch_size or "
        "data.cache=none need less",
        "SIGBUS": f"; {NO_SHARED_MEMORY}",
    }.get(name, "")
    return f"was ended by {name}", advice


def _state(process: BaseProcess) -> str:
    try:
        status = psutil.Process(process.pid).status()
    except psutil.Error:
        return "it has ended"
    known = {
        psutil.STATUS_STOPPED: "it was stopped by a signal",
        psutil.STATUS_DISK_SLEEP: "it waits for a disk",
        psutil.STATUS_RUNNING: "it still computes",
    }
    return known.get(status, "it waits for a file, a lock or a network")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in {
        errno.ENOSPC,
        errno.ENOMEM,
        errno.ENOENT,
        errno.EACCES,
        errno.ENOSYS,
    }:
        return f"{error.strerror}; {NO_SHARED_MEMORY}"
    if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
        return "too many open files: fewer data.workers, or a higher limit (ulimit -n)"
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
