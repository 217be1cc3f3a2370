import gc
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.data.shared_memory import SHARED_FROM, SharedMemory, share
from detector.errors import UserError

LARGE = np.arange(SHARED_FROM, dtype=np.float64)


def test_an_object_comes_back_as_it_was_with_large_arrays_that_cannot_be_written() -> None:
    names = np.array([f"folder/{i}.jpg" for i in range(500)])
    value = {"numbers": LARGE, "names": names, "few": np.arange(3), "columns": np.asfortranarray(LARGE.reshape(64, -1))}
    opened = share(value).open()
    for key, array in value.items():
        assert np.array_equal(opened[key], array)
        assert opened[key].dtype == array.dtype
    with pytest.raises(ValueError, match="read-only"):
        opened["numbers"][0] = 1


def test_what_is_sent_to_a_process_is_small_whatever_is_shared() -> None:
    assert len(pickle.dumps(share([LARGE, ["a word"] * 100_000, np.zeros(10_000_000)]))) < 1000


def test_arrays_that_lie_in_shared_memory_are_not_copied_again() -> None:
    first = share([LARGE, LARGE[::2]])
    again = share({"opened": first.open(), "new": LARGE + 1})
    memories = {id(memory): len(memory) for memory, _, _ in again.pieces}
    assert len(memories) == 2
    assert memories[id(first.pieces[0][0])] >= 1.5 * LARGE.nbytes
    opened: Any = again.open()
    assert np.array_equal(opened["opened"][1], LARGE[::2])
    assert np.array_equal(share(first.open()[0][100:]).open(), LARGE[100:])


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc")
def test_another_process_reads_the_same_memory() -> None:
    memory = SharedMemory.allocate(SHARED_FROM, "a test", writable=True)
    other: SharedMemory = pickle.loads(pickle.dumps(memory))
    assert os.fstat(other.descriptor).st_ino == os.fstat(memory.descriptor).st_ino
    other.array()[7] = 3
    assert memory.array()[7] == 3


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc")
def test_nothing_stays_open_or_has_a_name() -> None:
    def state() -> tuple[int, set[str]]:
        gc.collect()
        named = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
        return len(os.listdir("/proc/self/fd")), {name for name in named if "detector" in name}

    before = state()
    array = share(LARGE).open()
    assert np.array_equal(share(array).open(), LARGE)
    assert state()[1] == before[1]
    del array
    assert state() == before


def test_memory_that_is_not_there_is_refused_before_it_is_touched() -> None:
    with pytest.raises(UserError, match=r"^data\.cache=ram needs 1125899\.91 GB of memory, .* GB are free$"):
        SharedMemory.allocate(1 << 50, "data.cache=ram")


def test_a_file_is_mapped_and_shared_like_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(LARGE.tobytes())
    pixels = SharedMemory.of_file(tmp_path / "file", LARGE.nbytes).array()
    assert np.array_equal(pixels.view(np.float64), LARGE)
    shared = share(pixels)
    assert len({id(memory) for memory, _, _ in shared.pieces}) == 2  # the file and the pickle
    assert np.array_equal(shared.open().view(np.float64), LARGE)
