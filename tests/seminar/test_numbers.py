from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest
import torch
from seminar_experiments import numbers_from_nowhere
from torch.nn import functional

from detector.seminar import gradients, layers
from detector.seminar.answer import Value
from detector.seminar.run import NUMERIC, QUESTIONS, answer, numbers_of

KNOWN: dict[str, Value] = {
    "1a": 10_001_000,
    "1b": (101_000, 100),
    "1c": (100, 1, 0, 1000),
    "1d": (10, 10, 0, 1000),
    "1e": (28, 28, 5),
    "1f": (75, 375, 76, 380),
    "1g": 5,
    "1h": (10, 10, 5),
    "1i": 380,
    "3a": (1.25, 4),
    "3b": ((0, 1, 1), (1, 1.5, 0.5)),
    "3c": (((0, 0), (2, 0.5)), ((0, 0), (1, 1))),
    "5a": ((64, 1, 3, 3, 3), 1792),
    "5b": (64, 16, 224, 224),
    "5c": (64, 8, 224, 224),
    "5d": 1_387_266_048,
}
"""The answers that the seminar was given."""

OTHER: dict[str, tuple[dict[str, Any], Value, str]] = {
    "1a": ({"height": 7, "width": 5, "channels": 3, "features": 2}, 212, "212 parameters"),
    "1b": (
        {"height": 9, "width": 7, "patch": 3, "features": 4},
        (40, 6),
        "40 parameters, which all patches share, and 6 vectors",
    ),
    "1c": (
        {"height": 6, "width": 4, "channels": 2, "features": 3},
        ((6, 4), 1, 0, 3),
        "kernel 6 × 4, stride 1, padding 0",
    ),
    "1d": ({"height": 8, "width": 8, "patch": 4, "features": 3}, (4, 4, 0, 3), "kernel 4 × 4, stride 4, padding 0"),
    "1e": ({"kernel": 7, "stride": 2, "padding": 1}, (14, 14, 5), "14 × 14 × 5"),
    "1f": (
        {"channels": 2, "kernel": 4, "filters": 3},
        (32, 96, 33, 99),
        "32 a filter and 96 in all; with biases 33 and 99",
    ),
    "1g": ({"filters": 9}, 9, "9: a filter"),
    "1h": ({"height": 16, "filters": 2}, (4, 10, 2), "4 × 10 × 2"),
    "1i": ({"stride": 4, "kernel": 3}, 140, "140, as with stride 1"),
    "3a": ({"w": [[1, 1], [1, 1]]}, (1.5, 3.5), "[[1.5, 3.5]]"),
    "3b": ({"output_gradient": [[1, 2]]}, ((0, 1, 2), (1, 2.5, 1)), "[[0, 1, 2], [1, 2.5, 1]]"),
    "3c": (
        {"x": [[3, -2]], "output_gradient": [[5, 7]]},
        (((3, 0),), ((5, 0),)),
        "[[1, 0]] ⊙ [[5, 7]] = [[5, 0]]",
    ),
    "5a": ({"channels": 3, "filters": 8, "kernel": 2}, ((8, 3, 2, 2, 2), 200), "200 parameters"),
    "5b": ({"frames": 8, "padding": 0, "filters": 2}, (2, 6, 222, 222), "2 × 6 × 222 × 222"),
    "5c": ({"temporal_stride": 4}, (64, 4, 224, 224), "64 × 4 × 224 × 224"),
    "5d": (
        {"frames": 4, "height": 10, "width": 10, "filters": 2},
        21_600,
        "21,600; with stride 2 over time 10,800, half of it",
    ),
}
"""Numbers given → the result, worked out by hand, and a part of the sentence that says it."""


@pytest.mark.parametrize("question", KNOWN)
def test_each_answer_in_numbers_is_the_known_one_and_every_condition_holds(question: str) -> None:
    found = answer(question)
    assert found.question == question
    assert found.result == KNOWN[question]
    assert found.right, found.conditions
    assert any(condition.text == "result = the sheet's answer" for condition in found.conditions)
    assert found.steps
    assert found.formula
    assert found.put_in


@pytest.mark.parametrize("question", OTHER)
def test_other_numbers_go_through_formula_check_and_sentence(question: str) -> None:
    numbers, expected, sentence = OTHER[question]
    found = answer(question, **numbers)
    assert found.result == expected
    assert found.right, found.conditions
    assert sentence in found.answer
    assert found.numbers == {**numbers_of(question), **numbers}
    assert not any("sheet's answer" in condition.text for condition in found.conditions)


@pytest.mark.parametrize("question", KNOWN)
def test_numbers_in_sentences_are_those_that_were_computed(question: str) -> None:
    for numbers in ({}, OTHER[question][0]):
        found = answer(question, **numbers)
        assert numbers_from_nowhere(found.answer, found) == []
    assert numbers_from_nowhere("98,765 weights and 0.123", found) == ["98,765", "0.123"]


def test_no_sentence_speaks_of_an_earlier_program() -> None:
    texts = [*files("detector.seminar").iterdir(), *files("detector.seminar.page").iterdir()]
    relic = re.compile(r"\b(today|currently|previously|formerly|at the moment)\b", re.IGNORECASE)
    read = {one.name: one.read_text(encoding="utf-8") for one in texts if one.name.endswith((".py", ".js"))}
    assert {"faces.py", "questions.js"} <= read.keys()
    assert [name for name, text in read.items() if relic.search(text)] == []


def test_steps_say_the_numbers_that_were_given() -> None:
    steps = {
        ("1a", "each of the 2 outputs has a weight for each of them: 210 weights"),
        ("1b", "3 rows of 2 patches: 6 vectors of 4 features"),
        ("1d", "there are 2 · 2 = 4 output positions of 3 channels"),
        ("1e", "in steps of 2: ⌊27 / 2⌋ = 13 steps after the first position, 14 positions"),
        ("1i", "135 weights and 5 biases: what a filter is"),
        ("3a", "o[0, 1]: W lies on rows 0 to 1 and columns 1 to 2: 1·−1 + 1·3 + 1·0.5 + 1·1 = 3.5"),
        ("5a", "a filter has 3 · 2³ = 24 weights and a bias"),
        ("5c", "time: 16 frames become 4"),
        ("5d", "there are c_G = 2 of them at each of the 4 · 10 · 10 output positions: 21,600"),
    }
    for question, step in steps:
        assert step in answer(question, **OTHER[question][0]).steps


def test_every_numeric_question_takes_numbers_and_other_questions_take_none() -> None:
    assert set(OTHER) | {"5e"} == set(NUMERIC)
    assert all(numbers_of(question) for question in NUMERIC)
    assert numbers_of("2a") == {}
    assert "repeats" not in numbers_of("5e")
    with pytest.raises(ValueError, match="kernel: question 1g uses channels, filters"):
        answer("1g", kernel=3)


@pytest.mark.parametrize("question", KNOWN)
def test_an_answer_is_plain_data_that_json_holds(question: str) -> None:
    data = json.loads(json.dumps(answer(question).as_data(), allow_nan=False))
    assert data["right"] is True
    assert all(condition["holds"] for condition in data["conditions"])
    assert data["numbers"].keys() == numbers_of(question).keys()


def test_there_are_25_questions() -> None:
    letters = {1: "abcdefghi", 2: "ab", 3: "abcde", 4: "abcd", 5: "abcde"}
    assert [f"{number}{letter}" for number in letters for letter in letters[number]] == QUESTIONS


@pytest.mark.parametrize("stride", [1, 5, 9])
def test_a_convolution_of_another_stride_is_not_the_layer_on_patches(stride: int) -> None:
    found = layers._equal_convolution("1d", "", "", (20, 20), (10, 10), stride, 1, 4)
    assert not found.right


def test_a_converter_that_turns_the_weights_round_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    convert = layers.linear_to_convolution

    def wrong(*arguments: Any) -> Any:
        layer: Any = convert(*arguments)
        layer.weight.data = layer.weight.data.flip(3)
        return layer

    monkeypatch.setattr(layers, "linear_to_convolution", wrong)
    assert not answer("1c").right
    assert not answer("1d").right


def test_the_kernel_is_turned_by_180_degrees_and_by_no_other_angle() -> None:
    found = answer("3b")
    assert "turned by 180°" in found.answer
    x, w = torch.tensor(gradients.X), torch.tensor(gradients.W)
    assert gradients.turns_that_fit(w.double(), torch.tensor([[1.0, 2.0]]).double(), x.double()) == (180,)
    steps = " ".join(found.steps)
    assert (
        "autograd gives [[0, 1, 2], [1, 2.5, 1]]; sliding it over W as it stands gives [[0.5, 2, 2], [1, 2, 0]]"
        in steps
    )
    assert "which is wrong" in steps


def test_the_symbolic_jacobian_is_the_sheets() -> None:
    text = gradients.symbol_text(gradients.symbolic_gradient((2, 3), (2, 2)))
    assert text == "[[w11, w11 + w12, w12], [w21, w21 + w22, w22]]"
    assert text in answer("3b").answer


def test_the_symbols_and_the_full_correlation_are_autograds_gradient_for_random_matrices() -> None:
    generator = torch.Generator().manual_seed(0)
    for rows, columns in ((4, 5), (3, 3), (5, 2)):
        x = torch.randint(-5, 6, (rows, columns), generator=generator).tolist()
        w = torch.randint(-5, 6, (2, 2), generator=generator).tolist()
        given = torch.randint(-5, 6, (rows - 1, columns - 1), generator=generator).tolist()
        found = answer("3b", x=x, w=w, output_gradient=given)
        assert found.right, found.conditions
        leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        output = functional.conv2d(leaf[None, None], torch.tensor(w, dtype=torch.float64)[None, None])
        output.backward(torch.tensor(given, dtype=torch.float64)[None, None])
        assert leaf.grad is not None
        assert found.result == tuple(map(tuple, leaf.grad.tolist()))


def test_steps_show_the_gradient_of_relu_at_0_as_0() -> None:
    found = answer("3c")
    assert "by convention f′(0) = 0" in " ".join(found.steps)
    assert any(condition.text.startswith("f′(0)") and condition.value == 0 for condition in found.conditions)


def test_the_stride_over_time_halves_the_cost_and_both_numbers_are_said() -> None:
    found = answer("5d")
    assert "1,387,266,048; with stride 2 over time 693,633,024, half of it" in found.answer
    assert any(condition.text == "twice the cost at the doubled temporal stride" for condition in found.conditions)
    odd = answer("5d", frames=15)
    assert odd.right
    assert "0.533 of it" in odd.answer
