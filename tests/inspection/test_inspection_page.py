from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from detector import config
from detector.build_detector import build_detector
from detector.inspection.inspected import Inspected, inspect_detector
from detector.inspection.page import inspection_page

VOID = {"meta", "br", "img"}


class Elements(HTMLParser):
    """Every element with its attributes and the text directly in it; one that is not closed in its place fails."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
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

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.append((self.open[-1], data))


@pytest.fixture(scope="module")
def inspected() -> Inspected:
    with torch.device("meta"):
        detector = build_detector(
            model=config.RCNNOptions(max_proposals=4),
            backbone=config.CSPDarknetOptions(width=0.125),
            classes=2,
            image_size=96,
        )
    return inspect_detector(detector, 96)


@pytest.fixture(scope="module")
def page(inspected: Inspected) -> str:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    return inspection_page("a<b", ["R&D"], ["as it <should> be"], False, inspected, noise)


def test_nothing_is_fetched_from_elsewhere(page: str) -> None:
    assert "://" not in page
    for _, attributes in Elements(page).found:
        assert (attributes.get("src") or "data:").startswith("data:")
        assert "href" not in attributes
    assert not re.search(r"@import|url\(|fetch\(|import\(|XMLHttpRequest", page)


def test_only_the_pages_own_script_may_run(page: str) -> None:
    elements = Elements(page)
    policy = next(one["content"] for tag, one in elements.found if tag == "meta" and "http-equiv" in one)
    scripts = ["".join(text for tag, text in elements.texts if tag == "script")]
    data = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert data
    script = scripts[0].removeprefix(data.group(1))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == (f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'")


def test_texts_are_escaped(page: str) -> None:
    assert "<h1>a&lt;b</h1>" in page
    assert "R&amp;D" in page
    assert "as it &lt;should&gt; be" in page


def test_the_script_is_given_the_ledger(page: str, inspected: Inspected) -> None:
    found = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data = json.loads(found.group(1))
    leaves: list[dict[str, object]] = []

    def collect(node: dict[str, object]) -> None:
        children: list[dict[str, object]] = node["children"]  # type: ignore[assignment]
        leaves.extend([] if children else [node])
        for child in children:
            collect(child)

    collect(data["root"])
    expected = {
        layer.name: (layer.parameters, layer.multiply_accumulates, layer.activation_bytes)
        for layer in inspected.ledger.layers
    }
    assert {leaf["path"]: (leaf["parameters"], leaf["macs"], leaf["bytes"]) for leaf in leaves} == expected
    sizes = {leaf["path"]: leaf["field"]["size"] for leaf in leaves if leaf["field"]}  # type: ignore[index]
    assert sizes == {
        name: list(inspected.fields[name].size)
        for name in expected
        if name in inspected.fields and any(inspected.fields[name].size)
    }
    assert data["side"] == 64
    assert data["sees"] == "warped region"
