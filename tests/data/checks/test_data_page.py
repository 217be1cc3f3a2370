from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browser import Opened, started
from html_elements import data_of, policy, script_hash

from detector import config
from detector.data.check import check
from detector.data.checks.page.distributions import GRID, positions
from detector.data.read import read_index

HOSTILE = "</script><script>document.title='run'</script>"


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> config.CheckData:
    """A data set with a leak, a doubled box and a class whose name is a script, checked."""
    root = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        (root / split).mkdir()
        content: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
        content["categories"] = [{"id": 1, "name": HOSTILE}, {"id": 2, "name": "cell"}]
        for i in range(count):
            picture = cv2.GaussianBlur(random.integers(0, 255, (300, 400, 3), dtype=np.uint8), (0, 0), 9)
            low, high = picture.min(), picture.max()
            picture = (255.0 * (picture - low) / (high - low)).astype(np.uint8)
            if (split, i) == ("val", 2):
                picture = cv2.resize(cv2.imread(str(root / "train/1.png")), (200, 150))
            cv2.imwrite(str(root / split / f"{i}.png"), picture)
            height, width = picture.shape[:2]
            content["images"].append({"id": i, "file_name": f"{i}.png", "height": height, "width": width})
            for n in range(2):
                content["annotations"].append({"image_id": i, "category_id": 1 + n, "bbox": [20 + 60 * n, 30, 40, 30]})
        if split == "train":
            content["annotations"].append({"image_id": 0, "category_id": 1, "bbox": [21, 30, 40, 30]})
        (root / f"{split}.json").write_text(json.dumps(content))
    settings = config.CheckData(
        data=config.Coco(root=str(root), train="train.json", val="val.json"),
        augment=config.Augment(name="none"),
        image_size=96,
        samples=4,
        output=str(root / "out"),
    )
    check(settings)
    return settings


def page_of(settings: config.CheckData) -> str:
    return (Path(str(settings.output)) / "report.html").read_text(encoding="utf-8")


def test_a_name_that_is_a_script_is_a_name_and_only_the_pages_own_script_runs(checked: config.CheckData) -> None:
    page = page_of(checked)
    assert HOSTILE not in page
    assert f"script-src '{script_hash(page)}'" in policy(page)
    assert data_of(page)["classNames"] == [HOSTILE, "cell"]


def test_the_page_holds_what_the_report_says_and_a_picture_of_each_finding(checked: config.CheckData) -> None:
    data = data_of(page_of(checked))
    report = json.loads((Path(str(checked.output)) / "report.json").read_text(encoding="utf-8"))
    said = [one for group in ("problems", "suspicions") for split in report[group].values() for one in split]
    assert sorted(one["kind"] for one in data["findings"]) == sorted(one["kind"] for one in said)
    assert {one["kind"] for one in said} >= {"near-duplicate in two splits", "near-duplicate box"}
    assert data["findings"][0]["kind"] == "near-duplicate in two splits"
    for one in data["findings"]:
        assert (one["picture"] is not None) == one["hasPlace"]
    leak = data["findings"][0]
    assert [data["pictures"][leak[key]]["title"] for key in ("picture", "other")] == ["val/2.png", "train/1.png"]
    double = next(one for one in data["findings"] if one["kind"] == "near-duplicate box")
    view = data["pictures"][double["picture"]]
    x, y = view["offset"]
    assert all(0 <= box[0] - x < box[2] - x <= view["width"] for box in double["boxes"])
    assert all(0 <= box[1] - y < box[3] - y <= view["height"] for box in double["boxes"])
    marked = [[value + (x, y)[axis % 2] for axis, value in enumerate(mark["box"])] for mark in view["marks"]]
    assert [20, 30, 60, 60] in marked
    assert [21, 30, 61, 60] in marked


def test_pictures_take_no_more_than_they_may_and_are_linked_instead(checked: config.CheckData, tmp_path: Path) -> None:
    settings = replace(checked, report_mb=0.02, output=str(tmp_path / "out"))
    check(settings)
    pictures = data_of(page_of(settings))["pictures"]
    inside = [one["source"] for one in pictures if one["source"]]
    assert 0 < sum(map(len, inside)) <= 20_000
    assert len(inside) < len(pictures)
    linked = [one["file"] for one in pictures if not one["source"] and one["file"]]
    assert linked
    assert all((tmp_path / "out" / file).resolve().is_file() for file in linked)


def test_the_map_of_positions_counts_the_boxes_over_each_middle_as_a_loop_does() -> None:
    index = read_index(config.Shapes(train_images=12, scene_size=96), "train")
    found = positions(index)
    expected = np.zeros_like(found)
    for i in range(len(index)):
        height, width = index.sizes[i].tolist()
        target = index.target(i)
        for (x1, y1, x2, y2), label in zip(target.boxes.tolist(), target.labels.tolist(), strict=True):
            for row in range(GRID):
                for column in range(GRID):
                    x, y = (column + 0.5) / GRID * width, (row + 0.5) / GRID * height
                    if x1 <= x < x2 and y1 <= y < y2:
                        expected[0, row, column] += 1
                        expected[1 + label, row, column] += 1
    assert np.array_equal(found, expected)
    assert found[0].max() > 1


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 390)])
def test_in_a_browser_it_is_silent_and_keys_and_presses_lead_to_pictures(
    checked: config.CheckData, scheme: str, width: int
) -> None:
    with started() as browser:
        opened = Opened(browser, Path(str(checked.output)) / "report.html", scheme, width)
        page = opened.page
        page.wait_for_function("document.querySelectorAll('#positions canvas').length === 2")
        assert opened.overflow() <= 0
        assert page.title() == "Data set check"
        assert page.locator("#contents tbody").last.inner_text().count(HOSTILE) == 1
        assert page.locator("#copies .copy").count() == 1
        page.locator("#findings .bar", has_text="near-duplicate box").click()
        assert page.locator("#findings .image-grid .cell").count() == 1
        page.locator("#findings .image-grid").focus()
        page.keyboard.press("Enter")
        dialog = page.locator("dialog[open]")
        assert "near-duplicate box" in dialog.inner_text()
        assert dialog.locator(".mark.wrong").count() == 1
        page.keyboard.press("Escape")
        page.locator("#training .cell").first.click()
        assert page.locator("dialog[open] .mark").count() >= 2
        page.keyboard.press("Escape")
        before = page.locator("#positions canvas").first.evaluate("canvas => canvas.toDataURL()")
        page.locator("#positions select").select_option(label="cell")
        assert page.locator("#positions canvas").first.evaluate("canvas => canvas.toDataURL()") != before
        page.emulate_media(media="print")
        assert not page.locator("nav ul").is_visible()
        assert opened.is_silent()
