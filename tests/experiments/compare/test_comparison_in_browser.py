"""The page of a comparison in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Opened, started
from test_comparison_page import HOSTILE, Made, made

from detector.data.index import Index
from detector.evaluation.analysis import analyse
from detector.evaluation.results import FlatResults

__all__ = ["made"]  # the fixture


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def file(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(made[0])
    return path


def opened_page(browser: Any, file: Path, scheme: str = "light", width: int = 1100) -> Opened:
    opened = Opened(browser, file, scheme, width)
    opened.page.wait_for_selector("body[data-ready]")
    return opened


@pytest.fixture(scope="module")
def one_page(browser: Any, file: Path) -> Opened:
    return opened_page(browser, file)


@pytest.fixture
def opened(one_page: Opened) -> Iterator[Opened]:
    """The page with the first group and without a filter."""
    one_page.page.evaluate(
        "compareWith(OTHERS[0]), Object.assign(state.filters, { asked: '', class: null, kind: null })"
    )
    one_page.page.evaluate("filterDrawings.forEach((draw) => draw()), document.activeElement.blur()")
    yield one_page
    assert one_page.is_silent(), (one_page.said, one_page.asked)


def found_and_wrong(index: Index, results: FlatResults) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a loop over images: which objects are found from the best F1 on, and images and labels of wrong detections."""
    threshold = analyse(index, results).threshold
    found, wrong = np.zeros(len(index.annotations), dtype=bool), []
    for image in range(len(index)):
        rows = range(len(index.annotations))[index.annotations.rows(image)]
        shown = [d for d in np.flatnonzero(results.images == image) if results.scores[d] >= threshold]
        for d in sorted(shown, key=lambda d: -results.scores[d]):
            x, y, width, height = results.boxes[d]
            best, overlap = None, 0.5
            for n in rows:
                a, b, w, h = index.annotations.boxes[n]
                inside = max(0, min(x + width, a + w) - max(x, a)) * max(0, min(y + height, b + h) - max(y, b))
                iou = inside / (width * height + w * h - inside)
                if not found[n] and index.annotations.labels[n] == results.labels[d] and iou >= overlap:
                    best, overlap = n, iou
            if best is None:
                wrong.append((image, results.labels[d]))
            else:
                found[best] = True
    return found, *np.array(wrong).T


def bars(opened: Opened) -> dict[str, int]:
    lines = opened.page.locator("#images .bar").all()
    return {one.locator(".name").inner_text(): int(one.locator(".value").inner_text()) for one in lines}


def test_objects_that_one_alone_finds_are_those_of_a_loop_and_open_their_images(opened: Opened, made: Made) -> None:
    _, _, index, results = made
    (first, wrong, _), (second, other, _) = (found_and_wrong(index, runs[0]) for runs in list(results.values())[:2])
    expected = {
        "objects that both find": first & second,
        "objects that A alone finds": first & ~second,
        "objects that B alone finds": second & ~first,
        "objects that neither finds": ~first & ~second,
    }
    numbers = bars(opened)
    assert numbers == {
        **{name: int(which.sum()) for name, which in expected.items()},
        "wrong detections of A": len(wrong),
        "wrong detections of B": len(other),
    }
    assert min(numbers.values()) > 0
    images = {name: set(index.annotations.owners[which].tolist()) for name, which in expected.items()}
    for name, own in (*images.items(), ("wrong detections of B", set(other.tolist()))):
        bar = opened.page.locator("#images .bar").get_by_text(name, exact=True)
        bar.click()
        assert set(opened.page.evaluate("ordered")) == own, name
        assert opened.page.locator("#images .chip").inner_text() == f"{name} ✕"
        bar.click()
        assert len(opened.page.evaluate("ordered")) == len(index)


def test_a_class_narrows_the_images_and_the_counts(opened: Opened, made: Made) -> None:
    _, _, index, results = made
    found = [found_and_wrong(index, runs[0])[0] for runs in list(results.values())[:2]]
    own = index.annotations.labels == 0
    opened.page.locator("#classes tbody tr", has_text=HOSTILE).click()
    assert bars(opened)["objects that B alone finds"] == (~found[0] & found[1] & own).sum()
    alone = set(index.annotations.owners[~found[0] & found[1] & own].tolist())
    opened.page.locator("#images .bar").get_by_text("objects that B alone finds", exact=True).click()
    assert set(opened.page.evaluate("ordered")) == alone
    loud = opened.page.evaluate(
        "ordered.flatMap((image) => pictureOf(image).sides[1].marks.filter((one) => !one.faint))"
    )
    assert len(loud) == (~found[0] & found[1] & own).sum()
    assert all(one["kind"] == "right" and HOSTILE in one["text"] for one in loud)


@pytest.mark.parametrize(("sort", "sign"), [("either", 0), ("second", 1), ("first", -1)])
def test_images_come_by_their_difference_in_cost(opened: Opened, made: Made, sort: str, sign: int) -> None:
    _, _, index, results = made
    first, second = (analyse(index, runs[0]).costs for runs in list(results.values())[:2])
    difference = sign * (second - first) if sign else abs(second - first)
    opened.page.locator("#images select").nth(1).select_option(value=sort)
    shown = opened.page.evaluate("ordered")
    assert sorted(shown) == list(range(len(index)))
    assert (np.diff(difference[shown]) <= 1e-12).all()


def test_another_group_is_compared_everywhere(opened: Opened, made: Made) -> None:
    rows = made[1]
    opened.page.locator("#differences .bar").get_by_text("C: neck=fpn", exact=True).click()
    found = rows[2].differences["AP"]
    assert found.verdict != "undecided"
    cells = opened.page.locator("#differences tbody tr").first.locator("td").all_inner_texts()
    assert cells[0] == "AP"
    assert cells[3] == f"{found.ap:+.3f}".replace("-", "−")
    assert cells[-1] == found.verdict
    assert opened.page.locator("#kinds .legend").inner_text().split("\n")[1].startswith("C: neck=fpn (AP50 ")
    assert "wrong detections of C" in bars(opened)
    assert opened.page.locator("#images .cell .side b").nth(1).inner_text() == "C: neck=fpn"
    assert opened.page.locator("#groups tr[aria-selected=true] td").first.inner_text() == "C: neck=fpn"
    opened.page.locator("#groups tbody tr").nth(1).click()
    assert opened.page.evaluate("state.other.label") == "neck=<b>"


def test_classes_are_sorted_by_difference_support_and_name(opened: Opened, made: Made) -> None:
    _, rows, index, _ = made
    changes = [one.ap if one else 0 for one in rows[1].class_differences]

    def order() -> list[str]:
        return [line.locator("td").first.inner_text() for line in opened.page.locator("#classes tbody tr").all()]

    assert order() == [index.class_names[k] for k in np.argsort(changes)[::-1]]
    assert opened.page.locator("#classes .forest .dot").count() == len(changes)
    opened.page.get_by_role("button", name="objects", exact=True).first.click()
    counts = np.bincount(index.annotations.labels)
    assert [counts[index.class_names.index(name)] for name in order()] == sorted(counts.tolist(), reverse=True)
    opened.page.get_by_role("button", name="class", exact=True).first.click()
    assert sorted(order()) == sorted(index.class_names)
    opened.page.get_by_role("button", name="difference", exact=True).last.click()


def test_a_kind_of_error_opens_the_images_in_which_a_group_makes_it(opened: Opened, made: Made) -> None:
    _, _, index, results = made
    analysis = analyse(index, list(results.values())[1][0])
    shown = analysis.matched.scores >= analysis.threshold
    opened.page.locator("#kinds .bar").get_by_text("background, B", exact=True).click()
    assert set(opened.page.evaluate("ordered")) == set(
        analysis.matched.images[shown & (analysis.errors.kind == 5)].tolist()
    )
    assert opened.page.locator("#images .chip").inner_text() == "background errors of B ✕"


def test_keys_lead_to_the_images_and_through_them(opened: Opened) -> None:
    for key in ("f", "ArrowRight", "Enter"):
        opened.page.keyboard.press(key)
    names = opened.page.evaluate("ordered.slice(0, 4).map(imageName)")
    title = opened.page.locator("dialog[open] h3").first
    assert title.inner_text() == names[1]
    assert opened.page.locator("dialog[open] .stage .side b").all_inner_texts() == ["A: neck=pan", "B: neck=<b>"]
    marks = opened.page.evaluate("pictureOf(ordered[1]).sides.map((one) => one.marks.length)")
    for side, count in enumerate(marks):
        assert opened.page.locator("dialog[open] .stage .side").nth(side).locator(".mark").count() == count
    opened.page.keyboard.press("ArrowRight")
    assert title.inner_text() == names[2]
    opened.page.keyboard.press("Escape")
    opened.page.keyboard.press("p")
    assert opened.page.evaluate("document.activeElement.id") == "kinds"
    opened.page.locator("#classes tbody").focus()
    opened.page.keyboard.press("ArrowDown")
    assert opened.page.evaluate("state.filters.class") is not None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_is_wide_enough(browser: Any, file: Path, scheme: str) -> None:
    opened = opened_page(browser, file, scheme, width=390)
    assert opened.overflow() == 0
    opened.page.locator("#images .cell").first.click()
    sides = [one.bounding_box() for one in opened.page.locator("dialog[open] .stage .picture").all()]
    assert sides[1]["y"] > sides[0]["y"] + sides[0]["height"]  # one below the other
    assert all(one["x"] >= 0 and one["x"] + one["width"] <= 390 for one in sides)
    assert opened.is_silent(), opened.said
