"""The numeric answers of the seminar's sheet, for the numbers that its questions have."""

from __future__ import annotations

from collections.abc import Mapping

from detector.seminar.answer import Value

SHEET: Mapping[str, Value] = {
    "1a": 10_001_000,
    "1b": (101_000, 100),
    "1c": (100, 1, 0, 1000),
    "1d": (10, 10, 0, 1000),
    "1e": (28, 28, 5),
    "1f": (75, 375, 76, 380),
    "1g": 5,
    "1h": (10, 10, 5),
    "1i": 380,
    "3a": (1.25, 4.0),
    "3b": ((0.0, 1.0, 1.0), (1.0, 1.5, 0.5)),
    "3c": (((0.0, 0.0), (2.0, 0.5)), ((0.0, 0.0), (1.0, 1.0))),
    "5a": ((64, 1, 3, 3, 3), 1792),
    "5b": (64, 16, 224, 224),
    "5c": (64, 8, 224, 224),
    "5d": 1_387_266_048,
    "5e": (49_152, 616_562_688),
}
