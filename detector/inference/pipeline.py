"""Work of other threads beside the network: pictures are read before they are needed, and results written behind."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import Empty, Full, Queue
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

PATIENCE = 0.1
"""Seconds after which a thread that waits looks whether it is still wanted."""


class _End:
    """Comes after the last item, with what went wrong, if anything."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


@contextmanager
def ahead(items: Iterable[Given], most: int) -> Generator[Generator[Given]]:
    """The items in their order, made by another thread, which is at most `most` items ahead of whoever asks for them.

    What it raises is raised here, after the items before. At the end of the context, also an early one, it makes no more.
    """
    queue: Queue[Given | _End] = Queue(most)
    wanted = threading.Event()
    wanted.set()

    def put(item: Given | _End) -> None:
        while wanted.is_set():
            try:
                queue.put(item, timeout=PATIENCE)
            except Full:
                continue
            return

    def make() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                put(item)
                if not wanted.is_set():
                    return
        except BaseException as raised:  # whatever it is, it belongs to the thread that asked
            error = raised
        put(_End(error))

    def taken() -> Generator[Given]:
        while True:
            try:
                item = queue.get(timeout=PATIENCE)  # a signal reaches a thread that waits only from time to time
            except Empty:
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    thread = threading.Thread(target=make, name="reading", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        wanted.clear()
        thread.join()


def behind(function: Callable[[Given], Made], items: Iterable[Given], threads: int) -> Generator[Made]:
    """`function` of each item in their order, by `threads` threads, while the next items are asked for.

    At most two items a thread have been asked for without having come out.
    """
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="writing") as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            while len(waiting) >= 2 * threads or (waiting and waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
