from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.data.index import AnnotatedObjects, Index, assemble
from detector.errors import UserError
from detector.evaluation.results import flatten, read_results, write_results


def make_index(image_ids: list[int] | list[str]) -> Index:
    images = len(image_ids)
    nothing = AnnotatedObjects([], [], [], [], where=str)
    return assemble(("cat", "dog"), (17, 18), image_ids, [""] * images, np.full((images, 2), 100), nothing)


def entry(**changes: Any) -> dict[str, Any]:
    return {"image_id": 7, "category_id": 18, "bbox": [1.5, 2, 3, 4], "score": 0.25, **changes}


@pytest.mark.parametrize("image_ids", [[3, 7], ["000003", "000007"]])
def test_what_is_written_is_read_again_and_is_plain_json(tmp_path: Path, image_ids: Any) -> None:
    results = [entry(image_id=image_ids[1]), entry(image_id=image_ids[0], score=1 / 3)]
    file = tmp_path / "new" / "results.json"
    write_results(file, results)
    assert json.loads(file.read_text()) == results
    assert read_results(file, make_index(image_ids)) == results


def test_a_file_without_detections_is_legal(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    write_results(file, [])
    assert read_results(file, make_index([7])) == []


def test_flat_results_keep_the_order_and_translate_ids_to_positions_and_labels() -> None:
    flat = flatten(make_index([7, 3]), [entry(image_id=3), entry(category_id=17, bbox=[0, 0, 9, 9], score=0.5)])
    assert flat.images.tolist() == [1, 0]
    assert flat.labels.tolist() == [1, 0]
    assert flat.boxes.tolist() == [[1.5, 2, 3, 4], [0, 0, 9, 9]]
    assert flat.scores.tolist() == [0.25, 0.5]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (entry(image_id=8), ["image_id 8", "such as 3, 7"]),
        (entry(image_id="7"), ['image_id "7"', "such as 3, 7"]),
        (entry(image_id=[7]), ["image_id [7]"]),
        (entry(category_id=1), ["category_id 1 ", "17, 18"]),
        (entry(category_id={}), ["category_id {}"]),
        (entry(bbox=[1, 2, 3]), ["bbox [1, 2, 3]", "[x, y, width, height]"]),
        (entry(bbox=[1, 2, -3, 4]), ["bbox [1, 2, -3, 4]"]),
        (entry(bbox=[1, 2, float("nan"), 4]), ["bbox [1, 2, NaN, 4]"]),
        (entry(bbox=[1, 2, "3", 4]), ['bbox [1, 2, "3", 4]']),
        (entry(bbox=None), ["bbox null"]),
        (entry(score=None), ["score null"]),
        (entry(score=True), ["score true"]),
        (entry(score=float("inf")), ["score Infinity"]),
        (entry(score=10**400), ["score 1000"]),
        (entry(bbox=[10**400, 2, 3, 4]), ["bbox [1000"]),
        (entry(image_id=7.5), ["image_id 7.5"]),
        (entry(image_id=True), ["image_id true"]),
        (entry(category_id=17.5), ["category_id 17.5"]),
        ({"image_id": 7, "bbox": [1, 2, 3, 4]}, ["lacks category_id and score"]),
        ([7, 18, 1, 2, 3, 4, 0.5], ["JSON list", "object"]),
    ],
)
def test_a_wrong_entry_is_named_with_its_file_and_number_in_one_line(
    tmp_path: Path, wrong: Any, said: list[str]
) -> None:
    file = tmp_path / "results.json"
    file.write_text(json.dumps([entry(), entry(), wrong, entry()]))
    with pytest.raises(UserError) as caught:
        read_results(file, make_index([3, 7]))
    message = str(caught.value)
    for words in [str(file), "entry 2:", *said]:
        assert words in message
    assert "\n" not in message
    assert "more" not in message


def test_an_id_that_is_a_whole_float_is_the_integer(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text(json.dumps([entry(image_id=0.0, category_id=17.0), entry()]))
    read = read_results(file, make_index([0, 7]))
    assert read == [entry(image_id=0, category_id=17), entry()]
    assert all(type(one[key]) is int for one in read for key in ("image_id", "category_id"))


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    for encoding in ("utf-8-sig", "utf-16"):
        file.write_bytes(json.dumps([entry()]).encode(encoding))
        assert read_results(file, make_index([3, 7])) == [entry()]


def test_all_wrong_entries_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text(json.dumps([entry(), entry(image_id=9), entry(score="high"), entry(image_id=9)]))
    with pytest.raises(UserError, match=r"entry 1: image_id 9 .*2 more of the 4 entries"):
        read_results(file, make_index([3, 7]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("[{", "not valid JSON"),
        ('{"annotations": []}', "JSON object"),
        ("3", "JSON number"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_file_that_is_no_list_of_results_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "results.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        read_results(file, make_index([3, 7]))
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
