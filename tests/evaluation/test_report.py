from __future__ import annotations

from typing import Any

from detector.evaluation.report import summary, table

METRICS: dict[str, Any] = {
    "AP": 0.5123,
    "AP50": 0.8034,
    "AP75": 0.6012,
    "APs": None,
    "APm": 0.4444,
    "APl": 0.7001,
    "AR1": 0.2001,
    "AR10": 0.3002,
    "AR100": 0.4003,
    "ARs": None,
    "ARm": 0.5005,
    "ARl": 0.6006,
    "per_class": {"a long class name": {"AP": 0.1111, "AP50": 0.2222}, "dog": {"AP": None, "AP50": None}},
    "voc": {
        "AP50_11point": 0.7777,
        "AP50_area": 0.8888,
        "per_class": {
            "a long class name": {"AP50_11point": 0.3333, "AP50_area": 0.5555},
            "dog": {"AP50_11point": None, "AP50_area": None},
        },
    },
}


def test_the_summary_is_one_line() -> None:
    assert summary(METRICS) == "AP 0.512 AP50 0.803"
    assert summary(METRICS, best=0.5123) == "AP 0.512 AP50 0.803 (best 0.512)"
    assert summary({"AP": None, "AP50": None}, best=0.0) == "AP – AP50 – (best 0.000)"


def test_each_number_stands_under_its_heading() -> None:
    lines = table(METRICS).splitlines()
    cells = {(line.split()[0] if line else ""): line for line in lines}

    def under(heading_line: str, heading: str, row: str) -> str:
        heads = next(line for line in lines if heading_line in line)
        end = heads.index(f" {heading}") + 1 + len(heading)
        return cells[row][:end].split()[-1]

    assert under("AR10 ", "AP75", "COCO") == "0.601"
    assert under("AR10 ", "AR1", "COCO") == "0.200"
    assert under("AR10 ", "AR100", "COCO") == "0.400"
    assert under("small", "small", "AP") == "–"
    assert under("small", "large", "AR") == "0.601"
    assert under("11-pt", "11-pt", "VOC50") == "0.778"
    assert under("11-pt", "area", "VOC50") == "0.889"
    assert under("class ", "AP50", "a") == "0.222"
    assert under("class ", "11-pt", "a") == "0.333"
    assert under("class ", "area", "a") == "0.555"
    assert under("class ", "AP", "dog") == under("class ", "area", "dog") == "–"
    assert max(map(len, lines)) <= 80
