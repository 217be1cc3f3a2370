from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compared_groups import as_groups, compared
from drawn_scenes import drawn_index, drawn_results
from html_elements import Elements, data_of, policy, script_hash

from detector import config
from detector.columns import array
from detector.data.index import Index
from detector.evaluation.analysis import analyse, document
from detector.evaluation.difference import Difference
from detector.evaluation.results import FlatResults
from detector.experiments.compare.page.page import leave_page
from detector.experiments.compare.table import Measured

Configure = Callable[..., config.Train]
HOSTILE = "<script>alert(1)</script>"
SKILLS = {"neck=pan": (0.6, 0.65), "neck=<b>": (0.8,), "neck=fpn": (0.3,)}


def hostile_index(images: int) -> Index:
    index = drawn_index(images)
    index.class_names = (HOSTILE, *index.class_names[1:])
    return index


def write(folder: Path, rows: list[Measured], reference: int, index: Index, **options: Any) -> Path | None:
    given = config.Compare(runs=["x"], title=f"{HOSTILE} & more", resamples=200, **options)
    indexes = {run.folder: index for row in rows for run in row.group.runs}
    return leave_page(given, rows, reference, indexes, folder / "page.html")


Made = tuple[str, list[Measured], Index, dict[str, list[FlatResults]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("compared")

    def configure(seed: int) -> config.Train:
        return config.Train(seed=seed)

    index = hostile_index(30)
    results = {
        label: [drawn_results(index, 10 * n + seed, found) for seed, found in enumerate(skills)]
        for n, (label, skills) in enumerate(SKILLS.items())
    }
    rows = compared(as_groups(folder, index, results, configure), 0, index, 200)
    file = write(folder, rows, 0, index)
    assert file is not None
    return file.read_text(), rows, index, results


def test_texts_are_text_and_only_its_own_script_may_run(made: Made) -> None:
    page = made[0]
    elements = Elements(page)
    assert [tag for tag, _ in elements.found].count("script") == 2
    assert [text for tag, text in elements.texts if tag == "h1"] == [f"{HOSTILE} & more"]
    assert (
        policy(page)
        == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{script_hash(page)}'"
    )
    assert data_of(page)["classes"]["name"][0] == HOSTILE
    assert [one["label"] for one in data_of(page)["groups"]] == list(SKILLS)


def test_error_kinds_are_those_that_each_runs_analysis_says(made: Made) -> None:
    page, _, index, results = made
    for group, runs in zip(data_of(page)["groups"], results.values(), strict=True):
        analyses = [document(analyse(index, one))["tide"] for one in runs]
        assert group["ap50"] == [one["ap"] for one in analyses]
        for kind, values in group["deltaAp"].items():
            assert values == [one["delta_ap"][kind] for one in analyses]
            assert kind.startswith("false") or group["counts"][kind] == [one["counts"][kind] for one in analyses]


def test_differences_are_those_of_the_means_with_the_intervals_of_the_table(made: Made) -> None:
    page, rows, index, _ = made
    reference, *others = data_of(page)["groups"]
    assert all(one["value"] == 0 for one in reference["differences"].values() if one["value"] is not None)
    for group, row in zip(others, rows[1:], strict=True):
        for name in ("AP", "AP50", "AP75"):
            found = row.differences[name]
            means = [np.mean([run.metrics[name] for run in one.group.runs]) for one in (rows[0], row)]
            assert group["differences"][name] == {
                "value": pytest.approx(means[1] - means[0], abs=1e-12),
                "images": list(found.over_images or ()),
                "seeds": None,
                "p": found.p,
                "corrected": found.corrected,
                "verdict": found.verdict,
            }
        for k, one in enumerate(group["classDifferences"]):
            name = index.class_names[k]
            aps = [
                np.mean([run.metrics["per_class"][name]["AP"] for run in each.group.runs]) for each in (rows[0], row)
            ]
            assert one["value"] == pytest.approx(aps[1] - aps[0], abs=1e-12)
            own = row.class_differences[k]
            assert own is not None
            assert one["corrected"] == own.corrected


def test_each_kind_of_comparison_is_corrected_for_its_own_number(made: Made) -> None:
    rows = made[1][1:]
    families: list[list[Difference | None]] = [
        [row.difference for row in rows],
        [one for row in rows for name, one in row.differences.items() if name != "AP"],
        [one for row in rows for one in row.class_differences],
    ]
    for family in families:
        told = sorted((one for one in family if one is not None and one.p is not None), key=lambda one: one.p or 0)
        highest = 0.0
        for place, one in enumerate(told):
            highest = min(1.0, max(highest, (len(told) - place) * (one.p or 0)))
            assert one.corrected == pytest.approx(highest)
    assert "2 groups in AP, " in data_of(made[0])["explained"]
    assert "With 200 resamples no p is below 0.01, " in data_of(made[0])["explained"]


def test_shown_boxes_are_those_from_the_best_f1_on_with_what_they_found(made: Made) -> None:
    page, _, index, results = made
    content = data_of(page)
    for group, (first, *_) in zip(content["groups"], results.values(), strict=True):
        analysis = analyse(index, first)
        assert group["score"] == analysis.threshold
        shown = {name: array(one) for name, one in group["detections"].items()}
        matched = analysis.matched
        kept = matched.scores >= analysis.threshold
        assert 0 < kept.sum() < len(kept)
        np.testing.assert_array_equal(shown["state"] == 1, matched.found[0][kept] >= 0)
        np.testing.assert_array_equal(shown["object"], np.maximum(matched.found[0][kept], -1))
        np.testing.assert_array_equal(
            np.diff(shown["offsets"]), np.bincount(matched.images[kept], minlength=len(index))
        )
        np.testing.assert_array_equal(
            np.flatnonzero(array(group["found"])), np.unique(shown["object"][shown["object"] >= 0])
        )
        np.testing.assert_allclose(array(group["cost"]), analysis.costs)


def test_pictures_are_of_the_images_whose_costs_differ_most(made: Made, tmp_path: Path) -> None:
    _, rows, index, results = made
    costs = [analyse(index, runs[0]).costs for runs in results.values()]
    order = np.argsort(-np.maximum(abs(costs[1] - costs[0]), abs(costs[2] - costs[0])))
    whole = data_of(made[0])["pictures"]
    assert len(whole) == len(index)
    limit = 5.5 * max(map(len, whole.values())) / 1e6
    file = write(tmp_path, rows, 0, index, report_mb=limit)
    assert file is not None
    some = data_of(file.read_text())["pictures"]
    assert 5 <= len(some) < 15
    assert set(some) == {str(image) for image in order[: len(some)]}


def test_groups_without_intervals_or_objects_have_a_page_and_other_data_none(tiny: Configure, tmp_path: Path) -> None:
    index = drawn_index(4)
    results = {label: [drawn_results(index, seed)] for seed, label in enumerate("ab")}
    rows = as_groups(tmp_path / "plain", index, results, tiny)
    file = write(tmp_path, rows, 1, index)
    assert file is not None
    content = data_of(file.read_text())
    assert content["explained"] is None
    assert content["groups"][0]["differences"]["AP"]["value"] == pytest.approx(
        rows[0].group.runs[0].metrics["AP"] - rows[1].group.runs[0].metrics["AP"]
    )
    empty = replace(index, annotations=replace(index.annotations, crowd=np.ones_like(index.annotations.crowd)))
    nothing = write(tmp_path, as_groups(tmp_path / "empty", empty, results, tiny), 0, empty)
    assert nothing is not None
    assert data_of(nothing.read_text())["groups"][1]["differences"]["AP"]["value"] is None
    assert write(tmp_path, rows[:1], 0, index) is None
    others = {run.folder: one for row, one in zip(rows, (index, empty), strict=True) for run in row.group.runs}
    assert leave_page(config.Compare(runs=["x"]), rows, 0, others, tmp_path / "other.html") is None
    assert not (tmp_path / "other.html").exists()
