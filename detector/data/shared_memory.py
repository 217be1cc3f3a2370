"""Arrays that several processes of a machine read, kept once for all of them."""

from __future__ import annotations

import errno
import mmap
import os
import pickle
import shutil
import sys
import tempfile
import weakref
from dataclasses import dataclass
from multiprocessing import context, reduction
from typing import Any, Generic, TypeVar

import numpy as np

from detector.data.free_memory import free_memory
from detector.errors import UserError

T = TypeVar("T")

SHARED_FROM = 4096
"""Bytes from which an array is shared; a smaller one is copied, which costs less than finding it again."""
_ALIGNMENT = 64


class SharedMemory(mmap.mmap):
    """Bytes that other processes of the machine can map as well.

    They have no name in a file system, so that nothing stays behind however the processes end: on Linux they lie in
    memory that belongs to no folder (`memfd_create`), which the size of /dev/shm does not limit, elsewhere in an unlinked
    temporary file. Pickled for a process that is being started, only the open file travels; pickled otherwise, a path
    under /proc travels, which holds as long as the sender lives. Whoever unpickles them cannot write to them, except
    where `writable` is set.
    """

    descriptor: int
    writable: bool

    def __new__(cls, descriptor: int, size: int, read_only: bool = False, writable: bool = False) -> SharedMemory:
        """Maps `size` bytes of an open file, which this object closes."""
        access = mmap.ACCESS_READ if read_only else mmap.ACCESS_WRITE
        try:
            memory = super().__new__(cls, descriptor, size, access=access)
        except BaseException:
            os.close(descriptor)
            raise
        memory.descriptor = descriptor
        memory.writable = writable
        weakref.finalize(memory, os.close, descriptor)
        return memory

    @classmethod
    def allocate(cls, size: int, purpose: str, writable: bool = False) -> SharedMemory:
        """`size` zero bytes that exist: none of them can turn out to be missing when it is written.

        Args:
            size: at least 1.
            purpose: what needs them, the beginning of the error's sentence.
            writable: for those too who get them from this process.

        Raises:
            UserError: there is no room for so many.
        """
        if size > (free := free_memory()):
            raise UserError(f"{purpose} needs {size / 1e9:.2f} GB of memory, {free / 1e9:.2f} GB are free")
        descriptor = _anonymous_file()
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)
            else:
                if size > shutil.disk_usage(tempfile.gettempdir()).free:
                    raise OSError(errno.ENOSPC, f"{tempfile.gettempdir()} is full")
                os.truncate(descriptor, size)
        except OSError as error:
            os.close(descriptor)
            raise UserError(f"{purpose} needs {size / 1e9:.2f} GB of shared memory: {error.strerror}") from error
        return cls(descriptor, size, writable=writable)

    @classmethod
    def of_file(cls, file: str | os.PathLike[str], size: int) -> SharedMemory:
        """The first `size` bytes of a file, read-only."""
        return cls(os.open(file, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)), size, read_only=True)

    def array(self) -> np.ndarray:
        """All bytes, uint8 [size]; the memory lives as long as any view of it."""
        return np.frombuffer(self, dtype=np.uint8)

    def __reduce__(self) -> tuple[Any, ...]:
        if sys.platform == "win32":
            return _copied, (bytes(self), self.writable)
        if context.get_spawning_popen() is not None:
            return _received, (reduction.DupFd(self.descriptor), len(self), self.writable)
        return _opened, (f"/proc/{os.getpid()}/fd/{self.descriptor}", len(self), self.writable)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        try:
            return os.memfd_create("detector")
        except OSError:  # a sandbox that does not know or does not allow it
            pass
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _received(descriptor: Any, size: int, writable: bool) -> SharedMemory:
    return SharedMemory(descriptor.detach(), size, read_only=not writable, writable=writable)


def _opened(path: str, size: int, writable: bool) -> SharedMemory:
    mode = os.O_RDWR if writable else os.O_RDONLY
    return SharedMemory(os.open(path, mode | os.O_CLOEXEC), size, read_only=not writable, writable=writable)


def _copied(content: bytes, writable: bool) -> SharedMemory:
    memory = SharedMemory.allocate(len(content), "a copy of data", writable)
    memory.array()[:] = np.frombuffer(content, dtype=np.uint8)
    return memory


@dataclass(frozen=True)
class Shared(Generic[T]):
    """An object whose arrays lie in shared memory; pickled it is about a kilobyte, whatever it holds."""

    pieces: tuple[tuple[SharedMemory, int, int], ...]
    """(memory, first byte, bytes) of the object's pickle and of each array that the pickle refers to."""
    mentions_main: bool
    """Whether the object needs something that the main script defines."""

    def open(self) -> T:
        """The object again, in any process; its large arrays are read-only views of the shared memory."""
        views = [memoryview(memory)[start : start + size].toreadonly() for memory, start, size in self.pieces]
        value: T = pickle.loads(views[0], buffers=views[1:])
        return value


def share(value: T) -> Shared[T]:
    """Copies the arrays of a picklable object to shared memory, except those that lie there already.

    Raises:
        UserError: there is no room for them, or the object cannot be pickled.
    """
    buffers: list[memoryview] = []

    def leave_out(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < SHARED_FROM:
            return True
        buffers.append(view)
        return False

    try:
        pickled = pickle.dumps(value, protocol=5, buffer_callback=leave_out)
    except (AttributeError, TypeError, pickle.PicklingError) as error:  # as of a function that has no name
        raise UserError(
            f"data.workers: what the images come from cannot be sent to another process ({error}); workers=0 loads in this one"
        ) from error
    views = [memoryview(pickled), *buffers]
    there = [_place(view) for view in views]
    starts, total = [], 0
    for view, place in zip(views, there, strict=True):
        starts.append(total)
        total += 0 if place else -(-view.nbytes // _ALIGNMENT) * _ALIGNMENT
    memory = SharedMemory.allocate(total, "the index of the images")
    pieces = []
    for view, place, start in zip(views, there, starts, strict=True):
        if place is None:
            memory[start : start + view.nbytes] = view
            place = memory, start
        pieces.append((*place, view.nbytes))
    return Shared(tuple(pieces), b"__main__" in pickled)


def _place(view: memoryview) -> tuple[SharedMemory, int] | None:
    """The shared memory that the view's bytes lie in, and the first of them; None where they lie elsewhere."""
    owner: Any = view
    while isinstance(owner, (memoryview, np.ndarray, pickle.PickleBuffer)):
        owner = owner.base if isinstance(owner, np.ndarray) else memoryview(owner).obj
    if not isinstance(owner, SharedMemory):
        return None
    return owner, _address(np.frombuffer(view, np.uint8)) - _address(owner.array())


def _address(array: np.ndarray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
