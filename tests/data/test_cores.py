from __future__ import annotations

from pathlib import Path

import pytest

from detector.data import cores
from detector.data.cores import granted_cores, loader_processes, share_of_cores, usable_cores

EIGHT = frozenset(range(8))


@pytest.mark.parametrize(
    ("available", "expected", "beside_a_gpu"),
    [(0.5, 0, 1), (1, 0, 1), (1.9, 0, 1), (2, 1, 1), (3.5, 2, 2), (8, 7, 7), (9, 8, 8), (128, 8, 8)],
)
def test_one_core_is_left_to_the_training_process(
    available: float, expected: int, beside_a_gpu: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "_has_gpu", lambda: False)
    assert loader_processes(available) == expected
    monkeypatch.setattr(cores, "_has_gpu", lambda: True)
    assert loader_processes(available) == beside_a_gpu


@pytest.mark.parametrize(
    ("allowed", "granted", "expected"),
    [
        ([EIGHT], None, 8),
        ([EIGHT] * 4, None, 2),  # all may run everywhere
        ([frozenset({0, 1}), frozenset({2, 3}), frozenset({4, 5})], None, 2),  # a launcher has bound each to its own
        ([frozenset({0, 1, 2}), frozenset({2, 3})], None, 2.5),
        ([EIGHT], 3.0, 3),
        ([EIGHT] * 2, 3.0, 1.5),
        ([EIGHT] * 2, 30.0, 4),
    ],
)
def test_cores_that_several_processes_may_use_are_shared(
    allowed: list[frozenset[int]], granted: float | None, expected: float
) -> None:
    assert share_of_cores(0, allowed, granted) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000"}, None),
        ("0::/\n", {}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "400000 100000", "cpu.max": "600000 100000"}, 4),
        (
            "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n",  # in a container of version 1 the path is the host's
            {"cpu,cpuacct/cpu.cfs_quota_us": "200000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            2,
        ),
        (
            "4:cpu:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "-1\n", "cpu/x/cpu.cfs_period_us": "100000\n"},
            None,
        ),
        (None, {}, None),
    ],
)
def test_the_limit_of_a_container_is_read(
    groups: str | None, files: dict[str, str], expected: float | None, tmp_path: Path
) -> None:
    if groups is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        (tmp_path / "sys/fs/cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys/fs/cgroup" / name).write_text(text)
    assert granted_cores(tmp_path) == expected


def test_the_cores_of_this_process_are_those_that_the_system_lets_it_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    monkeypatch.setattr(cores, "granted_cores", lambda: None)
    assert usable_cores() == 3
    monkeypatch.setattr(cores, "granted_cores", lambda: 1.5)
    assert usable_cores() == 1.5
