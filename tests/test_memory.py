import cv2
import numpy as np
import pytest
import torch

from detector import config
from detector.errors import RunError, UserError
from detector.memory import answer_memory

SETTINGS = config.Predict(checkpoint="c.ckpt", source="a.png", batch_size=32)


def allocates_too_much() -> None:
    torch.empty(1 << 60, dtype=torch.uint8)


def numpy_allocates_too_much() -> None:
    np.empty(1 << 60, dtype=np.uint8)


def opencv_allocates_too_much() -> None:
    raise cv2.error("OpenCV(4.10) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 99 bytes")


def the_gpu_is_full() -> None:
    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79 GiB"
    )


def python_is_out_of_memory() -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("fails", "place"),
    [
        (allocates_too_much, "machine"),
        (numpy_allocates_too_much, "machine"),
        (opencv_allocates_too_much, "machine"),
        (the_gpu_is_full, "GPU"),
        (python_is_out_of_memory, "machine"),
    ],
)
def test_a_lack_of_memory_is_one_line_that_names_what_to_lower(fails: object, place: str) -> None:
    with pytest.raises(UserError) as raised, answer_memory(SETTINGS):
        fails()  # type: ignore[operator]
    said = str(raised.value)
    assert said.startswith(f"out of memory of the {place}: lower batch_size=32")
    assert "\n" not in said


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), answer_memory(SETTINGS):
        raise RuntimeError("shapes do not fit")


def test_a_process_that_was_killed_keeps_its_own_line_also_where_that_names_memory() -> None:
    line = "loader process 0 was ended by SIGKILL while loading a.png; a system that runs out of memory does so"
    with pytest.raises(RunError) as caught, answer_memory(SETTINGS):
        raise RunError(line)
    assert str(caught.value) == line
