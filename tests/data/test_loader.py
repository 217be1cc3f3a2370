import multiprocessing
import multiprocessing.forkserver
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import torch
from numbers_as_images import (
    PICTURE,
    Batches,
    Images,
    Makers,
    exit_at_7,
    flip,
    hang_at_7,
    killed_at_7,
    loader,
    no_room,
    processes,
    send,
    started,
    target,
)

from detector.cli.user_errors import answer_errors
from detector.data.batch import SHORT
from detector.errors import RunError

linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc")


def assert_nothing_stays(prefix: str, processes: list[int]) -> None:
    """Neither a semaphore whose name has the prefix nor shared memory of the processes stays; other tests have theirs."""
    starts, until = (f"sem.{prefix}-", *(f"torch_{process}_" for process in processes)), time.monotonic() + 60
    while stay := [name for name in os.listdir("/dev/shm") if name.startswith(starts)]:
        assert time.monotonic() < until, f"{stay} are still there"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (killed_at_7, r"was ended by SIGKILL while loading folder/7\.jpg; .*memory.* data\.workers.*"),
        (exit_at_7, r"ended with exit code 3 while loading folder/7\.jpg"),
        (hang_at_7, r"gave nothing for 2 seconds while loading folder/7\.jpg \(it waits .*\); data\.timeout=.*"),
        pytest.param(
            no_room, r"found no 0\.0 MB of shared memory for a batch before loading folder/\d\.jpg", marks=linux
        ),
    ],
)
def test_a_process_that_fails_ends_in_one_line_that_names_it_the_image_and_the_cause(
    fault: Callable[[int], None], what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    batches = started(Images(fault=fault), 2)
    with pytest.raises(SystemExit) as stopped, answer_errors():
        list(batches)
    assert stopped.value.code == 1
    said = capfd.readouterr().err
    assert re.fullmatch(rf"error: loader process [01] \(pid \d+\) of the training data {what}\n", said)


def test_a_run_of_batches_is_made_by_one_process_in_every_epoch() -> None:
    batches = loader(Makers(14), workers=3, run=2, persistent_workers=True, prefetch_factor=2)
    for _ in range(2):
        assert list(batches) == [0, 0, 1, 1, 2, 2] * 2 + [0, 0]


def test_a_failure_leaves_no_process_of_the_loader() -> None:
    batches = started(Images(fault=hang_at_7), 0.2)
    with pytest.raises(RunError):
        list(batches)
    assert not any(process.is_alive() for process in processes(batches))


@linux
def test_processes_leave_signals_for_the_whole_group_to_the_training_process() -> None:
    batches = iter(loader(Images(count=100)))
    first = [next(batches)]
    for process in processes(batches):
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)
        os.kill(process.pid, signal.SIGTERM)
    assert sorted(first + list(batches)) == list(range(100))


@linux
def test_the_server_that_processes_are_forked_from_has_one_thread_and_all_imports() -> None:
    batches = iter(loader(Images()))
    next(batches)
    server = psutil.Process(multiprocessing.forkserver._forkserver._forkserver_pid)  # type: ignore[attr-defined]
    assert server.num_threads() == 1
    (pid,) = {psutil.Process(process.pid).ppid() for process in processes(batches)}
    assert pid == server.pid
    libraries = {Path(library.path).name for library in server.memory_maps()}
    assert any("libtorch_cpu" in name for name in libraries)
    assert any(name.startswith("cv2") for name in libraries)


@linux
def test_arrays_reach_processes_without_being_copied() -> None:
    dataset = Images()
    dataset.array = np.arange(5_000_000)
    batches = loader(dataset)
    assert len(pickle.dumps(batches.dataset.shared)) < 1000  # type: ignore[attr-defined]
    iterator = iter(batches)
    next(iterator)
    for process in processes(iterator):
        maps = psutil.Process(process.pid).memory_maps(grouped=False)
        sizes = [one.size for one in maps if "memfd:detector" in one.path]
        assert max(sizes) >= dataset.array.nbytes
        assert psutil.Process(process.pid).memory_full_info().uss < dataset.array.nbytes + 300e6
    assert list(iterator)


@linux
def test_a_running_loader_has_nothing_in_shared_memory_that_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = f"running{os.getpid()}"
    monkeypatch.setitem(multiprocessing.current_process()._config, "semprefix", f"/{prefix}")  # type: ignore[attr-defined]
    batches = iter(loader(Images(count=200), persistent_workers=True))
    assert any(name.startswith(f"sem.{prefix}-") for name in os.listdir("/dev/shm"))
    for _ in range(100):
        next(batches)
    assert_nothing_stays(prefix, [process.pid or 0 for process in processes(batches)])


def test_a_batch_arrives_whole_in_a_message_that_a_pipe_takes_at_once() -> None:
    batches = list(loader(Batches(count=30), workers=1, collate_fn=send))
    assert len(pickle.dumps(batches[-1].targets)) > 50 * SHORT
    for i, batch in enumerate(batches):
        assert 0 < int(batch.images[0, 0, 0, 0]) * 16 < 4000
        assert (batch.images[1] == i).all()
        torch.manual_seed(i)
        for expected, got in zip((target(0), target(i * 100)), batch.targets, strict=True):
            assert torch.equal(expected.boxes, got.boxes)
            assert torch.equal(expected.labels, got.labels)
            assert expected.image_id == got.image_id


SCRIPT = """
import multiprocessing, os, signal, sys
multiprocessing.current_process()._config["semprefix"] = "/{prefix}"
sys.path.insert(0, {tests!r})
from numbers_as_images import Images, loader, processes
batches = iter(loader(Images(count=1000)))
next(batches)
print(os.getpgid(0), *(process.pid for process in processes(batches)), flush=True)
if {die}:
    os.kill(os.getpid(), signal.SIGKILL)
print(sum(1 for _ in batches))
"""


@linux
@pytest.mark.slow
@pytest.mark.parametrize("die", [False, True])
def test_a_script_on_standard_input_needs_no_guard_and_leaves_no_process_however_it_ends(die: bool) -> None:
    prefix = f"script{os.getpid()}"
    script = SCRIPT.format(tests=str(Path(__file__).parents[1]), die=die, prefix=prefix)
    done = subprocess.run([sys.executable], input=script, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == (-signal.SIGKILL if die else 0), done.stderr
    lines = done.stdout.splitlines()
    assert lines[1:] == ([] if die else ["999"])
    assert done.stderr == ""
    until = time.monotonic() + 30
    pids = [int(pid) for pid in lines[0].split()[1:]]
    while alive := [pid for pid in pids if psutil.pid_exists(pid)]:
        assert time.monotonic() < until, f"{alive} are still there"
        time.sleep(0.05)
    assert_nothing_stays(prefix, pids)


@pytest.mark.parametrize("starts", [3, pytest.param(300, marks=pytest.mark.slow)])
def test_processes_start_right_after_threads_have_used_opencv(starts: int) -> None:
    """A process forked from one with threads would wait for ever for a lock that a thread held."""
    for _ in range(starts):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: cv2.resize(PICTURE, (320, 240), interpolation=cv2.INTER_AREA), range(16)))
        assert list(loader(Images(count=6, fault=flip), timeout=60)) == list(range(6))
