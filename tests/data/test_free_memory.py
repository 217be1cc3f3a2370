import platform
import resource
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from detector.data.free_memory import free_memory

MIB = 2**20


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    class Machine:
        available = 1000 * MIB

    monkeypatch.setattr(psutil, "virtual_memory", Machine)


def write(root: Path, membership: str, folder: str, **files: str) -> None:
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(membership)
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / folder / name.replace("__", ".")).write_text(text)


def test_without_control_groups_the_machine_decides(tmp_path: Path) -> None:
    assert free_memory(tmp_path) == 1000 * MIB


def test_the_tightest_group_decides_and_pages_of_files_count_as_free(tmp_path: Path) -> None:
    stat = f"anon {90 * MIB}\ninactive_file {20 * MIB}\nactive_file {10 * MIB}\n"
    job = "sys/fs/cgroup/slurm/job_7"
    write(
        tmp_path,
        "0::/slurm/job_7/step_0\n",
        job,
        memory__max=f"{300 * MIB}",
        memory__current=f"{120 * MIB}",
        memory__stat=stat,
    )
    write(
        tmp_path, "0::/slurm/job_7/step_0\n", f"{job}/step_0", memory__max="max", memory__current="5", memory__stat=""
    )
    assert free_memory(tmp_path) == (300 - 120 + 30) * MIB


def test_a_container_of_the_older_kind(tmp_path: Path) -> None:
    write(
        tmp_path,
        "5:cpu,cpuacct:/\n4:memory:/docker/abc\n",
        "sys/fs/cgroup/memory",
        memory__limit_in_bytes=f"{64 * MIB}",
        memory__usage_in_bytes=f"{60 * MIB}",
        memory__stat=f"total_inactive_file {MIB}\ntotal_active_file 0\ninactive_file 0\n",
    )
    assert free_memory(tmp_path) == 5 * MIB


def test_a_group_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    write(tmp_path, "0::/\n", "sys/fs/cgroup", memory__max="10", memory__current="20", memory__stat="")
    assert free_memory(tmp_path) == 0


BATCHES = """
import resource
from detector.data.free_memory import give_back_memory, keep_freed_memory

def batch():
    for _ in [b"x" * (24 << 20) for _ in range(8)]:
        pass

def pages(function):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    function()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{first}
batch()
kept = pages(batch)
give_back_memory()
print(kept, pages(batch))
"""
PAGES = 8 * 24 * 2**20 // resource.getpagesize()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory in its own way")
@pytest.mark.parametrize("keeps", [True, False])
def test_memory_that_is_kept_is_not_asked_for_again_until_it_is_given_back(keeps: bool) -> None:
    program = BATCHES.format(first="keep_freed_memory()" if keeps else "")
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    kept, given_back = map(int, said.split())
    assert (kept < PAGES / 20) == keeps
    assert given_back > PAGES / 2
