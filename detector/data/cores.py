"""The cores that a process may use, and the loader processes that follow from them where none were asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

MOST = 8
"""Loader processes that are started unasked at most: each holds a few batches and some 300 MB, and more than eight only help
a GPU that trains on thousands of images a second."""


def loader_processes(cores: float) -> int:
    """All cores but the one of the training process, at most `MOST`.

    With a single core none: the training process loads by itself, as nothing could be loaded beside it. Only where a GPU
    computes meanwhile there is one also then.
    """
    return max(min(int(cores) - 1, MOST), int(cores < 2 and _has_gpu()))


def usable_cores() -> float:
    """The cores that this process may run on, or the share of them that its container is granted, if that is less."""
    return share_of_cores(0, [_affinity()], granted_cores())


def share_of_cores(rank: int, allowed: Sequence[frozenset[int]], granted: float | None = None) -> float:
    """The share of one of several processes of a machine, each of which may run on its set of cores.

    A core that k of them may use is 1 / k core for each, so the share is right where a launcher has given each process its
    own cores, and where all may use all. Of `granted`, what their container has, if that is limited, each has an equal part.
    """
    share = sum(1 / sum(core in other for other in allowed) for core in allowed[rank])
    return share if granted is None else min(share, granted / len(allowed))


def cores_of_this_rank() -> float:
    """As `usable_cores`, shared with those that train together on this machine; called by all of them together."""
    from torch import distributed

    from detector.data.machine import name_of_machine

    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return usable_cores()
    everyone: list[tuple[str, frozenset[int]]] = [("", frozenset())] * distributed.get_world_size()
    distributed.all_gather_object(everyone, (name_of_machine(), _affinity()))
    here = [(rank, cores) for rank, (machine, cores) in enumerate(everyone) if machine == name_of_machine()]
    own = [rank for rank, _ in here].index(distributed.get_rank())
    return share_of_cores(own, [cores for _, cores in here], granted_cores())


def granted_cores(root: Path = Path("/")) -> float | None:
    """The processor time that control groups grant to this process and all others of its container, as a number of cores;
    None where nothing is limited, or the system has no control groups."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    found = [limit for line in lines for limit in _limits(root / "sys/fs/cgroup", *line.split(":", 2)[1:])]
    return min(found, default=None)


def _limits(mounted: Path, controllers: str, path: str) -> list[float]:
    """Those of a group and of all above it: version 2 has one tree, version 1 one a controller."""
    if controllers and "cpu" not in controllers.split(","):
        return []
    tree = mounted / controllers if controllers else mounted
    inside = PurePosixPath(path.lstrip("/"))
    limits = []
    for group in (tree / inside, *(tree / above for above in inside.parents)):  # the last is the container's own root
        try:
            if controllers:
                quota = (group / "cpu.cfs_quota_us").read_text()
                period = (group / "cpu.cfs_period_us").read_text()
            else:
                quota, period = (group / "cpu.max").read_text().split()
            if quota != "max" and int(quota) > 0:
                limits.append(int(quota) / int(period))
        except (OSError, ValueError):
            continue
    return limits


def _affinity() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
