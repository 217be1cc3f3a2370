"""The page of an evaluation in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Opened, started
from shown_evaluation import HOSTILE, Shown, by_hand, measured, shown
from synthetic_detections import image_difficulty, synthetic_index, synthetic_results

from detector.config.commands import Evaluation
from detector.evaluation.analysis import analyse
from detector.evaluation.analysis.confusion import confusion_matrix
from detector.evaluation.evaluate import evaluate
from detector.evaluation.page.page import leave_report
from detector.evaluation.results import FlatResults

SIDE_OF_A_CELL = 58


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return shown(tmp_path_factory.mktemp("evaluation"), pictures_mb=0.5)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as browser:
        yield browser


def opened_page(browser: Any, folder: Path, scheme: str = "light", width: int = 1100) -> Opened:
    opened = Opened(browser, folder / "report.html", scheme, width)
    opened.page.wait_for_selector("body[data-ready]")
    return opened


@pytest.fixture(scope="module")
def one_page(browser: Any, made: Shown) -> Opened:
    return opened_page(browser, made.folder)


@pytest.fixture
def opened(one_page: Opened) -> Iterator[Opened]:
    """The page without a filter and a highlighted class."""
    one_page.page.evaluate("Object.keys(state.filters).forEach((one) => setFilter(one, null, false)), choose(null)")
    one_page.page.evaluate("document.activeElement.blur()")
    yield one_page
    assert one_page.is_silent(), (one_page.said, one_page.asked)


def move(opened: Opened, score: float, iou: float = 0.5) -> None:
    """As a user does, by the field beside the slider and the list of IoU thresholds."""
    opened.page.locator("nav select").first.select_option(label=f"{iou:.2f}")
    opened.page.locator("nav input[type=number]").fill(str(score))
    opened.until(f"state.score === {score}")


def shown_images(opened: Opened) -> set[int]:
    """Those of the list once it follows what was chosen, which it does with a frame of its own."""
    opened.until("listeners.every(({ section, due }) => section !== 'images' || !due.size)")
    return set(opened.page.evaluate("ordered"))


@pytest.mark.parametrize(("score", "iou"), [(0.05, 0.5), (0.37, 0.5), (0.62, 0.5), (0.37, 0.75)])
def test_what_the_slider_counts_is_what_a_loop_over_the_detections_counts(
    opened: Opened, made: Shown, score: float, iou: float
) -> None:
    expected = by_hand(made.index, made.results, score, iou)
    move(opened, score, iou)
    right, wrong, missed = (sum(one) for one in (expected.right, expected.wrong, expected.missed))
    assert min(right, wrong, missed) > 0
    said = opened.page.locator(".summary").inner_text()
    precision, recall = right / (right + wrong), right / (right + missed)
    assert said.startswith(f"all classes precision {precision:.3f}, recall {recall:.3f}, F1 ")
    assert said.endswith(f": {right} right, {wrong} wrong, {missed} missed")
    np.testing.assert_array_equal(
        np.reshape(opened.page.evaluate("[...counts.matrix]"), expected.matrix.shape), expected.matrix
    )
    cells = opened.page.locator("#classes tbody tr", has_text=HOSTILE).locator("td").all_inner_texts()
    assert cells[6].strip() == f"{expected.right[0] / (expected.right[0] + expected.wrong[0]):.3f}"


def test_a_class_of_which_nothing_is_found_has_no_place_on_the_curve(opened: Opened, made: Shown) -> None:
    chart = opened.page.locator("#curves figure.chart").first
    for score in (0.3, 0.999):
        move(opened, score)
        expected = by_hand(made.index, made.results, score, 0.5)
        found = [right + wrong > 0 for right, wrong in zip(expected.right, expected.wrong, strict=True)]
        assert chart.locator("path.point").count() == sum(found)
        assert chart.locator("path.rule").count() == chart.locator("text.small", has_text="at score").count() == 0
    assert not all(found)


def test_a_cell_of_the_confusion_matrix_opens_its_images(opened: Opened, made: Shown) -> None:
    expected = by_hand(made.index, made.results, 0.3, 0.5)
    move(opened, 0.3)
    canvas = opened.page.locator("#confusion canvas")
    k = len(made.index.class_names)
    for row, column in ((0, 0), (0, 1), (k, 1), (2, k)):
        canvas.scroll_into_view_if_needed()
        opened.page.wait_for_timeout(50)
        box = canvas.bounding_box()
        right, bottom = (k + 1 - column - 0.5) * SIDE_OF_A_CELL, (k + 1 - row - 0.5) * SIDE_OF_A_CELL
        opened.page.mouse.click(box["x"] + box["width"] - 2 - right, box["y"] + box["height"] - 2 - bottom)
        assert expected.cells[row, column], "the case has such a confusion"
        assert shown_images(opened) == expected.cells[row, column]
    canvas.focus()
    for key in ["ArrowDown"] * 3 + ["ArrowRight"] * k:
        opened.page.keyboard.press(key)
    said = opened.page.locator("#confusion .readout").inner_text()
    assert said.startswith(f"class 2 not detected: {expected.matrix[2, k]}, ")
    opened.page.locator("#images .chip").click()
    assert shown_images(opened) == set(range(len(made.index)))


def test_a_bar_opens_the_images_of_its_objects_and_filters_narrow_them(opened: Opened, made: Shown) -> None:
    sides = np.sqrt(made.index.annotations.area)
    small = set(made.index.annotations.owners[(sides >= 16) & (sides < 32)].tolist())
    opened.page.locator("#subsets .bar").get_by_text("16–32", exact=True).click()
    assert shown_images(opened) == small
    chosen = opened.page.locator("#subsets .bar[aria-pressed=true]")
    assert chosen.locator(".name").inner_text() == "16–32"
    opened.page.locator("#images select").first.select_option(label="missed")
    fewer = shown_images(opened)
    assert fewer < small
    assert fewer == set(
        opened.page.evaluate(
            "[...new Set([...objects.image].filter((_, o) => bins[0][o] === 1 && counts.object[o] !== FOUND))]"
        )
    )


def test_kinds_of_errors_are_counted_at_the_threshold_and_open_their_images(opened: Opened, made: Shown) -> None:
    analysis = analyse(made.index, made.results)
    at = analysis.matched.scores >= 0.37
    kinds = np.asarray(analysis.errors.kind)
    move(opened, 0.37)
    bars = opened.page.locator("#kinds .bar")
    bars.first.scroll_into_view_if_needed()
    opened.until("listeners.every(({ section, due }) => section !== 'kinds' || !due.size)")
    assert bars.first.inner_text().split("\n")[-1].endswith(f"· {(at & (kinds == 1)).sum()} of {(kinds == 1).sum()}")
    bars.first.click()
    assert shown_images(opened) == set(analysis.matched.images[at & (kinds == 1)].tolist())


def test_keys_lead_to_the_images_and_through_them(opened: Opened) -> None:
    opened.page.keyboard.press("f")
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        opened.page.keyboard.press(key)
    title = opened.page.locator("dialog[open] h3").first
    names = opened.page.evaluate("ordered.slice(0, 4).map(imageName)")
    assert title.inner_text() == names[2]
    opened.page.keyboard.press("ArrowRight")
    assert title.inner_text() == names[3]
    marks = opened.page.evaluate(
        "marksOf(ordered[3]).filter((one) => one.kind === 'wrong' || one.kind === 'missed').length"
    )
    assert opened.page.locator("dialog[open] .crops figure").count() == marks > 0
    opened.page.keyboard.press("Escape")
    opened.page.locator("#classes tbody").focus()
    opened.page.keyboard.press("ArrowDown")
    chosen = opened.page.evaluate("CLASSES[state.chosen]")
    assert opened.page.locator("#classes tr[aria-selected=true] td").first.inner_text() == chosen
    assert opened.page.locator(".summary b").inner_text() == chosen


def test_the_best_threshold_is_where_f1_is_highest(opened: Opened, made: Shown) -> None:
    everything = by_hand(made.index, made.results, 0, 0.5)

    def f1(score: float) -> float:
        shown = [right for one, right in everything.scores if one >= score]
        return 2 * sum(shown) / (len(shown) + len(made.index.annotations))

    best = max((score for score, _ in everything.scores), key=f1)
    move(opened, 0.9)
    summary = opened.page.locator(".summary")
    assert f"F1 {f1(best):.3f}" not in summary.inner_text()
    opened.page.get_by_text("best F1", exact=True).first.click()
    assert f"F1 {f1(best):.3f}" in summary.inner_text()
    assert opened.page.evaluate("state.score") == pytest.approx(best)


def test_a_class_is_highlighted_by_a_press_on_its_line_or_row(opened: Opened) -> None:
    opened.page.locator("#classes tbody tr", has_text="class 2").click()
    for section in ("curves", "kinds", "calibration"):
        opened.page.locator(f"#{section}").scroll_into_view_if_needed()
    assert opened.page.locator("#calibration .legend").get_by_text("class 2").count() == 1
    opened.page.locator("#curves button").get_by_text("IoU thresholds").click()
    assert opened.page.locator("#curves figcaption").first.inner_text() == "Precision over recall of class 2"
    assert opened.page.locator("#curves .legend").first.locator("li").count() == 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_is_wide_enough(browser: Any, made: Shown, scheme: str) -> None:
    opened = opened_page(browser, made.folder, scheme, width=390)
    for section in opened.page.evaluate("stops.map((one) => one.id)"):
        opened.page.locator(f"#{section}").scroll_into_view_if_needed()
    assert opened.overflow() == 0
    assert opened.is_silent()


@pytest.mark.slow
def test_a_move_of_the_slider_is_quick_with_as_many_detections_as_a_page_holds(browser: Any, tmp_path: Path) -> None:
    index = synthetic_index(2500, 80, 7.3, 0)
    results = synthetic_results(index, image_difficulty(index, 1), 0.6, 93, 2)
    leave_report(tmp_path, index, results, evaluate(index, results), Evaluation(), "val", None)
    opened = opened_page(browser, tmp_path)
    assert opened.page.evaluate("detections.count") > 190_000
    for section in ("classes", "confusion", "subsets", "images"):
        opened.page.locator(f"#{section}").scroll_into_view_if_needed()
        opened.page.wait_for_timeout(300)
        seconds = opened.page.evaluate(
            "[0.61, 0.7, 0.5, 0.8, 0.4, 0.9, 0.55].map((score) => {"
            "const start = performance.now(); setThreshold(score); return (performance.now() - start) / 1000 })"
        )
        assert min(seconds) < 0.1, section  # the quickest: other work on the machine is not the page's
    assert opened.is_silent()


@pytest.mark.parametrize("images", [2, 0])
def test_without_a_detection_or_an_image_the_page_is_drawn(browser: Any, tmp_path: Path, images: int) -> None:
    index, results = measured(images=2)
    index = index.subset(range(images))
    nothing = FlatResults(results.images[:0], results.labels[:0], results.boxes[:0], results.scores[:0])
    leave_report(tmp_path, index, nothing, evaluate(index, nothing), Evaluation(), "val", None)
    opened = opened_page(browser, tmp_path)
    opened.page.evaluate("setThreshold(0.3, 3), catchUp(() => true)")
    missed = len(index.annotations)
    assert opened.page.locator(".summary").inner_text().endswith(f": 0 right, 0 wrong, {missed} missed")
    assert opened.is_silent(), opened.said


def test_ignored_objects_and_pictures_that_are_not_there(browser: Any, tmp_path: Path) -> None:
    """Crowds, no picture inside the page, and files that have gone: boxes are drawn on empty ground."""
    index = synthetic_index(8, 3, 6, 1, crowds=0.3)
    index.files = np.array([str(tmp_path / f"{i}.jpg") for i in range(len(index))])
    results = synthetic_results(index, image_difficulty(index, 1), 0.7, 3, 1)
    leave_report(tmp_path, index, results, evaluate(index, results), Evaluation(), "val", None)
    analysis = analyse(index, results)
    opened = opened_page(browser, tmp_path)
    for score, t in ((0.0, 0), (0.4, 0), (0.4, 5)):
        opened.page.evaluate(f"setThreshold({score}, {t})")
        expected = confusion_matrix(analysis.matched, analysis.candidates, t, score)
        np.testing.assert_array_equal(opened.page.evaluate("[...counts.matrix]"), expected.ravel())
    opened.page.locator("#images").scroll_into_view_if_needed()
    opened.page.get_by_text("picture not in this page").first.wait_for(state="attached")
    assert opened.page.locator("#images .mark.ignored").count() > 0
    assert all("FILE_NOT_FOUND" in one for one in opened.said)


def test_suspicions_that_the_mirrored_image_confirms_come_first_and_are_said(browser: Any, tmp_path: Path) -> None:
    index = synthetic_index(20, 3, 6, 1)
    results = synthetic_results(index, image_difficulty(index, 1), 0.7, 9, 1)

    def look(images: np.ndarray) -> FlatResults:
        kept = np.isin(results.images, images) & (results.images % 2 == 0)
        return FlatResults(results.images[kept], results.labels[kept], results.boxes[kept], results.scores[kept])

    report = leave_report(tmp_path, index, results, evaluate(index, results), Evaluation(), "val", None, look)
    assert report is not None
    cases = [one for one in report["label_errors"]["cases"] if one["kind"] == "missing annotation"]
    again = sum(one["image"] % 2 == 0 for one in cases)
    assert 0 < again < len(cases)
    opened = opened_page(browser, tmp_path)
    section = opened.page.locator("#labels")
    section.scroll_into_view_if_needed()
    assert f"found in the mirrored image too, {again} of {len(cases)}, come before" in section.inner_text()
    section.get_by_text("found in the mirrored image too", exact=True).first.wait_for()
    assert opened.is_silent(), opened.said
