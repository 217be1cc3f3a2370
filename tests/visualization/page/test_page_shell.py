from __future__ import annotations

import base64
import re

import cv2
import numpy as np
import pytest
from html_elements import Elements, data_of, policy, script_hash

from detector.visualization.page.embedded import data_uri, jpeg
from detector.visualization.page.shell import Figure, Section, page

HOSTILE = "</script><!--<script>alert(1)</script>&"


@pytest.fixture(scope="module")
def made() -> str:
    return page(
        HOSTILE,
        [Section("first", HOSTILE, "<p>written <b>as</b> it is</p>"), Section("second", "Second")],
        {"names": [HOSTILE]},
        ["content('first').append(data.names[0]);"],
        lines=[HOSTILE],
        figures=[Figure(HOSTILE, HOSTILE, HOSTILE)],
        keys=HOSTILE,
    )


def test_only_the_pages_own_script_may_run(made: str) -> None:
    assert policy(made) == (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{script_hash(made)}'"
    )
    linked = page("a", [], {}, [], links_images=True)
    assert "img-src data: file:;" in policy(linked)


def test_texts_are_text_and_data_stays_data(made: str) -> None:
    elements = Elements(made)
    assert [tag for tag, _ in elements.found if tag == "script"] == ["script", "script"]
    assert data_of(made) == {"names": [HOSTILE]}
    titles = [text for tag, text in elements.texts if tag in ("title", "h1", "h2", "b", "a")]
    assert titles.count(HOSTILE) == 5
    assert "<p>written <b>as</b> it is</p>" in made


def test_nothing_is_fetched_from_elsewhere(made: str) -> None:
    assert made.replace("http://www.w3.org/2000/svg", "").count("://") == 0
    assert not re.search(r"@import|url\(|fetch\(|import\(|XMLHttpRequest|WebSocket|sendBeacon|eval\(|innerHTML", made)
    links = [one["href"] for _, one in Elements(made).found if "href" in one]
    assert links == ["#first", "#second"]


def test_a_number_that_json_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        page("a", [], {"value": float("nan")}, [])


def test_a_picture_keeps_its_colours_and_is_only_made_smaller() -> None:
    red = np.zeros((30, 60, 3), dtype=np.uint8)
    red[..., 0] = 250
    for side, shape in ((20, (10, 20, 3)), (100, (30, 60, 3))):
        uri = data_uri(jpeg(red, side, 90))
        content = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
        read = cv2.cvtColor(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        assert read.shape == shape
        assert np.abs(read.astype(int) - [250, 0, 0]).max() < 6
