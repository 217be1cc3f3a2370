"""How much memory this process may still take, as the machine and its container or job allow; and giving some back."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil


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


def give_back_memory() -> None:
    """Lets the machine have what this process has freed, of which glibc keeps what lies below anything still in use."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            trim(0)
