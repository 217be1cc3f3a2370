from __future__ import annotations

import base64
import json
import zlib

import numpy as np
import pytest

from detector.columns import array, column


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([[0, 255]]), "uint8"),
        (np.array([-1, 7]), "int16"),
        (np.array([0, 256]), "int16"),
        (np.array([40_000]), "int32"),
        (np.array([True, False]), "uint8"),
        (np.array([0.1, np.nan]), "float64"),
        (np.array([[0.5], [2]], dtype=np.float32), "float32"),
        (np.zeros((0, 4), dtype=np.int64), "uint8"),
    ],
)
def test_a_column_is_read_as_it_was_written(values: np.ndarray, dtype: str) -> None:
    written = json.loads(json.dumps(column(values)))
    assert written["dtype"] == dtype
    np.testing.assert_array_equal(array(written), values)


def test_the_bytes_are_little_endian_with_the_last_axis_fastest() -> None:
    values = np.array([[1.5, np.nan], [-2.0, 3.0]], dtype=">f4").T
    written = json.loads(json.dumps(column(values)))
    assert (written["dtype"], written["shape"]) == ("float32", [2, 2])
    content = zlib.decompress(base64.b64decode(written["zlib"]))
    np.testing.assert_array_equal(np.frombuffer(content, dtype="<f4").reshape(2, 2), values)
