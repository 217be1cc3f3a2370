"""The ledger's page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Opened, started

from detector import config
from detector.inspection.run import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "ledger"
    run(
        config.InspectModel(
            model=config.FasterRCNNOptions(proposals=20),
            backbone=config.Darknet53Options(),
            neck=config.FPNOptions(),
            image_size=320,
            output=str(folder),
        )
    )
    return folder / "model.html"


class Ledger(Opened):
    """The layers on the page."""

    def press(self, where: str, text: str) -> None:
        self.page.locator(f"{where} button").get_by_text(text, exact=True).click()

    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.page.evaluate(
            "[...document.querySelectorAll('tbody tr')].map(({node: {path, depth, macs, field}}) => "
            "({path, depth, macs, field: field && field.size[0]}))"
        )
        return found


@pytest.fixture(params=["light", "dark"])
def opened(request: pytest.FixtureRequest, browser: Any, file: Path) -> Iterator[Ledger]:
    opened = Ledger(browser, file, request.param)
    opened.until("document.getElementById('details').children.length > 0")
    yield opened
    opened.page.context.close()


def test_it_folds_sorts_and_says_no_error(opened: Ledger, file: Path) -> None:
    opened.press("#folds", "parts")
    parts = [row["path"] for row in opened.rows()]
    assert parts == ["normalise", "backbone", "neck", "proposals.network.head", "roi_stage"]
    opened.page.locator("tbody tr").nth(1).click()
    unfolded = [row["path"] for row in opened.rows()]
    assert unfolded[:3] == ["normalise", "backbone", "backbone.stages.0"]
    opened.page.locator("tbody tr").nth(1).click()
    assert [row["path"] for row in opened.rows()] == parts

    opened.press("#folds", "layers alone")
    in_order = opened.rows()
    assert len(in_order) > 150
    opened.press("thead", "MACs")
    found = [row["macs"] for row in opened.rows()]
    assert found == sorted(found, reverse=True)
    opened.press("thead", "MACs ")
    assert [row["macs"] for row in opened.rows()] == found[::-1]
    opened.press("thead", "MACs ")
    assert opened.rows() == in_order
    assert opened.said == []
    assert opened.asked == [file.as_uri()]


def test_blocks_keep_together_when_sorted(opened: Ledger) -> None:
    opened.press("#folds", "everything")
    opened.press("thead", "MACs")
    rows = opened.rows()
    first = [row["path"] for row in rows if row["depth"] == 1]
    assert first[0] == rows[0]["path"] == "backbone"
    inside = [row["path"].startswith("backbone") for row in rows]
    assert inside.index(False) == sum(inside)


def pixels(opened: Ledger) -> bytes:
    drawn: str = opened.page.evaluate("document.getElementById('picture').toDataURL()")
    return drawn.encode()


def test_a_press_on_a_row_or_a_block_draws_its_field(opened: Ledger) -> None:
    opened.press("#folds", "layers alone")
    drawn = set()
    for place in (1, 40, 120):
        opened.page.locator("tbody tr").nth(place).click()
        size = opened.rows()[place]["field"]
        assert f"sees {size} × {size} pixels" in opened.page.locator("#sees").inner_text()
        drawn.add(pixels(opened))
    assert len(drawn) == 3
    opened.page.locator("#chart button", has_text="neck").first.click()
    assert opened.page.locator("#chosen").inner_text() == "neck"
    assert pixels(opened) not in drawn


def test_a_second_press_looks_into_a_block_and_its_way_back_is_shown(opened: Ledger) -> None:
    chart = opened.page.locator("#chart button")
    chart.get_by_text("neck", exact=True).dblclick()
    assert chart.first.inner_text() == "neck"
    opened.press("#way", "whole network")
    assert chart.first.inner_text() == "whole network"
    opened.press("#measures", "memory")
    assert opened.page.locator("#measures [aria-pressed=true]").inner_text() == "memory"
    assert opened.said == []
