"""What a check finds of faults planted in real data, and how much it says of the data as they are.

`pytest tests/data/checks/test_planted_faults.py -m slow -s` prints the figures that docs/data.md gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from planted_faults import plant

from detector import config
from detector.data.check import check
from detector.data.checks.finding import Finding
from detector.data.checks.report import Report
from detector.data.read import read_split

DATA = Path("../shared/data")
SETS = {
    "bccd": config.Voc(root=str(DATA / "bccd")),
    "deeppcb": config.Yolo(root=str(DATA / "deeppcb")),
    "coco_tiny": config.Coco(root=str(DATA / "coco_tiny")),
}
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not DATA.exists(), reason="no data")]


def of_kind(report: Report, kind: str) -> list[Finding]:
    return [one for _, one in report.findings() if one.kind == kind]


def names(report: Report, kind: str) -> set[str]:
    return {one.where for one in of_kind(report, kind)}


def objects(found: Iterable[Finding]) -> set[tuple[str, tuple[float, ...]]]:
    """(file, box as COCO writes it) of everything that was found, rounded."""
    return {(one.where, rounded((x, y, right - x, bottom - y))) for one in found for x, y, right, bottom in one.boxes}


def rounded(box: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(value, 1) for value in box)


@pytest.mark.parametrize("name", SETS)
def test_planted_copies_labels_and_boxes_are_found(name: str, tmp_path: Path) -> None:
    splits = {split: read_split(SETS[name], split) for split in ("train", "val")}
    planted = plant(tmp_path, splits, copies=2 if name == "coco_tiny" else 4, wrong_labels=0.02, boxes=10)
    data = config.Coco(root=str(tmp_path), images="/", train="train.json", val="val.json")
    settings = config.CheckData(data=data, augment=config.Augment(name="none"), samples=0)
    settings.output = str(tmp_path / "planted")
    report = check(settings)
    settings.data, settings.output = SETS[name], str(tmp_path / "as it is")
    before = check(settings)

    leaks, duplicates = names(report, "near-duplicate in two splits"), names(report, "near-duplicate image")
    print(f"\n{name}")
    shares = []
    for kind, found, expected in (
        ("leak", leaks, planted.leaks),
        ("duplicate", duplicates, planted.duplicates),
    ):
        for change, files in expected.items():
            print(f"  {kind}, {change}: {len(found & set(files))} of {len(files)}")
            shares.append(len(found & set(files)) / len(files))
    false = [
        one
        for found, expected in ((leaks, planted.leaks), (duplicates, planted.duplicates))
        for one in found - {file for files in expected.values() for file in files}
    ]
    print(f"  false near-duplicates: {len(false)}")
    labels = objects(of_kind(report, "suspected label"))
    wrong = {(file, rounded(box)) for file, box in planted.labels}
    said = len(of_kind(before, "suspected label"))
    print(
        f"  wrong labels: {len(labels & wrong)} of {len(wrong)}, {len(labels - wrong)} others; without planting {said}"
    )
    for kind, boxes in (("near-duplicate box", planted.twice), ("one object under two classes", planted.two_classes)):
        hit = objects(of_kind(report, kind)) & {(file, rounded(box)) for file, box in boxes}
        print(f"  {kind}: {len(hit)} of {len(boxes)}; without planting {len(of_kind(before, kind))}")
        assert len(hit) == len(boxes)
    for split, index in before.indices.items():
        kinds = {one.kind for one in [*before.problems[split], *before.suspicions[split]]}
        print(
            f"  {split} as it is, {len(index)} images, {len(index.boxes)} objects:",
            {
                kind: sum(one.kind == kind for _, one in before.findings() if one.place and one.place[0] == split)
                for kind in sorted(kinds)
            },
        )
    assert sum(shares) >= 0.9 * len(shares)
    assert not false
    assert len(labels & wrong) >= {"bccd": 0.9, "deeppcb": 0.7, "coco_tiny": 0}[name] * len(wrong)
    assert len(labels - wrong) <= 0.015 * len(splits["train"].boxes)
