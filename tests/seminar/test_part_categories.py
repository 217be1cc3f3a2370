from __future__ import annotations

from pathlib import Path

from seminar_experiments import fulfilled

from detector.seminar import necks
from detector.seminar.yolov4 import CATEGORIES


def test_every_member_said_to_be_here_is_built_and_necks_combine_stages(tmp_path: Path) -> None:
    found = fulfilled(necks.categories_and_necks, tmp_path)
    table = {row[2]: row[3] for row in found.tables[0].rows}
    assert table["SPP"] == "neck.spp=true"
    assert table["RetinaNet"] == "no"


def test_members_are_those_of_the_paper_in_its_order() -> None:
    """Section 2.1 of arXiv 2004.10934 lists these; figure 2 has two backbones more."""
    listed: dict[tuple[str, str], list[str]] = {}
    for member in CATEGORIES:
        listed.setdefault((member.category, member.kind), []).append(member.name)
    assert [(" ".join(part).strip(), ", ".join(names)) for part, names in listed.items()] == [
        ("input", "image, patches, image pyramid"),
        ("backbone", "VGG16, ResNet-50, SpineNet, EfficientNet-B0/B7, CSPResNeXt50, CSPDarknet53"),
        ("backbone in figure 2", "ResNeXt-101, Darknet53"),
        ("neck additional blocks", "SPP, ASPP, RFB, SAM"),
        ("neck path aggregation", "FPN, PAN, NAS-FPN, Fully-connected FPN, BiFPN, ASFF, SFAM"),
        ("head: dense prediction anchor-based", "RPN, SSD, YOLO, RetinaNet"),
        ("head: dense prediction anchor-free", "CornerNet, CenterNet, MatrixNet, FCOS"),
        ("head: sparse prediction anchor-based", "Faster R-CNN, R-FCN, Mask R-CNN"),
        ("head: sparse prediction anchor-free", "RepPoints"),
    ]
