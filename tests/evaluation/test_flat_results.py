"""Result files read by columns, against the same files read entry by entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from detector.data.index import AnnotatedObjects, Index, assemble
from detector.errors import UserError
from detector.evaluation import results
from detector.evaluation.results import FlatResults, flatten, read_flat_results, read_results

IDS: list[list[Any]] = [[3, 7, 2**53 + 1, 0], ["3", "a", "å b", "7"]]
numbers = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**70), 2**70), st.floats(0, 640))
sizes = st.one_of(st.floats(0, 1e300), st.integers(0, 2**70), st.just(-0.0))
odd: st.SearchStrategy[Any] = st.sampled_from(
    ["0.5", None, True, float("nan"), float("inf"), 10**400, [], {}, [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, True, 4],
     [1, 2, "3", 4], [1, 2, -3, 4], [1, 2, [3], 4], (1, 2, 3, 4), 3.0, 7.0, 2.5, 2**53, "\ud800", "abcd"]
)  # fmt: skip


def make_index(image_ids: list[Any]) -> Index:
    nothing = AnnotatedObjects([], [], [], [], where=str)
    return assemble(("cat", "dog"), (17, 18), image_ids, [""] * 4, np.full((4, 2), 100), nothing)


@st.composite
def files(draw: st.DrawFn) -> tuple[list[Any], str]:
    """Ids of a data set and a result file, most often in order."""
    ids: list[Any] = draw(st.sampled_from(IDS))
    entry = st.fixed_dictionaries(
        {
            "image_id": st.sampled_from(ids),
            "category_id": st.sampled_from([17, 18]),
            "bbox": st.tuples(numbers, numbers, sizes, sizes).map(list),
            "score": numbers,
        },
        optional={"segmentation": st.just([[1, 2, 3]]), "file_name": st.text(max_size=3)},
    )
    entries: list[Any] = draw(st.lists(entry, max_size=5))
    if draw(st.booleans()) and entries:
        place, value = draw(st.integers(0, len(entries) - 1)), draw(odd)
        key = draw(st.sampled_from(["image_id", "category_id", "bbox", "score", "missing", "entry"]))
        if key == "entry":
            entries[place] = value
        elif key == "missing":
            del entries[place]["score"]
        else:
            entries[place][key] = value
    return ids, json.dumps(entries, indent=draw(st.sampled_from([None, 1])), ensure_ascii=draw(st.booleans()))


def outcome(read: Any, path: Path, index: Index) -> Any:
    try:
        flat = read(path, index)
    except UserError as error:
        return str(error)
    return [(array.dtype, array.tolist()) for array in (flat.images, flat.labels, flat.boxes, flat.scores)]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files())
@example((IDS[0], "[" * 100_000))
@example((IDS[0], '{"annotations": []}'))
@example((IDS[0], '[{"image_id": 3, "image_id": 7, "category_id": 17, "bbox": [1, 2, 3, 4], "score": 1, "score": 2}]'))
@example((IDS[0], '[{"image_id": 3, "category_id": 17, "bbox": [1, 2, 3, 1e400], "score": 1}]'))
@example((IDS[0], '[{"image_id": 03, "category_id": 17, "bbox": [1, 2, 3, 4], "score": 1}]'))
@example((IDS[0], '[{"image_id": 3, "category_id": 17, "bbox": [1, 2, 3, 4], "score": 1},]'))
@example((IDS[0], '[{"image_id": 3, "category_id": 17, "bbox": [1, 2, 3, 4], "score": null}]'))
@example((IDS[0], '[{"image_id": 3, "category_id": 17, "bbox": [1, 2, 3, 4], "of": {"score": 1}}]'))
@example((IDS[0], '[{"image_id": 3, "category_id": 17, "bbox": [1, 2, 3, 4], "a \\"score": 1}]'))
@example((IDS[0], '[{"image_id": 3, "category_id": 17, "bbox": [1, 2, 3, true], "score": 1}]'))
@example((IDS[1], '[{"image_id": "3", "category_id": 17, "bbox": [1, 2, 3, true], "score": 1}]'))
@example((IDS[1], '[{"image_id": "3", "category_id": 17, "bbox": [1, 2, 3, 4], "score": true}]'))
@example((IDS[0], '[{"image_id": 3, "category_id": 17, "bbox": [1, 2, 3, 4], "\\u0073core": 0.0}]'))
@example((IDS[0], '[{"image_id": 3, "category_id": 17, "bbox": [1, 2, 3, 4], "score": -0.0}]'))
@example((IDS[0], '[{"image_id": 9007199254740992, "category_id": 17, "bbox": [1, 2, 3, 4], "score": 1}]'))
@example(([1, 2, 3, 2**53], '[{"image_id": 9007199254740993, "category_id": 17, "bbox": [1, 2, 3, 4], "score": 1}]'))
@example((IDS[0], '[{"image_id": 9007199254740993, "category_id": 17, "bbox": [1, 2, 3, 4], "score": 1}]'))
@example((IDS[0], '[{"image_id": 3, "category_id": 19, "bbox": [1, 2, 3, 4], "score": 1}]'))
@example((IDS[0], '[{"image_id": 9, "category_id": 17, "bbox": [1, 2, 3, 4], "score": 1}]'))
@example((IDS[0], "[]x"))
@example((IDS[0], "\ufeff[]"))
def test_columns_hold_what_the_entries_do_and_a_mistake_is_said_in_the_same_words(
    tmp_path: Path, file: tuple[list[Any], str]
) -> None:
    index, path = make_index(file[0]), tmp_path / "results.json"
    path.write_text(file[1], encoding="utf-8", errors="surrogatepass")
    one_by_one = outcome(lambda path, index: flatten(index, read_results(path, index)), path, index)
    assert outcome(read_flat_results, path, index) == one_by_one


@pytest.mark.parametrize("slower", ["_columns", "read_results"])
def test_a_file_as_others_write_it_is_not_read_entry_by_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slower: str
) -> None:
    if slower == "read_results":  # as if there were texts among the ids
        monkeypatch.setattr(results, "_numbers", lambda path, index: None)
    entries = [
        {"id": 1, "bbox": [1, 2.5, 3, 4], "score": 1, "image_id": 7, "category_id": 18, "segmentation": [[1, 2]]},
        {"bbox": [0.1, 0.2, 0.3, 1e-5], "score": 0.0, "image_id": 3, "category_id": 17},
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(entries, indent=2))
    monkeypatch.setattr(results, slower, None)
    flat = read_flat_results(path, make_index(IDS[0]))
    assert isinstance(flat, FlatResults)
    assert (flat.images.tolist(), flat.labels.tolist(), flat.scores.tolist()) == ([1, 0], [1, 0], [1.0, 0.0])
    assert flat.boxes.tolist() == [[1, 2.5, 3, 4], [0.1, 0.2, 0.3, 1e-5]]


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.json: cannot be read"):
        read_flat_results(tmp_path / "nowhere.json", make_index(IDS[0]))
