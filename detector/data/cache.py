"""Decoded images kept in memory or in a file, one flat buffer for a whole split."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from detector.data.images.loading import Limit, load_image, loaded_size
from detector.data.index import Index
from detector.data.shared_memory import SharedMemory
from detector.errors import UserError


class Images(Protocol):
    """A source of a data set's loaded images."""

    def image(self, i: int) -> np.ndarray:
        """Image `i`, uint8 [height, width, 3] RGB, as `load_image` gives it; not to be written to."""


class DecodedImages:
    """Images decoded each time they are asked for."""

    def __init__(self, index: Index, limit: Limit) -> None:
        self.index = index
        self.limit = limit

    def image(self, i: int) -> np.ndarray:
        """Image `i`, uint8 [height, width, 3] RGB."""
        return load_image(self.index, i, self.limit)


class CachedImages:
    """Images that lie one after the other in a uint8 buffer.

    Args:
        shapes: int64 [I, 2], (height, width) of each.
        buffer: uint8, their pixels: a view of `SharedMemory`, which loader processes share.
    """

    def __init__(self, shapes: np.ndarray, buffer: np.ndarray) -> None:
        self.shapes = shapes
        self.offsets = np.concatenate([[0], np.cumsum(shapes.prod(axis=1) * 3)])
        self.buffer = buffer

    def image(self, i: int) -> np.ndarray:
        """Image `i`, a view of uint8 [height, width, 3] RGB."""
        height, width = self.shapes[i].tolist()
        return self.buffer[self.offsets[i] : self.offsets[i + 1]].reshape(height, width, 3)


class KeptImages:
    """Images of a source, each asked for only once for as long as it is among those to be kept."""

    def __init__(self, source: Images) -> None:
        self.source = source
        self._wanted: np.ndarray = np.empty(0, dtype=np.int64)
        self._kept: dict[int, np.ndarray] = {}

    def keep(self, wanted: np.ndarray) -> None:
        """From now on images at the positions `wanted`, int64 [G], are kept and others are let go."""
        if wanted is not self._wanted and not np.array_equal(wanted, self._wanted):
            self._wanted = wanted
            self._kept = {i: self._kept[i] for i in wanted.tolist() if i in self._kept}

    def image(self, i: int) -> np.ndarray:
        """Image `i`, uint8 [height, width, 3] RGB."""
        image = self._kept.get(i)
        if image is None:
            image = self.source.image(i)
            if i in self._wanted:
                self._kept[i] = image
        return image


def open_images(index: Index, cache: str, limit: Limit) -> Images:
    """The images of a split, loaded with `limit` (see `loaded_size`) and kept as `cache` says: none, ram or disk.

    Both caches are filled at once. A cache on disk lies in `cache_folder()` and is used again as long as the
    files (their paths, sizes and times) and the limit are the same.

    Raises:
        UserError: another value of `cache`, or it does not fit into the free memory or disk; an unreadable image.
    """
    match cache:
        case "none":
            return DecodedImages(index, limit)
        case "ram":
            return _cached_in_memory(index, limit)
        case "disk":
            return _cached_on_disk(index, limit)
    raise UserError(f"data.cache={cache}: use none, ram or disk")


def cache_folder() -> Path:
    """The folder of caches on disk: detector/ in $XDG_CACHE_HOME, by default in ~/.cache. Files in it may be deleted."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "detector"


def _loaded_shapes(index: Index, limit: Limit) -> np.ndarray:
    sizes = [loaded_size(index, i, limit) for i in range(len(index))]
    return np.array([(size.height, size.width) for size in sizes], dtype=np.int64).reshape(-1, 2)


def _cached_in_memory(index: Index, limit: Limit) -> CachedImages:
    shapes = _loaded_shapes(index, limit)
    needed = int(shapes.prod(axis=1).sum()) * 3
    try:
        memory = SharedMemory.allocate(max(needed, 1), "data.cache=ram")
    except UserError as error:
        raise UserError(f"{error}: use disk or none") from None
    _fill(CachedImages(shapes, memory.array()[:needed]), index, limit, "in memory")
    pixels = memory.array()[:needed]
    pixels.flags.writeable = False
    return CachedImages(shapes, pixels)


def _cached_on_disk(index: Index, limit: Limit) -> CachedImages:
    if index.painter is not None:
        raise UserError("data.cache=disk keeps files that were decoded, and these images are drawn: use ram or none")
    shapes = _loaded_shapes(index, limit)
    needed = int(shapes.prod(axis=1).sum()) * 3
    file = cache_folder() / f"{_fingerprint(index, limit)}.rgb"
    if not (file.is_file() and file.stat().st_size == needed):
        file.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(file.parent).free
        if needed > free:
            raise UserError(
                f"data.cache=disk needs {_gigabytes(needed)} in {file.parent}, {_gigabytes(free)} are free: use none"
            )
        unfinished = file.with_suffix(f".{os.getpid()}")
        try:
            writable = np.memmap(unfinished, dtype=np.uint8, mode="w+", shape=(needed,))
            _fill(CachedImages(shapes, writable), index, limit, f"in {file}")
            writable.flush()
            unfinished.rename(file)
        finally:
            unfinished.unlink(missing_ok=True)
    return CachedImages(shapes, SharedMemory.of_file(file, needed).array())


def _fingerprint(index: Index, limit: Limit) -> str:
    """Changes with any file, its size or time, the annotated sizes and the image size."""
    digest = hashlib.sha256(f"{limit} {len(index)}".encode())
    digest.update(index.sizes.tobytes())
    if index.as_stored:
        digest.update(b"as stored")
    for name in index.files.tolist():
        path = Path(name).resolve()
        state = path.stat() if path.exists() else None
        digest.update(f"{path}\0{state and (state.st_size, state.st_mtime_ns)}\n".encode())
    return digest.hexdigest()[:32]


def _fill(images: CachedImages, index: Index, limit: Limit, where: str) -> None:
    def keep(i: int) -> None:
        images.image(i)[:] = load_image(index, i, limit)

    with ThreadPoolExecutor(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    ) as pool:
        done = [pool.submit(keep, i) for i in range(len(index))]
        try:
            report = _progress(len(index), where, images.buffer.nbytes)
            for count, future in enumerate(done, start=1):
                future.result()
                report(count)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _progress(total: int, where: str, size: int) -> Callable[[int], None]:
    """A line on stderr: rewritten while it goes on, on a terminal; once at the end, elsewhere."""
    start = last = time.monotonic()
    terminal = sys.stderr.isatty()

    def report(count: int) -> None:
        nonlocal last
        now = time.monotonic()
        if count < total and not (terminal and now - last > 0.2):
            return
        last = now
        line = f"caching {count}/{total} images {where}, {_gigabytes(size)}, {now - start:.0f} s"
        print(("\r" if terminal else "") + line, end="\n" if count == total else "", file=sys.stderr, flush=True)

    return report


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
