import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from darknet_files import SMALL_SHAPES, write_weights
from torch import nn

from detector.darknet.weights import Slot, load_weights
from detector.errors import OptionError


def slots() -> list[Slot]:
    return [
        Slot(
            f"[convolutional] {i}",
            nn.Conv2d(inputs, outputs, size, bias=not normalised),
            nn.BatchNorm2d(outputs) if normalised else nn.Identity(),
        )
        for i, (inputs, outputs, size, normalised) in enumerate(SMALL_SHAPES)
    ]


@pytest.mark.parametrize("minor", [1, 2, 5], ids=["seen in 4 bytes", "seen in 8 bytes", "version 0.5"])
def test_every_number_lands_in_its_place(minor: int, tmp_path: Path) -> None:
    written = write_weights(tmp_path / "some.weights", SMALL_SHAPES, minor)
    found = slots()
    count = load_weights(tmp_path / "some.weights", found)
    assert count == sum(values.size for layer in written for values in layer.values())
    for slot, layer in zip(found, written, strict=True):
        np.testing.assert_array_equal(slot.convolution.weight.detach(), layer["weight"])
        if isinstance(slot.norm, nn.BatchNorm2d):
            for tensor, name in (
                (slot.norm.bias, "bias"),
                (slot.norm.weight, "scale"),
                (slot.norm.running_mean, "mean"),
                (slot.norm.running_var, "variance"),
            ):
                assert tensor is not None
                np.testing.assert_array_equal(tensor.detach(), layer[name])
        else:
            assert slot.convolution.bias is not None
            np.testing.assert_array_equal(slot.convolution.bias.detach(), layer["bias"])


def _with_number(position: int, value: float) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        start = 20 + 4 * position
        return content[:start] + struct.pack("<f", value) + content[start + 4 :]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: b"", r"has 0 bytes, fewer than the header"),
        (lambda content: content[:14], r"has 14 bytes, not a header of 20"),
        (
            lambda content: content[:-4],
            r"ends within \[convolutional\] 3: that needs 147 numbers, 146 are left; .* need 1,489",
        ),
        (lambda content: content[:520], r"ends within \[convolutional\] 0: that needs 248 numbers, 125 are left"),
        (lambda content: content[:-3], r"not a header of 20 and whole numbers of 4"),
        (lambda content: content + b"\0" * 8, r"2 numbers are left after the last layer, \[convolutional\] 3"),
        (lambda content: b"\x89PNG\r\n\x1a\n" + content, r"no Darknet weights file"),
        (_with_number(3, float("nan")), r"not finite in \[convolutional\] 0"),
        (_with_number(24, -1.0), r"negative variances in \[convolutional\] 0"),
    ],
    ids=["empty", "header cut", "a number less", "half", "a byte less", "trailing", "picture", "NaN", "variance"],
)
def test_a_file_that_does_not_fit_is_refused(change: Callable[[bytes], bytes], said: str, tmp_path: Path) -> None:
    path = tmp_path / "some.weights"
    write_weights(path, SMALL_SHAPES)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(OptionError, match=said) as caught:
        load_weights(path, slots())
    assert str(caught.value).startswith(f"weights={path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"weights=.*nothing: no such file"):
        load_weights(tmp_path / "nothing", slots())
    with pytest.raises(OptionError, match=r"is a folder"):
        load_weights(tmp_path, slots())
