from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from html_elements import Elements, data_of, policy, script_hash

from detector import config
from detector.build_detector import build_detector
from detector.inspection.inspected import Inspected, inspect_detector
from detector.inspection.page import inspection_page


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
    assert policy(page) == (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{script_hash(page)}'"
    )


def test_texts_are_escaped(page: str) -> None:
    assert "<h1>a&lt;b</h1>" in page
    assert "R&amp;D" in page
    assert "as it &lt;should&gt; be" in page


def test_the_script_is_given_the_ledger(page: str, inspected: Inspected) -> None:
    data = data_of(page)
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
