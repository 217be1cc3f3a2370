from itertools import combinations, product

import pytest
from covering import all_pairs, covering_rows, with_extras

FACTORS = [["a1", "a2", "a3", "a4", "a5"], ["b1", "b2", "b3"], ["c1", "c2", "c3"], ["d1", "d2"]]


def never(a: str, b: str) -> bool:
    return False


def a1_with_b2(a: str, b: str) -> bool:
    return {a, b} == {"a1", "b2"}


def pairs_in(rows: list[tuple[str, ...]]) -> set[tuple[str, str]]:
    return {pair for row in rows for pair in combinations(row, 2)}


def test_every_pair_of_values_is_in_a_row() -> None:
    rows = covering_rows(FACTORS, never)
    for first, second in combinations(FACTORS, 2):
        assert set(product(first, second)) <= pairs_in(rows)
    assert len(pairs_in(rows)) == len(all_pairs(FACTORS)) == 15 + 15 + 10 + 9 + 6 + 6


def test_there_are_far_fewer_rows_than_combinations_and_the_same_ones_again() -> None:
    rows = covering_rows(FACTORS, never)
    assert 15 <= len(rows) <= 18  # 5 · 3 values of two factors need 15; all combinations are 90
    assert rows == covering_rows(FACTORS, never)
    assert all(value in values for row in rows for value, values in zip(row, FACTORS, strict=True))


def test_a_refused_pair_is_in_no_row_and_every_other_pair_in_one() -> None:
    rows = covering_rows(FACTORS, a1_with_b2)
    everything = {(a, b) for (_, a), (_, b) in all_pairs(FACTORS)}
    assert pairs_in(rows) == everything - {("a1", "b2")}


def test_a_pair_that_only_refused_rows_could_hold_is_said() -> None:
    with pytest.raises(ValueError, match=r"no row without a refused pair.*a1"):
        covering_rows([["a1", "a2"], ["b1", "b2"], ["c1"]], lambda a, b: {a, b} in ({"a1", "b1"}, {"b2", "c1"}))


@pytest.mark.parametrize("count", [2, 40])
def test_every_extra_is_in_a_row_that_does_not_refuse_it(count: int) -> None:
    rows = covering_rows(FACTORS, never)
    extras = [f"x{i}" for i in range(count)]
    result = with_extras(rows, extras, lambda extra, value: (extra, value) == ("x0", "a1"))
    assert [row[:-1] for row in result[: len(rows)]] == rows
    assert {row[-1] for row in result} == set(extras)
    assert len(result) == max(len(rows), count)
    assert not any("x0" in row and "a1" in row for row in result)


def test_an_extra_that_every_row_refuses_is_said() -> None:
    with pytest.raises(ValueError, match=r"refused by every row.*x1"):
        with_extras([("a1",), ("a2",)], ["x0", "x1"], lambda extra, value: extra == "x1")
