from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from html_elements import Elements, data_of, policy, script_hash
from shown_evaluation import HOSTILE, Shown, measured, shown

from detector.columns import array
from detector.config.commands import Evaluation
from detector.data.index import Index
from detector.evaluation.evaluate import evaluate
from detector.evaluation.page.content import page_content
from detector.evaluation.page.page import evaluation_page, leave_report
from detector.evaluation.page.pictures import embedded_pictures, links


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return shown(tmp_path_factory.mktemp("evaluation"), pictures_mb=1.0)


@pytest.fixture(scope="module")
def analysis(made: Shown) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((made.folder / "analysis.json").read_text())
    return content


def test_a_class_called_script_is_a_class(made: Shown) -> None:
    elements = Elements(made.page)
    assert [tag for tag, _ in elements.found].count("script") == 2
    assert data_of(made.page)["classes"]["name"][0] == HOSTILE
    assert [text for tag, text in elements.texts if tag == "h1"] == [f"{HOSTILE}.ckpt on val"]
    assert "innerHTML" not in made.page


def test_only_its_own_script_may_run_and_images_alone_may_be_files(made: Shown, analysis: dict[str, Any]) -> None:
    expected = "default-src 'none'; img-src {}; style-src 'unsafe-inline'; script-src '{}'"
    assert policy(made.page) == expected.format("data:", script_hash(made.page))
    of_files = replace(made.index, painter=None, files=np.array(["/nowhere/a.jpg"] * len(made.index)))
    page = evaluation_page(analysis, of_files, made.folder, 0)
    assert policy(page) == expected.format("data: file:", script_hash(page))


def test_pictures_stay_below_the_limit_and_the_costliest_are_there(made: Shown, analysis: dict[str, Any]) -> None:
    all_of_them, _ = embedded_pictures(analysis, made.index, 100)
    assert len(all_of_them) == len(made.index)
    one = len(next(iter(all_of_them.values()))) / 1e6
    some, _ = embedded_pictures(analysis, made.index, 6.5 * one)
    assert 4 <= len(some) <= 7
    assert sum(map(len, some.values())) <= 6.5e6 * one
    costliest = np.argsort(-array(analysis["images"]["cost"]))[: len(some) // 2]
    assert set(costliest.tolist()) <= set(some)
    assert data_of(made.page)["pictures"].keys() < {str(image) for image in range(len(made.index))}


def test_no_pictures_and_images_that_cannot_be_read_are_legal(made: Shown, analysis: dict[str, Any]) -> None:
    assert embedded_pictures(analysis, made.index, 0) == ({}, 0)
    absent = replace(made.index, painter=None, files=np.array(["/nowhere/a b#.jpg"] * len(made.index)))
    page = evaluation_page(analysis, absent, made.folder, 10)
    content = data_of(page)
    assert content["pictures"] == {}
    assert set(content["links"]) == {links(["/nowhere/a b#.jpg"], made.folder)[0]}
    assert content["links"][0].endswith("nowhere/a%20b%23.jpg")
    assert "20 could not be read when it was made" in page


def test_a_link_leads_from_the_page_to_the_file(tmp_path: Path) -> None:
    found = links([str(tmp_path / "images" / "ä 1.jpg"), ""], tmp_path / "runs" / "one")
    assert found == ["../../images/%C3%A4%201.jpg", ""]


def test_what_is_left_out_lies_below_the_score_at_which_the_slider_begins(analysis: dict[str, Any]) -> None:
    whole, part = page_content(analysis), page_content(analysis, most=100)
    assert whole["left_out"] == 0
    assert whole["lowest_score"] == 0
    scores = array(analysis["detections"]["score"])
    lowest = part["lowest_score"]
    kept = scores >= lowest
    assert 50 < kept.sum() <= 100
    assert part["left_out"] == (~kept).sum()
    np.testing.assert_array_equal(array(part["detections"]["score"]), scores[kept])
    for name in ("box", "found"):
        before, after = (array(one["detections"][name]) for one in (analysis, part))
        np.testing.assert_array_equal(after, before[kept] if name == "box" else before[:, kept])
    np.testing.assert_array_equal(images_of(part), images_of(analysis)[kept])
    # each candidate still speaks of the detection with the same score and the same object
    old, new = ({name: array(one) for name, one in side["candidates"].items()} for side in (analysis, part))
    stays = kept[old["detection"]]
    assert 0 < stays.sum() < len(stays)
    np.testing.assert_array_equal(array(part["detections"]["score"])[new["detection"]], scores[old["detection"][stays]])
    np.testing.assert_array_equal(new["object"], old["object"][stays])
    for case, own in zip(analysis["label_errors"]["cases"], part["label_errors"]["cases"], strict=True):
        if own["detection"] is not None:
            assert array(part["detections"]["score"])[own["detection"]] == scores[case["detection"]]


def images_of(content: dict[str, Any]) -> np.ndarray:
    offsets = array(content["images"]["detection_offsets"])
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def test_it_is_written_only_where_it_is_asked_for(tmp_path: Path) -> None:
    index, results = measured(images=2)
    assert leave_report(tmp_path, index, results, {}, Evaluation(report=False), "val", None) is None
    assert list(tmp_path.iterdir()) == []


def test_a_split_without_an_object_or_a_detection_has_a_page(tmp_path: Path) -> None:
    index, results = measured(images=2)
    nothing = results.__class__(*(getattr(results, one)[:0] for one in ("images", "labels", "boxes", "scores")))
    empty: Index = index.subset([])
    for folder, one in (("no_detection", index), ("no_image", empty)):
        (tmp_path / folder).mkdir()
        leave_report(tmp_path / folder, one, nothing, evaluate(one, nothing), Evaluation(), "val", None)
        assert (tmp_path / folder / "report.html").is_file()
