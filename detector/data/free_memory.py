"""How much memory this process may still take, as its machine and container or job allow; keeping it, and giving it back."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that can be had without pushing anything out: the machine's, or less where a control group sets a limit.

    Containers and SLURM jobs are control groups (cgroups); to take more than theirs ends the process without a word.
    Pages of files that the group has read count as free, because the kernel gives them up.
    """
    return max(0, min([psutil.virtual_memory().available, *_group_room(root)]))


def _group_room(root: Path) -> Iterator[int]:
    try:
        memberships = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in memberships:
        _, controllers, name = line.split(":", 2)
        mounted = root / "sys/fs/cgroup"
        if controllers == "":
            limit, used, files = "memory.max", "memory.current", ("inactive_file", "active_file")
        elif "memory" in controllers.split(","):
            mounted /= "memory"
            limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
            files = ("total_inactive_file", "total_active_file")
        else:
            continue
        group = mounted / name.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(mounted):
                break
            try:
                room = int((folder / limit).read_text()) - int((folder / used).read_text())
                entries = dict(entry.split() for entry in (folder / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):  # no limit here ("max"), or the folder is not visible from inside
                continue
            yield room + sum(int(entries.get(name, 0)) for name in files)


def keep_freed_memory() -> None:
    """Lets this process use again what it frees, for the next batch, in blocks of up to 32 MiB.

    Otherwise glibc returns the top of what was freed to the machine after each batch, and the next one waits for pages that
    the kernel clears: an eighth of the time in which a small network on a CPU sees 8 images.
    """
    set_option = _glibc("mallopt")
    if set_option is not None and set_option(_MMAP_THRESHOLD, 32 << 20):  # the most that glibc takes here
        set_option(_TRIM_THRESHOLD, 1 << 30)


def give_back_memory() -> None:
    """Lets the machine have what this process has freed, of which glibc keeps what lies below anything still in use."""
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc(function: str) -> Any:
    """A function that glibc alone has; None with other C libraries."""
    return getattr(ctypes.CDLL(None), function, None) if sys.platform == "linux" else None
