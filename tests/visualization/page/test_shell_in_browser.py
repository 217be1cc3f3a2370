"""What pages share, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Opened, started

from detector.columns import column
from detector.visualization.page.embedded import data_uri, jpeg
from detector.visualization.page.shell import Figure, Section, page

HOSTILE = "<script>alert(1)</script>"
SCRIPT = """
const told = [];
const rows = data.names.map((name, i) => ({ name, size: [3, null, 10, 7][i] }));
content("table").append(sortableTable({
  label: "rows", search: true, rows, choose: (row) => told.push(row.name), chosen: (row) => row.name === told.at(-1),
  columns: [
    { title: "name", value: (row) => row.name, left: true },
    { title: "size", value: (row) => row.size, share: (row) => row.size / 10 },
  ],
}));
content("charts").append(
  lineChart({
    title: "lines", x: { label: "recall" }, y: { label: "precision", low: 0, high: 1 },
    series: [{ name: HOSTILE(), x: [0, 1, 2], y: [0.5, NaN, 1] }, { name: "b", x: [0, 1, 2], y: [0, 0.5, 0] }],
    rules: [{ x: 1, name: "here" }], press: (one) => told.push(one.name),
  }),
  histogram({ title: "sizes", edges: [1, 10, 100], x: { log: true }, series: [{ name: "n", counts: [4, 2] }] }),
  barList({
    title: "bars", bars: [{ name: HOSTILE(), value: -1, low: -2, high: 1 }, { name: "up", value: 2 }],
    press: (bar) => told.push(bar.name),
  }),
  heatMap({
    title: "matrix", rows: ["a", "b"], columns: ["c", "d", "e"], values: [0, 1, 2, 3, 4, 5], tone: (i, j, value) => value / 5,
    say: (i, j, value) => `${i} ${j} ${value}`, press: (i, j) => told.push([i, j]),
  }),
);
function HOSTILE() { return data.names[3]; }
const pictureAt = (place) => ({
  width: 80, height: 60, source: place % 2 ? data.picture : null, file: null, title: `image ${place}`, lines: [HOSTILE()],
  marks: [{ box: [10, 10, 30, 30], kind: "wrong", text: HOSTILE() }, { box: [40, 10, 60, 30], kind: "missed", text: "missed" }],
});
const dialog = pictureDialog({ details: (picture) => picture.marks.map((mark) => crop(picture, mark)) });
const grid = imageGrid({ label: "images", pictureAt, open: (place) => dialog.openAt(place, 5000, pictureAt) });
const slider = numberSlider({ label: "score", low: 0, high: 1, step: 0.01, value: 0.4, changed: (value) => told.push(value) });
content("images").append(element("p", "", {}, slider), grid);
grid.show(5000);
unpack(data.column).then((column) => told.push([...column]));
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    data = {
        "names": ["b 10", "b 9", "a", HOSTILE],
        "picture": data_uri(jpeg(np.full((60, 80, 3), 120, dtype=np.uint8), 80, 80)),
        "column": column(np.array([1.5, -2.0])),
    }
    sections = [Section(one, one.title()) for one in ("table", "charts", "images")]
    path.write_text(page("A page", sections, data, [SCRIPT], figures=[Figure("0.5", "AP")]))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as browser:
        yield browser


@pytest.fixture
def opened(browser: Any, file: Path) -> Iterator[Opened]:
    page = Opened(browser, file)
    yield page
    assert page.is_silent(), (page.said, page.asked)
    page.page.context.close()


def told(opened: Opened) -> Any:
    return opened.page.evaluate("told.at(-1)")


def test_a_table_is_sorted_searched_and_walked_through(opened: Opened) -> None:
    names = lambda: opened.page.locator("#table tbody td.left").all_inner_texts()  # noqa: E731
    size, name = (opened.page.locator("#table th button").get_by_text(one) for one in ("size", "name"))
    size.click()
    assert names() == ["a", HOSTILE, "b 10", "b 9"]  # what has no size comes last
    size.click()
    assert names() == ["b 10", HOSTILE, "a", "b 9"]
    size.click()
    assert names() == ["b 10", "b 9", "a", HOSTILE]
    name.click()
    assert [one for one in names() if one[0] == "b"] == ["b 9", "b 10"]
    opened.page.locator("#table tbody").focus()
    for key in ("End", "ArrowUp", "ArrowUp"):
        opened.page.keyboard.press(key)
    assert told(opened) == names()[1]
    opened.page.locator("#table input").fill("b ")
    assert names() == ["b 9", "b 10"]


def test_figures_are_read_by_arrow_keys(opened: Opened) -> None:
    readout = opened.page.locator("#charts .readout")
    opened.page.locator("#charts figure > svg").first.focus()
    opened.page.keyboard.press("ArrowRight")
    assert readout.first.inner_text() == "b: recall 0, precision 0"
    opened.page.keyboard.press("ArrowRight")
    assert readout.first.inner_text() == "b: recall 1, precision 0.5"
    opened.page.keyboard.press("ArrowUp")
    opened.page.keyboard.press("Enter")
    assert told(opened) == HOSTILE
    opened.page.locator("#charts figure > svg").nth(1).focus()
    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("ArrowRight")
    assert readout.nth(1).inner_text() == "10 to 100: 2"
    opened.page.locator("#charts canvas").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight", "Enter"):
        opened.page.keyboard.press(key)
    assert readout.nth(2).inner_text() == "1 2 5"
    assert told(opened) == [1, 2]


def test_a_press_finds_the_cell_and_the_bar_under_it(opened: Opened) -> None:
    canvas = opened.page.locator("#charts canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    opened.page.mouse.click(box["x"] + box["width"] - 90, box["y"] + box["height"] - 10)  # cells are 64 wide
    assert told(opened) == [1, 1]
    opened.page.locator("#charts .bar").get_by_text(HOSTILE).click()
    assert told(opened) == HOSTILE
    filled = opened.page.locator("#charts .bar .filled").first.evaluate("one => one.style.cssText")
    assert filled == "left: 25%; width: 25%;"


def test_of_thousands_of_pictures_only_those_in_sight_are_drawn(opened: Opened) -> None:
    grid, cells = opened.page.locator(".image-grid"), opened.page.locator(".image-grid .cell")
    assert 4 <= cells.count() <= 40
    grid.evaluate("one => one.scrollTop = one.scrollHeight")
    opened.page.get_by_text("image 4999").wait_for()
    assert 4 <= cells.count() <= 40
    grid.focus()
    for key in ("Home", "ArrowRight", "Enter"):
        opened.page.keyboard.press(key)
    title = opened.page.locator("dialog h3")
    assert title.inner_text() == "image 1"
    opened.page.keyboard.press("ArrowRight")
    assert title.inner_text() == "image 2"
    marks = opened.page.locator("dialog .stage .mark")
    assert marks.count() == 2
    opened.page.locator("dialog button").get_by_text("missed").click()
    assert marks.count() == 1
    opened.page.keyboard.press("Escape")
    assert not opened.page.locator("dialog").is_visible()


def test_a_slider_and_its_field_say_the_same(opened: Opened) -> None:
    opened.page.locator(".number-slider input[type=number]").fill("0.73")
    opened.until("told.at(-1) === 0.73")
    assert opened.page.locator(".number-slider input[type=range]").input_value() == "0.73"
    opened.page.locator(".number-slider input[type=number]").fill("1.5")
    assert opened.page.locator(".number-slider [aria-invalid=true]").count() == 1
    assert [1.5, -2.0] in opened.page.evaluate("told")


def test_keys_lead_from_section_to_section(opened: Opened) -> None:
    now = lambda: opened.page.evaluate("document.activeElement.id")  # noqa: E731
    opened.page.evaluate("stops[0].focus()")
    opened.page.keyboard.press("n")
    assert now() == "charts"
    opened.page.keyboard.press("n")
    opened.page.keyboard.press("n")
    assert now() == "images"
    opened.page.keyboard.press("p")
    assert now() == "charts"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_is_wide_enough(browser: Any, file: Path, scheme: str) -> None:
    opened = Opened(browser, file, scheme, width=390)
    opened.page.get_by_text("image 1", exact=True).wait_for()
    assert opened.overflow() == 0
    opened.page.locator(".image-grid .cell").first.click()
    assert opened.page.locator("dialog").bounding_box()["width"] <= 390
    assert opened.is_silent()


CROWDED = """
const crowded = (words) => ({
  width: 80, height: 60, source: data.picture, file: null, title: "crowded", lines: [],
  marks: Array.from({ length: 9 }, (_, i) => ({ box: [4 + i, 6 + i, 40 + i, 30 + i], kind: "wrong", text: `${words} ${i}` })),
});
"""


@pytest.mark.parametrize(
    ("width", "words"),
    [(390, "a class with a name that is by far too long for the width of a picture"), (1100, "a cat")],
)
def test_words_at_boxes_stay_inside_the_picture_and_apart(browser: Any, file: Path, width: int, words: str) -> None:
    opened = Opened(browser, file, width=width)
    opened.page.evaluate(CROWDED + f"dialog.openAt(0, 1, () => crowded({words!r}))")
    picture = opened.page.locator("dialog .stage .picture").bounding_box()
    boxes = [one.bounding_box() for one in opened.page.locator("dialog .stage .caption").all()]
    texts = opened.page.locator("dialog .stage .caption-text").all()
    assert 2 <= len(boxes) < 9  # there is no room for all
    assert opened.page.locator("dialog .stage g > title").count() == 9
    assert str(texts[-1].text_content()).startswith(words[:5])
    for box, text in zip(boxes, texts, strict=True):
        own = text.bounding_box()
        for inner, outer in ((box, picture), (own, box)):
            assert inner["x"] >= outer["x"] - 1
            assert inner["x"] + inner["width"] <= outer["x"] + outer["width"] + 1
    for n, one in enumerate(boxes):
        for other in boxes[:n]:
            apart_x = max(one["x"], other["x"]) >= min(one["x"] + one["width"], other["x"] + other["width"]) - 1
            apart_y = max(one["y"], other["y"]) >= min(one["y"] + one["height"], other["y"] + other["height"]) - 1
            assert apart_x or apart_y
    assert opened.is_silent(), opened.said


SIDED = """
const sided = { width: 80, height: 60, source: data.picture, file: null, title: "sided", lines: ["a", "b"], sides: [
  { name: "left", marks: [{ box: [10, 10, 30, 30], kind: "right", text: "r" }] },
  { name: "right", marks: [[40, 10, 60, 30], [5, 5, 9, 9]].map((box) => ({ box, kind: "wrong", text: "w" })) },
] };
const large = pictureDialog();
const both = imageGrid({ label: "both", across: 2, pictureAt: () => sided, open: () => large.openAt(0, 1, () => sided) });
content("table").append(both);
both.show(3);
"""


@pytest.mark.parametrize(("width", "columns"), [(390, 1), (1100, 2)])
def test_sides_of_a_picture_stand_beside_each_other_each_with_its_own_boxes(
    browser: Any, file: Path, width: int, columns: int
) -> None:
    opened = Opened(browser, file, width=width)
    opened.page.evaluate(f"{{{SIDED}}}")
    cells = opened.page.locator("#table .cell")
    assert cells.count() == 3
    lefts = {round(one.bounding_box()["x"]) for one in cells.all()}
    assert len(lefts) == columns
    first, second = (one.bounding_box() for one in cells.first.locator(".picture").all())
    assert (first["y"], first["width"]) == pytest.approx((second["y"], second["width"]))
    assert first["x"] + first["width"] <= second["x"]
    assert [one.locator(".mark").count() for one in cells.first.locator(".side").all()] == [1, 2]
    cells.first.click()
    stage = opened.page.locator("dialog[open] .stage .side")
    assert stage.locator("b").all_inner_texts() == ["left", "right"]
    opened.page.locator("dialog[open] button").get_by_text("wrong").click()
    assert [one.locator(".mark").count() for one in stage.all()] == [1, 0]
    assert opened.overflow() == 0
    assert opened.is_silent(), opened.said
