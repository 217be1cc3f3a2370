from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from drawn_answers import drawn_answers, drawn_index

from detector.experiments.compare.matched_picture import MISSED, RIGHT, SIDE, WRONG, matched_picture
from detector.experiments.compare.page import disagreement_page

VOID = {"meta", "br", "img"}


class Elements(HTMLParser):
    """Every element with its attributes; an element that is not closed in its place fails."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def page() -> str:
    index = drawn_index(40)
    index = replace(index, class_names=("a<b", *index.class_names[1:]))
    return disagreement_page("R&D", ["neck=pan", "<neck>"], [drawn_answers(index, 0), drawn_answers(index, 1, 0.4)])


def test_twelve_images_are_shown_three_times_each_inside_the_page(page: str) -> None:
    elements = Elements(page)
    assert len(elements.of("figure")) == 12
    assert [one["alt"] for one in elements.of("img")] == ["annotated", "A", "B"] * 12
    for image in elements.of("img"):
        kind, _, content = (image["src"] or "").partition(",")
        assert kind == "data:image/jpeg;base64"
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(content), dtype=np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape == (SIDE, SIDE, 3)
        assert picture.std() > 5


def test_nothing_is_fetched_from_elsewhere(page: str) -> None:
    elements = Elements(page)
    fetching = {"src", "href", "srcset", "data", "action", "poster", "background"}
    values = [value for _, attributes in elements.found for key, value in attributes.items() if key in fetching]
    assert len(values) == 36
    assert all((value or "").startswith("data:") for value in values)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in elements.found}
    without_pictures = re.sub(r"base64,[^\"]*", "", page)
    assert not re.search(r"https?:|//|url\(|@import", without_pictures)
    assert any("default-src 'none'" in (one.get("content") or "") for one in elements.of("meta"))


def test_names_are_text_not_markup_and_the_definition_is_said(page: str) -> None:
    text = re.sub(r"<style>.*?</style>|<[^>]*>", "", page, flags=re.DOTALL)
    for words in (
        "R&amp;D",
        "A: neck=pan",
        "B: &lt;neck&gt;",
        "2·found / (2·found + missed + false)",
        "an IoU of at least 0.5",
    ):
        assert words in " ".join(text.split())
    assert "a&lt;b" in page
    assert "a<b" not in page


def test_the_line_of_an_image_has_its_f1_and_counts() -> None:
    index = drawn_index(40)
    first, second = drawn_answers(index, 0), drawn_answers(index, 1, 0.4)
    page = disagreement_page("T", ["x", "y"], [first, second])
    lines = re.findall(r"Image (\d+)</strong>: F1 differs by ([\d.]+)<br>(.*?)</figcaption>", page)
    assert len(lines) == 12
    for name, difference, counted in lines:
        image = index.image_ids.tolist().index(int(name))
        quality = []
        for letter in "AB":
            f1, found, objects, missed, false = map(
                float,
                re.findall(rf"{letter}: F1 ([\d.]+), (\d+) of (\d+) found, (\d+) missed, (\d+) false", counted)[0],
            )
            assert objects == found + missed == index.annotations.offsets[image + 1] - index.annotations.offsets[image]
            total = 2 * found + missed + false
            assert f1 == pytest.approx(2 * found / total if total else 1.0, abs=0.0051)
            quality.append(2 * found / total if total else 1.0)
        assert float(difference) == pytest.approx(abs(quality[0] - quality[1]), abs=0.0051)


def test_two_that_agree_have_a_page_without_images() -> None:
    one = drawn_answers(drawn_index(5), 0)
    elements = Elements(disagreement_page("T", ["x", "x"], [one, one]))
    assert not elements.of("figure")


def test_right_wrong_and_missed_have_their_own_colours_and_only_what_there_is_is_drawn() -> None:
    index = drawn_index(12)
    one = drawn_answers(index, 0)
    for image in range(len(index)):
        colours = {tuple(colour) for colour in np.unique(matched_picture(one, image).reshape(-1, 3), axis=0).tolist()}
        counts = one.counts
        drawn = {RIGHT: counts.found, WRONG: counts.false, MISSED: counts.missed}
        assert {colour for colour in drawn if colour in colours} == {
            colour for colour, numbers in drawn.items() if numbers[image]
        }
    assert min(counts.found.max(), counts.false.max(), counts.missed.max()) > 0
